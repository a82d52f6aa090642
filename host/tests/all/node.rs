//! Whole nodes in one process: closures for plugins, the memory transport for a network.
//!
//! A test waits for facts: what nodes report and what consumers take goes into one [`Log`], in the
//! order in which it happened.

mod asking;
mod blobs;
mod calls;
mod deploy;
mod dispatch;
mod inbox;
mod ingest;
mod instances;
mod letters;
mod links;
mod ordered;
mod owners;
mod quorum;
mod recycle;
mod resume;
mod shutdown;
mod supervision;
mod tap;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use forebay::{
    config::PeerAddr,
    inbox::LocalStore,
    node::{AgreementOptions, LoadedPipeline, Node, NodeEvent, NodeExit, NodeOptions, Observer, Plugins, Tracer},
    registry::{
        quorum::{Home, MemoryHome, QuorumOptions, QuorumReport},
        raft::Timing,
    },
    runtime::{GuestDelivery, GuestOutput, LineKind, Plugin, Produced, native::Native},
    transport::{Transport, memory::Network},
};
use forebay_proto::{
    batch::Batch,
    ids::{BootId, Epoch, NodeName, StageName},
    names::{GlobalName, preference},
    pipeline::Pipeline,
};
use tokio::sync::watch;

/// Something a test may wait for.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// A node reported it.
    Event { node: String, event: NodeEvent, at: Instant },
    /// A producer gave this number to its host.
    Emitted { node: String, number: u64 },
    /// A consumer has processed this event.
    Took { node: String, number: u64, attempt: u32, epoch: Epoch },
}

/// All that happened, of all nodes of a test.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<watch::Sender<Vec<Entry>>>, Instant);

impl Log {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Vec::new())), Instant::now())
    }

    pub(crate) fn push(&self, entry: Entry) {
        self.0.send_modify(|entries| entries.push(entry));
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.borrow().clone()
    }

    /// How much has happened; what comes later is [`Log::since`] it.
    pub(crate) fn mark(&self) -> usize {
        self.0.borrow().len()
    }

    pub(crate) fn since(&self, mark: usize) -> Vec<Entry> {
        self.0.borrow()[mark..].to_vec()
    }

    /// Waits until `is_so` of all that happened.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&[Entry]) -> bool) {
        let mut changes = self.0.subscribe();
        let waited = tokio::time::timeout(PATIENCE, changes.wait_for(|entries| is_so(entries))).await;
        if waited.is_err() {
            panic!("waited in vain for: {what}\n{}", self.told());
        }
    }

    /// Waits for an event of a node; gives what `pick` finds in it.
    pub(crate) async fn event<T>(&self, mark: usize, what: &str, pick: impl Fn(&str, &NodeEvent) -> Option<T>) -> T {
        let pick = |entry: &Entry| match entry {
            Entry::Event { node, event, .. } => pick(node, event),
            _ => None,
        };
        self.until(what, |entries| entries[mark..].iter().any(|entry| pick(entry).is_some())).await;
        self.since(mark).iter().find_map(pick).unwrap()
    }

    /// Waits until a node owns the counter; says which, and in which epoch.
    pub(crate) async fn owner(&self, mark: usize) -> (String, Epoch) {
        self.event(mark, "an owner", |node, event| match event {
            NodeEvent::Owner(claim) => Some((node.to_owned(), claim.epoch)),
            _ => None,
        })
        .await
    }

    /// Waits until the sink of `node` has subscribed to the counter in this epoch.
    pub(crate) async fn subscribed(&self, node: &str, epoch: Epoch) {
        self.event(0, &format!("{node} subscribed in epoch {epoch}"), |by, event| match event {
            NodeEvent::Subscribed { owner, .. } if by == node && owner.epoch == epoch => Some(()),
            _ => None,
        })
        .await;
    }

    /// Waits until the consumers of all these nodes have taken something in this epoch.
    pub(crate) async fn taken_by(&self, mark: usize, nodes: &[&str], epoch: Epoch) {
        self.until(&format!("{nodes:?} take events of epoch {epoch}"), |entries| {
            let took: BTreeSet<_> = took(&entries[mark..]).filter(|took| took.epoch == epoch).map(|t| t.node).collect();
            nodes.iter().all(|node| took.contains(*node))
        })
        .await;
    }

    /// What happened, without what was taken and emitted: that is too much to read.
    fn told(&self) -> String {
        let line = |entry: &Entry| match entry {
            Entry::Event { node, event, at } => Some(format!("  {:?} {node}: {event}\n", at.duration_since(self.1))),
            _ => None,
        };
        let all = self.entries();
        format!("{}{} events were taken", all.iter().filter_map(line).collect::<String>(), took(&all).count())
    }
}

impl GuestOutput for Log {
    fn line(&self, _: &StageName, _: LineKind, _: &str) {}

    fn dropped(&self, _: &StageName, _: u64) {}
}

impl Observer for Log {
    fn event(&self, node: &NodeName, event: &NodeEvent) {
        self.push(Entry::Event { node: node.to_string(), event: event.clone(), at: Instant::now() });
    }
}

/// An event that was taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Took {
    pub(crate) node: String,
    pub(crate) number: u64,
    pub(crate) attempt: u32,
    pub(crate) epoch: Epoch,
}

pub(crate) fn took(entries: &[Entry]) -> impl Iterator<Item = Took> {
    entries.iter().filter_map(|entry| match entry.clone() {
        Entry::Took { node, number, attempt, epoch } => Some(Took { node, number, attempt, epoch }),
        _ => None,
    })
}

pub(crate) fn events(entries: &[Entry]) -> impl Iterator<Item = (&str, &NodeEvent)> {
    entries.iter().filter_map(|entry| match entry {
        Entry::Event { node, event, .. } => Some((node.as_str(), event)),
        _ => None,
    })
}

/// How often each number was taken in an epoch.
pub(crate) fn counts(entries: &[Entry], epoch: Epoch) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for took in took(entries).filter(|took| took.epoch == epoch) {
        *counts.entry(took.number).or_default() += 1;
    }
    counts
}

/// How long a fact may take to come about. Reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Three names that are not the preferred order of anything in particular.
pub(crate) const ABC: [&str; 3] = ["a", "b", "c"];

/// Nodes on one network, and what they say.
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) log: Log,
    boots: AtomicU64,
    /// How they agree: by a group with these options, if any.
    pub(crate) quorum: Option<QuorumOptions>,
    /// What nodes have on their disks.
    homes: Mutex<BTreeMap<String, Arc<MemoryHome>>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let (network, log) = (Network::new(), Log::new());
        Self { network, log, boots: AtomicU64::new(1), quorum: None, homes: Mutex::default() }
    }

    /// Of nodes that agree by a majority. Slower than by default: tests share their machine.
    pub(crate) fn of_quorum() -> Self {
        let mut options = QuorumOptions::new(Home::Memory(Arc::default()));
        options.lease = Duration::from_secs(2);
        options.timing = Timing::from_heartbeat(Duration::from_millis(100));
        Self { quorum: Some(options), ..Self::new() }
    }

    /// How a node agrees that joins so many others.
    pub(crate) fn agreement(&self, node: &str, joins: usize) -> AgreementOptions {
        let Some(options) = &self.quorum else { return AgreementOptions::Islands };
        let home = Arc::clone(self.homes.lock().unwrap().entry(node.to_owned()).or_default());
        let expect = u16::from(joins == 0);
        AgreementOptions::Quorum(QuorumOptions { home: Home::Memory(home), expect, ..options.clone() })
    }

    /// A node's disk is another, empty one from now on.
    pub(crate) fn lose_data(&self, node: &str) {
        self.homes.lock().unwrap().remove(node);
    }

    pub(crate) fn addr(&self, node: &str) -> SocketAddr {
        // To the memory transport an address is only a name.
        SocketAddr::from(([10, 0, 0, 1], u16::from(node.as_bytes()[0])))
    }

    pub(crate) fn options(&self, node: &str, pipeline: LoadedPipeline) -> NodeOptions {
        let transport = self.network.bind(self.addr(node), node.parse().unwrap()).unwrap();
        self.options_on(Arc::new(transport), node, pipeline)
    }

    pub(crate) fn options_on(
        &self,
        transport: Arc<dyn Transport>,
        node: &str,
        pipeline: LoadedPipeline,
    ) -> NodeOptions {
        NodeOptions {
            name: node.parse().unwrap(),
            boot: BootId(self.boots.fetch_add(1, Ordering::Relaxed)),
            transport,
            join: ABC.iter().filter(|other| **other != node).map(|other| self.peer_addr(other)).collect(),
            join_after: Duration::ZERO,
            advertise: None,
            agreement: self.agreement(node, 0),
            labels: BTreeSet::new(),
            settle: Duration::from_secs(1),
            ping_interval: Duration::from_millis(100),
            ping_misses: 50,
            drain_timeout: Duration::from_secs(10),
            inboxes: LocalStore::in_memory(node.parse().unwrap()),
            pipelines: vec![pipeline],
            dead_letters: forebay::dlq::DeadLetters::in_memory(forebay::dlq::Bounds::default()),
            blobs: None,
            observer: Arc::new(self.log.clone()),
            tracer: Tracer::OFF,
            loader: None,
            plugins: None,
            until_finished: false,
        }
    }

    fn peer_addr(&self, node: &str) -> PeerAddr {
        self.addr(node).to_string().parse().unwrap()
    }

    /// Starts a node that joins those others of a, b and c; it waits for none that it does not join.
    pub(crate) fn start(&self, node: &str, join: &[&str], pipeline: LoadedPipeline) -> Node {
        Node::start(self.joining(node, join, pipeline))
    }

    /// What [`World::start`] starts.
    pub(crate) fn joining(&self, node: &str, join: &[&str], pipeline: LoadedPipeline) -> NodeOptions {
        let agreement = self.agreement(node, join.len());
        let join = join.iter().map(|other| self.peer_addr(other)).collect();
        NodeOptions { join, agreement, ..self.options(node, pipeline) }
    }

    /// Starts a, b and c with a counter and sinks, one after the other, so that there is one owner: a.
    pub(crate) async fn start_three(&self, gate: &Gate) -> BTreeMap<&'static str, Node> {
        let mut nodes = BTreeMap::new();
        for (index, name) in ABC.into_iter().enumerate() {
            nodes.insert(name, self.start(name, &ABC[..index], self.numbers(gate)));
            let (_, epoch) = self.log.owner(0).await;
            self.log.subscribed(name, epoch).await;
        }
        let up = |entries: &[Entry]| events(entries).filter(|(_, event)| matches!(event, NodeEvent::PeerUp(_))).count();
        self.log.until("all are connected", |entries| up(entries) >= 6).await;
        let (mark, (_, epoch)) = (self.log.mark(), self.log.owner(0).await);
        // By then they have told each other their names, which nothing reports.
        self.log.taken_by(mark, &ABC, epoch).await;
        if self.quorum.is_some() {
            until_all_vote(nodes.values()).await;
        }
        nodes
    }

    /// A counter that never ends and a sink on every node.
    pub(crate) fn numbers(&self, gate: &Gate) -> LoadedPipeline {
        pipeline(NUMBERS, [("counter", counter(&self.log, u64::MAX)), ("sink", sink(&self.log, gate))])
    }
}

/// How many members vote, as a node sees it.
pub(crate) fn votes(report: &QuorumReport) -> usize {
    report.members.iter().filter(|member| member.votes).count()
}

/// What a node knows of its group.
pub(crate) fn report(node: &Node) -> QuorumReport {
    let registry = node.control().registry().expect("the node runs");
    registry.as_quorum().expect("the node is in quorum mode").report()
}

/// Waits until a node's view of its group is such, and gives it.
pub(crate) async fn until_report(node: &Node, what: &str, is_so: impl Fn(&QuorumReport) -> bool) -> QuorumReport {
    let looking = async {
        loop {
            let report = report(node);
            if is_so(&report) {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, looking).await;
    found.unwrap_or_else(|_| panic!("waited in vain for: {what}; the group is {:?}", report(node)))
}

/// Waits until all three nodes of a group vote, and it can be reached from each.
pub(crate) async fn until_all_vote<'a>(nodes: impl IntoIterator<Item = &'a Node>) {
    for node in nodes {
        until_report(node, "all three vote", |report| votes(report) == 3 && !report.changing && report.holds).await;
    }
}

/// Waits until something is so that nothing reports.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

/// Has each test run in both modes.
macro_rules! in_both_modes {
    ($($name:ident,)*) => {
        mod islands {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() { super::$name(crate::node::World::new()).await })*
        }
        mod by_quorum {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() { super::$name(crate::node::World::of_quorum()).await })*
        }
    };
}
pub(crate) use in_both_modes;

/// One counter for all, a sink on each node.
pub(crate) const NUMBERS: &str = r#"
    name = "numbers"
    [stages.counter]
    plugin = "native"
    scope = "global"
    poll = "10ms"
    [stages.sink]
    plugin = "native"
    subscribe = [{ to = "counter", max_demand = 5, min_demand = 0 }]
"#;

/// [`NUMBERS`] with more keys for the counter and for the sink, and another window between them.
pub(crate) fn numbers_with(counter: &str, sink: &str, (max, min): (u32, u32)) -> String {
    let window = format!("max_demand = {max}, min_demand = {min} }}]\n{sink}");
    let text = NUMBERS.replace("max_demand = 5, min_demand = 0 }]", &window);
    text.replace(r#"poll = "10ms""#, &format!("poll = \"10ms\"\n{counter}"))
}

/// The counter of [`NUMBERS`].
pub(crate) fn counter_name() -> GlobalName {
    GlobalName { pipeline: "numbers".parse().unwrap(), stage: "counter".parse().unwrap() }
}

/// A pipeline whose plugins are given by hand.
pub(crate) fn pipeline<const N: usize>(text: &str, plugins: [(&str, Arc<dyn Plugin>); N]) -> LoadedPipeline {
    let parsed = Pipeline::parse(text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    let plugins: Plugins = plugins.into_iter().map(|(stage, plugin)| (stage.parse().unwrap(), plugin)).collect();
    LoadedPipeline::new(parsed, plugins).unwrap()
}

/// Holds consumers back inside their calls while it is closed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<GateState>);

#[derive(Debug, Default)]
struct GateState {
    closed: AtomicBool,
    held: AtomicBool,
}

impl Gate {
    pub(crate) fn open() -> Self {
        Self::default()
    }

    pub(crate) fn set(&self, open: bool) {
        self.0.closed.store(!open, Ordering::Relaxed);
    }

    /// Blocks the thread, as a guest does that computes.
    fn pass(&self) {
        while self.0.closed.load(Ordering::Relaxed) {
            self.0.held.store(true, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until a consumer is held in its call.
    pub(crate) async fn holds(&self) {
        let held = async {
            while !self.0.held.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, held).await.expect("a consumer comes to the gate");
    }
}

impl Drop for OpenAtEnd<'_> {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

/// Opens the gate when the test is over, however it ends: a runtime waits for its blocked threads.
pub(crate) struct OpenAtEnd<'a>(pub(crate) &'a Gate);

/// Counts from 0 up to `limit`, anew in each instance. It never says that it has come to its end.
pub(crate) fn counter(log: &Log, limit: u64) -> Arc<dyn Plugin> {
    let log = log.clone();
    Native::producer("counter", move |spec| {
        let (log, node, mut next) = (log.clone(), spec.node.to_string(), 0);
        Ok(move |demand: u32| {
            let numbers = next..limit.min(next + u64::from(demand));
            next = numbers.end;
            for number in numbers.clone() {
                log.push(Entry::Emitted { node: node.clone(), number });
            }
            Ok(of_numbers(numbers).into())
        })
    })
}

/// Counts to `limit` and says that this was all.
pub(crate) fn finite(limit: u64) -> Arc<dyn Plugin> {
    Native::producer("finite", move |_| {
        let mut next = 0;
        Ok(move |demand: u32| {
            let numbers = next..limit.min(next + u64::from(demand));
            next = numbers.end;
            Ok(Produced { events: of_numbers(numbers), finished: next == limit })
        })
    })
}

pub(crate) fn of_numbers(numbers: impl Iterator<Item = u64>) -> Batch {
    Batch::from_payloads(numbers.map(|number| number.to_string()))
}

pub(crate) fn numbers_of(events: &Batch) -> Vec<u64> {
    events.iter().map(|event| std::str::from_utf8(event.payload).unwrap().parse().unwrap()).collect()
}

/// Takes events and notes them, a batch every few milliseconds, while the gate is open.
pub(crate) fn sink(log: &Log, gate: &Gate) -> Arc<dyn Plugin> {
    let (log, gate) = (log.clone(), gate.clone());
    Native::consumer("sink", move |spec| {
        let (log, gate, node) = (log.clone(), gate.clone(), spec.node.to_string());
        Ok(move |delivery: GuestDelivery| {
            std::thread::sleep(Duration::from_millis(5));
            gate.pass();
            note(&log, &node, &delivery);
            Ok(Vec::new())
        })
    })
}

pub(crate) fn note(log: &Log, node: &str, delivery: &GuestDelivery) {
    for number in numbers_of(&delivery.events) {
        let (node, attempt, epoch) = (node.to_owned(), delivery.attempt, delivery.epoch);
        log.push(Entry::Took { node, number, attempt, epoch });
    }
}

/// The order in which nodes would own the counter of [`NUMBERS`].
pub(crate) fn preferred(nodes: &[&'static str]) -> Vec<&'static str> {
    let names: Vec<NodeName> = nodes.iter().map(|node| node.parse().unwrap()).collect();
    let ranked = preference(&counter_name(), &names).into_iter();
    ranked.map(|node| *nodes.iter().find(|name| **name == node.as_str()).unwrap()).collect()
}

/// Ends a node in good order.
pub(crate) async fn end(mut node: Node) -> NodeExit {
    node.control().drain();
    tokio::time::timeout(PATIENCE, node.wait()).await.expect("the node ends")
}
