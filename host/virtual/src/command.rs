//! The command `forebay-virtual graphs`.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use anyhow::Context;
use forebay_graphs::{Graph, NODES, Plugin, Stage};
use forebay_virtual::{
    Keys,
    graphs::{Coverage, Report},
};

use crate::{FAILURES_SHOWN, SEEDS_FOR_COVERAGE, parse_range, write_trace};

/// Which graphs, and what is done to their nodes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Replay one seed and tell what happened.
    #[arg(long, conflicts_with = "seeds", required_unless_present = "seeds")]
    seed: Option<u64>,
    /// Run many, from A up to and without B.
    #[arg(long, value_name = "A..B", value_parser = parse_range)]
    seeds: Option<Range<u64>>,
    /// Write the trace of `--seed` there, for `forebay-check`.
    #[arg(long, value_name = "FILE", requires = "seed")]
    trace: Option<PathBuf>,
    /// Write the pipeline file of `--seed` there.
    #[arg(long, value_name = "FILE", requires = "seed")]
    pipeline: Option<PathBuf>,
    /// Strike the nodes with faults. Then graphs have no broadcast and no topics, and every event must come at least as
    /// often as the graph says.
    #[arg(long)]
    faults: bool,
}

/// Whether all was as it must be.
pub(crate) fn graphs(args: &Args) -> anyhow::Result<bool> {
    let keys = Keys::generate(NODES)?;
    match (args.seed, args.seeds.clone()) {
        (Some(seed), _) => {
            let report = keys.run_graph(seed, args.faults);
            args.trace.as_deref().map_or(Ok(()), |path| write_trace(path, &report.trace))?;
            args.pipeline.as_deref().map_or(Ok(()), |path| write_pipeline(path, &report.graph))?;
            report.story().for_each(|line| println!("{line}"));
            println!("\n{}\n{}", report.graph, report.coverage);
            report.violations.iter().for_each(|violation| println!("BROKEN {violation}"));
            Ok(report.violations.is_empty())
        }
        (None, seeds) => Ok(summarize(&keys, seeds.unwrap_or_default(), args.faults)),
    }
}

fn write_pipeline(path: &Path, graph: &Graph) -> anyhow::Result<()> {
    let plugin = |_: &Stage| Plugin { plugin: "native".to_owned(), settings: String::new() };
    fs::write(path, graph.pipeline(plugin)).with_context(|| format!("cannot write {}", path.display()))
}

/// Each seed is a world of its own, so that who runs it changes nothing.
fn summarize(keys: &Keys, seeds: Range<u64>, has_faults: bool) -> bool {
    let began = Instant::now();
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let every = |first: usize| seeds.clone().skip(first).step_by(workers);
    let work = |first| every(first).map(|seed| judged(keys, seed, has_faults)).collect::<Vec<_>>();
    let done: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|first| scope.spawn(move || work(first))).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a run panicked; its message is above")).collect()
    });
    let (mut coverage, mut failed) = (Coverage::default(), 0_u64);
    for (of_one, told) in done {
        coverage += of_one;
        failed += u64::from(told.is_some());
        told.into_iter().filter(|_| failed <= FAILURES_SHOWN).for_each(|told| println!("{told}"));
    }
    println!("{coverage}; {failed} seeds failed, {:.1} s", began.elapsed().as_secs_f64());
    let missing = coverage.missing();
    if !has_faults && coverage.runs >= SEEDS_FOR_COVERAGE && !missing.is_empty() {
        println!("INCONCLUSIVE, {} graphs have had none of: {}", coverage.runs, missing.join(", "));
        return false;
    }
    failed == 0
}

/// What a seed met, and what is to be told of it if it failed. The story is not kept.
fn judged(keys: &Keys, seed: u64, has_faults: bool) -> (Coverage, Option<String>) {
    let Report { coverage, violations, .. } = keys.run_graph(seed, has_faults);
    let mut told: Vec<_> = violations.iter().map(|violation| format!("seed {seed}: BROKEN {violation}")).collect();
    let how = if has_faults { " --faults" } else { "" };
    told.push(format!("  replay: cargo run -p forebay-virtual -- graphs{how} --seed {seed}"));
    (coverage, (!violations.is_empty()).then(|| told.join("\n")))
}
