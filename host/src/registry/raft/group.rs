//! A member of a group: starts openraft on a store, and says what can be asked of it.

mod change;
mod error;
mod serve;
mod status;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use forebay_proto::ids::NodeName;
use openraft::{Config, Raft, ReadPolicy, SnapshotPolicy, errors::RaftError};
use tokio::{task::JoinHandle, time::timeout};

pub use error::{ChangeError, GroupError, ProposeError, ReadError};
pub use status::{GroupStatus, StatusWatch};

use self::serve::Assembly;
use super::{
    network::{Clients, Peers},
    store::{Appetite, Log, MachineStore, Storage},
    types::{COMMAND_BYTES_MAX, Command, Machine, MemberId, Named, Types},
};

/// How long a piece of a snapshot may take, and its installation.
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(10);

/// After how many commands a snapshot is taken. SEMANTICS 6.4.
const SNAPSHOT_AFTER_ENTRIES: u64 = 5000;

/// How many entries stay in the log after a snapshot, for members that are a little behind.
const ENTRIES_KEPT: u64 = 500;

/// How fast the loss of a leader is noticed.
///
/// A heartbeat and a disk's fsync must fit several times into `election_min`, or members that are well
/// are taken for dead. Unit: milliseconds at the finest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// How often the leader says that it lives.
    pub heartbeat: Duration,
    /// How long a member waits at least for the leader before it wants to be one.
    pub election_min: Duration,
    /// How long at most; also how long a leader's lease lasts.
    pub election_max: Duration,
}

impl Default for Timing {
    /// 75 ms, 225 to 450 ms: a new leader after about 0.8 s. From SEMANTICS 6.3, between its two fastest.
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self { heartbeat: ms(75), election_min: ms(225), election_max: ms(450) }
    }
}

impl Timing {
    /// The same proportions with another heartbeat.
    pub fn from_heartbeat(heartbeat: Duration) -> Self {
        Self { heartbeat, election_min: 3 * heartbeat, election_max: 6 * heartbeat }
    }

    fn config(&self) -> Result<Config, GroupError> {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let config = Config {
            cluster_name: "forebay".to_owned(),
            heartbeat_interval: ms(self.heartbeat),
            election_timeout_min: ms(self.election_min),
            election_timeout_max: ms(self.election_max),
            install_snapshot_timeout: ms(SNAPSHOT_WITHIN),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_AFTER_ENTRIES),
            max_in_snapshot_log_to_keep: ENTRIES_KEPT,
            enable_pre_vote: Some(true),
            // A leader without a quorum keeps quiet for the time of its lease and one election, so that
            // those who can reach each other elect another (openraft issue 2080).
            quorum_loss_probe_interval: Some(ms(self.election_max).saturating_mul(2)),
            // What is agreed on is written lazily, see `Log::save_committed`.
            enable_leader_restore: Some(false),
            ..Config::default()
        };
        config.validate().map_err(|error| GroupError::Timing { timing: *self, found: error.to_string() })
    }
}

/// What a member is started with.
pub struct GroupOptions {
    /// Its number.
    pub member: MemberId,
    /// Its node.
    pub node: NodeName,
    /// The same for all members.
    pub timing: Timing,
    /// Where it keeps what must survive.
    pub storage: Storage,
    /// The state, new: it is brought to what the store holds.
    pub machine: Box<dyn Machine>,
    /// How it reaches the others.
    pub peers: Arc<dyn Peers>,
}

impl fmt::Debug for GroupOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (member, node, storage) = (self.member, &self.node, &self.storage);
        write!(f, "GroupOptions({member} {node} {:?} {storage:?} {:?})", self.timing, self.peers)
    }
}

/// A running member of a group.
///
/// It does nothing by itself until it is founded, or a leader of others has added it.
pub struct Group {
    member: MemberId,
    node: NodeName,
    raft: Raft<Types, MachineStore>,
    log: Log,
    /// Membership changes, one at a time: two at once may leave a joint configuration behind.
    changing: tokio::sync::Mutex<()>,
    /// The snapshot that is arriving in pieces.
    assembly: Mutex<Option<Assembly>>,
    /// Takes snapshots when commands were many bytes. Ended by `stop`.
    compaction: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({} {})", self.member, self.node)
    }
}

impl Group {
    /// Opens the store, brings the machine to what it holds, and takes part.
    ///
    /// The machine is as of the last agreement this member is sure of; it goes on as soon as a leader
    /// is heard. Two members must never run on copies of one store.
    ///
    /// # Errors
    /// [`GroupError::Timing`] and [`GroupError::Store`]; [`GroupError::Stopped`] if openraft refuses
    /// what the store holds.
    ///
    /// # Cancel safety
    /// The store may stay open for a moment.
    pub async fn start(options: GroupOptions) -> Result<Self, GroupError> {
        let GroupOptions { member, node, timing, storage, machine, peers } = options;
        let config = Arc::new(timing.config()?);
        let opened = storage.open(member, machine).await?;
        let (log, appetite) = (opened.log, opened.machine.appetite());
        let clients = Clients { peers, heartbeat: timing.heartbeat, election_min: timing.election_min };
        let raft = match Raft::new(member.0, config, clients, log.clone(), opened.machine).await {
            Ok(raft) => raft,
            Err(error) => {
                log.close().await;
                return Err(GroupError::Stopped(error.to_string()));
            }
        };
        let compaction = Mutex::new(Some(tokio::spawn(compact(raft.clone(), appetite))));
        let changing = tokio::sync::Mutex::new(());
        Ok(Self { member, node, raft, log, changing, assembly: Mutex::default(), compaction })
    }

    /// Makes this member the only voter of a new group.
    ///
    /// # Errors
    /// [`GroupError::NotFresh`] if it has been in a group before; [`GroupError::Stopped`].
    ///
    /// # Cancel safety
    /// The group may have been founded.
    pub async fn found(&self) -> Result<(), GroupError> {
        let alone = BTreeMap::from([(self.member.0, Named(self.node.clone()))]);
        self.raft.initialize(alone).await.map_err(|error| match error {
            RaftError::APIError(_) => GroupError::NotFresh,
            RaftError::Fatal(fatal) => GroupError::Stopped(self.why(&fatal)),
        })
    }

    /// Has the group agree on a command, and waits until this member's machine has carried it out.
    /// Gives the command's index in the log, and the machine's reply.
    ///
    /// # Errors
    /// [`ProposeError::NotLeader`]: nothing happened. [`ProposeError::Unknown`]: it may have happened, or
    /// may yet.
    ///
    /// # Cancel safety
    /// As if it had ended with [`ProposeError::Unknown`].
    pub async fn propose(&self, command: Bytes, within: Duration) -> Result<(u64, Bytes), ProposeError> {
        if command.len() > COMMAND_BYTES_MAX {
            return Err(ProposeError::TooLarge { bytes: command.len(), bytes_max: COMMAND_BYTES_MAX });
        }
        match timeout(within, self.raft.client_write(Command(command))).await {
            Err(_) => Err(ProposeError::Unknown),
            Ok(Ok(written)) => Ok((written.log_id.index, written.data)),
            Ok(Err(error)) => Err(self.not_proposed(error)),
        }
    }

    /// Returns once this member has carried out all that was agreed on before the call, as the leader.
    ///
    /// # Errors
    /// [`ReadError::NotLeader`], [`ReadError::NoQuorum`] if others do not confirm it in time.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn ensure_linearizable(&self, within: Duration) -> Result<(), ReadError> {
        match timeout(within, self.raft.ensure_linearizable(ReadPolicy::ReadIndex)).await {
            Err(_) => Err(ReadError::NoQuorum),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.not_read(error)),
        }
    }

    /// Tells the others at once what was agreed on, if this member leads; else they hear it with the next
    /// heartbeat.
    ///
    /// # Cancel safety
    /// They may have been told.
    pub async fn spread(&self) {
        // A stopped group has nothing to tell.
        let _ = self.raft.trigger().heartbeat().await;
    }

    /// Asks `to` to become the leader, if this member is. Whether it worked, the status shows.
    ///
    /// # Cancel safety
    /// It may have been asked.
    pub async fn transfer_leadership(&self, to: MemberId) {
        // A stopped group has no leadership to hand over.
        let _ = self.raft.trigger().transfer_leader(to.0).await;
    }

    /// Takes no part any more and closes the store. What is on its way is [`ProposeError::Unknown`] or
    /// [`ProposeError::Stopped`] to those who wait for it.
    ///
    /// # Cancel safety
    /// Call it again.
    pub async fn stop(&self) {
        let compaction = self.compaction.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = compaction {
            task.abort();
            let _ = task.await;
        }
        // An error says that it had stopped by itself, which the status told.
        let _ = self.raft.shutdown().await;
        self.log.close().await;
    }
}

impl Drop for Group {
    /// openraft ends when nobody can ask it any more; a task that could is one too many.
    fn drop(&mut self) {
        let compaction = self.compaction.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = compaction.take() {
            task.abort();
        }
    }
}

/// Takes a snapshot whenever the machine was fed many bytes, and lets go of what the one before covers: 500 entries
/// kept, as after a snapshot for their number, would be 500 MiB of memory where each is a batch of events. Ends
/// when openraft does.
async fn compact(raft: Raft<Types, MachineStore>, appetite: Arc<Appetite>) {
    let mut covered = None;
    loop {
        let covers = appetite.wants_snapshot().await;
        if let Some(upto) = covered.replace(covers)
            && raft.trigger().purge_log(upto).await.is_err()
        {
            return;
        }
        if raft.trigger().snapshot().await.is_err() {
            return;
        }
    }
}
