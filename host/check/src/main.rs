//! `forebay-check`: judges the traces of a run. Exits with 0 if all laws held, 1 if one was broken, 2 if
//! the run cannot tell or the traces cannot be read.

use std::{
    error::Error,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use forebay_check::{Agreement, Checker, Dispatching, MergeError, Minimum, Options, Truth, Verdict, files};

/// Judge the traces of a run.
///
/// Exits with 0 if all laws held, 1 if one was broken, and 2 if the run did not go through what it was
/// to go through, or the traces cannot be read.
#[derive(Debug, Parser)]
#[command(name = "forebay-check", version)]
struct Args {
    /// Traces, or directories with files that end in `.jsonl`
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How the nodes agreed on owners: `quorum` or `islands`
    #[arg(long, default_value = "quorum")]
    agreement: Agreement,
    /// Everything was handed out in the end: what was emitted in an epoch that ended in good order must
    /// have been processed
    #[arg(long)]
    drained: bool,
    /// Serials that a source was to give out; each must have been processed. Repeat it for several
    #[arg(long, value_name = "PIPELINE/STAGE=FIRST..END")]
    truth: Vec<Truth>,
    /// The most serials processed more than once, per takeover
    #[arg(long, value_name = "N")]
    repeats_max: Option<u64>,
    /// What must have happened: `takeovers=3,zombies=1,stale=1,redeliveries=1,fenced=1`
    #[arg(long, value_name = "WHAT=N,…")]
    require: Option<Minimum>,
    /// A consumer with `concurrency` above 1: its instances are done in any order. Repeat it for several
    #[arg(long, value_name = "PIPELINE/STAGE")]
    several: Vec<String>,
    /// How far the clocks of different files may differ; nothing on one machine
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    skew: Duration,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(verdict) => verdict.exit_code().into(),
        Err(error) => {
            eprint!("forebay-check: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprint!(": {error}");
                cause = error.source();
            }
            eprintln!();
            Verdict::Inconclusive.exit_code().into()
        }
    }
}

fn run(args: &Args) -> Result<Verdict, MergeError> {
    let options = Options {
        agreement: args.agreement,
        drained: args.drained,
        truths: args.truth.clone(),
        repeats_max: args.repeats_max,
        minimum: args.require.unwrap_or_default(),
        dispatching: Dispatching {
            several: args.several.iter().map(|stage| stage.as_str().into()).collect(),
            ..Dispatching::default()
        },
        ..Options::default()
    };
    let mut checker = Checker::new(options);
    let mut merged = files(&args.paths, args.skew)?;
    for record in &mut merged {
        checker.see(record?);
    }
    let report = checker.finish();
    let torn = match merged.torn() {
        0 => String::new(),
        torn => format!("{torn} lines end in their middle, as killed processes leave them\n"),
    };
    // Who does not read to the end still gets the exit code.
    let _ = writeln!(io::stdout(), "{torn}{report}");
    Ok(report.verdict())
}
