//! Each event to one subscription, largest open demand first (GenStage's `DemandDispatcher`).

use std::time::Duration;

use super::{AWAY_DEFAULT, AboveMax, Dispatcher, Ledger, Parting, SETTLING, pool::Pool};
use crate::{
    chunks::Chunks,
    ids::{Seq, SubId},
    message::{Reason, SeqRun, Subscribe},
    producer::{BufferOptions, Subs},
    stage::Notice,
};

/// Serves the subscription with the largest open demand first; of equal ones that which reached the
/// figure first.
///
/// Unlike the original it keeps no count of demand left behind by cancelled subscriptions: the
/// producer counts what it asked its guest for, which says the same and cannot strand events.
///
/// While nobody selects by topic it takes events only for whoever has demand, and the producer's buffer holds the
/// others. As soon as somebody does it takes all, and holds them itself by who selects them.
#[derive(Debug)]
pub(super) struct Demand {
    pool: Pool,
    /// Expected of one ask at most.
    max: Option<u32>,
    /// Shuffle once, before the first dispatch.
    shuffle_seed: Option<u64>,
    buffer: BufferOptions,
    now: Duration,
    /// What nobody wants waits until then.
    settling: Option<Duration>,
}

impl Demand {
    pub(super) fn new(max: Option<u32>, shuffle_seed: Option<u64>, buffer: BufferOptions) -> Self {
        let pool = Pool::that_outlives_its_members();
        Self { pool, max, shuffle_seed, buffer, now: Duration::ZERO, settling: None }
    }
}

/// What nobody wants is done with.
fn settle_unwanted(unwanted: &Chunks, ledger: &mut Ledger) {
    if !unwanted.is_empty() {
        unwanted.runs().into_iter().for_each(|run| ledger.settle(run));
        ledger.notice(Notice::Unwanted { count: unwanted.len() as u64 });
    }
}

impl Dispatcher for Demand {
    fn at(&mut self, now: Duration, ledger: &mut Ledger, _: &Subs) {
        self.now = now;
        let settling = *self.settling.get_or_insert(now + SETTLING);
        let was_settling = std::mem::replace(&mut self.pool.keeps_all, now < settling);
        if was_settling && !self.pool.keeps_all && !self.pool.is_plain() {
            settle_unwanted(&self.pool.sort_anew(), ledger);
        }
        settle_unwanted(&self.pool.at(now), ledger);
    }

    fn timeout(&self) -> Option<Duration> {
        let settling =
            self.settling.filter(|_| self.pool.keeps_all && !self.pool.is_plain() && self.pool.waiting() > 0);
        self.pool.timeout().into_iter().chain(settling).min()
    }

    fn subscribe(&mut self, sub: SubId, subscribe: &Subscribe, ledger: &mut Ledger, _: &Subs) -> Result<(), Reason> {
        settle_unwanted(&self.pool.join(sub, &subscribe.select.topics, false), ledger);
        Ok(())
    }

    fn ask(&mut self, sub: SubId, count: u32) -> Option<AboveMax> {
        let max = *self.max.get_or_insert(count);
        self.pool.ask(sub, count);
        (count > max).then_some(AboveMax { max, asked: count })
    }

    fn released(&mut self, _: SubId, _: SeqRun, _: &mut Ledger) {}

    fn put_later(&mut self, _: SubId, due: Duration, events: Chunks) {
        self.pool.put_later(due, events);
    }

    fn processed(&mut self, _: SubId, run: SeqRun, ledger: &mut Ledger) {
        self.pool.extract_again(run).runs().into_iter().for_each(|run| ledger.settle(run));
    }

    fn end(&mut self, sub: SubId, parting: Parting, unacked: Chunks, ledger: &mut Ledger, _: &Subs) {
        let away = (parting == Parting::Lost).then_some(self.now + AWAY_DEFAULT);
        // Where nobody selects there is nothing to wait for: whoever is there gets all.
        let away = away.filter(|_| !self.pool.is_plain());
        settle_unwanted(&self.pool.leave(sub, away), ledger);
        settle_unwanted(&self.pool.put_again(unacked), ledger);
    }

    /// What waits for consumers without demand is bounded by the buffer's size: no more is asked for than fits, if
    /// all of it were for them.
    fn open(&self) -> u64 {
        let demand = self.pool.demand();
        if self.pool.is_plain() {
            return demand;
        }
        demand.min(self.buffer.size_max().saturating_sub(self.pool.queued()) as u64)
    }

    fn room(&self) -> usize {
        match self.pool.is_plain() {
            true => usize::try_from(self.pool.demand()).unwrap_or(usize::MAX),
            false if self.pool.has_members() => usize::MAX,
            false => 0,
        }
    }

    fn take(&mut self, events: Chunks, ledger: &mut Ledger) {
        settle_unwanted(&self.pool.put(events), ledger);
    }

    fn next(&mut self) -> Option<(SubId, Chunks)> {
        if self.shuffle_seed.is_some() && self.pool.is_ready() {
            self.shuffle_seed.take().into_iter().for_each(|seed| self.pool.shuffle(seed));
        }
        self.pool.next()
    }

    fn trim(&mut self, added: usize, ledger: &mut Ledger) {
        let Some(size) = self.buffer.size else { return };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let excess = self.pool.queued().saturating_sub(size).min(added);
        let discarded = self.pool.trim(excess, self.buffer.keep, false);
        if !discarded.is_empty() {
            discarded.runs().into_iter().for_each(|run| ledger.settle(run));
            ledger.notice(Notice::Discarded { count: discarded.len() as u64 });
        }
    }

    fn queued(&self) -> usize {
        self.pool.queued()
    }

    fn waiting(&self) -> usize {
        self.pool.waiting()
    }

    fn first(&self) -> Option<Seq> {
        self.pool.first()
    }
}
