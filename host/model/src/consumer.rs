//! The consumer: what it remembers, and what it makes of a batch.

use std::collections::BTreeSet;

use crate::event::{Batch, Epoch, Seq};
use crate::variant::Variant;

/// The memory of the consumer, all of which a crash takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Consumer {
    /// The newest epoch it has seen.
    newest_epoch: Epoch,
    /// What it acknowledged and has yet to process; only where it acknowledges on receipt.
    pub pending: BTreeSet<Batch>,
    /// The numbers it processed; only where it tells repetitions by number.
    processed: BTreeSet<Seq>,
}

/// What the consumer does with a batch. It acknowledges each but those refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reception {
    /// The epoch is over.
    Refused,
    /// Processed, then acknowledged.
    Processed,
    /// Acknowledged, to be processed later.
    Postponed,
    /// Taken for a repetition.
    Skipped,
}

impl Consumer {
    /// Whether it has seen a newer epoch.
    pub fn knows_newer_than(&self, epoch: Epoch) -> bool {
        epoch < self.newest_epoch
    }

    /// Whether it drops batches of this epoch.
    pub fn refuses(&self, epoch: Epoch, variant: Variant) -> bool {
        self.knows_newer_than(epoch) && variant != Variant::ConsumerDoesNotFence
    }

    /// Takes a batch.
    ///
    /// Processing and acknowledging are one step: a crash between them looks like an acknowledgement
    /// that the network never delivers.
    pub fn receive(&mut self, batch: Batch, variant: Variant) -> Reception {
        if self.refuses(batch.epoch, variant) {
            return Reception::Refused;
        }
        self.newest_epoch = self.newest_epoch.max(batch.epoch);
        match variant {
            Variant::AcknowledgedOnReceipt => {
                self.pending.insert(batch);
                Reception::Postponed
            }
            Variant::ConsumerDeduplicatesBySeq if !self.processed.insert(batch.event.seq) => Reception::Skipped,
            _ => Reception::Processed,
        }
    }
}
