//! What the quorum agrees on for one stage. Each method is one committed command.

use crate::event::{Epoch, History};
use crate::variant::Variant;

/// A host that may own the stage, counted from 0.
pub type HostIndex = usize;

/// The claim record of the stage: linearizable, because Raft makes it so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    /// Who may produce; nobody before the first claim and after the owner was given up.
    pub owner: Option<HostIndex>,
    /// The epoch of the newest claim. A vacated stage keeps it.
    pub epoch: Epoch,
    /// The newest checkpoint.
    pub checkpoint: History,
}

/// The answer to a claim. Epoch and checkpoint come from the same command: read one after the other,
/// another checkpoint could come between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    /// The new epoch.
    pub epoch: Epoch,
    /// What the producer restores; its next event follows it.
    pub checkpoint: History,
    /// How often a producer was started under this epoch before.
    pub restarts: u8,
}

/// A checkpoint on its way to the quorum.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Proposal {
    /// The epoch of the producer.
    pub epoch: Epoch,
    /// Its snapshot, and what was emitted before.
    pub checkpoint: History,
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is the newest checkpoint now.
    Committed,
    /// The stage was claimed since, or the checkpoint is no newer.
    Fenced,
}

impl Record {
    /// Grants the stage under a new epoch, unless another host has it.
    ///
    /// An owner claims again after its producer trapped.
    pub fn claim(&mut self, host: HostIndex) -> Option<Grant> {
        if !self.is_free_for(host) {
            return None;
        }
        self.owner = Some(host);
        self.epoch += 1;
        Some(self.read_again(0))
    }

    /// Whether a claim of this host is granted.
    pub fn is_free_for(&self, host: HostIndex) -> bool {
        self.owner.is_none_or(|owner| owner == host)
    }

    /// Takes the stage from its owner, which is believed to be dead and is not told.
    pub fn vacate(&mut self) {
        self.owner = None;
    }

    /// Replaces the checkpoint if the proposal is accepted.
    pub fn decide(&mut self, proposal: Proposal, variant: Variant) -> Decision {
        if !self.accepts(&proposal, variant) {
            return Decision::Fenced;
        }
        self.checkpoint = proposal.checkpoint;
        Decision::Committed
    }

    /// Whether the epoch is still the newest and the proposed checkpoint reaches further than this one.
    ///
    /// The owner of a vacated stage still may: its epoch is the newest, and the next claim reads what it
    /// wrote. A quorum that refuses it does less than this one, so what holds here holds there.
    pub fn accepts(&self, proposal: &Proposal, variant: Variant) -> bool {
        let newer = proposal.epoch == self.epoch && proposal.checkpoint.last() > self.checkpoint.last();
        newer || variant == Variant::CheckpointWithoutCompareAndSet
    }

    /// What a host that starts under the epoch it has, without a new claim, would go by.
    pub fn read_again(&self, restarts: u8) -> Grant {
        Grant { epoch: self.epoch, checkpoint: self.checkpoint.clone(), restarts }
    }
}
