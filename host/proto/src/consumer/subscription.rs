//! One subscription as its consumer counts it: what was asked for, came, and is done with.

use super::{AskMode, CancelMode, UpstreamOptions, WhenFull};
use crate::{
    ids::{Epoch, StageName, SubId},
    message::{Demand, Events, Message, Reason},
    stage::Outputs,
};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) source: StageName,
    pub(super) epoch: Epoch,
    pub(super) demand: Demand,
    pub(super) cancel: CancelMode,
    pub(super) when_full: WhenFull,
    pub(super) ask: AskMode,
    /// More is asked for when enough is done: by itself, and not while the stage is suspended.
    pub(super) refills: bool,
    /// Received and neither acknowledged nor dropped; kept only where events are dropped.
    pub(super) held: u64,
    /// All events asked for and received since the start.
    pub(super) granted: u64,
    pub(super) received: u64,
    /// Asked for and not processed yet: GenStage's `pending`.
    pub(super) pending: u32,
    /// At so many pending events or fewer the difference to `max` is asked for.
    pub(super) refill_at: u32,
    /// Of those the guest was given, to be acknowledged when they are processed, and what became of them.
    pub(super) given: u32,
    /// Processed, and not to be acknowledged yet.
    pub(super) held_back: u32,
    /// Its end waits in the queue: nothing is sent on it any more.
    pub(super) ended: bool,
}

impl Subscription {
    /// One that has `granted` events at its start. `gathers`: its events are gathered in groups, of which one may need
    /// all that `max_demand` allows.
    pub(super) fn new(options: &UpstreamOptions, epoch: Epoch, granted: u32, gathers: bool) -> Self {
        let UpstreamOptions { source, demand, cancel, when_full, ask, .. } = options;
        Self {
            source: source.clone(),
            epoch,
            demand: *demand,
            cancel: *cancel,
            when_full: if *ask == AskMode::Manual { WhenFull::Block } else { *when_full },
            ask: *ask,
            refills: *ask == AskMode::Auto,
            held: 0,
            granted: granted.into(),
            received: 0,
            pending: granted,
            refill_at: if gathers { demand.max() - 1 } else { demand.min() },
            given: 0,
            held_back: 0,
            ended: false,
        }
    }

    /// Asked for, and not come yet. Unit: events.
    pub(super) fn coming(&self) -> u32 {
        u32::try_from(self.granted.saturating_sub(self.received)).unwrap_or(u32::MAX)
    }

    /// Asked for and not given to the guest yet. Unit: events.
    pub(super) fn not_given(&self) -> u32 {
        self.pending.saturating_sub(self.given)
    }

    /// How much more may be asked for now. Unit: events.
    pub(super) fn room(&self) -> u32 {
        self.demand.max().saturating_sub(self.pending)
    }

    /// Says what is granted, and acknowledges nothing.
    pub(super) fn send_ask(&self, sub: SubId, out: &mut Outputs) {
        out.send(sub, self.epoch, Message::Ask { granted: self.granted, acked: Vec::new() });
    }

    pub(super) fn grant(&mut self, count: u32) {
        self.granted += u64::from(count);
        self.pending += count;
    }

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
        self.given = self.given.saturating_sub(count);
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
        self.refill();
    }

    /// Asks for what is missing to `max`, if so much is missing that it is time.
    pub(super) fn refill(&mut self) {
        if self.refills && self.pending <= self.refill_at {
            self.grant(self.room());
        }
    }
}
