//! A host: the grant it got, and the instance of the producer it runs.

use std::collections::BTreeSet;

use crate::event::{Acknowledgement, Batch, Epoch, History, Run, Seq};
use crate::record::{Grant, Proposal};
use crate::variant::Variant;

/// A host. It knows of the record what the last grant told it, and nothing tells it when that is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Host {
    /// A grant for which no producer has been started yet.
    pub grant: Option<Grant>,
    /// The producer it runs.
    pub producer: Option<Producer>,
}

/// A running producer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Producer {
    /// The epoch on all it sends.
    pub epoch: Epoch,
    /// What its events are made by.
    run: Run,
    /// How often a producer had been started under the epoch before.
    pub restarts: u8,
    /// The last event of the checkpoint it was started from.
    restored: Seq,
    /// All events up to the last it emitted, those before its start included.
    emitted: History,
    /// Which of its own were acknowledged.
    acknowledged: BTreeSet<Seq>,
}

impl Producer {
    /// Starts a producer from the checkpoint of a grant.
    pub fn restore(grant: Grant, variant: Variant) -> Self {
        let Grant { epoch, checkpoint, restarts } = grant;
        let run = match variant {
            Variant::DeterministicProducer => Run::default(),
            _ => Run { epoch, restarts },
        };
        let restored = checkpoint.last();
        Self { epoch, run, restarts, restored, emitted: checkpoint, acknowledged: BTreeSet::new() }
    }

    /// The number of the last event it emitted, or was restored to.
    pub fn last(&self) -> Seq {
        self.emitted.last()
    }

    /// The last event of the checkpoint it was started from, 0 if that was empty.
    pub fn restored(&self) -> Seq {
        self.restored
    }

    /// Emits the next event.
    pub fn emit(&mut self) -> Batch {
        Batch { epoch: self.epoch, event: self.emitted.append(self.run) }
    }

    /// Whether an acknowledgement tells it something.
    pub fn awaits(&self, acknowledgement: Acknowledgement, variant: Variant) -> bool {
        let Acknowledgement { epoch, seq } = acknowledgement;
        let ours = epoch == self.epoch || variant == Variant::AcknowledgementOfAnyEpoch;
        ours && seq > self.restored && seq <= self.last() && !self.acknowledged.contains(&seq)
    }

    /// Takes an acknowledgement.
    pub fn acknowledge(&mut self, acknowledgement: Acknowledgement) {
        self.acknowledged.insert(acknowledgement.seq);
    }

    /// The checkpoint it could propose now, if there is one newer than that it was restored from.
    pub fn proposal(&self, variant: Variant) -> Option<Proposal> {
        let last = match variant {
            Variant::CheckpointOfLastSent => self.last(),
            Variant::CheckpointOfLargestAcknowledged => *self.acknowledged.last()?,
            _ => self.all_acknowledged_to(),
        };
        (last > self.restored).then(|| Proposal { epoch: self.epoch, checkpoint: self.emitted.up_to(last) })
    }

    /// The last number up to which there is no gap in what was acknowledged.
    fn all_acknowledged_to(&self) -> Seq {
        let acknowledged = |seq: &Seq| self.acknowledged.contains(seq);
        (self.restored + 1..).take_while(acknowledged).last().unwrap_or(self.restored)
    }
}
