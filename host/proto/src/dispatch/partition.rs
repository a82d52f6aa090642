//! Each event to the subscription that has its partition (GenStage's `PartitionDispatcher`).
//!
//! A subscription that names partitions has exactly these; the others are shared out evenly among the subscriptions
//! that name none. A partition has one holder at most: it is moved only once the former one has acknowledged all it
//! got of it, so that its order holds. What waits for a partition without a holder, or one that is being moved, waits
//! with the partition; all else waits with the holder, in one row.

mod sharing;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    AboveMax, Dispatcher, Ledger, Parting,
    options::PartitionOptions,
    route::{route, why_none},
};
use crate::{
    chunks::Chunks,
    ids::{Seq, StageName, SubId},
    message::{Reason, SeqRun, Subscribe},
    producer::{BufferOptions, Subs},
    select::{InstanceId, Pattern, selects},
    stage::Notice,
};

/// What waits: to be delivered once more, and never delivered.
#[derive(Debug, Default)]
struct Row {
    again: Chunks,
    queue: Chunks,
}

/// Who a partition waits for.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Reserved {
    consumer: StageName,
    instance: InstanceId,
    until: Duration,
}

#[derive(Debug, Default)]
struct Part {
    holder: Option<SubId>,
    /// Who is to have it once the holder has acknowledged `unacked`.
    next: Option<SubId>,
    unacked: Vec<SeqRun>,
    /// Its holder was lost.
    reserved: Option<Reserved>,
    row: Row,
}

#[derive(Debug)]
struct Taker {
    consumer: StageName,
    instance: InstanceId,
    /// It has exactly the partitions that it has named.
    is_pinned: bool,
    topics: Vec<Pattern>,
    demand: u64,
    row: Row,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Partition {
    options: PartitionOptions,
    buffer: BufferOptions,
    now: Duration,
    parts: Vec<Part>,
    takers: BTreeMap<SubId, Taker>,
    later: Vec<(Duration, Chunks)>,
}

impl Partition {
    pub(super) fn new(options: PartitionOptions, buffer: BufferOptions) -> Self {
        let parts = options.partitions.iter().map(|_| Part::default()).collect();
        let (takers, later) = (BTreeMap::new(), Vec::new());
        Self { options, buffer, now: Duration::ZERO, parts, takers, later }
    }

    /// Puts events where their partitions are. Those without one are settled.
    fn put(&mut self, events: Chunks, is_again: bool, ledger: &mut Ledger) {
        let options = &self.options;
        for (partition, events) in events.cut(|batch| route(options, batch)) {
            let Some(at) = partition else {
                let found = events.batches().first().map(|batch| why_none(options, batch)).unwrap_or_default();
                events.runs().into_iter().for_each(|run| ledger.settle(run));
                ledger.notice(Notice::Unroutable { count: events.len() as u64, found });
                continue;
            };
            let part = &mut self.parts[at];
            let holder = part.holder.filter(|_| part.next.is_none()).and_then(|sub| self.takers.get_mut(&sub));
            match holder {
                Some(taker) => taker.put(events, is_again, ledger),
                None => part.row.put(events, is_again),
            }
        }
    }

    /// What waits with a subscription for one partition is put with the partition.
    fn take_out(&mut self, sub: SubId, at: usize) {
        let Some(taker) = self.takers.get_mut(&sub) else { return };
        let Row { again, queue } = std::mem::take(&mut taker.row);
        let options = &self.options;
        for (events, is_again) in [(again, true), (queue, false)] {
            for (partition, events) in events.cut(|batch| route(options, batch)) {
                let row = if partition == Some(at) { &mut self.parts[at].row } else { &mut taker.row };
                row.put(events, is_again);
            }
        }
    }

    /// The partition is this one's from now on, with all that waits for it.
    fn hand_over(&mut self, at: usize, sub: SubId, ledger: &mut Ledger) {
        let part = &mut self.parts[at];
        (part.holder, part.next, part.reserved) = (Some(sub), None, None);
        part.unacked.clear();
        let Row { again, queue } = std::mem::take(&mut part.row);
        if let Some(taker) = self.takers.get_mut(&sub) {
            taker.put(again, true, ledger);
            taker.put(queue, false, ledger);
        }
    }

    /// Never delivered, and meant for somebody.
    fn backlog(&self) -> usize {
        let rows = self.parts.iter().map(|part| &part.row).chain(self.takers.values().map(|taker| &taker.row));
        rows.map(|row| row.queue.len()).sum()
    }

    fn name(&self, at: usize) -> &str {
        self.options.partitions[at].as_str()
    }

    /// The places of the partitions that a subscription names.
    fn named(&self, subscribe: &Subscribe) -> Result<Vec<usize>, Reason> {
        let mut named = BTreeSet::new();
        for wanted in &subscribe.select.partitions {
            let at = self.options.partitions.iter().position(|partition| partition == wanted).ok_or_else(|| {
                let (first, last) = (self.name(0), self.name(self.parts.len() - 1));
                Reason::Refused(format!("partition `{wanted}` is none of `{first}` to `{last}`"))
            })?;
            named.insert(at);
        }
        for &at in &named {
            let part = &self.parts[at];
            let holders = [part.holder, part.next].into_iter().flatten().filter_map(|sub| self.takers.get(&sub));
            if let Some(Taker { consumer, instance, .. }) = holders.into_iter().find(|taker| taker.is_pinned) {
                let name = self.name(at);
                return Err(Reason::Refused(format!("partition `{name}` is taken by `{consumer}` on {instance}")));
            }
        }
        Ok(named.into_iter().collect())
    }
}

impl Row {
    fn put(&mut self, events: Chunks, is_again: bool) {
        match is_again {
            true => self.again.merge(events),
            false if self.queue.end().is_none_or(|end| events.front().is_none_or(|front| end <= front)) => {
                self.queue.append(events);
            }
            false => self.queue.merge(events),
        }
    }

    fn next(&mut self, count: usize) -> Chunks {
        if self.again.is_empty() { self.queue.take_front_alike(count) } else { self.again.take_front_alike(count) }
    }

    fn len(&self) -> usize {
        self.again.len() + self.queue.len()
    }
}

impl Taker {
    /// Takes over what it selects; of a partition nobody else gets the rest.
    fn put(&mut self, events: Chunks, is_again: bool, ledger: &mut Ledger) {
        if self.topics.is_empty() {
            return self.row.put(events, is_again);
        }
        let topics = &self.topics;
        let parts = events.cut(|batch| {
            let of_topics: Vec<_> = batch.topics().iter().map(|topic| selects(topics, Some(topic))).collect();
            let of = |(topic, range): (Option<usize>, _)| (topic.is_some_and(|at| of_topics[at]), range);
            batch.topic_runs().into_iter().map(of).collect()
        });
        for (is_wanted, events) in parts {
            if is_wanted {
                self.row.put(events, is_again);
            } else {
                events.runs().into_iter().for_each(|run| ledger.settle(run));
                ledger.notice(Notice::Unwanted { count: events.len() as u64 });
            }
        }
    }
}

impl Dispatcher for Partition {
    fn at(&mut self, now: Duration, ledger: &mut Ledger, subs: &Subs) {
        self.now = now;
        let mut is_free = false;
        for part in &mut self.parts {
            is_free |= part.reserved.take_if(|reserved| reserved.until <= now).is_some();
        }
        if is_free {
            self.share_out(ledger, subs);
        }
        if self.later.iter().any(|(due, _)| *due <= now) {
            let due: Vec<_> = self.later.extract_if(.., |(due, _)| *due <= now).collect();
            due.into_iter().for_each(|(_, events)| self.put(events, true, ledger));
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let reserved = self.parts.iter().filter_map(|part| part.reserved.as_ref().map(|reserved| reserved.until));
        self.later.iter().map(|(due, _)| *due).chain(reserved).min()
    }

    fn subscribe(&mut self, sub: SubId, subscribe: &Subscribe, ledger: &mut Ledger, subs: &Subs) -> Result<(), Reason> {
        let named = self.named(subscribe)?;
        let taker = Taker {
            consumer: subscribe.consumer.clone(),
            instance: subscribe.instance.clone(),
            is_pinned: !named.is_empty(),
            topics: subscribe.select.topics.clone(),
            demand: 0,
            row: Row::default(),
        };
        let waits_for_it =
            |reserved: &Reserved| reserved.consumer == taker.consumer && reserved.instance == taker.instance;
        let own: Vec<usize> = match taker.is_pinned {
            true => named,
            false => {
                let is_own = |at: &usize| self.parts[*at].reserved.as_ref().is_some_and(waits_for_it);
                (0..self.parts.len()).filter(is_own).collect()
            }
        };
        self.takers.insert(sub, taker);
        own.into_iter().for_each(|at| self.give(at, sub, ledger, subs));
        self.share_out(ledger, subs);
        Ok(())
    }

    fn ask(&mut self, sub: SubId, count: u32) -> Option<AboveMax> {
        if let Some(taker) = self.takers.get_mut(&sub) {
            taker.demand += u64::from(count);
        }
        None
    }

    fn released(&mut self, sub: SubId, run: SeqRun, ledger: &mut Ledger) {
        self.count_released(sub, run, ledger);
    }

    fn put_later(&mut self, _: SubId, due: Duration, events: Chunks) {
        self.later.push((due, events));
    }

    fn processed(&mut self, _: SubId, run: SeqRun, ledger: &mut Ledger) {
        let rows = self.parts.iter_mut().map(|part| &mut part.row);
        let rows = rows.chain(self.takers.values_mut().map(|taker| &mut taker.row)).map(|row| &mut row.again);
        for events in rows.chain(self.later.iter_mut().map(|(_, events)| events)) {
            events.extract(run).runs().into_iter().for_each(|run| ledger.settle(run));
        }
        self.later.retain(|(_, events)| !events.is_empty());
    }

    fn end(&mut self, sub: SubId, parting: Parting, unacked: Chunks, ledger: &mut Ledger, subs: &Subs) {
        let Some(taker) = self.takers.remove(&sub) else { return };
        self.leave(sub, &taker, parting, ledger);
        let Row { mut again, queue } = taker.row;
        again.merge(unacked);
        self.put(again, true, ledger);
        self.put(queue, false, ledger);
        self.share_out(ledger, subs);
    }

    /// As in GenStage, where an event that waits for one consumer has used up the demand of another: all together
    /// never wait for more than was asked for.
    fn open(&self) -> u64 {
        let demand: u64 = self.takers.values().map(|taker| taker.demand).sum();
        let backlog = self.backlog();
        if backlog < self.buffer.size_max() { demand.saturating_sub(backlog as u64) } else { 0 }
    }

    fn room(&self) -> usize {
        let open = usize::try_from(self.open()).unwrap_or(usize::MAX);
        open.min(self.buffer.size_max().saturating_sub(self.backlog()))
    }

    fn take(&mut self, events: Chunks, ledger: &mut Ledger) {
        self.put(events, false, ledger);
    }

    fn next(&mut self) -> Option<(SubId, Chunks)> {
        // In the order of the partitions, as in GenStage.
        let holders = self.parts.iter().filter_map(|part| part.holder);
        let ready = |sub: &SubId| self.takers.get(sub).is_some_and(|taker| taker.demand > 0 && taker.row.len() > 0);
        let sub = holders.into_iter().find(ready)?;
        let taker = self.takers.get_mut(&sub)?;
        let events = taker.row.next(usize::try_from(taker.demand).unwrap_or(usize::MAX));
        taker.demand -= events.len() as u64;
        Some((sub, events))
    }

    /// No more is taken than fits.
    fn trim(&mut self, _: usize, _: &mut Ledger) {}

    fn queued(&self) -> usize {
        self.backlog()
    }

    fn waiting(&self) -> usize {
        let rows = self.parts.iter().map(|part| &part.row).chain(self.takers.values().map(|taker| &taker.row));
        rows.map(Row::len).sum::<usize>() + self.later.iter().map(|(_, events)| events.len()).sum::<usize>()
    }

    fn first(&self) -> Option<Seq> {
        let rows = self.parts.iter().map(|part| &part.row).chain(self.takers.values().map(|taker| &taker.row));
        let waiting = rows.flat_map(|row| [&row.again, &row.queue]);
        waiting.chain(self.later.iter().map(|(_, events)| events)).filter_map(Chunks::first).min()
    }
}
