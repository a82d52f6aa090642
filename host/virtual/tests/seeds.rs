//! Clusters keep the laws under faults, whatever the seed; and a seed tells one story.

#![allow(clippy::unwrap_used, reason = "clippy knows test functions, not their helpers")]

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use forebay_check::Agreement;
use forebay_virtual::{Coverage, Keys, Report};

/// Each kind of fault is the first of four seeds.
const SEEDS: u64 = 64;

/// With as many failures the picture is clear.
const FAILURES_MAX: usize = 3;

/// Every fifth cluster has five nodes.
fn nodes(seed: u64) -> usize {
    if seed % 5 == 4 { 5 } else { 3 }
}

/// Runs all seeds on all processors. Each seed is a world of its own; who runs it changes nothing.
fn run_all(keys: &Keys, agreement: Agreement) -> (Vec<Report>, Coverage) {
    let next = AtomicU64::new(0);
    let work = || {
        let (mut failed, mut coverage) = (Vec::new(), Coverage::default());
        while failed.len() < FAILURES_MAX {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                break;
            }
            let report = keys.run(seed, agreement, nodes(seed));
            coverage += report.coverage.clone();
            failed.extend((!report.violations.is_empty()).then_some(report));
        }
        (failed, coverage)
    };
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let (mut failed, mut coverage) = (Vec::new(), Coverage::default());
        for worker in workers {
            let (more, of_worker) = worker.join().expect("a run panicked; its message is above");
            failed.extend(more);
            coverage += of_worker;
        }
        (failed, coverage)
    })
}

#[test]
fn clusters_that_agree_by_quorum_keep_all_laws_and_meet_all_trouble() {
    assert_laws_are_kept(Agreement::Quorum);
}

#[test]
fn clusters_of_islands_keep_all_laws_and_meet_all_trouble() {
    assert_laws_are_kept(Agreement::Islands);
}

fn assert_laws_are_kept(agreement: Agreement) {
    let (failed, coverage) = run_all(&Keys::generate(5).unwrap(), agreement);
    let mut told = String::new();
    for report in &failed {
        for violation in &report.violations {
            writeln!(told, "seed {}: {violation}", report.seed).unwrap();
        }
        let (seed, nodes) = (report.seed, nodes(report.seed));
        let how = format!("--agreement {agreement:?} --nodes {nodes} --seed {seed}").to_lowercase();
        writeln!(told, "  replay: cargo run -p forebay-virtual -- {how}").unwrap();
    }
    assert!(failed.is_empty(), "laws are broken:\n{told}");
    println!("{coverage}");
    assert_eq!(coverage.missing(), Vec::<String>::new());
}

#[test]
fn a_seed_tells_the_same_story_twice_and_two_seeds_tell_two() {
    let keys = Keys::generate(3).unwrap();
    let tell = |seed| keys.run(seed, Agreement::Quorum, 3).story(true).collect::<Vec<_>>();
    let story = tell(3);
    assert!(story.len() > 1000, "hardly anything happens");
    let again = tell(3);
    let difference = story.iter().zip(&again).find(|(one, other)| one != other);
    assert_eq!((difference, story.len()), (None, again.len()));
    assert_ne!(tell(4), story);
}
