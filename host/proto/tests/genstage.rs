//! Replays recorded runs of the real GenStage, one input at a time, and compares what our stages do.
//!
//! The recordings and the scripts that made them are in `genstage/`; its README tells the format.
//! `DIFFERENCES` lists where ours does something else on purpose, and why.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod replay;

use std::{collections::BTreeSet, fs, path::PathBuf};

use replay::{Observed, Scenario};

/// A step in which ours does something else, and what it does.
struct Difference {
    scenario: &'static str,
    step: u64,
    does: &'static [&'static str],
    why: &'static str,
}

const STRANDED: &str = "the original leaves an event in the buffer although a consumer has open demand, and later events \
    overtake it; ours hands out all it has before it takes new ones";
const REVERSED: &str = "the original counts the demand of a consumer that has left, handles messages for nobody, and \
    turns its buffer round; ours takes a message only while somebody waits, and keeps the order";
const EXCESS: &str = "the original logs surplus events and handles them; here a grant is what bounds memory on both \
    sides, so the producer that breaks it is cut off";
const SHUFFLE: &str = "the original's shuffle may put a consumer without demand in front and then serves nobody; ours \
    shuffles those that wait";

const DIFFERENCES: &[Difference] = &[
    Difference {
        scenario: "demand_cancel_events_come_before_new_ask",
        step: 6,
        does: &["send P>C2 events [1,2,3]"],
        why: STRANDED,
    },
    Difference {
        scenario: "demand_cancel_events_come_before_new_ask",
        step: 7,
        does: &["handle_demand 3 -> []"],
        why: STRANDED,
    },
    Difference {
        scenario: "demand_consumer_dies_with_pending",
        step: 7,
        does: &["send P>C2 events [3]"],
        why: STRANDED,
    },
    Difference {
        scenario: "demand_consumer_dies_with_pending",
        step: 9,
        does: &["handle_demand 1 -> []"],
        why: STRANDED,
    },
    Difference { scenario: "pc_downstream_cancel", step: 6, does: &[], why: REVERSED },
    Difference { scenario: "pc_downstream_cancel", step: 7, does: &[], why: REVERSED },
    Difference {
        scenario: "pc_downstream_cancel",
        step: 9,
        does: &["handle_events A>B [2,3] -> [2,3]", "send B>D events [2,3]", "send A>B ask 3"],
        why: REVERSED,
    },
    Difference {
        scenario: "pc_downstream_cancel",
        step: 10,
        does: &["handle_events A>B [4] -> [4]", "send B>D events [4]"],
        why: REVERSED,
    },
    Difference {
        scenario: "consumer_excess_events",
        step: 2,
        does: &[
            "send P>C cancel protocol broken: 3 events more than asked for",
            "log refused",
            "handle_cancel P>C cancel protocol broken: 3 events more than asked for",
            "log consumer_stopping_after_cancel",
            "stop protocol broken: 3 events more than asked for",
        ],
        why: EXCESS,
    },
    Difference { scenario: "consumer_excess_events", step: 3, does: &[], why: EXCESS },
    Difference {
        scenario: "consumer_excess_events_default_min",
        step: 2,
        does: &[
            "send P>C cancel protocol broken: 7 events more than asked for",
            "log refused",
            "handle_cancel P>C cancel protocol broken: 7 events more than asked for",
            "log consumer_stopping_after_cancel",
            "stop protocol broken: 7 events more than asked for",
        ],
        why: EXCESS,
    },
    Difference { scenario: "consumer_excess_events_default_min", step: 3, does: &[], why: EXCESS },
    Difference {
        scenario: "demand_shuffle_zero_demand_in_front",
        step: 6,
        does: &["send P>C1 events [1,2,3]"],
        why: SHUFFLE,
    },
    Difference {
        scenario: "demand_shuffle_zero_demand_in_front",
        step: 7,
        does: &["send P>C2 events [4,5]"],
        why: SHUFFLE,
    },
    Difference {
        scenario: "demand_shuffle_zero_demand_in_front",
        step: 8,
        does: &["handle_demand 2 -> []"],
        why: SHUFFLE,
    },
    Difference {
        scenario: "demand_shuffle_zero_demand_in_front",
        step: 9,
        does: &["handle_demand 1 -> []"],
        why: SHUFFLE,
    },
];

/// The file names of this release's scenarios begin with these.
const PREFIXES: [&str; 5] = ["split_", "producer_", "consumer_", "pc_", "demand_"];

fn scenarios() -> Vec<Scenario> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/genstage");
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    paths.iter().map(|path| Scenario::parse(&fs::read_to_string(path).unwrap())).collect()
}

fn expected(scenario: &Scenario, step: u64, recorded: Vec<Observed>) -> (Vec<Observed>, &'static str) {
    let differs = DIFFERENCES.iter().find(|d| d.scenario == scenario.name && d.step == step);
    match differs {
        Some(difference) => (difference.does.iter().map(|&line| line.into()).collect(), difference.why),
        None => (recorded, "as recorded"),
    }
}

/// Replays one scenario; says where it first differs from what is expected.
fn replay(scenario: &Scenario, shuffle_seed: u64) -> Result<(), String> {
    let mut world = replay::World::new(scenario, shuffle_seed);
    for step in &scenario.steps {
        let (expected, why) = expected(scenario, step.number, step.observed.clone());
        let found = world.play(step);
        if found != expected {
            let at = format!("{} step {} at {}: {}", scenario.name, step.number, step.at, step.input);
            return Err(format!("{at}\n  expected ({why}): {expected:#?}\n  found: {found:#?}"));
        }
    }
    Ok(())
}

#[test]
fn recorded_runs_are_reproduced() {
    let scenarios = scenarios();
    let count = |prefix: &str| scenarios.iter().filter(|s| s.name.starts_with(prefix)).count();
    assert_eq!(PREFIXES.map(count), [8, 14, 16, 15, 20], "a recording is missing");
    let mut failures = Vec::new();
    for scenario in &scenarios {
        // A recorded shuffle is one that ours must be able to give, under some seed.
        let seeds = if scenario.shuffles { 100 } else { 1 };
        let mut tries = (0..seeds).map(|seed| replay(scenario, seed));
        if let Some(Err(first)) = tries.next()
            && !tries.any(|tried| tried.is_ok())
        {
            failures.push(first);
        }
    }
    assert!(failures.is_empty(), "{} of {} differ:\n{}", failures.len(), scenarios.len(), failures.join("\n"));
}

#[test]
fn every_difference_is_one() {
    let scenarios = scenarios();
    let mut seen = BTreeSet::new();
    for difference in DIFFERENCES {
        let scenario = scenarios.iter().find(|s| s.name == difference.scenario).expect(difference.scenario);
        let step = scenario.steps.iter().find(|step| step.number == difference.step).expect(difference.scenario);
        assert!(seen.insert((difference.scenario, difference.step)), "twice: {} {}", scenario.name, step.number);
        assert_ne!(step.observed, difference.does, "{} step {} is as recorded", scenario.name, step.number);
    }
}
