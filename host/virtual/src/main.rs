//! `forebay-virtual --seed 7` tells the story of one seed; `--seeds 0..200` runs many; `graphs --seeds 0..200` runs
//! random pipelines; `growth --nodes 10,20,50` measures clusters of these sizes.

mod command;
mod grow;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Parser;
use forebay_check::Agreement;
use forebay_trace::Record;
use forebay_virtual::{Coverage, Keys, Report, progress};

/// Runs whole clusters in virtual time under faults and checks that the laws hold. Exits with 1 if one was broken,
/// or if some kind of trouble was never met.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Action>,
    /// Replay one seed and tell what happened.
    #[arg(long, conflicts_with = "seeds", required_unless_present = "seeds")]
    seed: Option<u64>,
    /// Run many, from A up to and without B.
    #[arg(long, value_name = "A..B", value_parser = parse_range)]
    seeds: Option<Range<u64>>,
    /// Nodes of each cluster.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=9))]
    nodes: u8,
    /// How nodes agree on owners: quorum or islands.
    #[arg(long, default_value = "quorum")]
    agreement: Agreement,
    /// Write the trace of `--seed` there, for `forebay-check`.
    #[arg(long, value_name = "FILE", requires = "seed")]
    trace: Option<PathBuf>,
    /// Tell the story of seeds that failed, and with `--seed` each event, too.
    #[arg(long)]
    verbose: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Pipelines of 50 stages in random acyclic graphs over three nodes; every event must reach each stage as often as
    /// the graph says
    Graphs(command::Args),
    /// What idle clusters of several sizes say and cost, how long they take to start and to replace an owner that died, and with
    /// which exponent of the number of nodes all that grows. A hundred nodes have 4,950 connections and take a minute or two
    Growth(grow::Args),
}

/// How many failed seeds are told of.
const FAILURES_SHOWN: u64 = 10;

/// With fewer seeds it is chance what they meet.
const SEEDS_FOR_COVERAGE: u64 = 100;

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("expected A..B")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("`{text}`: {error}"));
    let range = number(from)?..number(to)?;
    if range.is_empty() { Err(format!("{from}..{to} is empty")) } else { Ok(range) }
}

/// A run takes a third of a second, some seconds in a debug build on a busy machine.
const STANDS_STILL_AFTER: Duration = Duration::from_secs(120);

/// How often the progress of many runs is told. Unit: seeds.
const TOLD_EVERY: u64 = 500;

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(Action::Growth(args)) = &args.command {
        // In one step of a large cluster thousands of handshakes may be made.
        progress::watch(10 * STANDS_STILL_AFTER);
        return grow::growth(args).map(|()| ExitCode::SUCCESS);
    }
    progress::watch(STANDS_STILL_AFTER);
    if let Some(Action::Graphs(args)) = &args.command {
        return Ok(if command::graphs(args)? { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let keys = Keys::generate(args.nodes.into())?;
    let is_kept = match (args.seed, args.seeds.clone()) {
        (Some(seed), _) => {
            let report = keys.run(seed, args.agreement, args.nodes.into());
            args.trace.as_deref().map_or(Ok(()), |path| write_trace(path, &report.trace))?;
            tell(&report, args.verbose)
        }
        (None, Some(seeds)) => summarize(&keys, seeds, &args),
        (None, None) => unreachable!("clap requires one of them"),
    };
    Ok(if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write_trace(path: &Path, trace: &[Record]) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for record in trace {
        serde_json::to_writer(&mut lines, record)?;
        lines.push(b'\n');
    }
    std::fs::write(path, lines).with_context(|| format!("cannot write {}", path.display()))
}

fn tell(report: &Report, data: bool) -> bool {
    report.story(data).for_each(|line| println!("{line}"));
    println!("\n{}", report.coverage);
    report.violations.iter().for_each(|violation| println!("BROKEN {violation}"));
    report.violations.is_empty()
}

fn summarize(keys: &Keys, seeds: Range<u64>, args: &Args) -> bool {
    let (began, first, count) = (Instant::now(), seeds.start, seeds.end - seeds.start);
    let (mut coverage, mut failed) = (Coverage::default(), 0);
    for seed in seeds {
        let report = keys.run(seed, args.agreement, args.nodes.into());
        if !report.violations.is_empty() {
            failed += 1;
            if failed <= FAILURES_SHOWN {
                show_failure(&report, args);
            }
        }
        coverage += report.coverage;
        let done = seed + 1 - first;
        if done.is_multiple_of(TOLD_EVERY) && done < count {
            eprintln!("{done} of {count} seeds, {failed} failed, {:.0} s", began.elapsed().as_secs_f64());
        }
    }
    println!("{coverage}; {failed} seeds failed, {:.1} s", began.elapsed().as_secs_f64());
    let missing = coverage.missing();
    if count >= SEEDS_FOR_COVERAGE && !missing.is_empty() {
        println!("INCONCLUSIVE, {} seeds have met: {}", count, missing.join(", "));
        return false;
    }
    failed == 0
}

fn show_failure(report: &Report, args: &Args) {
    for violation in &report.violations {
        println!("seed {}: BROKEN {violation}", report.seed);
    }
    if args.verbose {
        report.story(false).for_each(|line| println!("  {line}"));
    }
    let agreement = if args.agreement == Agreement::Islands { " --agreement islands" } else { "" };
    println!("  replay: cargo run -p forebay-virtual -- --nodes {}{agreement} --seed {}", args.nodes, report.seed);
}
