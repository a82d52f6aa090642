//! `forebay-conformance`: makes the same calls to the same stages in every language, and expects the same of each.
//!
//! ```text
//! DIR/LANG/STAGE.wasm --suite--> cases --subject--> the host's runtime seam, as a node calls it
//!                     --table--> how large and how fast
//!                     --leak---> whether memory grows
//! ```
//!
//! What the stages are to do is written in `sdk/conformance/README.md`. Nothing of a component is known here but what
//! a host sees of it, so that a stage in a further language is one more folder.

use std::{
    error::Error,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{
    Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use forebay::runtime::wasm::Wasm;

use stages::Language;

mod cases;
mod events;
mod expect;
mod leak;
mod stages;
mod subject;
mod suite;
mod table;

/// Put the stages of the conformance set through the same calls in every language, or measure them.
#[derive(Debug, Parser)]
#[command(name = "forebay-conformance", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run all cases; exits with 1 if one fails or a component is missing
    Test {
        #[command(flatten)]
        which: Which,
        /// Keep compiled components in this folder, so that the next run is quick
        #[arg(long, value_name = "FOLDER")]
        cache: Option<PathBuf>,
        /// Print only what fails, and the sums
        #[arg(long)]
        quiet: bool,
    },
    /// Measure size, start and speed, and print a table in Markdown
    Table {
        #[command(flatten)]
        which: Which,
        /// Measure so many times; the table has the medians
        #[arg(long, default_value = "5", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
        runs: u32,
        /// How to print it
        #[arg(long, default_value = "table")]
        output: Format,
    },
    /// Send many events of 1 KiB through `counter` and `double`, and print how much their memory grew
    Leak {
        #[command(flatten)]
        which: Which,
        /// How many events, after 100,000 to warm up
        #[arg(long, default_value = "1000000", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        events: u32,
    },
}

#[derive(clap::Args, Debug)]
struct Which {
    /// Where the components are: DIR/LANG/STAGE.wasm
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Only this language; repeat it for several
    #[arg(long = "lang", value_name = "LANG", value_parser = language())]
    languages: Vec<Language>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Format {
    Table,
    Json,
}

fn language() -> impl TypedValueParser<Value = Language> {
    PossibleValuesParser::new(Language::ALL.map(Language::name)).try_map(|name| name.parse::<Language>())
}

impl Which {
    fn languages(&self) -> Vec<Language> {
        match self.languages.is_empty() {
            true => Language::ALL.to_vec(),
            false => self.languages.clone(),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        Command::Test { which, cache, quiet } => test(&which, cache, quiet).await,
        Command::Table { which, runs, output } => measure(&which, runs, output).await,
        Command::Leak { which, events } => leak(&which, events).await,
    };
    done.unwrap_or_else(|error| {
        eprintln!("forebay-conformance: {error}");
        ExitCode::from(2)
    })
}

async fn test(which: &Which, cache: Option<PathBuf>, quiet: bool) -> Result<ExitCode, Box<dyn Error>> {
    let wasm = Wasm::new(cache)?;
    let mut out = io::stdout().lock();
    let tell = |verdict: &suite::Verdict| match quiet && verdict.is_well() {
        true => Ok(()),
        false => writeln!(out, "{verdict}"),
    };
    let tally = suite::run(&wasm, &which.directory, &which.languages(), tell).await?;
    writeln!(out, "{} cases, {} failed", tally.cases, tally.failed)?;
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(which: &Which, runs: u32, output: Format) -> Result<ExitCode, Box<dyn Error>> {
    let rows = table::measure(&which.directory, &which.languages(), runs).await?;
    let mut out = io::stdout().lock();
    match output {
        Format::Table => write!(out, "{}", table::markdown(&rows))?,
        Format::Json => writeln!(out, "{:#}", table::json(&rows))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn leak(which: &Which, events: u32) -> Result<ExitCode, Box<dyn Error>> {
    let rows = leak::measure(&which.directory, &which.languages(), events).await?;
    write!(io::stdout().lock(), "{}", leak::markdown(&rows, events))?;
    Ok(ExitCode::SUCCESS)
}
