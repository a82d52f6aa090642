//! Random pipelines of fifty stages: every event reaches every stage as often as the graph says.

#![allow(clippy::unwrap_used, reason = "clippy knows test functions, not their helpers")]

use forebay_graphs::NODES;
use forebay_virtual::{
    Keys,
    graphs::{Coverage, Report},
};

fn run_all(seeds: std::ops::Range<u64>, has_faults: bool) -> Coverage {
    let (keys, mut coverage, mut told) = (Keys::generate(NODES).unwrap(), Coverage::default(), Vec::new());
    for seed in seeds {
        let Report { coverage: of_one, violations, .. } = keys.run_graph(seed, has_faults);
        coverage += of_one;
        told.extend(violations.iter().map(|violation| format!("seed {seed}: {violation}")));
    }
    let how = if has_faults { " --faults" } else { "" };
    let replay = format!("replay: cargo run -p forebay-virtual -- graphs{how} --seed N");
    assert!(told.is_empty(), "{}\n{replay}", told.join("\n"));
    println!("{coverage}");
    coverage
}

#[test]
fn without_faults_every_event_reaches_every_stage_exactly_as_often_as_it_must() {
    let coverage = run_all(0..12, false);
    assert_eq!(coverage.missing(), [""; 0]);
    assert!(coverage.handled > 10 * coverage.emitted / 4, "hardly anything is passed on: {coverage}");
    assert_eq!(coverage.repeated, 0);
}

#[test]
fn with_faults_every_event_reaches_every_stage_at_least_as_often_as_it_must() {
    let coverage = run_all(0..4, true);
    assert!(coverage.faults.values().any(|(_, noticed)| *noticed > 0), "{coverage}");
    assert!(coverage.repeated > 0, "no fault had any effect: {coverage}");
}
