//! The nodes of a run: all on one thread in one process, on a network in memory, with disks in memory.
//!
//! A node that is killed loses all its tasks where they stand, and its connections break, as those of a process do that
//! the system ends.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use forebay_proto::ids::{BootId, NodeName};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tokio::{task::JoinHandle, time::Instant};

use super::{book::Book, run::RunError};
use crate::{
    config::{Agreement, NodeConfig, PeerAddr},
    dlq::{Bounds, DeadLetters},
    node::{AgreementOptions, LoadedPipeline, Node, NodeExit, NodeOptions, admin::Desk},
    registry::{
        Clock,
        quorum::{Home, MemoryHome, QuorumOptions},
    },
    transport::memory::Network,
};

/// How long nodes may take to form their group. They take about a second.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How often something is looked at that nobody tells.
const LOOK: Duration = Duration::from_millis(10);

/// Votes of a group at most, as by default.
const VOTERS_MAX: usize = 3;

/// Where events can be pushed into nodes that run.
#[derive(Clone, Debug, Default)]
pub(super) struct Desks(Arc<Mutex<BTreeMap<usize, Desk>>>);

impl Desks {
    fn set(&self, index: usize, desk: Option<Desk>) {
        let mut desks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match desk {
            Some(desk) => desks.insert(index, desk),
            None => desks.remove(&index),
        };
    }

    /// That of the first node that runs, or of the first node only.
    pub(super) fn first(&self, only_first: bool) -> Option<Desk> {
        let desks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = if only_first { desks.get(&0) } else { desks.values().next() };
        found.cloned()
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct World {
    network: Network,
    pipeline: LoadedPipeline,
    book: Book,
    random: SmallRng,
    began: Instant,
    machines: Vec<Machine>,
    desks: Desks,
    /// Nodes that start again, and when.
    back: Vec<(Instant, usize)>,
    /// Nodes that are cut off, and until when.
    cut: Vec<(Instant, usize)>,
}

#[derive(Debug)]
struct Machine {
    name: NodeName,
    addr: SocketAddr,
    /// What it keeps through the deaths of its processes.
    home: Arc<MemoryHome>,
    letters: DeadLetters,
    has_run: bool,
    process: Process,
}

#[derive(Debug)]
enum Process {
    Down,
    Up(Box<Node>),
    /// It ends in good order, and may start again so long after.
    Ending(JoinHandle<NodeExit>, Option<Duration>),
}

/// The names of the nodes: `a`, `b`, `c`, ...
pub(super) fn node_name(index: usize) -> NodeName {
    let letter = char::from(b'a' + u8::try_from(index % 26).unwrap_or(0));
    letter.to_string().parse().expect("a letter is a name")
}

impl World {
    pub(super) fn new(pipeline: LoadedPipeline, nodes: u8, book: Book, seed: u64) -> Self {
        let machine = |index: usize| Machine {
            name: node_name(index),
            addr: addr(index),
            home: Arc::default(),
            letters: DeadLetters::in_memory(Bounds::default()),
            has_run: false,
            process: Process::Down,
        };
        Self {
            network: Network::new(),
            pipeline,
            book,
            random: SmallRng::seed_from_u64(seed),
            began: Instant::now(),
            machines: (0..usize::from(nodes)).map(machine).collect(),
            desks: Desks::default(),
            back: Vec::new(),
            cut: Vec::new(),
        }
    }

    pub(super) fn desks(&self) -> Desks {
        self.desks.clone()
    }

    /// Starts all nodes, one after the other, and waits until they are a group.
    ///
    /// # Errors
    /// They do not become one.
    pub(super) async fn start_all(&mut self) -> Result<(), RunError> {
        for index in 0..self.machines.len() {
            self.start(index)?;
            self.ready(index + 1).await?;
        }
        Ok(())
    }

    /// Waits until so many nodes are members, and as many of them vote as ever will.
    async fn ready(&self, nodes: usize) -> Result<(), RunError> {
        // Of two one votes.
        let votes = if nodes < VOTERS_MAX { 1 } else { VOTERS_MAX };
        let is_ready = |node: &Node| {
            let Some(registry) = node.control().registry() else { return false };
            let Some(report) = registry.as_quorum().map(|quorum| quorum.report()) else { return false };
            let voting = report.members.iter().filter(|member| member.votes).count();
            report.holds && !report.changing && report.members.len() == nodes && voting == votes
        };
        let deadline = Instant::now() + READY_WITHIN;
        while !self.machines.iter().take(nodes).all(|machine| matches!(&machine.process, Process::Up(n) if is_ready(n)))
        {
            if Instant::now() >= deadline {
                return Err(RunError::NoGroup { nodes, within: READY_WITHIN });
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    fn start(&mut self, index: usize) -> Result<(), RunError> {
        let options = self.options(index)?;
        let machine = &mut self.machines[index];
        machine.has_run = true;
        let node = Node::start(options);
        self.desks.set(index, Some(node.desk()));
        machine.process = Process::Up(Box::new(node));
        Ok(())
    }

    fn options(&mut self, index: usize) -> Result<NodeOptions, RunError> {
        let machine = &self.machines[index];
        let mut config = NodeConfig::new(machine.name.clone());
        // Its own options follow: those of a configuration keep the group on disk.
        config.agreement = Agreement::Islands;
        config.labels = self.pipeline.pipeline().stages().iter().flat_map(|stage| stage.labels.clone()).collect();
        let founds = index == 0 && (!machine.has_run || self.machines.len() == 1);
        let others = (0..self.machines.len()).filter(|other| *other != index && !founds);
        config.join = others.map(peer).collect();
        let transport = self.network.bind(machine.addr, machine.name.clone())?;
        let mut quorum = QuorumOptions::new(Home::Memory(Arc::clone(&machine.home)));
        quorum.expect = u16::from(founds);
        quorum.clock = Clock::Tokio(self.began);
        let observer = Arc::new(self.book.clone());
        let mut options = NodeOptions::new(&config, Arc::new(transport), vec![self.pipeline.clone()], observer);
        options.boot = BootId(self.random.random());
        options.agreement = AgreementOptions::Quorum(quorum);
        options.dead_letters = machine.letters.clone();
        Ok(options)
    }

    fn index(&self, node: &NodeName) -> Option<usize> {
        self.machines.iter().position(|machine| machine.name == *node)
    }

    /// Kills a node.
    pub(super) fn kill(&mut self, node: &NodeName, back: Option<Duration>) {
        let Some(index) = self.index(node) else { return };
        self.book.tell(node, "is killed");
        self.book.killed(node);
        self.desks.set(index, None);
        if let Process::Ending(task, _) = std::mem::replace(&mut self.machines[index].process, Process::Down) {
            task.abort();
        }
        // Its tasks are gone after a turn of the runtime, and with them its address.
        let back = back.map(|back| Instant::now() + back.max(LOOK));
        self.back.extend(back.map(|back| (back, index)));
    }

    /// Has a node end in good order.
    pub(super) fn drain(&mut self, node: &NodeName, back: Option<Duration>) {
        let Some(index) = self.index(node) else { return };
        if let Process::Up(mut node) = std::mem::replace(&mut self.machines[index].process, Process::Down) {
            self.desks.set(index, None);
            node.control().drain();
            let ending = tokio::spawn(async move { node.wait().await });
            self.machines[index].process = Process::Ending(ending, back);
        }
    }

    /// Cuts a node off from all others.
    pub(super) fn cut(&mut self, node: &NodeName, lasts: Duration) {
        let Some(index) = self.index(node) else { return };
        self.book.tell(node, "is cut off");
        for other in (0..self.machines.len()).filter(|other| *other != index) {
            self.network.cut(addr(index), addr(other));
        }
        self.cut.push((Instant::now() + lasts, index));
    }

    /// Whether a node is to come back, or is cut off, or ends.
    pub(super) fn is_disturbed(&self) -> bool {
        let ends = |machine: &Machine| matches!(machine.process, Process::Ending(..));
        !self.back.is_empty() || !self.cut.is_empty() || self.machines.iter().any(ends)
    }

    /// Does what is due: nodes start again, and are reached again.
    ///
    /// # Errors
    /// A node cannot start.
    pub(super) async fn look(&mut self) -> Result<(), RunError> {
        let now = Instant::now();
        for index in 0..self.machines.len() {
            let machine = &mut self.machines[index];
            if !matches!(&machine.process, Process::Ending(task, _) if task.is_finished()) {
                continue;
            }
            if let Process::Ending(task, back) = std::mem::replace(&mut machine.process, Process::Down) {
                let name = machine.name.clone();
                tell_exit(&self.book, &name, task.await);
                self.back.extend(back.map(|back| (now + back.max(LOOK), index)));
            }
        }
        let (healed, cut) = self.cut.drain(..).partition(|(until, _)| *until <= now);
        self.cut = cut;
        for (_, index) in Vec::from_iter::<Vec<(Instant, usize)>>(healed) {
            // What two owners have to settle, they settle now.
            self.book.tell(&node_name(index), "is reached again");
            self.book.stir();
            for other in (0..self.machines.len()).filter(|other| *other != index) {
                self.network.heal(addr(index), addr(other));
            }
        }
        let (due, back): (Vec<_>, Vec<_>) = self.back.drain(..).partition(|(at, _)| *at <= now);
        self.back = back;
        for (_, index) in due {
            self.book.tell(&node_name(index), "starts again");
            self.book.stir();
            self.start(index)?;
        }
        Ok(())
    }

    /// Ends all nodes in good order.
    pub(super) async fn end(&mut self) {
        for index in 0..self.machines.len() {
            self.drain(&node_name(index), None);
        }
        for machine in &mut self.machines {
            if let Process::Ending(task, _) = std::mem::replace(&mut machine.process, Process::Down) {
                tell_exit(&self.book, &machine.name, task.await);
            }
        }
    }

    /// What nodes could not process, of each.
    pub(super) fn dead_letters(&self) -> impl Iterator<Item = (&NodeName, &DeadLetters)> {
        self.machines.iter().map(|machine| (&machine.name, &machine.letters))
    }
}

fn tell_exit(book: &Book, node: &NodeName, exit: Result<NodeExit, tokio::task::JoinError>) {
    match exit {
        Ok(exit) => {
            if let Some(why) = exit.expelled {
                book.add_trouble(format!("node {node} was expelled: {why:?}"));
            }
        }
        Err(error) => book.add_trouble(format!("node {node} has failed, which is a bug of Forebay: {error}")),
    }
}

/// To the network in memory an address is only a name.
fn addr(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(index + 1).unwrap_or(u8::MAX)], 7440))
}

fn peer(index: usize) -> PeerAddr {
    let addr = addr(index);
    PeerAddr { host: addr.ip().to_string(), port: addr.port() }
}
