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

/// What became of a checkpoint that was proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proposed {
    /// It is the newest now.
    Committed,
    /// Somebody else claimed the stage since, or the checkpoint is no newer.
    Fenced,
}

impl Record {
    /// Grants the stage under a new epoch, unless another host has it.
    ///
    /// An owner claims again after its producer trapped.
    pub fn claim(&mut self, host: HostIndex) -> Option<Grant> {
        if self.owner.is_some_and(|owner| owner != host) {
            return None;
        }
        self.owner = Some(host);
        self.epoch += 1;
        Some(self.read_again(0))
    }

    /// Takes the stage from its owner, which is believed to be dead and is not told.
    pub fn vacate(&mut self) {
        self.owner = None;
    }

    /// Replaces the checkpoint if the epoch is still the newest and `proposed` reaches further.
    ///
    /// The owner of a vacated stage still may: its epoch is the newest, and the next claim reads what it
    /// wrote. A quorum that refuses it does less than this one, so what holds here holds there.
    pub fn checkpoint(&mut self, epoch: Epoch, proposed: History, variant: Variant) -> Proposed {
        let accepted = epoch == self.epoch && proposed.last() > self.checkpoint.last();
        if !accepted && variant != Variant::CheckpointWithoutCompareAndSet {
            return Proposed::Fenced;
        }
        self.checkpoint = proposed;
        Proposed::Committed
    }

    /// What a host that starts under the epoch it has, without a new claim, would go by.
    pub fn read_again(&self, restarts: u8) -> Grant {
        Grant { epoch: self.epoch, checkpoint: self.checkpoint.clone(), restarts }
    }
}
