//! The machine, as openraft sees it: commands in order, snapshots, and what the membership is.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use openraft::{
    OptionalSend, RaftSnapshotBuilder,
    storage::{EntryResponder, RaftStateMachine},
};
use tokio::sync::Notify;

use super::snapshot::Snapshots;
use crate::registry::raft::types::{Entry, LogId, Machine, Payload, Snapshot, SnapshotMeta, StoredMembership, Types};

/// After how many bytes of commands a snapshot is wanted, however few commands they were.
///
/// They are all in memory until then. 16 MiB: SEMANTICS 6.4.
const SNAPSHOT_AFTER_BYTES: u64 = 16 << 20;

/// The machine of one member, with what it has carried out so far.
pub(in crate::registry::raft) struct MachineStore {
    machine: Box<dyn Machine>,
    last_applied: Option<LogId>,
    membership: StoredMembership,
    snapshots: Snapshots,
    appetite: Arc<Appetite>,
}

/// Counts what was carried out since somebody last wanted a snapshot for it.
#[derive(Debug, Default)]
pub(in crate::registry::raft) struct Appetite {
    bytes: AtomicU64,
    /// The last command counted.
    index: AtomicU64,
    full: Notify,
}

impl Appetite {
    fn add(&self, index: u64, bytes: usize) {
        let bytes = bytes as u64;
        self.index.store(index, Ordering::Relaxed);
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > SNAPSHOT_AFTER_BYTES {
            self.bytes.store(0, Ordering::Relaxed);
            self.full.notify_one();
        }
    }

    /// Waits until a snapshot is wanted for the bytes of commands. Gives the place in the log of a command that it
    /// will cover.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(in crate::registry::raft) async fn wants_snapshot(&self) -> u64 {
        self.full.notified().await;
        self.index.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for MachineStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineStore").field("last_applied", &self.last_applied).finish_non_exhaustive()
    }
}

impl MachineStore {
    /// The machine in the state of the last snapshot.
    ///
    /// # Errors
    /// What the machine says about that snapshot.
    pub(super) fn new(machine: Box<dyn Machine>, snapshots: Snapshots) -> Result<Self, String> {
        let (last_applied, membership) = (None, StoredMembership::default());
        let mut store = Self { machine, last_applied, membership, snapshots, appetite: Arc::default() };
        if let Some(last) = store.snapshots.last() {
            store.become_like(&last.meta, &last.snapshot)?;
        }
        Ok(store)
    }

    pub(in crate::registry::raft) fn appetite(&self) -> Arc<Appetite> {
        self.appetite.clone()
    }

    fn become_like(&mut self, meta: &SnapshotMeta, state: &[u8]) -> Result<(), String> {
        self.machine.restore(state)?;
        self.last_applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        Ok(())
    }

    /// Carries out one entry. The reply to anything but a command is empty.
    fn carry_out(&mut self, entry: Entry) -> Bytes {
        self.last_applied = Some(entry.log_id);
        match entry.payload {
            Payload::Blank => Bytes::new(),
            Payload::Normal(command) => {
                self.appetite.add(entry.log_id.index, command.0.len());
                self.machine.apply(entry.log_id.index, &command.0).into()
            }
            Payload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
                Bytes::new()
            }
        }
    }
}

impl RaftStateMachine<Types> for MachineStore {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.last_applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let reply = self.carry_out(entry);
            if let Some(responder) = responder {
                responder.send(reply);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let meta = SnapshotMeta { last_log_id: self.last_applied, last_membership: self.membership.clone() };
        let snapshot = Snapshot { meta, snapshot: self.machine.snapshot().into() };
        Builder { snapshot, snapshots: self.snapshots.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, state: Bytes) -> io::Result<()> {
        // In this order: a snapshot that the machine refuses must not be found at the next start.
        self.become_like(meta, &state).map_err(|why| io::Error::other(format!("snapshot refused: {why}")))?;
        self.snapshots.save(Snapshot { meta: meta.clone(), snapshot: state }).await
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self.snapshots.last())
    }
}

/// How often it is looked whether a full disk has room again.
const ROOM_AGAIN: Duration = Duration::from_millis(250);

/// A snapshot that is taken but not saved yet.
#[derive(Debug)]
pub(in crate::registry::raft) struct Builder {
    snapshot: Snapshot,
    snapshots: Snapshots,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let mut waits = false;
        loop {
            match self.snapshots.save(self.snapshot.clone()).await {
                // A snapshot only makes the log shorter. The member goes on without it until there is room.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    if !std::mem::replace(&mut waits, true) {
                        let bytes = self.snapshot.snapshot.len();
                        tracing::warn!(bytes, "the disk is full: a snapshot waits for room");
                    }
                    tokio::time::sleep(ROOM_AGAIN).await;
                }
                saved => return saved.map(|()| self.snapshot.clone()),
            }
        }
    }
}
