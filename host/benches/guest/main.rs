//! How long a call of a guest takes, and its start: `cargo bench --workspace --bench guest`.
//!
//! Real components of `plugins/prebuilt` over the host's own runtime; beside them the same component in engines with other
//! settings, to say what those cost. `guest memory` prints what idle instances take. `guest instructions` lists calls by
//! name, and `guest instructions NAME ROUNDS` makes so many: `host/benches/instructions` counts what that executes.
//!
//! The one bench binary of the host: linking wasmtime is what it costs.

mod engines;
mod instructions;
mod memory;
mod stages;

use divan::{AllocProfiler, Bencher, black_box, counter::ItemsCount};

use engines::{Setting, Variant};
use stages::{Guest, Plugins};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

/// Events of one call.
const COUNTS: [u32; 3] = [1, 5, 500];

fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("instructions") => instructions::run(arguments.next(), arguments.next()),
        Some("memory") => memory::run(),
        _ => divan::main(),
    }
}

/// `handle-demand` of the counter, with payloads of 16 bytes.
#[divan::bench(args = COUNTS)]
fn produce(bencher: Bencher<'_, '_>, count: u32) {
    let mut guest = Guest::counter();
    bencher.counter(ItemsCount::new(count)).bench_local(|| black_box(guest.demand(count)));
}

/// `handle-events` of a consumer that hashes all payloads.
#[divan::bench(args = COUNTS)]
fn consume(bencher: Bencher<'_, '_>, count: u32) {
    let (mut guest, delivery) = (Guest::of("tally"), stages::delivery(count, 16));
    bencher.counter(ItemsCount::new(count)).bench_local(|| black_box(guest.events(&delivery)));
}

/// `handle-events` of a producer-consumer that passes each event on once.
#[divan::bench(args = COUNTS, consts = [16, 1024])]
fn transform<const BYTES: usize>(bencher: Bencher<'_, '_>, count: u32) {
    let (mut guest, delivery) = (Guest::relay(), stages::delivery(count, BYTES));
    bencher.counter(ItemsCount::new(count)).bench_local(|| black_box(guest.events(&delivery)));
}

/// The same of the end of a larger batch: its columns begin in the middle of others.
#[divan::bench(args = COUNTS, consts = [16, 1024])]
fn transform_a_part<const BYTES: usize>(bencher: Bencher<'_, '_>, count: u32) {
    let (mut guest, delivery) = (Guest::relay(), stages::part_of_a_delivery(count, BYTES));
    bencher.counter(ItemsCount::new(count)).bench_local(|| black_box(guest.events(&delivery)));
}

/// An instance of code that is loaded already, with its `init`.
#[divan::bench(args = ["counter", "tally"])]
fn start(bencher: Bencher<'_, '_>, name: &str) {
    let plugins = Plugins::new();
    let plugin = plugins.load(name);
    bencher.bench_local(|| plugins.start(&plugin, "null"));
}

/// A component whose compiled code is kept on disk.
#[divan::bench(args = ["counter", "tally"])]
fn load_compiled(bencher: Bencher<'_, '_>, name: &str) {
    let plugins = Plugins::new();
    drop(plugins.load(name));
    bencher.bench_local(|| plugins.load(name));
}

/// A component that nobody has compiled yet.
#[divan::bench(args = ["counter"], sample_count = 5)]
fn compile(bencher: Bencher<'_, '_>, name: &str) {
    bencher.with_inputs(Plugins::new).bench_local_values(|plugins| plugins.load(name));
}

/// `handle-demand` by wasmtime alone, in engines of several settings: what epochs and what pooling cost or spare.
#[divan::bench(args = [1, 500], consts = [0, 1, 2, 3])]
fn bare_call<const SETTING: usize>(bencher: Bencher<'_, '_>, count: u32) {
    let mut variant = Variant::new(Setting::ALL[SETTING]).instance().begun();
    bencher.counter(ItemsCount::new(count)).bench_local(|| black_box(variant.demand(count)));
}

/// The start of an instance by wasmtime alone, without `init`.
#[divan::bench(args = Setting::ALL)]
fn bare_start(bencher: Bencher<'_, '_>, setting: Setting) {
    let variant = Variant::new(setting);
    bencher.bench_local(|| variant.instance());
}
