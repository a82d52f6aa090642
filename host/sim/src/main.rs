//! `forebay-sim --seed 7` tells the story of one seed; `--seeds 0..1000` runs many.

use std::process::ExitCode;

use clap::Parser;
use forebay_sim::{Coverage, run};

/// Simulates clusters and checks that the laws hold. Exits with 1 if one was broken.
#[derive(Debug, Parser)]
struct Args {
    /// Replay one seed and print what happened.
    #[arg(long, conflicts_with = "seeds", required_unless_present = "seeds")]
    seed: Option<u64>,
    /// Run many, from A up to and without B.
    #[arg(long, value_name = "A..B", value_parser = parse_range)]
    seeds: Option<std::ops::Range<u64>>,
}

/// How many failed seeds are told of.
const FAILURES_SHOWN: usize = 10;

fn parse_range(text: &str) -> Result<std::ops::Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("expected A..B")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("`{text}`: {error}"));
    let range = number(from)?..number(to)?;
    if range.is_empty() { Err(format!("{from}..{to} is empty")) } else { Ok(range) }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let is_kept = match (args.seed, args.seeds) {
        (Some(seed), _) => tell(seed),
        (None, Some(seeds)) => summarize(seeds),
        (None, None) => unreachable!("clap requires one of them"),
    };
    if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(seed: u64) -> bool {
    let report = run(seed);
    for line in report.setting().into_iter().chain(report.story()) {
        println!("{line}");
    }
    print!("\n{}", report.coverage);
    for (law, what) in &report.violations {
        println!("BROKEN {law}: {what}");
    }
    println!("seed {seed}: {}", if report.violations.is_empty() { "all laws hold" } else { "laws are broken" });
    report.violations.is_empty()
}

fn summarize(seeds: std::ops::Range<u64>) -> bool {
    let began = std::time::Instant::now();
    let count = seeds.end - seeds.start;
    let mut coverage = Coverage::default();
    let mut failed = 0;
    for report in seeds.map(run) {
        coverage += report.coverage;
        if report.violations.is_empty() {
            continue;
        }
        failed += 1;
        if failed <= FAILURES_SHOWN {
            for (law, what) in &report.violations {
                println!("seed {}: {law}: {what}", report.seed);
            }
            println!("  replay: cargo run -p forebay-sim -- --seed {}", report.seed);
        }
    }
    let took = began.elapsed().as_secs_f64();
    print!("{coverage}");
    println!("{count} seeds in {took:.1} s, {failed} broke a law");
    failed == 0
}
