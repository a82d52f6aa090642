//! A cluster of real `forebay node` processes, each in a namespace of its own.

mod disks;
mod files;
mod process;
mod tail;
mod watch;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use forebay_check::{Agreement, Ranges};
use forebay_trace::Run;
use rustix::process::Signal;
use serde_json::Value;

#[cfg(test)]
pub(crate) use self::watch::SOURCE;
use self::{
    disks::Disk,
    files::Files,
    process::{NodeProcess, Said, StartOf, What},
    tail::Tail,
};
pub(crate) use self::{
    process::was_killed,
    tail::Handled,
    watch::{SINK, Watch, inlet, is_stage},
};
use crate::net::{self, Network, NetworkError, Space};

/// The port of every node, in its namespace.
const PORT: u16 = 7440;

/// Lines of all nodes that were not heard yet. When full, nodes wait for the runner.
const SAID_LEN: usize = 4096;

/// How long a node may take to listen: compiling two small components takes a tenth of a second on an
/// idle machine, and is cached.
const START_WAIT: Duration = Duration::from_secs(30);

/// How long a node may take to end in good order: `drain_timeout` is 5 s.
const END_WAIT: Duration = Duration::from_secs(15);

/// How long to wait, while nothing more comes to the sinks, for what was confirmed: twice what any recovery took.
const ARRIVAL_WAIT: Duration = Duration::from_secs(30);

/// How often to look what came to the sinks.
const ARRIVAL_LOOK: Duration = Duration::from_millis(200);

/// How often an interruption is looked for.
const PATIENCE: Duration = Duration::from_millis(50);

/// Why a cluster is not as it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    #[error("cannot make the cluster's files in {}", dir.display())]
    Files { dir: PathBuf, source: io::Error },
    #[error("{command} failed: {text}")]
    Command { command: String, text: String },
    #[error("cannot make the cluster's network")]
    Network(#[from] NetworkError),
    #[error("cannot {what} node {node}")]
    Process { what: &'static str, node: String, source: io::Error },
    #[error("node {node} has ended by itself: {status}; the last lines of its log:\n{log}")]
    Ended { node: String, status: String, log: String },
    #[error("{what} did not come about within {bound:?}: {missing}")]
    Late { what: &'static str, bound: Duration, missing: String },
    #[error("{fault}")]
    After {
        fault: String,
        #[source]
        error: Box<ClusterError>,
    },
    #[error("after {moves} restarts of the owner or the leader it is still not the `{wanted}` that was asked for")]
    NoSuchRole { wanted: String, moves: usize },
    #[error("cannot mount a file system for a node; run as root, or as `unshare -Ur forebay-faults …`")]
    Disk(#[source] io::Error),
    #[error("cannot write or read a trace, or fill a disk")]
    Trace(#[from] io::Error),
    #[error("interrupted")]
    Interrupted,
}

impl ClusterError {
    /// Whether the nodes are to blame, and not this machine or a person.
    pub(crate) fn is_broken_law(&self) -> bool {
        match self {
            Self::Ended { .. } | Self::Late { .. } => true,
            Self::After { error, .. } => error.is_broken_law(),
            _ => false,
        }
    }
}

/// How nodes are started.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The binary.
    pub(crate) forebay: PathBuf,
    pub(crate) nodes: usize,
    pub(crate) agreement: Agreement,
    /// How long a printer pauses after each batch.
    pub(crate) pause: Duration,
    /// A stage stands between the source and the printers.
    pub(crate) chain: bool,
    /// Events are pushed in from outside, and not made by a counter.
    pub(crate) ingest: bool,
    /// Each node has its data on a small disk of its own.
    pub(crate) small_disks: bool,
    /// Nodes begin with nothing to run, and without traces: what they run is deployed to them.
    pub(crate) deployed: bool,
    /// Further arguments of each node.
    pub(crate) node_args: Vec<String>,
    /// Set when everything is to end.
    pub(crate) interrupted: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Node {
    name: String,
    /// How often it was started.
    starts: u32,
    process: Option<NodeProcess>,
    end: End,
    /// Of the latest start.
    tail: Tail,
}

/// The end of a node's process in good order.
#[derive(Clone, Copy, Debug)]
enum End {
    NotAsked,
    Asked,
    Came(ExitStatus),
}

/// Is told which node said what when.
type Ear = dyn FnMut(usize, &Value, Instant);

/// Somebody who hears what nodes say.
struct Ears(Box<Ear>);

impl fmt::Debug for Ears {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ears").finish_non_exhaustive()
    }
}

/// A cluster. Its processes are killed when it is dropped, and its network is gone.
#[derive(Debug)]
pub(crate) struct Cluster {
    // First: processes end before their network does.
    nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) watch: Watch,
    setup: Setup,
    files: Files,
    saying: SyncSender<Said>,
    said: Receiver<Said>,
    /// The numbers that came to sinks, as far as the traces were read.
    arrived: Ranges,
    /// Of each node, where each has its own.
    disks: Vec<Disk>,
    /// Hears what nodes say, too.
    ears: Option<Ears>,
}

impl Cluster {
    /// Founds a cluster in `dir`; nothing runs yet.
    pub(crate) fn found(setup: Setup, dir: &Path, seed: u64) -> Result<Self, ClusterError> {
        let names: Vec<_> = (0..setup.nodes).map(name).collect();
        let disks = if setup.small_disks { make_disks(dir, &names).map_err(ClusterError::Disk)? } else { Vec::new() };
        let network = Network::new(setup.nodes, seed)?;
        let files = Files::create(dir, &setup, &names)?;
        let (saying, said) = sync_channel(SAID_LEN);
        let watch = Watch::new(&names, Instant::now());
        let nodes = names
            .into_iter()
            .map(|name| Node { name, starts: 0, process: None, end: End::NotAsked, tail: Tail::default() })
            .collect();
        Ok(Self { nodes, network, watch, setup, files, saying, said, arrived: Ranges::default(), disks, ears: None })
    }

    /// Has what nodes say told to another, too: the node, the line, and when it was said.
    pub(crate) fn set_ears(&mut self, ears: impl FnMut(usize, &Value, Instant) + 'static) {
        self.ears = Some(Ears(Box::new(ears)));
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn name(&self, node: usize) -> &str {
        &self.nodes[node].name
    }

    /// The stage that counts, or that events are pushed into.
    pub(crate) fn inlet(&self) -> &'static str {
        inlet(self.setup.chain)
    }

    /// The disk that a node has for its own.
    ///
    /// # Errors
    /// It has none.
    pub(crate) fn disk(&self, node: usize) -> io::Result<&Disk> {
        self.disks.get(node).ok_or_else(|| io::Error::other("a full disk is for nodes with disks of their own"))
    }

    /// The data directories of all nodes.
    pub(crate) fn data(&self) -> Vec<PathBuf> {
        self.nodes.iter().map(|node| self.files.data(&node.name)).collect()
    }

    /// The directory of all traces.
    pub(crate) fn traces(&self) -> PathBuf {
        self.files.traces()
    }

    /// The id of a node's process.
    pub(crate) fn process_id(&self, node: usize) -> Option<u32> {
        self.nodes[node].process.as_ref().map(NodeProcess::id)
    }

    /// Starts a node's process, or starts it again on the same data.
    pub(crate) fn start(&mut self, node: usize) -> Result<(), ClusterError> {
        assert!(self.nodes[node].process.is_none(), "node {node} runs already");
        self.nodes[node].starts += 1;
        self.nodes[node].end = End::NotAsked;
        let start = self.nodes[node].starts;
        self.read_tail(node)?;
        self.nodes[node].tail = Tail::of(self.files.trace(self.name(node), start));
        let (command, log) = (self.command(node), self.files.log(self.name(node)));
        let which = StartOf { node, start };
        let space: &Space = self.network.space(node);
        let process = NodeProcess::start(command, space, &log, which, self.saying.clone());
        self.nodes[node].process = Some(process.map_err(|error| self.failed("start", node, error))?);
        self.watch.set_up(node, true);
        Ok(())
    }

    fn command(&self, node: usize) -> Command {
        let Node { name, starts, .. } = &self.nodes[node];
        let mut command = Command::new(&self.setup.forebay);
        command.args(["node", "--orders-on-stdin", "--output", "json", "--log", "info", "--name", name]);
        match self.setup.agreement {
            Agreement::Islands => command.args(["--agreement", "islands"]),
            Agreement::Quorum => command.args(["--agreement", "quorum", "--expect", &self.len().to_string()]),
        };
        command.arg("--listen").arg(format!("{}:{PORT}", net::address(node)));
        command.arg("--data").arg(self.files.data(name));
        for peer in (0..self.len()).filter(|peer| *peer != node) {
            command.arg("--join").arg(format!("{}:{PORT}", net::address(peer)));
        }
        command.args(&self.setup.node_args);
        if self.setup.deployed {
            return command;
        }
        command.arg("--pipeline").arg(self.files.pipeline());
        // The counter's numbers too, so that the checker can tell what was lost or repeated.
        command.env("FOREBAY_TRACE_SERIALS", "1").env("FOREBAY_TRACE", self.files.trace(name, *starts));
        command
    }

    /// The Raft leader: of the running nodes that say they lead, that of the latest term.
    pub(crate) fn leader(&mut self) -> Result<Option<usize>, ClusterError> {
        for node in 0..self.len() {
            self.read_tail(node)?;
        }
        let leads =
            |(index, node): (usize, &Node)| Some((node.tail.leads().filter(|_| node.process.is_some())?, index));
        Ok(self.nodes.iter().enumerate().filter_map(leads).max().map(|(_, node)| node))
    }

    /// What a node has handled of the source, as its trace says, since this was asked last.
    pub(crate) fn take_handled(&mut self, node: usize) -> Result<Vec<Handled>, ClusterError> {
        self.read_tail(node)?;
        Ok(self.nodes[node].tail.take_handled())
    }

    fn read_tail(&mut self, node: usize) -> Result<(), ClusterError> {
        let tail = &mut self.nodes[node].tail;
        tail.read_on()?;
        for run in tail.take_numbers() {
            self.arrived.insert(run);
        }
        Ok(())
    }

    /// Waits until all these numbers came to sinks, or none more comes for a while: then what is missing is for the
    /// traces to tell.
    pub(crate) fn wait_for_arrival(&mut self, numbers: &[Run]) -> Result<(), ClusterError> {
        let (mut least, mut since) = (u64::MAX, Instant::now());
        while since.elapsed() < ARRIVAL_WAIT {
            self.hear_until(Instant::now() + ARRIVAL_LOOK)?;
            for node in 0..self.len() {
                self.read_tail(node)?;
            }
            let missing = numbers.iter().map(|run| self.arrived.missing_count(*run)).sum();
            match missing {
                0 => return Ok(()),
                missing if missing < least => (least, since) = (missing, Instant::now()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Starts all nodes and waits until all is well.
    pub(crate) fn start_all(&mut self, bound: Duration) -> Result<(), ClusterError> {
        for node in 0..self.len() {
            self.start(node)?;
        }
        for node in 0..self.len() {
            self.wait_for_listening(node)?;
        }
        self.wait_for_recovery(Instant::now(), bound).map(drop)
    }

    /// Waits until a node that was started says where it listens.
    pub(crate) fn wait_for_listening(&mut self, node: usize) -> Result<(), ClusterError> {
        let missing = format!("node {} is not listening", self.name(node));
        let listens = |watch: &Watch| if watch.is_listening(node) { Ok(()) } else { Err(missing.clone()) };
        self.wait_for("a node's start", START_WAIT, listens).map(drop)
    }

    /// Waits until there is one owner, and every running node has handled events of it since `since`.
    /// Gives how long that took from `since`.
    pub(crate) fn wait_for_recovery(&mut self, since: Instant, bound: Duration) -> Result<Duration, ClusterError> {
        let at = self.wait_for("recovery", bound, |watch| watch.recovered(since))?;
        Ok(at.saturating_duration_since(since))
    }

    /// Hears the nodes until `is_there` is content; gives when that was.
    pub(crate) fn wait_for(
        &mut self,
        what: &'static str,
        bound: Duration,
        mut is_there: impl FnMut(&Watch) -> Result<(), String>,
    ) -> Result<Instant, ClusterError> {
        let deadline = Instant::now() + bound;
        let mut at = Instant::now();
        loop {
            let Err(missing) = is_there(&self.watch) else { return Ok(at) };
            match self.hear_one(deadline)? {
                Some(heard) => at = heard,
                None => return Err(ClusterError::Late { what, bound, missing }),
            }
        }
    }

    /// Hears the nodes until `deadline`.
    pub(crate) fn hear_until(&mut self, deadline: Instant) -> Result<(), ClusterError> {
        while self.hear_one(deadline)?.is_some() {}
        Ok(())
    }

    /// Hears one thing; gives when it was said, or nothing at the deadline.
    fn hear_one(&mut self, deadline: Instant) -> Result<Option<Instant>, ClusterError> {
        loop {
            if self.setup.interrupted.load(Ordering::Relaxed) {
                return Err(ClusterError::Interrupted);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.said.recv_timeout(left.min(PATIENCE)) {
                Ok(said) => return self.hear(said).map(Some),
                Err(RecvTimeoutError::Timeout) if left > PATIENCE => {}
                // We hold a sender ourselves, so it is never disconnected.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    fn hear(&mut self, said: Said) -> Result<Instant, ClusterError> {
        // What a killed process said before is of no interest: it holds no more.
        let node = &self.nodes[said.node];
        let is_current = node.starts == said.start && node.process.is_some();
        match said.what {
            What::Line(line) if is_current => {
                self.watch.hear(said.node, &line, said.at);
                if let Some(Ears(hear)) = &mut self.ears {
                    hear(said.node, &line, said.at);
                }
            }
            What::Ended if is_current => self.hear_end(said.node)?,
            What::Line(_) | What::Ended => {}
        }
        Ok(said.at)
    }

    fn hear_end(&mut self, node: usize) -> Result<(), ClusterError> {
        let Some(process) = self.nodes[node].process.take() else { return Ok(()) };
        let status = process.wait().map_err(|error| self.failed("wait for", node, error))?;
        self.watch.set_up(node, false);
        if matches!(self.nodes[node].end, End::Asked) {
            self.nodes[node].end = End::Came(status);
            return Ok(());
        }
        let log = self.files.last_words(self.name(node));
        Err(ClusterError::Ended { node: self.name(node).to_owned(), status: status.to_string(), log })
    }

    /// Kills a node's process; gives how it ended.
    pub(crate) fn kill(&mut self, node: usize) -> Result<Option<ExitStatus>, ClusterError> {
        let Some(process) = self.nodes[node].process.take() else { return Ok(None) };
        let status = process.kill().map_err(|error| self.failed("kill", node, error))?;
        self.watch.set_up(node, false);
        Ok(Some(status))
    }

    /// Stops a node's process where it is.
    pub(crate) fn pause(&self, node: usize) -> Result<(), ClusterError> {
        self.signal(node, Signal::STOP)
    }

    /// Lets a paused process go on.
    pub(crate) fn resume(&self, node: usize) -> Result<(), ClusterError> {
        self.signal(node, Signal::CONT)
    }

    /// Whether the kernel says that a node's process is stopped.
    pub(crate) fn is_paused(&self, node: usize) -> bool {
        self.nodes[node].process.as_ref().is_some_and(NodeProcess::is_stopped)
    }

    /// Has a node end in good order; gives how it ended.
    pub(crate) fn end(&mut self, node: usize) -> Result<Option<ExitStatus>, ClusterError> {
        if self.nodes[node].process.is_none() {
            return Ok(None);
        }
        self.nodes[node].end = End::Asked;
        self.signal(node, Signal::TERM)?;
        let deadline = Instant::now() + END_WAIT;
        loop {
            if let End::Came(status) = self.nodes[node].end {
                return Ok(Some(status));
            }
            if self.hear_one(deadline)?.is_none() {
                let missing = format!("node {} still runs after SIGTERM", self.name(node));
                return Err(ClusterError::Late { what: "a node's end", bound: END_WAIT, missing });
            }
        }
    }

    fn signal(&self, node: usize, signal: Signal) -> Result<(), ClusterError> {
        let Some(process) = &self.nodes[node].process else { return Ok(()) };
        process.signal(signal).map_err(|error| self.failed("signal", node, error))
    }

    fn failed(&self, what: &'static str, node: usize, source: io::Error) -> ClusterError {
        ClusterError::Process { what, node: self.name(node).to_owned(), source }
    }
}

/// A disk for each node, seen by this thread and what it starts.
fn make_disks(dir: &Path, names: &[String]) -> io::Result<Vec<Disk>> {
    disks::enter_new_namespace()?;
    names.iter().map(|name| Disk::create(&files::disk(dir, name))).collect()
}

/// What a node is called: `a`, `b`, …
fn name(node: usize) -> String {
    let letter = u8::try_from(node).ok().and_then(|node| b'a'.checked_add(node)).map(char::from);
    letter.filter(char::is_ascii_lowercase).map_or_else(|| format!("n{node}"), String::from)
}
