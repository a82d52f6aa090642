//! A thousand seeds keep all laws, meet every kind of trouble, and replay to the byte.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use forebay_sim::{Coverage, Report, run};

const SEEDS: u64 = 1000;

/// With as many failures the picture is clear.
const FAILURES_MAX: usize = 5;

/// Runs all seeds on all processors. Each seed is a world of its own; who runs it changes nothing.
fn run_all() -> (Vec<Report>, Coverage) {
    let next = AtomicU64::new(0);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut failed = Vec::new();
        let mut coverage = Coverage::default();
        while failed.len() < FAILURES_MAX {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                break;
            }
            let report = run(seed);
            coverage += report.coverage;
            if !report.violations.is_empty() {
                failed.push(report);
            }
        }
        (failed, coverage)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let mut failed = Vec::new();
        let mut coverage = Coverage::default();
        for worker in workers {
            let (more, of_worker) = worker.join().expect("a simulation panicked; its message is above");
            failed.extend(more);
            coverage += of_worker;
        }
        (failed, coverage)
    })
}

#[test]
fn a_thousand_seeds_keep_all_laws_and_meet_all_trouble() {
    let (failed, coverage) = run_all();
    let mut told = String::new();
    for report in &failed {
        for (law, what) in &report.violations {
            writeln!(told, "seed {}: {law}: {what}", report.seed).expect("into a string");
        }
        writeln!(told, "  replay: cargo run -p forebay-sim -- --seed {}", report.seed).expect("into a string");
    }
    assert!(failed.is_empty(), "laws are broken:\n{told}");
    println!("{coverage}");
    // About half of what was counted when this was written: a change that makes one of them rare
    // has to be looked at, since a simulation that never meets it proves nothing about it.
    let at_least = [
        ("takeovers", 700),
        ("reclaims", 500),
        ("conflicts", 400),
        ("redeliveries", 3500),
        ("cuts_that_bit", 350),
        ("cuts_survived", 1000),
        ("stale_refusals", 500),
        ("not_owner_refusals", 2000),
        ("forged", 200),
        ("traps", 1500),
        ("recycled", 7000),
        ("retries", 4000),
        ("crashes", 400),
        ("pauses", 200),
        ("drained", 500),
        ("drains_cut", 40),
        ("releases", 60),
        ("final_splits", 30),
        ("faultless", 70),
        ("gathered", 50_000),
        ("limited", 55_000),
        ("asked", 40_000),
        ("broadcasts", 140),
        ("partitioned", 140),
        ("selected", 90),
        ("emitted", 500_000),
        ("processed", 500_000),
    ];
    let rows = coverage.rows();
    let missing = rows.iter().filter(|(name, _)| !at_least.iter().any(|(other, _)| other == name));
    assert_eq!(missing.count(), 0, "every kind of trouble has its least count here");
    for (name, least) in at_least {
        let count = rows.iter().find(|(other, _)| *other == name).map_or(0, |(_, count)| *count);
        assert!(count >= least, "{name}: {count} in {SEEDS} seeds, expected at least {least}");
    }
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    for seed in [3, 8, 21, 55] {
        let tell = || run(seed).story().collect::<Vec<_>>().join("\n");
        let story = tell();
        assert!(story.len() > 1000, "seed {seed}: hardly anything happens");
        assert!(story == tell(), "seed {seed}: two runs differ");
    }
}

#[test]
fn two_seeds_tell_different_stories() {
    assert_ne!(run(1).story().collect::<Vec<_>>(), run(2).story().collect::<Vec<_>>());
}
