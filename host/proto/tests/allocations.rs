//! No event costs an allocation on its way through the core: a batch of 500 takes as many as one of 5.

#![allow(
    unsafe_code,
    reason = "a global allocator is an unsafe trait; this one counts, and leaves the work to the system's"
)]
#![allow(dead_code, reason = "the workloads are shared with the benches, which use more of them")]

#[path = "../benches/paths/workloads.rs"]
mod workloads;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint::black_box,
};

use forebay_proto::wire::{self, Frame};
use workloads::{Fed, SHAPES, Shape, Source, Way, decoded};

/// Counts for each thread, for tests run side by side.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is handed on unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promises are those of the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATIONS: Counting = Counting;

const ROUNDS: u64 = 100;

/// Allocations and growths of a round, in the mean, once it has been done a few times.
fn of(mut round: impl FnMut()) -> u64 {
    (0..10).for_each(|_| round());
    let before = COUNT.get();
    (0..ROUNDS).for_each(|_| round());
    (COUNT.get() - before).div_ceil(ROUNDS)
}

/// For each way through the core: its name, and what a round of it takes with events of this shape.
fn ways(shape: Shape) -> [(&'static str, u64); 6] {
    let (mut one, mut three) = (Source::new(1, shape), Source::new(3, shape));
    let (mut fed, mut way) = (Fed::new(shape), Way::new(shape));
    let (message, frame) = (Frame::Stage(shape.message()), shape.frame());
    [
        ("dispatch to one", of(|| drop(black_box(one.round())))),
        ("dispatch to three", of(|| drop(black_box(three.round())))),
        ("consume", of(|| drop(black_box(fed.round())))),
        ("encode", of(|| drop(black_box(wire::encode(&message))))),
        ("decode", of(|| drop(black_box(decoded(&frame))))),
        ("whole way", of(|| way.round())),
    ]
}

/// What a batch takes at most, in the order of [`ways`]. As measured; lower them when there are fewer.
const MOST: [u64; 6] = [7, 7, 5, 2, 3, 21];

#[test]
fn a_large_batch_takes_no_more_allocations_than_a_small_one() {
    let [few, many, ..] = SHAPES;
    for routed in [false, true] {
        let [few, many] = [few, many].map(|shape| if routed { shape.routed() } else { shape });
        for ((what, small), (_, large)) in ways(few).into_iter().zip(ways(many)) {
            // A sum such as the demand may grow a tree by a leaf now and then, whatever the batch.
            assert!(large <= small + 1, "{what}, routed {routed}: {small} for {few}, {large} for {many}");
        }
    }
}

#[test]
fn a_batch_takes_no_more_allocations_than_it_did() {
    let [few, ..] = SHAPES;
    let ways = ways(few).into_iter().zip(MOST).filter(|((_, found), most)| found > most);
    let more: Vec<_> = ways.map(|((what, found), most)| format!("{what}: {found}, {most} at most")).collect();
    assert!(more.is_empty(), "allocations for a batch: {more:?}");
}
