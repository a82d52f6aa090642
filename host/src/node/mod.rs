//! A node: its links to others, its stages, and who owns what.
//!
//! | task | owns | ends |
//! |---|---|---|
//! | core | the tables of peers and stages, [`Placement`](forebay_proto::names::Placement) | last, after shutdown |
//! | accept | the transport's accepting side | with the core |
//! | dial, one per address | an outgoing connection | with the core |
//! | admin, and one per client | the socket; a client's connection | when it is dropped; with the client |
//! | link, one per connection to a peer | a control channel, its pings | with its connection |
//! | operator, one per connection of one | its channels, each with a question | with its connection |
//! | stage, one per running stage | a [`Stage`](forebay_proto::stage::Stage) and its lines | see `Exit` |
//! | worker, one per running stage | the instance | with its stage, after its last call |
//! | look-away, one per stage that is tapped | when nobody looks any more | then, or with its stage |
//! | reader and writer, one per line | a half of a channel | with its line |
//!
//! Calls go down: the core tells stages and links what to do by bounded queues; they report back by
//! theirs. Nothing is locked across an await.

pub mod admin;
mod agreement;
mod blobs;
mod calls;
mod claims;
mod core;
mod counters;
mod deploy;
mod dial;
mod directory;
mod event;
mod exchange;
mod letters;
mod line;
mod link;
mod operators;
mod peers;
mod pipelines;
mod shutdown;
mod stage;
mod tap;
mod trace;
mod vitals;

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use forebay_blobs::BlobStore;
use forebay_proto::ids::{BootId, NodeName, StageName};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

pub use blobs::Blobs;
pub use deploy::{LoadFailure, Loader, StoreLoader};
pub use event::{NodeEvent, Observer, Silent};
pub use link::group_at;
pub use pipelines::{LoadedPipeline, RoleError};
pub use trace::Tracer;

use crate::{
    config::{Agreement, NodeConfig, PeerAddr},
    disk::DiskRoom,
    dlq::DeadLetters,
    inbox::LocalStore,
    registry::{
        Registry,
        quorum::{Home, QuorumOptions},
        raft::Timing,
    },
    runtime::Plugin,
    transport::Transport,
};

/// How a node agrees with others on owners.
#[derive(Clone, Debug)]
pub enum AgreementOptions {
    /// With whom it can reach.
    Islands,
    /// By a majority.
    Quorum(QuorumOptions),
}

/// What a node is made of.
#[derive(Debug)]
pub struct NodeOptions {
    /// Its name; the transport's certificate must be for it.
    pub name: NodeName,
    /// This start of it.
    pub boot: BootId,
    /// Its door to the others.
    pub transport: Arc<dyn Transport>,
    /// Nodes to connect to.
    pub join: Vec<PeerAddr>,
    /// How long to wait before that.
    pub join_after: Duration,
    /// Where others are told to reach this node.
    pub advertise: Option<SocketAddr>,
    /// How nodes agree on owners.
    pub agreement: AgreementOptions,
    /// What stages may ask of the node they run on.
    pub labels: BTreeSet<String>,
    /// How long to wait for the nodes in `join` before claiming global names.
    pub settle: Duration,
    /// Time between two pings of a peer.
    pub ping_interval: Duration,
    /// Intervals without a word after which a peer is taken for lost.
    pub ping_misses: u32,
    /// How long stages may take to hand out what they have when the node, or they, stop.
    pub drain_timeout: Duration,
    /// The inboxes it keeps by itself.
    pub inboxes: LocalStore,
    /// What it runs.
    pub pipelines: Vec<LoadedPipeline>,
    /// Where it keeps events that could not be processed.
    pub dead_letters: DeadLetters,
    /// Where it keeps plugins and pipeline files, to give them to its peers. Without one it has none.
    pub blobs: Option<BlobStore>,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
    /// Who is told what crosses its edges.
    pub tracer: Tracer,
    /// Where pipelines come from that are deployed; `None`: the node runs only what it was given.
    pub loader: Option<Arc<dyn Loader>>,
    /// A folder of plugins: what is put there can be used by its name in the whole cluster. Needs `loader` and `blobs`.
    pub plugins: Option<PathBuf>,
    /// Shut down by itself once every producer without upstream has come to its end and everything
    /// it emitted was processed.
    pub until_finished: bool,
}

impl NodeOptions {
    /// What a node's configuration says, with the parts that were made from it. Dead letters and inboxes of its
    /// own are in memory, and there are no blobs; who has a data directory gives them a place there.
    pub fn new(
        config: &NodeConfig,
        transport: Arc<dyn Transport>,
        pipelines: Vec<LoadedPipeline>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            name: config.name.clone(),
            boot: new_boot(),
            transport,
            join: config.join.clone(),
            join_after: config.join_after,
            advertise: config.advertise,
            agreement: agreement_options(config),
            labels: config.labels.clone(),
            settle: config.settle,
            ping_interval: config.ping_interval,
            ping_misses: config.ping_misses,
            drain_timeout: config.drain_timeout,
            inboxes: LocalStore::in_memory(config.name.clone()),
            pipelines,
            dead_letters: DeadLetters::in_memory(config.dead_letters),
            blobs: None,
            observer,
            tracer: Tracer::OFF,
            loader: None,
            plugins: None,
            until_finished: false,
        }
    }
}

fn agreement_options(config: &NodeConfig) -> AgreementOptions {
    match config.agreement {
        Agreement::Islands => AgreementOptions::Islands,
        Agreement::Quorum => {
            let mut options = QuorumOptions::new(Home::Directory(config.data.join("raft")));
            // Who is told whom to join is not the first, unless all start together.
            options.expect = config.expected();
            options.voters = config.voters;
            options.lease = config.lease;
            options.timing = Timing::from_heartbeat(config.heartbeat);
            options.room = DiskRoom::of(&config.data, config.disk_reserve);
            AgreementOptions::Quorum(options)
        }
    }
}

/// A number no other start of this node has.
fn new_boot() -> BootId {
    let random = ring::rand::generate::<[u8; 8]>(&ring::rand::SystemRandom::new());
    BootId(u64::from_le_bytes(random.expect("the system has random numbers").expose()))
}

/// How a node ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeExit {
    /// Stages that gave up, with why. A node that runs until finished ends without waiting for them.
    pub gave_up: Vec<(StageName, String)>,
    /// Stages that did not finish handing out what they had within the drain time.
    pub cut_short: Vec<StageName>,
    /// Why it could take part in its group no more, if that is why it ended.
    pub expelled: Option<Expelled>,
}

/// Why a node cannot take part in its group any more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Expelled {
    /// It was removed, or its place was taken.
    Removed(String),
    /// What it keeps on disk cannot be used or written.
    Failed(String),
}

/// What is wanted of a node.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Wanted {
    #[default]
    Run,
    /// End in good order.
    Drain,
    /// End at once.
    Stop,
}

/// A running node. Dropping it ends it at once, without a word to others.
#[derive(Debug)]
pub struct Node {
    control: NodeControl,
    desk: admin::Desk,
    blobs: Option<Blobs>,
    task: JoinHandle<NodeExit>,
}

impl Node {
    /// Starts a node on the current tokio runtime.
    pub fn start(options: NodeOptions) -> Self {
        let (wanted, told) = watch::channel(Wanted::Run);
        let (joins, joining) = mpsc::channel(JOINS_LEN);
        let (questions, asked) = mpsc::channel(admin::QUESTIONS_LEN);
        let letters = letters::LetterDesk::new(options.name.clone(), questions.clone(), options.dead_letters.clone());
        let (fits, fitting) = mpsc::channel(deploy::FITS_LEN);
        let refits = fits.clone();
        let inboxes =
            core::Inboxes { wanted: told, joins: joining, questions: asked, fits: fitting, letters: letters.clone() };
        let (loader, store, folder) = (options.loader.clone(), options.blobs.clone(), options.plugins.clone());
        let mut core = core::Core::new(options, inboxes);
        let blobs = store.map(|store| Blobs::new(store, &core.directory));
        let desk = loader.as_ref().zip(blobs.clone()).map(|(loader, blobs)| {
            loader.connect(blobs.clone());
            admin::DeployDesk { node: core.name.clone(), blobs, loader: Arc::clone(loader) }
        });
        if let Some(loader) = loader {
            let (node, registry) = (core.name.clone(), Arc::clone(&core.registry));
            let standings = Arc::clone(&core.standings);
            tokio::spawn(deploy::Fitter { node, registry, loader, fits, standings }.run());
        }
        if let Some((desk, folder)) = desk.clone().zip(folder) {
            let registry = Arc::downgrade(&core.registry);
            tokio::spawn(deploy::Drops { registry, desk, folder }.run());
        }
        let desk = admin::Desk::new(questions, letters, desk, &core);
        core.open(operators::Operators::new(desk.clone()));
        let control = NodeControl { wanted, joins, refits, registry: Arc::downgrade(&core.registry) };
        Self { control, desk, blobs, task: tokio::spawn(core.run()) }
    }

    /// Where this node is asked what it is doing.
    pub fn desk(&self) -> admin::Desk {
        self.desk.clone()
    }

    /// This node's blobs, and the way to those of its peers. `None`: it keeps none.
    pub fn blobs(&self) -> Option<Blobs> {
        self.blobs.clone()
    }

    /// What gives this node orders from other tasks.
    pub fn control(&self) -> NodeControl {
        self.control.clone()
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// If the node's task panicked, with its message.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait(&mut self) -> NodeExit {
        match (&mut self.task).await {
            Ok(exit) => exit,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => unreachable!("the task is aborted only when the node is dropped"),
        }
    }
}

/// Orders to join that a node has not taken. When full, who gives them waits.
const JOINS_LEN: usize = 16;

/// Gives a node orders, from wherever they are decided.
#[derive(Clone, Debug)]
pub struct NodeControl {
    wanted: watch::Sender<Wanted>,
    joins: mpsc::Sender<SocketAddr>,
    refits: mpsc::Sender<deploy::Fit>,
    /// Weak: whoever gives orders does not keep a node's files open that has ended.
    registry: Weak<dyn Registry>,
}

impl NodeControl {
    /// The node's part in the agreement: what it knows of it, and orders to it. `None` once the node
    /// has ended.
    pub fn registry(&self) -> Option<Arc<dyn Registry>> {
        self.registry.upgrade()
    }

    /// Connects to one more node, from now on and whenever the connection is lost. Nothing once the
    /// node has ended.
    ///
    /// # Cancel safety
    /// Cancel safe: the order is given or not.
    pub async fn join(&self, addr: SocketAddr) {
        // It fails only when the node has ended.
        let _ = self.joins.send(addr).await;
    }

    /// Brings a pipeline of the node to another version, where the node is on its own: stages whose code or settings are others
    /// are replaced, new ones start, those that are not there any more end. A node that takes part in deployments is given
    /// them by its group. Nothing once the node has ended.
    ///
    /// # Cancel safety
    /// Cancel safe: the order is given or not.
    pub async fn refit(&self, pipeline: LoadedPipeline) {
        // It fails only when the node has ended.
        let _ = self.refits.send(pipeline.into_fit()).await;
    }

    /// Begins an orderly shutdown; see `shutdown.rs` for its steps. Harmless when repeated.
    pub fn drain(&self) {
        self.wanted.send_if_modified(|wanted| {
            let before = *wanted;
            *wanted = before.max(Wanted::Drain);
            *wanted != before
        });
    }

    /// Ends at once: stages are stopped where they are, peers are told.
    pub fn stop(&self) {
        self.wanted.send_replace(Wanted::Stop);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The plugins of a pipeline, by stage.
pub type Plugins = HashMap<StageName, Arc<dyn Plugin>>;
