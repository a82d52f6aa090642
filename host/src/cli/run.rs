//! `forebay run`: a pipeline in one process, until its input ends or a signal comes.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use super::{
    Exit, Failure, OutputArgs,
    load::{self, LinesInput},
    node::{Signals, end_on_signals},
    operate::harmless,
    output,
};
use crate::{
    config::{Agreement, NodeConfig},
    dlq::{DeadLetters, Filter},
    node::{Node, NodeOptions},
    runtime::wasm::Wasm,
    signature::TrustedKeys,
    transport::memory::Network,
};

/// Run a pipeline in this process, without a cluster.
///
/// Global stages run here as well. It ends when every producer has come to its end and all its events
/// are processed, or on SIGINT or SIGTERM. Standard output of the stages is that of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Pipeline file
    #[arg(value_name = "PIPELINE")]
    pipeline: PathBuf,
    /// What `builtin:lines` reads: a file, or `-` for standard input; one event per line
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Directory for compiled plugins, which start faster the next time
    #[arg(long, value_name = "DIRECTORY")]
    cache: Option<PathBuf>,
    /// Which log lines are shown on standard error
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    log: String,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: Args) -> Result<Exit, Failure> {
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&args.log) {
        let text = format!("--log is {:?}; expected a filter such as `info` or `forebay=debug`", args.log);
        return Err(Failure::new(Exit::Usage, text).because(error));
    }
    output::start_log(&args.log);
    let wasm = Wasm::new(args.cache)?;
    let input = args.input.map(|path| match path.to_str() {
        Some("-") => LinesInput::Stdin,
        _ => LinesInput::File(path),
    });
    let pipeline = load::load(&args.pipeline, &wasm, input.as_ref(), &TrustedKeys::default()).await?;
    let name: forebay_proto::ids::NodeName = "local".parse().expect("a name");
    let mut config = NodeConfig::new(name.clone());
    // Alone and for once: there is nobody to agree with, and this machine must do whatever is asked for.
    config.agreement = Agreement::Islands;
    config.labels = pipeline.pipeline().stages().iter().flat_map(|stage| stage.labels.clone()).collect();
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let transport = Network::new().bind(address, name.clone()).expect("alone on its network");
    let observer = output::observer(name, args.output.output.into());
    let mut options = NodeOptions::new(&config, Arc::new(transport), vec![pipeline], observer);
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

/// Dead letters of a run are gone with it: says how many there were, and of the first why. Whether there were any.
async fn tell_letters(letters: &DeadLetters) -> bool {
    let count = letters.count().letters;
    if let Some(first) = letters.list(&Filter::default(), None, 1).await.first() {
        let (stage, why) = (first.stage(), harmless(&first.first_line));
        eprintln!("forebay: {count} events could not be processed, the first by stage `{stage}`: {why}");
    }
    count > 0
}
