//! Random acyclic pipelines on three real nodes on loopback: what comes through them is counted, see `host/graphs`.

use std::{io, ops::Range, path::PathBuf};

use forebay_graphs::processes::{self, Report, Setup};
use serde_json::json;

use crate::{Directory, Output, binary, run::Verdict};

/// Which graphs, and with what.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// From A up to and without B
    #[arg(long, value_name = "A..B", default_value = "0..5", value_parser = parse_range)]
    seeds: Range<u64>,
    /// The binary [default: beside this one]
    #[arg(long)]
    forebay: Option<PathBuf>,
    /// Where to keep data, logs and traces [default: a temporary directory, kept on failure]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The form of what is printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("expected A..B")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("`{text}`: {error}"));
    let range = number(from)?..number(to)?;
    if range.is_empty() { Err(format!("{from}..{to} is empty")) } else { Ok(range) }
}

/// Runs one graph after the other, and tells of each.
pub(crate) fn graphs(args: &Args) -> io::Result<Verdict> {
    let forebay = binary(args.forebay.as_deref())?;
    let dir = Directory::new(args.dir.as_deref())?;
    let mut verdict = Verdict::Passed;
    for seed in args.seeds.clone() {
        let at = dir.path().join(format!("seed-{seed}"));
        let setup = Setup { forebay: forebay.clone(), dir: at, cache: Some(dir.path().join("cache")) };
        match processes::run(&setup, seed) {
            Ok(report) => {
                tell(seed, &report, args.output);
                if !report.violations.is_empty() {
                    verdict = Verdict::Broken;
                }
            }
            Err(error) => {
                eprintln!("forebay-faults: seed {seed}: {}", chain(&error));
                if verdict == Verdict::Passed {
                    verdict = Verdict::Inconclusive;
                }
            }
        }
    }
    dir.close(verdict);
    Ok(verdict)
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

fn tell(seed: u64, report: &Report, output: Output) {
    let Report { graph, handled, arrived, violations, took } = report;
    match output {
        Output::Json => println!(
            "{}",
            json!({
                "seed": seed,
                "stages": graph.stages.len(),
                "subscriptions": graph.edges(),
                "emitted": graph.numbers().end,
                "handled": handled,
                "arrived": arrived,
                "violations": violations,
                "seconds": took.as_secs_f64(),
            })
        ),
        Output::Text => {
            let took = took.as_secs_f64();
            println!("seed {seed}: {graph}; handled {handled} times, {arrived} times by sinks; {took:.1} s");
            violations.iter().for_each(|violation| println!("seed {seed}: BROKEN {violation}"));
        }
    }
}
