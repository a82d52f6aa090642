//! `forebay-faults run` strikes real nodes with faults and checks the laws; `forebay-faults takeover`
//! measures how long a takeover takes; `forebay-faults upgrades` replaces stages under load; `forebay-faults graphs`
//! counts what comes through random pipelines.

mod clients;
mod cluster;
mod graphs;
mod net;
mod record;
mod run;
mod takeover;
mod upgrades;

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use clap::{Parser, Subcommand, ValueEnum};
use forebay_check::Agreement;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cluster::Setup,
    run::{Kind, Kinds, Verdict},
};

/// Strikes clusters of real nodes with faults.
///
/// Every node is a process in a network namespace of its own; a switch of this program joins them, and
/// delays, loses, doubles and cuts packets. Needs root, or `unshare -Ur`, and /dev/net/tun; only `graphs` does not,
/// whose nodes are on loopback, and suffer no faults.
///
/// Exits with 0 when all went well, 1 when a law was broken, 2 when a run says nothing: a planned fault
/// did not bite, or the cluster could not be made.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// One fault after the other; after each, the cluster must recover
    Run {
        #[command(flatten)]
        nodes: Nodes,
        /// How many faults
        #[arg(long, default_value_t = 18)]
        faults: usize,
        /// The kinds of faults, by name or by first word, separated by commas [default: all]
        #[arg(long)]
        kinds: Option<Kinds>,
        /// Have clients push the events from outside, and look whether all that was confirmed to them comes to the
        /// printers
        #[arg(long)]
        ingest: bool,
        /// Give each node a disk of its own for its data, of 256 MiB of memory, and fill these disks as three kinds more
        #[arg(long, requires = "ingest")]
        small_disks: bool,
        /// How many clusters share the faults, at the same time
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
        clusters: u8,
    },
    /// The time from a signal to the owner until another node handles an event of its successor
    Takeover {
        #[command(flatten)]
        nodes: Nodes,
        /// How many times
        #[arg(long, default_value_t = 50)]
        runs: usize,
        /// Who is struck
        #[arg(long, value_enum, default_value_t = takeover::Victim::Owner)]
        victim: takeover::Victim,
        /// What it is struck with
        #[arg(long, value_enum, default_value_t = takeover::Strike::Kill)]
        signal: takeover::Strike,
    },
    /// New versions of the stages of a pipeline under load, one after the other; bad ones must be rolled back by themselves
    Upgrades {
        #[command(flatten)]
        nodes: Nodes,
        #[command(flatten)]
        what: upgrades::What,
    },
    /// Pipelines of 50 stages in random acyclic graphs; every event must reach each stage as often as the graph says
    Graphs(graphs::Args),
}

#[derive(Debug, clap::Args)]
struct Nodes {
    /// How many nodes a cluster has
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=16))]
    nodes: u8,
    /// Decides which faults come, and what becomes of packets
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How the nodes agree on owners
    #[arg(long, default_value = "quorum")]
    agreement: Agreement,
    /// How long recovery from a fault may take
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    recovery: Duration,
    /// How long a printer pauses after each batch [default: 100ms; none with --ingest; 10ms to
    /// measure takeovers]
    #[arg(long, value_parser = humantime::parse_duration)]
    pause: Option<Duration>,
    /// Put a stage between the source and the printers, so that two names move and acknowledgements go through both
    #[arg(long)]
    chain: bool,
    /// The binary [default: beside this one]
    #[arg(long)]
    forebay: Option<PathBuf>,
    /// A further argument of each node, as --node-arg=--ping-interval=50ms; may be given again
    #[arg(long)]
    node_arg: Vec<String>,
    /// Where to keep data, logs and traces [default: a temporary directory, kept on failure]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The form of what is printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Output {
    Text,
    /// One object a line.
    Json,
}

/// What a run has beside its faults.
#[derive(Clone, Copy, Debug)]
struct Load {
    ingest: bool,
    small_disks: bool,
}

impl Nodes {
    fn setup(&self, pause: Duration) -> io::Result<Setup> {
        Ok(Setup {
            forebay: binary(self.forebay.as_deref())?,
            nodes: self.nodes.into(),
            agreement: self.agreement,
            pause: self.pause.unwrap_or(pause),
            chain: self.chain,
            ingest: false,
            small_disks: false,
            deployed: false,
            node_args: self.node_arg.clone(),
            interrupted: end_on_signals()?,
        })
    }

    fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Those that this cluster can suffer.
    fn kinds(&self, kinds: Option<Kinds>, small_disks: bool) -> Vec<Kind> {
        let asked = kinds.map_or_else(|| Kind::ALL.to_vec(), |Kinds(kinds)| kinds);
        let has_leader = self.agreement == Agreement::Quorum;
        let fits = |kind: &Kind| {
            kind.nodes_min() <= self.nodes.into()
                && (has_leader || !kind.needs_leader())
                && (small_disks || !kind.needs_disks())
        };
        asked.into_iter().filter(fits).collect()
    }
}

/// The binary of the nodes.
fn binary(given: Option<&Path>) -> io::Result<PathBuf> {
    let forebay = match given {
        Some(path) => path.canonicalize()?,
        None => std::env::current_exe()?.with_file_name("forebay"),
    };
    if !forebay.is_file() {
        let text = format!("{} is missing; build it with `cargo build -p forebay`", forebay.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    Ok(forebay)
}

fn main() -> ExitCode {
    let verdict = match Args::parse().command {
        Action::Run { nodes, faults, kinds, ingest, small_disks, clusters } => {
            run(&nodes, faults, kinds, Load { ingest, small_disks }, clusters.into())
        }
        Action::Takeover { nodes, runs, victim, signal } => take_over(&nodes, runs, victim, signal),
        Action::Upgrades { nodes, what } => upgrade(&nodes, what),
        Action::Graphs(args) => graphs::graphs(&args),
    };
    let verdict = verdict.unwrap_or_else(|error| {
        eprintln!("forebay-faults: {error}");
        Verdict::Inconclusive
    });
    ExitCode::from(verdict as u8)
}

fn run(nodes: &Nodes, faults: usize, kinds: Option<Kinds>, load: Load, clusters: usize) -> io::Result<Verdict> {
    let Load { ingest, small_disks } = load;
    if ingest && nodes.agreement != Agreement::Quorum {
        let text = "--ingest needs --agreement quorum: of islands, each node keeps what was pushed into it";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let pause = if ingest { Duration::ZERO } else { Duration::from_millis(100) };
    let options = run::Options {
        setup: Setup { ingest, small_disks, ..nodes.setup(pause)? },
        faults,
        seed: nodes.seed,
        kinds: nodes.kinds(kinds, small_disks),
        clusters,
        recovery: nodes.recovery,
        json: nodes.is_json(),
    };
    let dir = Directory::new(nodes.dir.as_deref())?;
    let report = run::run(&options, dir.path());
    if options.json {
        println!("{}", report.json());
    } else {
        print!("\n{}", report.table());
    }
    dir.close(report.verdict());
    Ok(report.verdict())
}

fn take_over(nodes: &Nodes, runs: usize, victim: takeover::Victim, strike: takeover::Strike) -> io::Result<Verdict> {
    let options = takeover::Options {
        setup: nodes.setup(Duration::from_millis(10))?,
        runs,
        victim,
        strike,
        recovery: nodes.recovery,
        seed: nodes.seed,
        json: nodes.is_json(),
    };
    let dir = Directory::new(nodes.dir.as_deref())?;
    let verdict = takeover::takeover(&options, dir.path());
    dir.close(verdict);
    Ok(verdict)
}

fn upgrade(nodes: &Nodes, what: upgrades::What) -> io::Result<Verdict> {
    if nodes.agreement != Agreement::Quorum {
        let text = "upgrades need --agreement quorum: a group agrees on what is deployed";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let setup = Setup { deployed: true, ..nodes.setup(Duration::ZERO)? };
    let options = upgrades::Options { setup, what, seed: nodes.seed, json: nodes.is_json() };
    let dir = Directory::new(nodes.dir.as_deref())?;
    let verdict = upgrades::upgrades(&options, dir.path());
    dir.close(verdict);
    Ok(verdict)
}

/// Where everything is kept.
enum Directory {
    Given(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Directory {
    fn new(given: Option<&Path>) -> io::Result<Self> {
        match given {
            Some(path) => {
                std::fs::create_dir_all(path)?;
                Ok(Self::Given(path.canonicalize()?))
            }
            None => Ok(Self::Temporary(tempfile::Builder::new().prefix("forebay-faults-").tempdir()?)),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(dir) => dir.path(),
        }
    }

    /// Removes a temporary one when nothing is to be looked into.
    fn close(self, verdict: Verdict) {
        match self {
            Self::Temporary(dir) if verdict != Verdict::Passed => {
                eprintln!("data, logs and traces are kept in {}", dir.keep().display());
            }
            Self::Temporary(_) | Self::Given(_) => {}
        }
    }
}

/// Sets what it gives when SIGINT or SIGTERM comes; a second signal finds the same.
fn end_on_signals() -> io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let told = Arc::clone(&interrupted);
    let guard = runtime.enter();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    drop(guard);
    let wait = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        told.store(true, Ordering::Relaxed);
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    Ok(interrupted)
}
