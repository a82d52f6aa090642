//! The registry that agrees by a majority: names, epochs, checkpoints and node records in a ledger that
//! every member of the group holds, kept equal by the consensus protocol in [`raft`](super::raft).
//!
//! ```text
//!            no place yet                                a member
//!   start --> joining (join.rs): found a group, --> taking part (member.rs): boot, renew;
//!             or ask those who are in one               the leader: admit, vote, vacate
//! ```
//!
//! - `machine.rs`: the ledger, and what this node is told of its changes.
//! - `inbox.rs`: events from outside, for stages.
//! - `deployments.rs`, `conduct.rs`: what is to run, and, for the leader, how it gets there.
//! - `propose.rs`: having something agreed on, wherever the leader is.
//! - `recovery.rs`: going on alone when a quorum is gone for good.
//! - `home.rs`: what a node keeps of its place.
//!
//! A node without a place answers no vote and votes for nobody. A node whose data was lost is another
//! member: it gets another number, and the former number is retired.

mod conduct;
mod deployments;
mod home;
mod inbox;
mod join;
mod machine;
mod member;
mod propose;
mod recovery;
mod report;

use std::{
    collections::BTreeSet,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_proto::{
    checkpoints::Commit,
    ids::{BootId, Epoch, NodeName, Seq},
    names::{
        Change, Claim, GlobalName,
        quorum::{
            Answer, Command, Founding, GroupId, LEASE_DEFAULT, Leases, MemberNo, Outcome, PipelineRecord, Request,
            Tenure,
        },
    },
    orders::{By, Ordered, StageOrder},
    wire::Agreement,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

pub use home::{Home, HomeError, MemoryHome, Place};
pub use recovery::{NoRecovery, Remains};
pub use report::{MemberReport, QuorumReport};

use super::{
    CheckpointError, ClaimError, Clock, Peers, Registry, TenureWatch,
    raft::{Group, Timing},
    tenure::TenureCell,
};
use crate::disk::DiskRoom;
use machine::Agreed;

/// How a node takes part in a group.
#[derive(Clone, Debug)]
pub struct QuorumOptions {
    /// Where it keeps its place, its log and its snapshots.
    pub home: Home,
    /// How many nodes, itself included, found a group together; 0: it only joins one.
    pub expect: u16,
    /// How many members vote at most; odd.
    pub voters: usize,
    /// How long an owner that is not heard is waited for.
    pub lease: Duration,
    /// Of the consensus protocol.
    pub timing: Timing,
    /// What leases are measured with.
    pub clock: Clock,
    /// What the disk has left: when that is too little, no events are taken.
    pub room: DiskRoom,
}

impl QuorumOptions {
    /// The defaults, for a node that founds its own group.
    pub fn new(home: Home) -> Self {
        let (timing, clock, room) = (Timing::default(), Clock::SinceBoot, DiskRoom::unlimited());
        Self { home, expect: 1, voters: 3, lease: LEASE_DEFAULT, timing, clock, room }
    }
}

/// Who this node is, for its registry.
#[derive(Clone, Debug)]
pub struct Myself {
    /// Its name.
    pub node: NodeName,
    /// This start of it.
    pub boot: BootId,
    /// Where others reach it, if it knows.
    pub addr: Option<SocketAddr>,
    /// What it runs.
    pub pipelines: Vec<PipelineRecord>,
}

/// See the module's documentation. Dropping it ends its tasks.
pub struct QuorumRegistry {
    inner: Arc<Inner>,
    tasks: Mutex<JoinSet<()>>,
}

impl fmt::Debug for QuorumRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuorumRegistry").field("node", &self.inner.me.node).finish_non_exhaustive()
    }
}

/// What the tasks and the callers of a registry share.
struct Inner {
    me: Myself,
    options: QuorumOptions,
    peers: Arc<dyn Peers>,
    agreed: Arc<Agreed>,
    phase: watch::Sender<Phase>,
    founding: Mutex<Founding>,
    leases: Mutex<Leases>,
    tenure: Mutex<Tenure>,
    cell: TenureCell,
    /// Numbers of wishes, so that one that is proposed twice is granted once.
    request: AtomicU64,
    /// There is something to do before the next look.
    woken: Notify,
    /// Of this node's data.
    store: AtomicU64,
    /// Processes whose claims this leader is having ended: they are not renewed meanwhile.
    vacating: Mutex<BTreeSet<(NodeName, BootId)>>,
    /// The group it belongs to, from the moment in which that is known.
    group: OnceLock<GroupId>,
    /// Requests that were refused.
    refused: AtomicU64,
    /// The last term in which this leader has carried out all that was agreed on before.
    term_begun: AtomicU64,
    looked: Mutex<Looked>,
}

/// When a member last looked at what there is to do.
struct Looked {
    /// By the clock of leases.
    at: Duration,
    /// When its last pause ended, as far as it had one.
    resumed: Option<tokio::time::Instant>,
}

/// How far this node has come.
#[derive(Clone)]
enum Phase {
    /// Without a place, with what it waits for.
    Joining(String),
    Member(Membership),
    /// It takes part no more, with the reason.
    Ended(String),
}

/// This node's part in a group.
#[derive(Clone)]
struct Membership {
    group: GroupId,
    member: MemberNo,
    raft: Arc<Group>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each holds a state machine whose steps cannot be interrupted halfway.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl QuorumRegistry {
    /// Starts taking part on the current tokio runtime. What goes wrong is told as [`Change::Failed`].
    pub fn start(me: Myself, options: QuorumOptions, peers: Arc<dyn Peers>) -> Self {
        let inner = Arc::new(Inner {
            agreed: Agreed::new(me.node.clone(), me.boot),
            phase: watch::Sender::new(Phase::Joining("its own data to be read".to_owned())),
            founding: Mutex::new(Founding::new(me.node.clone(), options.expect)),
            leases: Mutex::new(Leases::new(options.lease)),
            tenure: Mutex::new(Tenure::new(options.lease)),
            cell: TenureCell::new(options.clock),
            request: AtomicU64::new(1),
            woken: Notify::new(),
            store: AtomicU64::new(0),
            vacating: Mutex::default(),
            group: OnceLock::new(),
            refused: AtomicU64::new(0),
            term_begun: AtomicU64::new(0),
            looked: Mutex::new(Looked { at: options.clock.now(), resumed: None }),
            me,
            options,
            peers,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&inner).run());
        Self { inner, tasks: Mutex::new(tasks) }
    }

    /// Has an operator's order agreed on.
    ///
    /// # Errors
    /// With the reason: the group cannot be reached, or refuses.
    ///
    /// # Cancel safety
    /// Whether it was agreed on is not known; order it again.
    pub async fn order(&self, command: Command) -> Result<(), String> {
        match self.inner.propose(command).await? {
            Outcome::Refused(why) => Err(why),
            _ => Ok(()),
        }
    }
}

impl Inner {
    async fn run(self: Arc<Self>) {
        let ended = match self.take_place().await {
            Ok(membership) => {
                self.phase.send_replace(Phase::Member(membership.clone()));
                let ended = self.take_part(&membership).await;
                self.phase.send_replace(Phase::Ended(ended.reason().to_owned()));
                // Its files are closed, so that another process may open them.
                membership.raft.stop().await;
                ended
            }
            Err(ended) => ended,
        };
        self.phase.send_replace(Phase::Ended(ended.reason().to_owned()));
        self.agreed.tell(ended.into());
    }

    fn membership(&self) -> Option<Membership> {
        match &*self.phase.borrow() {
            Phase::Member(membership) => Some(membership.clone()),
            Phase::Joining(_) | Phase::Ended(_) => None,
        }
    }

    fn store(&self) -> u64 {
        self.store.load(Ordering::Relaxed)
    }

    fn now(&self) -> Duration {
        self.options.clock.now()
    }
}

/// Why a node takes part no more.
enum Ended {
    Removed(String),
    Failed(String),
}

impl Ended {
    fn reason(&self) -> &str {
        match self {
            Self::Removed(why) | Self::Failed(why) => why,
        }
    }
}

impl From<Ended> for Change {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Removed(why) => Self::Removed(why),
            Ended::Failed(why) => Self::Failed(why),
        }
    }
}

#[async_trait]
impl Registry for QuorumRegistry {
    async fn claim(&self, name: &GlobalName) -> Result<Claim, ClaimError> {
        let inner = &self.inner;
        let request = inner.request.fetch_add(1, Ordering::Relaxed);
        let (node, boot) = (inner.me.node.clone(), inner.me.boot);
        let command = Command::Claim { name: name.clone(), node, boot, request };
        match inner.propose(command).await.map_err(ClaimError::Unknown)? {
            Outcome::Claimed(claim) => {
                // Its stage begins where the last checkpoint was, so that must be known here.
                inner.hears_of(claim.epoch).await.map_err(ClaimError::Unknown)?;
                inner.agreed.grant(claim.clone());
                Ok(claim)
            }
            Outcome::Held(claim) => Err(ClaimError::Held(claim)),
            Outcome::Refused(why) => Err(ClaimError::Refused(why)),
            other => Err(ClaimError::Unknown(format!("an answer to something else: {other:?}"))),
        }
    }

    async fn release(&self, name: &GlobalName, epoch: Epoch, why: &str) -> bool {
        if !self.inner.agreed.own().iter().any(|claim| claim.name == *name && claim.epoch == epoch) {
            return true;
        }
        let command = Command::Release { name: name.clone(), epoch, why: why.to_owned() };
        let error = match self.inner.propose(command).await {
            Ok(Outcome::Done) => return true,
            Ok(other) => format!("{other:?}"),
            Err(error) => error,
        };
        tracing::warn!(%name, %epoch, %error, "the name could not be given up");
        false
    }

    async fn checkpoint(&self, name: &GlobalName, epoch: Epoch, commit: &Commit) -> Result<(), CheckpointError> {
        let Commit { previous, seq, snapshot } = commit.clone();
        let command = Command::Checkpoint { name: name.clone(), epoch, previous, seq, snapshot };
        match self.inner.propose(command).await.map_err(CheckpointError::Unknown)? {
            Outcome::Done => Ok(()),
            Outcome::Fenced(fenced) => Err(CheckpointError::Fenced(fenced)),
            other => Err(CheckpointError::Unknown(format!("an answer to something else: {other:?}"))),
        }
    }

    fn last_checkpoint(&self, name: &GlobalName) -> Option<(Seq, Bytes)> {
        self.inner.agreed.read(|ledger| {
            let checkpoint = ledger.record(name)?.checkpoint()?;
            Some((checkpoint.seq, checkpoint.snapshot.clone()))
        })
    }

    fn ordered(&self, name: &GlobalName) -> Ordered {
        self.inner.agreed.read(|ledger| ledger.ordered().of(name))
    }

    async fn order_stage(&self, name: &GlobalName, by: By, order: StageOrder) -> Result<(), String> {
        self.order(Command::StageOrder { name: name.clone(), by, order }).await
    }

    fn lookup(&self, name: &GlobalName) -> Option<Claim> {
        self.inner.agreed.lookup(name)
    }

    fn own(&self) -> Vec<Claim> {
        self.inner.agreed.own()
    }

    async fn next_change(&self) -> Change {
        self.inner.agreed.next_change().await
    }

    fn agreement(&self) -> Agreement {
        Agreement::Quorum
    }

    fn as_quorum(&self) -> Option<&QuorumRegistry> {
        Some(self)
    }

    fn tenure(&self, name: &GlobalName, epoch: Epoch) -> TenureWatch {
        let (agreed, name) = (Arc::clone(&self.inner.agreed), name.clone());
        self.inner.cell.watch().that_needs(move || agreed.stands(&name, epoch))
    }

    fn group(&self) -> Option<GroupId> {
        self.inner.group.get().copied()
    }

    fn on_peer_up(&self, peer: &NodeName, boot: BootId) {
        lock(&self.inner.leases).connected(peer, boot);
    }

    fn on_names(&self, _: &NodeName, _: Vec<Claim>) {}

    fn on_peer_down(&self, peer: &NodeName, boot: BootId, ended: bool) {
        lock(&self.inner.founding).forget(peer);
        if ended {
            lock(&self.inner.leases).ended(peer, boot);
            self.inner.wake();
        }
    }

    async fn answer(&self, peer: &NodeName, addr: SocketAddr, request: Bytes) -> Bytes {
        let answer = match Request::decode(&request) {
            Ok(request) => self.inner.answer(peer, addr, request).await,
            Err(error) => Answer::Refused(format!("the request cannot be read: {error}")),
        };
        if matches!(answer, Answer::Refused(_) | Answer::Retired(_)) {
            self.inner.refused.fetch_add(1, Ordering::Relaxed);
        }
        answer.encode()
    }

    async fn leave(&self) {
        self.inner.pass_leadership().await;
    }

    async fn stop(&self) {
        lock(&self.tasks).abort_all();
        if let Some(membership) = self.inner.membership() {
            membership.raft.stop().await;
        }
    }
}
