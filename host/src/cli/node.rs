//! `forebay node`: one node of a cluster, until a signal ends it.

use std::{
    fs::File,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    task::Poll,
};

use forebay_blobs::BlobStore;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    signal::unix::{Signal, SignalKind, signal},
};

use super::{Exit, Failure, load, operate, output};
use crate::{
    config::{ConfigFile, NodeArgs, NodeConfig, config_path, process_env},
    disk::DiskRoom,
    dlq::DeadLetters,
    inbox::LocalStore,
    node::{
        Expelled, Node, NodeControl, NodeOptions, StoreLoader, Tracer,
        admin::{self, BoundAdmin},
    },
    runtime::wasm::Wasm,
    transport::{
        identity::NodeIdentity,
        quic::{Quic, QuicOptions},
    },
};

/// Run one node of a cluster.
///
/// It needs keys in DATA/tls: `forebay cluster init` and `forebay cluster add-node` make them. Ends in
/// good order on SIGINT or SIGTERM: what its producers have handed out is waited for, what its
/// consumers have not begun is given to others, its names are released. A second signal ends it at
/// once.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Option<NodeCommand>,
    #[command(flatten)]
    node: NodeArgs,
    /// For programs that start nodes: take orders on standard input, one a line (`join IP:PORT`), and
    /// end in good order when it ends
    #[arg(long)]
    orders_on_stdin: bool,
    /// Directory for compiled plugins, which start faster the next time; several nodes may share one
    /// [default: DATA/cache]
    #[arg(long, value_name = "DIRECTORY", verbatim_doc_comment)]
    cache: Option<PathBuf>,
}

/// What can be done with a node instead of running it.
#[derive(Debug, clap::Subcommand)]
pub(super) enum NodeCommand {
    Remove(operate::RemoveArgs),
}

pub(super) async fn node(args: Args, config: NodeConfig) -> Result<Exit, Failure> {
    output::start_log(&config.log);
    let _lock = lock(&config.data)?;
    let identity = NodeIdentity::load(&config.data)?;
    if *identity.node() != config.name {
        let (found, name, data) = (identity.node(), &config.name, config.data.display());
        let text = format!("the keys in {data}/tls are those of node `{found}`, not of `{name}`");
        return Err(Failure::new(Exit::Config, format!("{text}; use --name {found}, or keys for `{name}`")));
    }
    let wasm = Wasm::new(Some(args.cache.unwrap_or_else(|| config.data.join("cache"))))?;
    let mut pipelines = Vec::new();
    for file in &config.pipeline {
        pipelines.push(load::load(file, &wasm, None, &config.trusted_keys).await?);
    }
    let revoked_operators = Arc::new(config.revoked_operators.clone());
    let quic = QuicOptions { revoked_operators, mtu_max: config.mtu, ..QuicOptions::default() };
    let transport = Arc::new(Quic::bind(config.listen, identity, quic)?);
    let observer = output::observer(config.name.clone(), config.output);
    let mut options = NodeOptions::new(&config, transport, pipelines, observer);
    options.dead_letters = DeadLetters::open(&config.data, config.dead_letters)?;
    let letters = options.dead_letters.clone();
    options.tracer = tracer(&options)?;
    let room = DiskRoom::of(&config.data, config.disk_reserve);
    options.inboxes = LocalStore::open(config.name.clone(), &config.data, room)?;
    let blobs = open_blobs(&config.data)?;
    options.loader = Some(Arc::new(StoreLoader::new(blobs.clone(), wasm, config.trusted_keys.clone())));
    options.blobs = Some(blobs);
    options.plugins = Some(config.data.join("plugins"));
    let signals = Signals::new();
    // Before the node says that it listens: whoever reads that may ask at once.
    let admin = bind_admin(&config.data);
    let mut node = Node::start(options);
    let _admin = admin.map(|admin| admin.serve(node.desk()));
    tokio::spawn(end_on_signals(signals, node.control()));
    if args.orders_on_stdin {
        tokio::spawn(obey_stdin(node.control()));
    }
    let exit = node.wait().await;
    letters.close().await;
    for stage in &exit.cut_short {
        tracing::warn!(%stage, "did not hand out all it had within the drain time");
    }
    match exit.expelled {
        None => Ok(Exit::Done),
        Some(Expelled::Removed(why)) => Err(Failure::new(
            Exit::Permission,
            format!("this node takes part no more: {why}; to join as a new member, remove {}", raft_dir(&config.data)),
        )),
        Some(Expelled::Failed(why)) => Err(Failure::new(Exit::Io, format!("{}: {why}", raft_dir(&config.data)))),
    }
}

fn open_blobs(data: &Path) -> Result<BlobStore, Failure> {
    BlobStore::open(data).map_err(|error| {
        let text = format!("cannot use {}, where plugins and pipeline files are kept", data.join("blobs").display());
        Failure::new(Exit::CannotCreate, text).because(error)
    })
}

/// A node does its work without it, too.
fn bind_admin(data: &Path) -> Option<BoundAdmin> {
    let bound = admin::bind(data);
    let warn = |error: &std::io::Error| {
        let path = admin::socket_path(data);
        tracing::warn!(%error, "cannot make {}: `forebay status` and its like will not find this node", path.display());
    };
    bound.inspect_err(warn).ok()
}

fn raft_dir(data: &Path) -> String {
    data.join("raft").display().to_string()
}

/// The settings of the node.
pub(super) fn read_config(args: &Args) -> Result<NodeConfig, Failure> {
    let args = &args.node;
    let file = match config_path(args, &process_env) {
        Some(path) => {
            let text = std::fs::read_to_string(&path).map_err(|error| Failure::reading(&path, error))?;
            Some(ConfigFile::parse(&text, &path)?)
        }
        None => None,
    };
    Ok(NodeConfig::resolve(args, &process_env, file.as_ref())?)
}

fn tracer(options: &NodeOptions) -> Result<Tracer, Failure> {
    Tracer::from_env(&options.name, options.boot, &process_env).map_err(|error| {
        Failure::new(Exit::CannotCreate, "cannot append to the file that FOREBAY_TRACE names").because(error)
    })
}

/// Two processes on one data directory would be one node twice. Held until the process ends.
pub(super) fn lock(data: &Path) -> Result<File, Failure> {
    let failed = |error| {
        Failure::new(Exit::CannotCreate, format!("cannot use the data directory {}", data.display())).because(error)
    };
    std::fs::create_dir_all(data).map_err(failed)?;
    // Whoever can open it can keep the node from starting.
    let mut options = File::options();
    let file = options.create(true).write(true).truncate(false).mode(0o600).open(data.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            let text = format!("another node runs on {}; stop it, or give this one its own --data", data.display());
            Err(Failure::new(Exit::Unavailable, text))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

async fn obey_stdin(node: NodeControl) {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match line.strip_prefix("join ").and_then(|addr| addr.parse().ok()) {
            Some(addr) => node.join(addr).await,
            None => tracing::error!("the order on standard input is {line:?}; expected `join IP:PORT`"),
        }
    }
    node.drain();
}

/// The first signal drains, the second stops.
pub(super) async fn end_on_signals(mut signals: Signals, node: NodeControl) {
    signals.next().await;
    node.drain();
    signals.next().await;
    node.stop();
}

/// SIGINT and SIGTERM, none of them lost from when this is made.
#[derive(Debug)]
pub(super) struct Signals(Vec<Signal>);

impl Signals {
    pub(super) fn new() -> Self {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        // Without one the system's default holds: the process ends at once.
        Self(kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect())
    }

    /// The next signal.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn next(&mut self) {
        std::future::poll_fn(|context| {
            let came = self.0.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if came { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
