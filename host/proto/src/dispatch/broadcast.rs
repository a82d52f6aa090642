//! Each event to all (GenStage's `BroadcastDispatcher`).
//!
//! Each *group* gets a copy of every event that it selects; inside a group events go by demand. The group that asks
//! for least sets the pace. A group whose last consumer was lost sets no pace: its copies are retained for a while,
//! up to the size of the buffer.

use std::time::Duration;

use super::{AboveMax, Dispatcher, Ledger, Parting, history::History, pool::Pool};
use crate::{
    chunks::Chunks,
    ids::{Seq, StageName, SubId},
    message::{Reason, SeqRun, Subscribe},
    producer::{BufferOptions, Subs},
    select::{Deliver, InstanceId},
    stage::Notice,
};

/// Who gets a copy of its own. Without an instance: all instances of the stage.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Key {
    consumer: StageName,
    instance: Option<InstanceId>,
}

impl Key {
    fn of(subscribe: &Subscribe) -> Self {
        let is_shared = subscribe.select.deliver == Deliver::Shared;
        Self { consumer: subscribe.consumer.clone(), instance: (!is_shared).then(|| subscribe.instance.clone()) }
    }
}

#[derive(Debug)]
struct Group {
    key: Key,
    pool: Pool,
}

impl Group {
    /// How many more events it takes.
    fn room(&self, buffer: &BufferOptions) -> usize {
        let demand = usize::try_from(self.pool.demand()).unwrap_or(usize::MAX);
        match self.pool.is_plain() {
            true => demand,
            // Some may wait for a consumer of the group that has no demand, where they select different topics.
            false => demand.min(buffer.size_max().saturating_sub(self.pool.queued())),
        }
    }

    fn is_over(&self) -> bool {
        !self.pool.has_members() && !self.pool.is_awaited()
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Broadcast {
    /// In the order in which they are sent to: who subscribed or asked last comes first, as in GenStage.
    groups: Vec<Group>,
    away: Duration,
    buffer: BufferOptions,
    now: Duration,
    history: History,
    /// Who has got, or will get, all that is in the history.
    known: Vec<Key>,
    /// Who has refused some of what was taken last.
    refusing: Vec<Key>,
}

impl Broadcast {
    pub(super) fn new(away: Duration, buffer: BufferOptions) -> Self {
        let (groups, known, history) = (Vec::new(), Vec::new(), History::new(away, buffer));
        Self { groups, away, buffer, now: Duration::ZERO, history, known, refusing: Vec::new() }
    }

    fn at_of(&self, sub: SubId) -> Option<usize> {
        self.groups.iter().position(|group| group.pool.has(sub))
    }

    fn move_to_front(&mut self, at: usize) {
        self.groups[..=at].rotate_right(1);
    }

    /// What a group that waits for its consumer cannot hold.
    fn trim_absent(&mut self, ledger: &mut Ledger) {
        let size = self.buffer.size_max();
        for group in self.groups.iter_mut().filter(|group| !group.pool.has_members()) {
            let excess = group.pool.waiting().saturating_sub(size);
            discard(&group.key, &group.pool.trim(excess, self.buffer.keep, true), ledger);
        }
    }

    fn remove(&mut self, at: usize) -> (Key, Chunks) {
        let mut group = self.groups.remove(at);
        let left = group.pool.take_all();
        (group.key, left)
    }
}

fn settle(copies: &Chunks, ledger: &mut Ledger) {
    copies.runs().into_iter().for_each(|run| ledger.settle(run));
}

/// Copies that nobody will get.
fn discard(key: &Key, copies: &Chunks, ledger: &mut Ledger) {
    if !copies.is_empty() {
        settle(copies, ledger);
        let (consumer, instance) = (key.consumer.clone(), key.instance.clone());
        ledger.notice(Notice::GivenUp { consumer, instance, count: copies.len() as u64 });
    }
}

impl Dispatcher for Broadcast {
    fn at(&mut self, now: Duration, ledger: &mut Ledger, _: &Subs) {
        self.now = now;
        self.history.at(now, ledger);
        for group in &mut self.groups {
            let unwanted = group.pool.at(now);
            // It was lost, and has not come back.
            discard(&group.key, &unwanted, ledger);
        }
        while let Some(at) = self.groups.iter().position(Group::is_over) {
            let (key, left) = self.remove(at);
            discard(&key, &left, ledger);
        }
    }

    fn timeout(&self) -> Option<Duration> {
        self.groups.iter().filter_map(|group| group.pool.timeout()).chain(self.history.timeout()).min()
    }

    fn subscribe(&mut self, sub: SubId, subscribe: &Subscribe, ledger: &mut Ledger, _: &Subs) -> Result<(), Reason> {
        let (key, topics) = (Key::of(subscribe), &subscribe.select.topics);
        if let Some(at) = self.groups.iter().position(|group| group.key == key) {
            self.move_to_front(at);
            settle(&self.groups[0].pool.join(sub, topics, true), ledger);
            return Ok(());
        }
        let mut pool = Pool::default();
        pool.join(sub, topics, false);
        if self.history.is_kept() && !self.known.contains(&key) {
            self.known.push(key.clone());
            let missed = self.history.events().clone();
            missed.runs().into_iter().for_each(|run| ledger.add(run));
            settle(&pool.put(missed), ledger);
        }
        self.groups.insert(0, Group { key, pool });
        Ok(())
    }

    fn ask(&mut self, sub: SubId, count: u32) -> Option<AboveMax> {
        if let Some(at) = self.at_of(sub) {
            self.move_to_front(at);
            self.groups[0].pool.ask(sub, count);
        }
        None
    }

    fn released(&mut self, _: SubId, _: SeqRun, _: &mut Ledger) {}

    fn put_later(&mut self, sub: SubId, due: Duration, events: Chunks) {
        if let Some(at) = self.at_of(sub) {
            self.groups[at].pool.put_later(due, events);
        }
    }

    fn processed(&mut self, sub: SubId, run: SeqRun, ledger: &mut Ledger) {
        if let Some(at) = self.at_of(sub) {
            settle(&self.groups[at].pool.extract_again(run), ledger);
        }
    }

    fn end(&mut self, sub: SubId, parting: Parting, unacked: Chunks, ledger: &mut Ledger, _: &Subs) {
        let Some(at) = self.at_of(sub) else { return };
        let is_kept = parting == Parting::Lost && self.away > Duration::ZERO;
        let pool = &mut self.groups[at].pool;
        settle(&pool.leave(sub, is_kept.then_some(self.now + self.away)), ledger);
        if self.groups[at].is_over() {
            // It has left, and takes its copies with it.
            let (_, left) = self.remove(at);
            settle(&unacked, ledger);
            settle(&left, ledger);
            return;
        }
        settle(&self.groups[at].pool.put_again(unacked), ledger);
        self.trim_absent(ledger);
    }

    fn open(&self) -> u64 {
        self.room() as u64
    }

    fn room(&self) -> usize {
        let present = self.groups.iter().filter(|group| group.pool.has_members());
        let slowest = present.map(|group| group.room(&self.buffer)).min().unwrap_or_default();
        slowest.min(self.history.room())
    }

    fn take(&mut self, events: Chunks, ledger: &mut Ledger) {
        let runs = events.runs();
        let is_kept = self.history.is_kept();
        // One of the dispatch itself, so that none is settled before all groups were asked.
        let held = 1 + u32::from(self.history.is_firm());
        let groups = u32::try_from(self.groups.len()).expect("fewer groups than 2^32");
        runs.iter().for_each(|run| ledger.begin(*run, groups + held, is_kept));
        for group in &mut self.groups {
            let unwanted = group.pool.put(events.clone());
            settle(&unwanted, ledger);
            self.refusing.extend((!unwanted.is_empty()).then(|| group.key.clone()));
        }
        let unwanted: u64 = runs.iter().map(|run| ledger.count(*run, held)).sum();
        if unwanted > 0 {
            ledger.notice(Notice::Unwanted { count: unwanted });
        }
        if is_kept {
            self.history.push(events, ledger);
        }
        runs.into_iter().for_each(|run| ledger.settle(run));
        self.trim_absent(ledger);
    }

    fn next(&mut self) -> Option<(SubId, Chunks)> {
        let next = self.groups.iter_mut().find_map(|group| group.pool.next());
        if next.is_none() {
            // GenStage asks for what was refused in the name of the consumer, which is then the last to have asked.
            for key in std::mem::take(&mut self.refusing) {
                self.groups.iter().position(|group| group.key == key).into_iter().for_each(|at| self.move_to_front(at));
            }
        }
        next
    }

    /// What is never asked for stays in the producer's buffer.
    fn trim(&mut self, _: usize, _: &mut Ledger) {}

    fn queued(&self) -> usize {
        0
    }

    fn waiting(&self) -> usize {
        self.groups.iter().map(|group| group.pool.waiting()).sum()
    }

    fn copies(&self) -> bool {
        true
    }

    fn first(&self) -> Option<Seq> {
        self.groups.iter().filter_map(|group| group.pool.first()).min()
    }
}
