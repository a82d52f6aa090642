//! Replays recorded runs of the real GenStage, one input at a time, and compares what our stages do.
//!
//! The recordings and the scripts that made them are in `genstage/`; its README tells the format.
//! `replay/differences.rs` lists where ours does something else on purpose, and why; `replay/elsewhere.rs` what is not
//! replayed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod replay;

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use forebay_proto::{
    consumer::{CancelMode, Owner, UpstreamOptions},
    ids::{Epoch, StageName},
    message::Demand,
    pipeline::{ManifestError, Pipeline},
    stage::{GuestNo, Input, Role, Stage, StageOptions, Transmit},
};

use replay::{Observed, Scenario, differences::DIFFERENCES, elsewhere::ELSEWHERE};

/// The file names begin with these; there are so many.
const PREFIXES: [(&str, usize); 20] = [
    ("accumulate_", 3),
    ("bad_", 10),
    ("broadcast_", 14),
    ("buffer_", 8),
    ("consumer_", 16),
    ("demand_", 20),
    ("enumerable_", 5),
    ("estimate_", 1),
    ("galena_", 11),
    ("info_", 10),
    ("init_", 2),
    ("manual_", 2),
    ("partition_", 17),
    ("pc_", 15),
    ("producer_", 14),
    ("resubscribe", 2),
    ("split_", 8),
    ("subscribe_", 3),
    ("supervisor_", 5),
    ("sync_", 1),
];

fn scenarios() -> Vec<Scenario> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/genstage");
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    paths.iter().map(|path| Scenario::parse(&fs::read_to_string(path).unwrap())).collect()
}

fn is_replayed(scenario: &Scenario) -> bool {
    !ELSEWHERE.iter().any(|elsewhere| elsewhere.scenarios.contains(&&*scenario.name))
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
    let mut failures = Vec::new();
    for scenario in scenarios.iter().filter(|scenario| is_replayed(scenario)) {
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
fn every_recording_is_accounted_for() {
    let scenarios = scenarios();
    let count = |prefix: &str| scenarios.iter().filter(|scenario| scenario.name.starts_with(prefix)).count();
    assert_eq!(PREFIXES.map(|(prefix, _)| (prefix, count(prefix))), PREFIXES, "a recording is missing");
    assert_eq!(scenarios.len(), 167);
    let elsewhere: Vec<&str> = ELSEWHERE.iter().flat_map(|elsewhere| elsewhere.scenarios).copied().collect();
    let known: BTreeSet<&str> = elsewhere.iter().copied().collect();
    assert_eq!(known.len(), elsewhere.len(), "one is named twice");
    assert!(ELSEWHERE.iter().all(|elsewhere| !elsewhere.why.is_empty()));
    for name in elsewhere {
        assert!(scenarios.iter().any(|scenario| scenario.name == name), "there is no recording {name}");
        assert!(!DIFFERENCES.iter().any(|difference| difference.scenario == name), "{name} is not replayed");
    }
    assert_eq!(scenarios.iter().filter(|scenario| is_replayed(scenario)).count(), 140);
}

/// A file with one producer `p` and one consumer `c`, both with these further keys.
fn pipeline(of_producer: &str, of_subscription: &str) -> Result<Pipeline, ManifestError> {
    let text = format!(
        "name = \"x\"\n[stages.p]\nplugin = \"p\"\n{of_producer}\n[stages.c]\nplugin = \"c\"\n\
         subscribe = [{{ to = \"p\"{of_subscription} }}]\n"
    );
    Pipeline::parse(&text, "x.toml")
}

#[test]
fn what_genstage_refuses_is_refused_at_load() {
    let refused = [
        ("bad_producer_option_buffer_keep", "buffer = { keep = \"middle\" }", ""),
        ("bad_producer_option_buffer_size", "buffer = { size = -1 }", ""),
        ("bad_producer_option_demand", "demand = \"sometimes\"", ""),
        ("bad_producer_option_dispatcher", "dispatcher = \"nobody\"", ""),
        ("bad_producer_option_unknown", "unknown = 1", ""),
        ("bad_subscription_option_cancel_unknown", "", ", cancel = \"never\""),
        ("bad_subscription_option_max_infinity", "", ", max_demand = \"infinity\""),
        ("bad_subscription_option_max_zero", "", ", max_demand = 0"),
        ("bad_subscription_option_min_above_max", "", ", max_demand = 4, min_demand = 4"),
        ("bad_subscription_option_min_negative", "", ", max_demand = 4, min_demand = -1"),
        ("broadcast_bad_selector", "dispatcher = \"broadcast\"", ", topics = [\"a..b\"]"),
        ("galena_topics_not_a_list", "dispatcher = \"broadcast\"", ", topics = \"a\""),
    ];
    let scenarios = scenarios();
    for (name, of_producer, of_subscription) in refused {
        assert!(scenarios.iter().any(|scenario| scenario.name == name && !is_replayed(scenario)), "{name}");
        let error = pipeline(of_producer, of_subscription).expect_err(name);
        assert_eq!(error.problems().len(), 1, "{name}: {error}");
    }
    // `buffer_size_zero`: the original crashes at its start; ours keeps nothing that nobody asks for.
    assert!(pipeline("buffer = { size = 0 }", "").is_ok());
}

#[test]
fn a_source_without_an_owner_is_waited_for() {
    for cancel in [CancelMode::Permanent, CancelMode::Transient, CancelMode::Temporary] {
        let source: StageName = "dead".parse().unwrap();
        let mut options = StageOptions::new("x".parse().unwrap(), "c".parse().unwrap(), Role::Consumer);
        options.upstreams = vec![UpstreamOptions { cancel, ..UpstreamOptions::new(source.clone(), Demand::default()) }];
        let mut stage = Stage::new(options);
        stage.handle(Duration::ZERO, Input::Owner { source: source.clone(), owner: None });
        assert_eq!(
            (stage.poll_call(Duration::ZERO, GuestNo::FIRST), stage.poll_transmit(), stage.stopped()),
            (None, None, None)
        );
        let owner = Owner { node: "n".parse().unwrap(), epoch: Epoch::default() };
        stage.handle(Duration::ZERO, Input::Owner { source, owner: Some(owner) });
        assert!(matches!(stage.poll_transmit(), Some(Transmit::Open { .. })), "{cancel:?}");
    }
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
