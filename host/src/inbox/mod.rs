//! Durable inboxes: events pushed into a stage from outside, kept until they were processed.
//!
//! ```text
//!  client --(client, request, events)--> ingest --> on disk, of a majority where the stage is global
//!         <-- position of the first ----             |
//!                                                    v  in order of positions
//!  the stage's owner -- next(from) ------------------+
//!                    -- processed(epoch, upto) -----> dropped
//! ```
//!
//! - [`quorum`](QuorumInbox): of a global stage, where nodes agree by majority: in the ledger of every member.
//! - [`local`](LocalInbox): of a stage of node scope, and in islands mode: in a database of this node, or in memory.
//!
//! Which of the two a stage has, [`Inboxes`] decides.

mod cut;
mod local;
mod quorum;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use forebay_proto::{
    batch::Batch,
    ids::Epoch,
    names::{Fenced, GlobalName},
    pipeline::Scope,
    wire::Agreement,
};

use crate::registry::Registry;
pub use crate::registry::{CheckpointError, IngestError};
pub use local::{LocalInbox, LocalStore, OpenError};
pub use quorum::QuorumInbox;

/// Events as they stand in an inbox, without gaps.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InboxEvents {
    /// The position of the first.
    pub first: u64,
    /// At least one event; event `i` has position `first + i`.
    pub events: Batch,
}

impl InboxEvents {
    /// The position after the last: what to ask for next, and what to state as processed once all are.
    pub fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }
}

/// The inbox of one stage.
///
/// What must hold of every implementation:
/// - Positions count events from 0 and never come back, also when the inbox was empty in between, its node was
///   started again, or another node took over.
/// - Once `ingest` has returned a position, the events survive the loss of power: of this node for the inbox of a
///   node, of any minority of the voters for that of a group. They stay until `processed` has named a position
///   after them.
/// - Events of one `ingest` stand next to each other, in their order.
/// - The same (client, request) is taken once, as long as the client is among the last 1,024 that sent
///   anything: what it is answered the second time is what it was answered the first time. A client's requests
///   have rising numbers, one at a time; one below its last is refused, so that a late copy changes nothing.
/// - Events that were not confirmed may be there nevertheless, and be processed.
/// - Nothing is taken beyond the bounds in [`forebay_proto::inbox`], and nothing while the disk has less room than
///   its reserve. What is there stays readable, and `processed` works, also then.
///
/// Processing is at least once: who is started again begins at [`position`](Inbox::position), which is not after
/// the last `processed` that returned, as far as this node has heard. For one reader at a time; who it may be,
/// `processed` decides by the epoch.
#[async_trait]
pub trait Inbox: Send + Sync + fmt::Debug {
    /// Puts events in. Gives the position of the first, once they will not be lost any more. Bounded in time.
    ///
    /// # Errors
    /// [`IngestError`]: after `Full` and `Refused` nothing has changed; after `Unknown` and `Io` they may have been
    /// taken, and asking again with the same numbers tells.
    ///
    /// # Cancel safety
    /// As after `Unknown`.
    async fn ingest(&self, client: u128, request: u64, events: Batch) -> Result<u64, IngestError>;

    /// The events from position `from` on, or from the first that is kept, if that is later: at most `events_max`
    /// of at most `bytes_max` bytes together, but at least one. Waits until there is one.
    ///
    /// What was returned stays, and is returned again to who asks for it again.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn next(&self, from: u64, events_max: usize, bytes_max: usize) -> InboxEvents;

    /// Everything before `upto` is processed and acknowledged end to end: it may be dropped. Never goes back: an
    /// earlier position than before changes nothing. Bounded in time.
    ///
    /// # Errors
    /// [`CheckpointError::Fenced`] if `epoch` is not that of the owner, or if there are no such events: stop at once.
    /// `Unknown`: state it again, or a later position.
    ///
    /// # Cancel safety
    /// Whether it was recorded is not known; state it again.
    async fn processed(&self, epoch: Epoch, upto: u64) -> Result<(), CheckpointError>;

    /// Where processing begins, as far as this node knows now: everything before is processed.
    fn position(&self) -> u64;
}

/// The inboxes of a node's stages.
#[derive(Debug)]
pub struct Inboxes {
    registry: Arc<dyn Registry>,
    local: LocalStore,
    /// Those that were asked for, so that all who ask share one.
    known: Mutex<BTreeMap<GlobalName, Arc<dyn Inbox>>>,
}

impl Inboxes {
    /// Global stages use the registry's group, if it is one; all others `local`.
    pub fn new(registry: Arc<dyn Registry>, local: LocalStore) -> Self {
        Self { registry, local, known: Mutex::default() }
    }

    /// The inbox of a stage. Bounded by the stages of this node's pipelines, which the caller asks for only.
    pub fn of(&self, name: &GlobalName, scope: Scope) -> Arc<dyn Inbox> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || -> Arc<dyn Inbox> {
            match (scope, self.registry.agreement()) {
                (Scope::Global, Agreement::Quorum) => {
                    Arc::new(QuorumInbox::new(Arc::clone(&self.registry), name.clone()))
                }
                _ => Arc::new(self.local.inbox(name.clone())),
            }
        };
        Arc::clone(known.entry(name.clone()).or_insert_with(make))
    }
}

/// What an owner is told whose epoch is over, or who is out of order.
fn fenced(name: &GlobalName, epoch: Epoch, upto: u64, current: Epoch, position: u64) -> CheckpointError {
    let current = Some((current, forebay_proto::ids::Seq(position)));
    CheckpointError::Fenced(Fenced { name: name.clone(), epoch, previous: upto, current })
}
