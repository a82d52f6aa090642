//! Subscriptions that drop what their stage cannot keep up with, instead of holding their source back.
//!
//! Such a subscription asks for the next events as soon as some have come. Up to `max_demand` events wait for
//! the guest or are with it; of more, the oldest or the newest that wait are dropped, acknowledged and counted.
//! So up to twice `max_demand` are open: as many again may be on their way.

use super::{Consumer, Queued, WhenFull, take_runs};
use crate::{
    batch::Batch,
    ids::SubId,
    message::{Demand, Events, Message, SeqRun},
    stage::{Notice, Outputs},
};

/// The demand that is stated to the producer: what waits here and what is on its way.
pub(super) fn stated(demand: Demand, when_full: WhenFull) -> Demand {
    if when_full == WhenFull::Block {
        return demand;
    }
    let max = demand.max().saturating_mul(2).min(Demand::MAX_ALLOWED);
    Demand::new(max, Some(demand.min())).unwrap_or(demand)
}

impl Consumer {
    /// Events have come in and stand in the queue: asks for more at once, and drops what is too much.
    pub(super) fn make_room(&mut self, sub: SubId, arrived: u32, out: &mut Outputs) {
        let Some(subscription) = self.subs.get_mut(&sub).filter(|sub| sub.when_full != WhenFull::Block) else { return };
        subscription.count_processed(arrived);
        subscription.held += u64::from(arrived);
        let excess = subscription.held.saturating_sub(u64::from(subscription.demand.max()));
        let when_full = subscription.when_full;
        let dropped = self.take_from_queue(sub, usize::try_from(excess).unwrap_or(usize::MAX), when_full);
        let Some(subscription) = self.subs.get_mut(&sub) else { return };
        let count: u64 = dropped.iter().map(|run| u64::from(run.count)).sum();
        subscription.held -= count;
        if count > 0 {
            out.notice(Notice::Dropped { sub, count });
        }
        out.send(sub, subscription.epoch, Message::Ask { granted: subscription.granted, acked: dropped });
    }

    /// Takes so many events of a subscription off what waits, or all there are; their numbers.
    fn take_from_queue(&mut self, sub: SubId, mut excess: usize, when_full: WhenFull) -> Vec<SeqRun> {
        if let Some(gather) = &mut self.gather {
            return gather.drop_events(sub, excess, when_full);
        }
        let mut taken = Vec::new();
        let mut take = |events: &mut Events| {
            let count = excess.min(events.events.len());
            excess -= count;
            if when_full == WhenFull::DropOldest {
                taken.extend(take_first(events, count));
            } else {
                let kept = events.events.len() - count;
                let mut last =
                    Events { attempt: events.attempt, runs: events.runs.clone(), events: events.events.clone() };
                let first = take_first(&mut last, kept);
                taken.extend(last.runs);
                *events = Events { attempt: events.attempt, runs: first, events: events.events.slice(0..kept) };
            }
        };
        let mut of_sub = Vec::new();
        for queued in &mut self.queue {
            if let Queued::Events(of, events) = queued
                && *of == sub
            {
                of_sub.push(events);
            }
        }
        if when_full == WhenFull::DropNewest {
            of_sub.reverse();
        }
        of_sub.into_iter().for_each(&mut take);
        self.queue.retain(|queued| !matches!(queued, Queued::Events(_, events) if events.events.is_empty()));
        taken
    }
}

/// Takes the first events off; their numbers.
fn take_first(events: &mut Events, count: usize) -> Vec<SeqRun> {
    let mut runs = std::mem::take(&mut events.runs).into();
    let first = take_runs(&mut runs, count);
    events.runs = runs.into();
    let _: Batch = events.events.take_front(count);
    first
}
