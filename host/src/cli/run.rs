//! `forebay run`: a pipeline in one process, until its input ends or a signal comes.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use forebay_author::MANIFEST;

use super::{
    Exit, Failure, OutputArgs, author,
    cache::CacheArgs,
    load::{self, LinesInput},
    node::{Signals, end_on_signals},
    operate::harmless,
    output,
};
use crate::{
    config::{Agreement, NodeConfig},
    dlq::{DeadLetters, Filter},
    node::{LoadedPipeline, Node, NodeOptions},
    signature::TrustedKeys,
    transport::memory::Network,
};

/// Run a pipeline in this process, without a cluster.
///
/// Global stages run here as well. It ends when every producer has come to its end and all its events
/// are processed, or on SIGINT or SIGTERM. Standard output of the stages is that of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Pipeline file, or directory of a project, which is built first and whose pipeline.toml is run; default: the project
    /// here
    #[arg(value_name = "PIPELINE")]
    pipeline: Option<PathBuf>,
    /// What `builtin:lines` reads: a file, or `-` for standard input; one event per line
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    #[command(flatten)]
    cache: CacheArgs,
    /// Which log lines are shown on standard error; `stage` is what stages log
    #[arg(long, value_name = "FILTER", default_value = "warn,stage=info")]
    log: String,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: Args) -> Result<Exit, Failure> {
    start_log(&args.log)?;
    let wasm = args.cache.wasm()?;
    let input = args.input.map(LinesInput::of);
    let file = pipeline_file(args.pipeline).await?;
    let pipeline = load::load(&file, &wasm, input.as_ref(), &TrustedKeys::default()).await?;
    let mut options = alone(pipeline, args.output);
    options.until_finished = true;
    let letters = options.dead_letters.clone();
    let signals = Signals::new();
    let mut node = Node::start(options);
    tokio::spawn(end_on_signals(signals, node.control()));
    let control = node.control();
    tokio::spawn(async move {
        output::reader_gone().await;
        control.stop();
    });
    let exit = node.wait().await;
    for (stage, reason) in &exit.gave_up {
        eprintln!("forebay: stage `{stage}` gave up: {reason}");
    }
    for stage in &exit.cut_short {
        eprintln!("forebay: stage `{stage}` was stopped before it had handed out all it had");
    }
    let rejected = tell_letters(&letters).await;
    Ok(match (exit.gave_up.is_empty(), rejected) {
        (false, _) => Exit::Software,
        (true, true) => Exit::Data,
        (true, false) => Exit::Done,
    })
}

/// Shows log lines on standard error.
pub(super) fn start_log(filter: &str) -> Result<(), Failure> {
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(filter) {
        let text = format!("--log is {filter:?}; expected a filter such as `info` or `forebay=debug`");
        return Err(Failure::new(Exit::Usage, text).because(error));
    }
    output::start_log(filter);
    Ok(())
}

/// The file to run; of a project, once its stages are built.
async fn pipeline_file(choice: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let named = choice.is_some();
    let directory = match choice {
        Some(file) if !file.is_dir() => return Ok(file),
        directory => directory.unwrap_or_else(|| PathBuf::from(".")),
    };
    if !directory.join(MANIFEST).exists() {
        let text = match named {
            true => format!("{} is no file and no project: it holds no {MANIFEST}", directory.display()),
            false => format!("no pipeline: name a pipeline file, or go into a project (there is no {MANIFEST} here)"),
        };
        let exit = if named { Exit::NoInput } else { Exit::Usage };
        return Err(Failure::new(exit, format!("{text}; `forebay new` makes a project")));
    }
    let built = tokio::task::spawn_blocking(move || author::build_project(&directory));
    Ok(built.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?.pipeline())
}

/// A node that runs this alone and for once: there is nobody to agree with, and this machine must do whatever is asked for.
pub(super) fn alone(pipeline: LoadedPipeline, output: OutputArgs) -> NodeOptions {
    let name: forebay_proto::ids::NodeName = "local".parse().expect("a name");
    let mut config = NodeConfig::new(name.clone());
    config.agreement = Agreement::Islands;
    config.labels = pipeline.pipeline().stages().iter().flat_map(|stage| stage.labels.clone()).collect();
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let transport = Network::new().bind(address, name.clone()).expect("alone on its network");
    let observer = output::observer(name, output.output.into());
    NodeOptions::new(&config, Arc::new(transport), vec![pipeline], observer)
}

/// Dead letters of a run are gone with it: says how many there were, and of the first why. Whether there were any.
async fn tell_letters(letters: &DeadLetters) -> bool {
    let count = letters.count().letters;
    if let Some(first) = letters.list(&Filter::default(), None, 1).await.first() {
        let (stage, why) = (first.stage(), harmless(&first.first_line));
        eprintln!("forebay: {count} events could not be processed, the first by stage `{stage}`: {why}");
    }
    count > 0
}
