//! The seam to agreement: who owns which global name.
//!
//! `islands` agrees with the nodes it can reach. Every implementation passes the suite in
//! `tests/all/registry.rs`.

mod islands;
pub mod raft;

pub use islands::IslandsRegistry;

use std::fmt;

use async_trait::async_trait;
use forebay_proto::{
    ids::{Epoch, Seq},
    names::{Change, Claim, GlobalName},
};

/// A claim was not granted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ClaimError {
    /// Another node owns the name.
    #[error("{} is owned by {} in epoch {}", .0.name, .0.node, .0.epoch)]
    Held(Claim),
}

/// A checkpoint was not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CheckpointError {
    /// It came from an owner that is none any more, or out of order: stop at once.
    #[error(transparent)]
    Fenced(#[from] forebay_proto::names::Fenced),
}

/// Who owns which name, as far as this node can know.
///
/// What must hold of every implementation:
/// - Every granted claim has an epoch above all epochs of that name that this node has heard of;
///   also where the node that claims owns the name already, since every new instance of a producer
///   needs an epoch of its own.
/// - A checkpoint is a compare-and-set on (epoch, previous checkpoint).
/// - Changes come in the order in which they were decided. A node that owned a name and hears
///   [`Change::Lost`] must drain and stop its stage.
#[async_trait]
pub trait Registry: Send + Sync + fmt::Debug {
    /// Claims `name` for this node, in a new epoch.
    ///
    /// # Errors
    /// [`ClaimError::Held`] with the claim that stands.
    ///
    /// # Cancel safety
    /// Whether the claim was made is not known; claim again.
    async fn claim(&self, name: &GlobalName) -> Result<Claim, ClaimError>;

    /// Gives a name up. Harmless if it is not ours, or ours in another epoch.
    ///
    /// # Cancel safety
    /// As for `claim`; release again.
    async fn release(&self, name: &GlobalName, epoch: Epoch);

    /// Records that everything up to `seq` was processed.
    ///
    /// # Errors
    /// [`CheckpointError::Fenced`].
    ///
    /// # Cancel safety
    /// Whether it was recorded is not known; state it again.
    async fn checkpoint(&self, name: &GlobalName, epoch: Epoch, previous: Seq, seq: Seq)
    -> Result<(), CheckpointError>;

    /// The claim that stands, as far as this node knows now.
    fn lookup(&self, name: &GlobalName) -> Option<Claim>;

    /// The next change. For one listener: a change is handed out once.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn next_change(&self) -> Change;
}
