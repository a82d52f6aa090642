//! One subscription as its consumer counts it: what was asked for, came, and is done with.

use super::{CancelMode, WhenFull};
use crate::{
    ids::{Epoch, StageName},
    message::{Demand, Events, Reason},
};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) source: StageName,
    pub(super) epoch: Epoch,
    pub(super) demand: Demand,
    pub(super) cancel: CancelMode,
    pub(super) when_full: WhenFull,
    /// Received and neither acknowledged nor dropped; kept only where events are dropped.
    pub(super) held: u64,
    /// All events asked for and received since the start.
    pub(super) granted: u64,
    pub(super) received: u64,
    /// Asked for and not processed yet: GenStage's `pending`.
    pub(super) pending: u32,
    /// At so many pending events or fewer the difference to `max` is asked for.
    pub(super) refill_at: u32,
    /// Processed, and not to be acknowledged yet.
    pub(super) held_back: u32,
    /// Its end waits in the queue: nothing is sent on it any more.
    pub(super) ended: bool,
}

impl Subscription {
    pub(super) fn is_with(&self, source: &StageName, epoch: Epoch) -> bool {
        !self.ended && self.source == *source && self.epoch == epoch
    }

    pub(super) fn admit(&mut self, epoch: Epoch, events: &Events) -> Result<(), Reason> {
        if epoch != self.epoch {
            return Err(Reason::StaleEpoch);
        }
        let received = self.received + events.events.len() as u64;
        if received > self.granted {
            // GenStage logs this and goes on; here a grant is what bounds memory on both sides, so a
            // producer that breaks it is cut off.
            let excess = received - self.granted;
            return Err(Reason::Protocol(format!("{excess} events more than asked for")));
        }
        self.received = received;
        Ok(())
    }

    /// Acknowledged or given back. One that drops has asked for more when they came.
    pub(super) fn count_done(&mut self, count: u32) {
        match self.when_full {
            WhenFull::Block => self.count_processed(count),
            WhenFull::DropOldest | WhenFull::DropNewest => self.held = self.held.saturating_sub(count.into()),
        }
    }

    /// GenStage's `split_batches`: what was open falls by the batch; at `min` or below (just below `max`, if it
    /// gathers), the
    /// difference to `max` is asked for.
    pub(super) fn count_processed(&mut self, count: u32) {
        self.pending -= count;
        if self.pending <= self.refill_at {
            self.granted += u64::from(self.demand.max() - self.pending);
            self.pending = self.demand.max();
        }
    }
}
