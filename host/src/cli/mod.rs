//! The `forebay` binary's commands, one file each, and what they have in common.

mod author;
mod bench;
mod cache;
mod cases;
mod child;
pub mod cluster;
mod demo;
mod exit;
mod graph;
mod ingest;
mod inspect;
mod load;
mod node;
mod operate;
mod output;
mod pull;
mod push;
mod recording;
mod registry;
mod replay;
mod run;

use std::{panic::AssertUnwindSafe, process::ExitCode};

use clap::{Parser, Subcommand};

pub use exit::{Exit, Failure};

use crate::config::OutputFormat;

const AFTER_HELP: &str = "\
Exit codes:
  0   done                                  69  something needed is not available
  64  wrong usage                           70  a stage gave up, or a bug of Forebay
  65  bad data: a pipeline file, a plugin   73  a file or socket cannot be made
  66  a file to read is missing             74  reading or writing failed
  76  a stage refused a request             77  not permitted
  78  bad configuration                     1   what was compared differs (replay, test)

Begin with `forebay demo`. Documentation: README.md, and ARCHITECTURE.md for how it works.";

/// Runs pipelines of WebAssembly stages on a cluster of plain hosts.
#[derive(Debug, Parser)]
#[command(name = "forebay", version, about, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

// A command's help stands at its arguments: a comment here would take its place, and all but its first
// line would be lost.
#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Node(Box<node::Args>),
    Status(operate::StatusArgs),
    Owners(operate::OwnersArgs),
    Drain(operate::DrainArgs),
    Deploy(operate::DeployArgs),
    Apply(operate::ApplyArgs),
    Rollback(operate::RollbackArgs),
    History(operate::HistoryArgs),
    Diff(operate::DiffArgs),
    Undeploy(operate::UndeployArgs),
    /// Let all stages of a pipeline end in good order until it is resumed
    Pause(operate::PauseArgs),
    /// Let a paused pipeline go on where it was
    Resume(operate::PauseArgs),
    Plugins(operate::PluginsArgs),
    /// Look at dead letters, and have them processed once more
    ///
    /// An event that a stage could not process for good becomes a dead letter on the node where it failed. It
    /// stays there until it is resent and processed, or dropped. Any node of a cluster can be asked for the letters of
    /// all its nodes.
    #[command(subcommand)]
    Dlq(operate::DlqArgs),
    Ingest(ingest::Args),
    Call(operate::CallArgs),
    Demand(operate::DemandArgs),
    Suspend(operate::SuspendArgs),
    Unsuspend(operate::UnsuspendArgs),
    Rate(operate::RateArgs),
    Resize(operate::ResizeArgs),
    Tap(operate::TapArgs),
    Record(operate::RecordArgs),
    Replay(replay::Args),
    Recover(operate::RecoverArgs),
    Run(run::Args),
    New(author::NewArgs),
    Build(author::BuildArgs),
    Dev(author::DevArgs),
    Test(cases::Args),
    Bench(bench::Args),
    Inspect(inspect::Args),
    Graph(graph::Args),
    Push(push::Args),
    Pull(pull::Args),
    #[command(hide = true)]
    BenchRaw(bench::RawArgs),
    /// Make the keys by which the nodes of a cluster know each other, and their operators
    #[command(subcommand)]
    Cluster(Cluster),
}

#[derive(Debug, Subcommand)]
enum Cluster {
    /// Found a cluster: make the authority that signs its nodes' keys
    Init(cluster::Init),
    /// Make the key and certificate of one node
    AddNode(cluster::AddNode),
    /// Make the key and certificate of one operator
    AddOperator(cluster::AddOperator),
}

/// What is printed: for people or for programs.
#[derive(Clone, Copy, Debug, clap::Args)]
struct OutputArgs {
    /// `text` for people, `json` for programs: one object a line
    #[arg(long, value_enum, value_name = "FORM", default_value = "text")]
    output: OutputChoice,
}

/// The argument of `--output`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum OutputChoice {
    Text,
    Json,
}

impl From<OutputChoice> for OutputFormat {
    fn from(choice: OutputChoice) -> Self {
        match choice {
            OutputChoice::Text => Self::Text,
            OutputChoice::Json => Self::Json,
        }
    }
}

/// The whole of the `forebay` binary: reads the command line, runs the command, says what went wrong.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap has its own code for wrong usage; ours follow sysexits.h.
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return code.into();
        }
    };
    match run_command(cli.command) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("forebay: {failure}");
            failure.exit.into()
        }
    }
}

fn run_command(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Demo(args) => block_on(demo::demo(args)),
        Command::Node(args) => match args.command {
            Some(node::NodeCommand::Remove(args)) => operate::remove(&args),
            None => {
                let config = node::read_config(&args)?;
                block_on_threads(config.threads, node::node(*args, config))
            }
        },
        Command::Status(args) => operate::status(&args),
        Command::Owners(args) => operate::owners(&args),
        Command::Drain(args) => operate::drain(&args),
        Command::Deploy(args) => operate::deploy(&args),
        Command::Apply(args) => operate::apply(&args),
        Command::Rollback(args) => operate::rollback(&args),
        Command::History(args) => operate::history(&args),
        Command::Diff(args) => operate::diff(&args),
        Command::Undeploy(args) => operate::undeploy(&args),
        Command::Pause(args) => operate::pause(&args, true),
        Command::Resume(args) => operate::pause(&args, false),
        Command::Plugins(args) => operate::plugins(&args),
        Command::Dlq(args) => operate::dlq(&args),
        Command::Ingest(args) => ingest::ingest(&args),
        Command::Call(args) => operate::call(&args),
        Command::Demand(args) => operate::demand(&args),
        Command::Suspend(args) => operate::suspend(&args),
        Command::Unsuspend(args) => operate::unsuspend(&args),
        Command::Rate(args) => operate::rate(&args),
        Command::Resize(args) => operate::resize(&args),
        Command::Tap(args) => operate::tap(&args),
        Command::Record(args) => operate::record(&args),
        Command::Replay(args) => block_on(replay::replay(args)),
        Command::Recover(args) => block_on(operate::recover(args)),
        Command::Run(args) => block_on(run::run(args)),
        Command::Inspect(args) => block_on(inspect::inspect(args)),
        Command::Graph(args) => graph::graph(&args),
        Command::New(args) => author::new(&args),
        Command::Build(args) => author::build(&args),
        Command::Dev(args) => block_on(author::dev(args)),
        Command::Test(args) => cases::test(&args),
        Command::Bench(args) => block_on(bench::bench(args)),
        Command::Push(args) => push::push(&args),
        Command::Pull(args) => pull::pull(&args),
        Command::BenchRaw(args) => bench::raw(&args),
        Command::Cluster(Cluster::Init(args)) => say(&cluster::init(&args)?),
        Command::Cluster(Cluster::AddNode(args)) => say(&cluster::add_node(&args)?),
        Command::Cluster(Cluster::AddOperator(args)) => say(&cluster::add_operator(&args)?),
    }
}

fn say(text: &str) -> Result<Exit, Failure> {
    println!("{text}");
    Ok(Exit::Done)
}

fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    block_on_threads(0, command)
}

/// Turns of tasks after which a thread looks at the network. Stages that pass events on within a node are always ready; with
/// tokio's 61, consumers on other nodes that wait for each batch got a fiftieth of their fair share beside one on the
/// producer's node.
const TURNS_BETWEEN_LOOKS: u32 = 8;

/// With so many threads; 0: one for each processor.
fn block_on_threads<T>(threads: u16, command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads.into());
    }
    let runtime = builder.event_interval(TURNS_BETWEEN_LOOKS).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Software, "cannot start threads").because(error))?;
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(command)));
    // A guest that is still in its last call must not hold up the end of the process, nor one who reads
    // our standard input for ever; least of all that of a node whose core has panicked.
    runtime.shutdown_background();
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// What clap would else find only when the command is given, and in debug builds alone.
    #[test]
    fn no_command_has_two_arguments_of_one_name() {
        Cli::command().debug_assert();
    }
}
