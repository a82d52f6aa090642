//! How long the core takes for a batch: `cargo bench --workspace --bench paths`.
//!
//! `paths instructions` lists the same work by name, and `paths instructions NAME ROUNDS` does so many rounds of one:
//! `host/benches/instructions` counts what that executes.
//!
//! divan rather than criterion: it counts allocations beside the time, and brings three crates rather than twenty.

mod instructions;
mod workloads;

use divan::{AllocProfiler, Bencher, black_box, counter::ItemsCount};
use forebay_proto::wire::{self, Frame};

use workloads::{Fed, SHAPES, Shape, Source, Way, decoded};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("instructions") => instructions::run(arguments.next(), arguments.next()),
        _ => divan::main(),
    }
}

fn routed() -> impl Iterator<Item = Shape> {
    SHAPES.into_iter().flat_map(|shape| [shape, shape.routed()])
}

#[divan::bench(args = SHAPES, consts = [1, 3, 100])]
fn dispatch<const CONSUMERS: usize>(bencher: Bencher<'_, '_>, shape: Shape) {
    let mut source = Source::new(CONSUMERS, shape);
    bencher.counter(ItemsCount::new(shape.events)).bench_local(|| black_box(source.round()));
}

#[divan::bench(args = SHAPES)]
fn consume(bencher: Bencher<'_, '_>, shape: Shape) {
    let mut fed = Fed::new(shape);
    bencher.counter(ItemsCount::new(shape.events)).bench_local(|| black_box(fed.round()));
}

#[divan::bench(args = routed())]
fn encode(bencher: Bencher<'_, '_>, shape: Shape) {
    let frame = Frame::Stage(shape.message());
    bencher.counter(ItemsCount::new(shape.events)).bench_local(|| wire::encode(black_box(&frame)));
}

#[divan::bench(args = routed())]
fn decode(bencher: Bencher<'_, '_>, shape: Shape) {
    let frame = shape.frame();
    bencher.counter(ItemsCount::new(shape.events)).bench_local(|| decoded(black_box(&frame)));
}

#[divan::bench(args = SHAPES)]
fn whole_way(bencher: Bencher<'_, '_>, shape: Shape) {
    let mut way = Way::new(shape);
    bencher.counter(ItemsCount::new(shape.events)).bench_local(|| way.round());
}
