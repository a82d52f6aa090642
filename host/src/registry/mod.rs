//! The seam to agreement: who owns which global name.
//!
//! `islands` agrees with the nodes it can reach, `quorum` by a majority. Every implementation passes
//! the suite in `tests/all/registry.rs`.

mod islands;
pub mod quorum;
pub mod raft;
mod tenure;

pub use islands::IslandsRegistry;
pub use tenure::{Clock, TenureWatch};

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_proto::{
    checkpoints::Commit,
    ids::{BootId, Epoch, NodeName, Seq},
    inbox::Full,
    names::{Change, Claim, GlobalName, quorum::GroupId},
    orders::{By, Ordered, StageOrder},
    wire::{Agreement, Checkpoint},
};

/// A claim was not granted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ClaimError {
    /// Another node owns the name.
    #[error("{} is owned by {} in epoch {}", .0.name, .0.node, .0.epoch)]
    Held(Claim),
    /// It may not be claimed by this node, with the reason.
    #[error("the claim was refused: {0}")]
    Refused(String),
    /// Whether it was granted is not known, for the group cannot be reached; claim again.
    #[error("no answer of the group: {0}")]
    Unknown(String),
}

/// A checkpoint was not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CheckpointError {
    /// It came from an owner that is none any more, or out of order: stop at once.
    #[error(transparent)]
    Fenced(#[from] forebay_proto::names::Fenced),
    /// Whether it was taken is not known, for the group cannot be reached; state it again.
    #[error("no answer of the group: {0}")]
    Unknown(String),
}

/// Events from outside were not taken, or not surely.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IngestError {
    /// There is no room for them just now; nothing was taken. The text has the figures.
    #[error(transparent)]
    Full(#[from] Full),
    /// They cannot be taken, and sending them again will not help; nothing was taken.
    #[error("{0}")]
    Refused(String),
    /// Whether they were taken is not known, for the group cannot be reached; send them again with the same numbers.
    #[error("it is not known whether the events were taken, send them again with the same numbers: {0}")]
    Unknown(String),
    /// The disk says no; nothing was taken that it can promise to keep.
    #[error("{place} cannot be written, the events were not taken; see to the disk and send them again")]
    Io {
        /// Which file.
        place: String,
        /// What the disk says.
        #[source]
        source: Arc<std::io::Error>,
    },
}

/// Who owns which name, as far as this node can know.
///
/// What must hold of every implementation:
/// - Every granted claim has an epoch above all epochs of that name that this node has heard of;
///   also where the node that claims owns the name already, since every new instance of a producer
///   needs an epoch of its own.
/// - A checkpoint is a compare-and-set on (epoch, previous checkpoint).
/// - Changes come in the order in which they were decided. A node that owned a name and hears
///   [`Change::Lost`] must end its stage.
#[async_trait]
pub trait Registry: Send + Sync + fmt::Debug {
    /// Claims `name` for this node, in a new epoch.
    ///
    /// # Errors
    /// [`ClaimError`]. Bounded in time.
    ///
    /// # Cancel safety
    /// Whether the claim was made is not known; claim again.
    async fn claim(&self, name: &GlobalName) -> Result<Claim, ClaimError>;

    /// Gives a name up, with the reason for the history. Harmless if it is not ours, or ours in
    /// another epoch. Bounded in time.
    ///
    /// `false`: the claim may still stand, for the group cannot be reached; release again. It does not end
    /// by itself while this process lives: what is renewed is the lease of all that the process owns.
    ///
    /// # Cancel safety
    /// As for `claim`; release again.
    async fn release(&self, name: &GlobalName, epoch: Epoch, why: &str) -> bool;

    /// Records that everything before `commit.seq` is settled, and the state that a successor begins with.
    ///
    /// # Errors
    /// [`CheckpointError`].
    ///
    /// # Cancel safety
    /// Whether it was recorded is not known; state it again.
    async fn checkpoint(&self, name: &GlobalName, epoch: Epoch, commit: &Commit) -> Result<(), CheckpointError>;

    /// What the last checkpoint of a name has recorded, as far as this node knows: for the owner of the name
    /// at least that of its claim's `progress`, in a group. Islands know what this process recorded, and what the last
    /// owner told it.
    fn last_checkpoint(&self, name: &GlobalName) -> Option<(Seq, Bytes)>;

    /// The last checkpoint of a name of ours, for peers: one of them goes on from there when we are gone. Only
    /// in islands mode; a group has all of them.
    fn shared_checkpoint(&self, _name: &GlobalName) -> Option<Checkpoint> {
        None
    }

    /// A peer tells of one of its own.
    fn on_checkpoint(&self, _peer: &NodeName, _checkpoint: Checkpoint) {}

    /// What people have ordered of a stage, of whatever scope, as far as this node knows. Whenever it is another
    /// [`Change::Ordered`] says so.
    fn ordered(&self, name: &GlobalName) -> Ordered;

    /// Has a person's order to a stage kept: in a group for as long as that lives, on islands as long as this process.
    ///
    /// # Errors
    /// With the reason. Whether it is kept is not known then, for the group cannot be reached; order it again.
    ///
    /// # Cancel safety
    /// As after an error.
    async fn order_stage(&self, name: &GlobalName, by: By, order: StageOrder) -> Result<(), String>;

    /// The claim that stands, as far as this node knows now.
    fn lookup(&self, name: &GlobalName) -> Option<Claim>;

    /// The claims of this process that stand.
    fn own(&self) -> Vec<Claim>;

    /// The next change. For one listener: a change is handed out once.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn next_change(&self) -> Change;

    /// How it agrees.
    fn agreement(&self) -> Agreement;

    /// The registry of a group, for what only a group has.
    fn as_quorum(&self) -> Option<&quorum::QuorumRegistry> {
        None
    }

    /// Whether owners on this node may go on just now.
    /// For the owner of `name` in `epoch`: not from the moment on in which it is known here that somebody
    /// else may own it.
    fn tenure(&self, name: &GlobalName, epoch: Epoch) -> TenureWatch;

    /// The group this node belongs to, if it does by now.
    fn group(&self) -> Option<GroupId>;

    /// A peer is connected, in this start of its process.
    fn on_peer_up(&self, peer: &NodeName, boot: BootId);

    /// A peer has stated all its claims.
    fn on_names(&self, peer: &NodeName, claims: Vec<Claim>);

    /// A peer's connection is lost. `ended`: its process has ended, by the word of its kernel or its
    /// own; a hint.
    fn on_peer_down(&self, peer: &NodeName, boot: BootId, ended: bool);

    /// Answers a request of a peer's registry.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn answer(&self, peer: &NodeName, addr: std::net::SocketAddr, request: Bytes) -> Bytes;

    /// This node is about to end: what it does for others passes to others. Bounded in time.
    async fn leave(&self);

    /// Ends its tasks and closes its files.
    async fn stop(&self);
}

/// How a registry reaches those of other nodes.
#[async_trait]
pub trait Peers: Send + Sync + fmt::Debug {
    /// Asks a peer.
    ///
    /// # Errors
    /// If it is not connected or does not answer in time, with the reason.
    ///
    /// # Cancel safety
    /// Whether the peer acts on the request is not known.
    async fn ask(&self, peer: &NodeName, request: Bytes, within: Duration) -> Result<Bytes, String>;

    /// Who is connected.
    fn connected(&self) -> Vec<NodeName>;
}
