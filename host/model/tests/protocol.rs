//! Searches each variant of the protocol, and says of each what must come of it.
//!
//! `cargo test -p forebay-model -- --nocapture --test-threads 1` prints the table of `README.md`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use forebay_model::model::{Bounds, Protocol};
use forebay_model::properties::{
    CHECKPOINT_KEEPS_ITS_EVENTS, CHECKPOINT_NEVER_GOES_BACK, LAWS, NO_STALE_BATCH_TAKEN, NOTHING_LOST,
    ONE_RUN_PER_EPOCH, SIGHTS,
};
use forebay_model::variant::Variant;
use stateright::{Checker, HasDiscoveries, Model};

/// Steps a search may take before it is given up and the test fails.
///
/// Bounds memory: 3.5 million steps, the most an exhaustive search here takes, lead to 0.7 million states; with
/// 1.3 million states the process had 260 MB.
const STEPS_MAX: usize = 8_000_000;

/// What must come of the search of a variant.
enum Expected {
    /// The search is exhaustive, all sights are met, and of all laws exactly these are broken.
    Exhaustive { broken: &'static [&'static str] },
    /// These laws are broken; the search ends when all of them were.
    Caught { broken: &'static [&'static str] },
}

/// The table: which law holds against which shortcut.
fn expected(variant: Variant) -> Expected {
    match variant {
        Variant::AsDesigned | Variant::DeterministicProducer => Expected::Exhaustive { broken: &[] },
        Variant::ConsumerDoesNotFence => Expected::Exhaustive { broken: &[NO_STALE_BATCH_TAKEN] },
        Variant::CheckpointWithoutCompareAndSet => {
            Expected::Caught { broken: &[CHECKPOINT_NEVER_GOES_BACK, CHECKPOINT_KEEPS_ITS_EVENTS] }
        }
        Variant::RestartKeepsEpoch => Expected::Caught { broken: &[ONE_RUN_PER_EPOCH, NOTHING_LOST] },
        Variant::CheckpointOfLastSent
        | Variant::CheckpointOfLargestAcknowledged
        | Variant::AcknowledgedOnReceipt
        | Variant::ConsumerDeduplicatesBySeq
        | Variant::AcknowledgementOfAnyEpoch => Expected::Caught { broken: &[NOTHING_LOST] },
    }
}

/// The bounds of a search.
fn bounds(variant: Variant) -> Bounds {
    match variant {
        // Nothing this consumer does depends on its memory, so losing it makes more states and no other outcome.
        Variant::ConsumerDoesNotFence => Bounds { consumer_crashes: 0, ..Bounds::default() },
        _ => Bounds::default(),
    }
}

/// What came of a search.
struct Found {
    variant: Variant,
    exhaustive: bool,
    states: usize,
    steps: usize,
    took: Duration,
    /// Laws that were broken and sights that were met, each with one way there.
    discoveries: Vec<(&'static str, Vec<String>)>,
}

impl Found {
    fn has(&self, name: &str) -> bool {
        self.discoveries.iter().any(|(discovery, _)| *discovery == name)
    }

    fn broken(&self) -> BTreeSet<&'static str> {
        LAWS.into_iter().filter(|law| self.has(law)).collect()
    }

    /// One line of the table (variant, states, steps, end, broken laws, time), and how each law was broken.
    fn print(&self) {
        let how = if self.exhaustive { "exhaustive" } else { "stopped" };
        println!(
            "| {:?} | {} | {} | {how} | {:?} | {:.1?} |",
            self.variant,
            self.states,
            self.steps,
            self.broken(),
            self.took
        );
        for (law, steps) in self.discoveries.iter().filter(|(name, _)| LAWS.contains(name)) {
            println!("  {law}: {}", steps.join(", "));
        }
    }
}

/// Searches breadth first, on one thread so that each search is the same every time.
fn search(variant: Variant, until: HasDiscoveries) -> Found {
    let started = Instant::now();
    let protocol = Protocol { variant, bounds: bounds(variant) };
    let checker =
        protocol.checker().threads(1).target_state_count(STEPS_MAX).finish_when(until.clone()).spawn_bfs().join();
    let discoveries: Vec<_> = checker
        .discoveries()
        .into_iter()
        .map(|(name, path)| (name, path.into_actions().iter().map(|step| format!("{step:?}")).collect()))
        .collect();
    let names = discoveries.iter().map(|(name, _)| *name).collect();
    let stopped = until.matches(&names, &checker.model().properties());
    let exhaustive = checker.is_done() && checker.state_count() < STEPS_MAX && !stopped;
    let (states, steps) = (checker.unique_state_count(), checker.state_count());
    Found { variant, exhaustive, states, steps, took: started.elapsed(), discoveries }
}

/// Searches all there is, and expects exactly these laws to be broken.
fn search_all(variant: Variant) {
    let Expected::Exhaustive { broken } = expected(variant) else { panic!("{variant:?} is to be caught") };
    let unexpected = LAWS.into_iter().filter(|law| !broken.contains(law)).collect();
    let found = search(variant, HasDiscoveries::AnyOf(unexpected));
    found.print();
    assert_eq!(found.broken(), broken.iter().copied().collect(), "{variant:?}");
    assert!(found.exhaustive, "{variant:?} has more than {STEPS_MAX} steps");
    let missed: Vec<_> = SIGHTS.into_iter().filter(|sight| !found.has(sight)).collect();
    assert!(missed.is_empty(), "{variant:?} never met {missed:?}, so it proves little");
}

#[test]
fn the_protocol_keeps_all_laws() {
    search_all(Variant::AsDesigned);
}

#[test]
fn a_deterministic_producer_keeps_all_laws() {
    search_all(Variant::DeterministicProducer);
}

#[test]
fn a_consumer_that_does_not_fence_takes_stale_batches_and_loses_nothing() {
    search_all(Variant::ConsumerDoesNotFence);
}

#[test]
fn each_shortcut_is_caught() {
    let mut caught = 0;
    for variant in Variant::ALL {
        let Expected::Caught { broken } = expected(variant) else { continue };
        let found = search(variant, HasDiscoveries::AllOf(broken.iter().copied().collect()));
        found.print();
        let missed: Vec<_> = broken.iter().filter(|law| !found.has(law)).collect();
        assert!(missed.is_empty(), "{variant:?} goes through without breaking {missed:?}");
        caught += 1;
    }
    assert_eq!(caught, 7, "all variants of SEMANTICS 2.9 that lose events, or a checkpoint's past");
}
