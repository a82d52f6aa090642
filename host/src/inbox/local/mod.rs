//! The inboxes that one node keeps by itself: in a redb database, or in memory.
//!
//! What is to be written waits in one queue; whoever finds nobody writing starts a writer, which takes all that waits
//! in one commit (group commit) until the queue is empty. Memory is changed after the disk was, so a reader never
//! sees what may be gone after a loss of power, and a failed commit leaves everything as it was.

mod database;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use forebay_proto::{
    batch::Batch,
    ids::{Epoch, NodeName},
    inbox::{Full, InboxQueue, NotTaken, Parcel},
    names::GlobalName,
};
use tokio::sync::{oneshot, watch};

use super::{
    CheckpointError, Inbox, InboxEvents, IngestError,
    cut::{LastRead, Wish},
    fenced,
};
use crate::disk::DiskRoom;
pub use database::OpenError;
use database::{Opener, Store};
use writer::{Job, Pending};

/// The inboxes of one node. Clones are handles on the same.
#[derive(Clone)]
pub struct LocalStore(Arc<Shared>);

struct Shared {
    node: NodeName,
    room: DiskRoom,
    state: Mutex<State>,
    /// Events may have been put into any inbox.
    news: watch::Sender<()>,
    /// `None`: everything is in memory only.
    disk: Option<Mutex<Store>>,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<GlobalName, InboxQueue>,
    /// The highest epoch that has said what it processed, since this start of the process.
    epochs: BTreeMap<GlobalName, Epoch>,
    /// What is not on disk yet. Bounded by who waits for it: one for each client and stage.
    pending: Vec<Pending>,
    /// Somebody is emptying `pending`.
    writing: bool,
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalStore").field("on_disk", &self.0.disk.is_some()).finish_non_exhaustive()
    }
}

impl LocalStore {
    /// Inboxes that end with the process: for `forebay run`, and for tests.
    pub fn in_memory(node: NodeName) -> Self {
        Self::new(node, DiskRoom::unlimited(), BTreeMap::new(), None)
    }

    /// Those in `inbox.redb` of a node's data directory. Blocks. `room` is that of the disk: without it nothing is
    /// taken.
    ///
    /// # Errors
    /// [`OpenError`]: a node must not begin without events that it has confirmed.
    pub fn open(node: NodeName, data: &Path, room: DiskRoom) -> Result<Self, OpenError> {
        Self::open_with(node, room, database::in_directory(data))
    }

    fn open_with(node: NodeName, room: DiskRoom, opener: Opener) -> Result<Self, OpenError> {
        let (store, queues) = Store::open(opener)?;
        Ok(Self::new(node, room, queues, Some(Mutex::new(store))))
    }

    fn new(
        node: NodeName,
        room: DiskRoom,
        queues: BTreeMap<GlobalName, InboxQueue>,
        disk: Option<Mutex<Store>>,
    ) -> Self {
        let state = Mutex::new(State { queues, ..State::default() });
        Self(Arc::new(Shared { node, room, state, news: watch::Sender::new(()), disk }))
    }

    /// The inbox of one stage.
    pub fn inbox(&self, name: GlobalName) -> LocalInbox {
        LocalInbox { store: self.clone(), name, last_read: LastRead::default() }
    }

    /// Gives work to the writer, and waits for what comes of it.
    async fn carry_out<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job, name: &GlobalName) -> Option<T> {
        let (done, waiting) = oneshot::channel();
        let pending = Pending { name: name.clone(), job: job(done) };
        let starts = {
            let mut state = self.0.state();
            state.pending.push(pending);
            !std::mem::replace(&mut state.writing, true)
        };
        if starts {
            let shared = Arc::clone(&self.0);
            match &self.0.disk {
                // It ends by itself when nothing waits; whoever waits is told by it.
                Some(_) => drop(tokio::task::spawn_blocking(move || shared.write_all())),
                None => shared.write_all(),
            }
        }
        waiting.await.ok()
    }
}

impl Shared {
    /// A panic while the lock was held would have been in code of ours that leaves the state whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The inbox of one stage, of those that one node keeps by itself.
///
/// An epoch below the highest that has said what it processed is fenced, counted from the start of the process:
/// epochs of stages of node scope begin anew with it, and so do their instances.
#[derive(Debug)]
pub struct LocalInbox {
    store: LocalStore,
    name: GlobalName,
    last_read: LastRead,
}

impl LocalInbox {
    fn look(&self, wish: Wish) -> Option<InboxEvents> {
        let (position, entries) = {
            let state = self.store.0.state();
            let queue = state.queues.get(&self.name)?;
            (queue.position(), wish.entries(queue))
        };
        self.last_read.cut(wish, position, &entries)
    }

    /// What is known before anything is written.
    fn foresee(&self, client: u128, request: u64, parcel: &Parcel) -> Result<Option<u64>, IngestError> {
        let shared = &self.store.0;
        let known = {
            let state = shared.state();
            let empty = InboxQueue::default();
            let queue = state.queues.get(&self.name).unwrap_or(&empty);
            queue.foresee(client, request, parcel.count(), parcel.events().len())
        };
        match known.map_err(IngestError::from)? {
            Some(first) => Ok(Some(first)),
            None => shared.room.check().map(|()| None).map_err(|low| {
                let node = shared.node.clone();
                IngestError::Full(Full::Disk { node, free: low.free, reserve: low.reserve })
            }),
        }
    }
}

impl From<NotTaken> for IngestError {
    fn from(why: NotTaken) -> Self {
        match why {
            NotTaken::Full(full) => Self::Full(full),
            NotTaken::Refused(why) => Self::Refused(why),
        }
    }
}

#[async_trait]
impl Inbox for LocalInbox {
    async fn ingest(&self, client: u128, request: u64, events: Batch) -> Result<u64, IngestError> {
        let parcel = Parcel::pack(&events).map_err(|error| IngestError::Refused(error.to_string()))?;
        if let Some(first) = self.foresee(client, request, &parcel)? {
            return Ok(first);
        }
        let taken = self.store.carry_out(|done| Job::Ingest { client, request, parcel, done }, &self.name).await;
        taken.unwrap_or_else(|| Err(IngestError::Unknown("the node is ending".to_owned())))
    }

    async fn next(&self, from: u64, events_max: usize, bytes_max: usize) -> InboxEvents {
        let wish = Wish { from, events_max, bytes_max };
        // Listening begins before the look, so that nothing in between is missed.
        let mut news = self.store.0.news.subscribe();
        loop {
            if let Some(events) = self.look(wish) {
                return events;
            }
            news.changed().await.expect("its sender is in the store, which this inbox holds");
        }
    }

    async fn processed(&self, epoch: Epoch, upto: u64) -> Result<(), CheckpointError> {
        {
            let mut state = self.store.0.state();
            let highest = state.epochs.entry(self.name.clone()).or_insert(epoch);
            if epoch < *highest {
                let current = *highest;
                drop(state);
                return Err(fenced(&self.name, epoch, upto, current, self.position()));
            }
            *highest = epoch;
        }
        let recorded = self.store.carry_out(|done| Job::Processed { epoch, upto, done }, &self.name).await;
        recorded.unwrap_or_else(|| Err(CheckpointError::Unknown("the node is ending".to_owned())))
    }

    fn position(&self) -> u64 {
        self.store.0.state().queues.get(&self.name).map_or(0, InboxQueue::position)
    }
}
