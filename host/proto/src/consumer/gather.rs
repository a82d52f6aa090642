//! Gathers what subscriptions deliver into larger batches, by count, by time and by a value of the events (Broadway's
//! batchers).
//!
//! ```text
//! message of 5 ----+                        full: `size` events, or as many bytes as one message may have
//! message of 2 ----+--> group: a a a a a a a ---> one call
//! message of 9 ----+    group: b b                overdue: the oldest has waited for `timeout`
//!                       of one subscription, one attempt and one value of `by`
//! ```
//!
//! What waits here counts as received and not processed, so that no more than `max_demand` of one subscription can.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    WhenFull,
    lanes::{alike, lane_of},
    take_runs,
};
use crate::{
    batch::Batch,
    ids::SubId,
    message::{Events, SeqRun, push_run},
};

/// How a stage gathers events for its guest's calls.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Gathering {
    /// A call is made with so many. Unit: events; at least 1.
    pub size: u32,
    /// No event waits longer for others.
    pub timeout: Duration,
    /// Events of one call are equal in this.
    pub by: Option<GatherBy>,
}

/// In what events are equal that belong together: in one call, or to one instance.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GatherBy {
    /// Their keys. Events without one belong together.
    Key,
    /// Their topics. Events without one belong together.
    Topic,
    /// The value of this header, the first one of an event. Events without it belong together.
    Header(String),
}

impl Gathering {
    /// The largest `size`: a call takes no more events.
    pub const SIZE_MAX: u32 = 65_536;

    /// Broadway's `:batch_timeout`.
    pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);
}

/// A batch for one call.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) sub: SubId,
    pub(super) attempt: u32,
    pub(super) runs: Vec<SeqRun>,
    pub(super) events: Batch,
}

/// What the events of a group have in common.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Common {
    sub: SubId,
    attempt: u32,
    value: Option<Vec<u8>>,
    /// They are for this instance.
    lane: Option<usize>,
}

/// Events of one message that came next to each other.
#[derive(Debug)]
struct Part {
    /// Counts parts as they come.
    no: u64,
    at: Duration,
    runs: VecDeque<SeqRun>,
    events: Batch,
    bytes: usize,
}

/// Has a part, of which each has an event, unless it is just being changed.
#[derive(Debug, Default)]
struct Group {
    parts: VecDeque<Part>,
    events: usize,
    bytes: usize,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Gather {
    options: Gathering,
    /// How many instances there are, and in what the events of one of them are equal.
    lanes: Option<(GatherBy, usize)>,
    /// Of one call. Unit: bytes.
    bytes_max: usize,
    groups: BTreeMap<Arc<Common>, Group>,
    /// All groups by their first parts: the oldest first, as time only rises.
    order: BTreeMap<u64, Arc<Common>>,
    /// Those that wait for nothing more.
    full: BTreeSet<u64>,
    /// Events that wait, by subscription.
    waiting: BTreeMap<SubId, u32>,
    next_no: u64,
}

impl Gather {
    pub(super) fn new(options: Gathering, bytes_max: usize) -> Self {
        Self {
            options,
            lanes: None,
            bytes_max,
            groups: BTreeMap::new(),
            order: BTreeMap::new(),
            full: BTreeSet::new(),
            waiting: BTreeMap::new(),
            next_no: 0,
        }
    }

    /// Unit: groups.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// How many events of this subscription wait.
    pub(super) fn waiting(&self, sub: SubId) -> u32 {
        self.waiting.get(&sub).copied().unwrap_or(0)
    }

    /// Events have come.
    pub(super) fn add(&mut self, now: Duration, sub: SubId, Events { attempt, runs, events }: Events) {
        *self.waiting.entry(sub).or_default() += narrow(events.len());
        self.sort(now, sub, attempt, runs.into(), &events);
    }

    fn sort(&mut self, at: Duration, sub: SubId, attempt: u32, mut runs: VecDeque<SeqRun>, events: &Batch) {
        let lanes = match &self.lanes {
            Some((by, lanes)) => lane_of(events, by, *lanes),
            None => vec![(None, 0..events.len())],
        };
        let by = self.options.by.clone();
        for (lane, of_lane) in lanes {
            let of_lane = events.slice(of_lane);
            for (value, range) in alike(&of_lane, by.as_ref()) {
                let part = of_lane.slice(range);
                let runs = take_runs(&mut runs, part.len()).into();
                let common = Arc::new(Common { sub, attempt, value: value.map(<[u8]>::to_vec), lane });
                let mut group = self.unlink(&common);
                let (no, bytes) = (self.next_no, part.bytes());
                self.next_no += 1;
                group.push(Part { no, at, runs, events: part, bytes });
                self.link(common, group);
            }
        }
    }

    /// There are so many instances, of which each is given events of its own; `None`: one.
    pub(super) fn set_lanes(&mut self, lanes: Option<(GatherBy, usize)>) {
        self.lanes = lanes;
        self.order.clear();
        self.full.clear();
        let groups = std::mem::take(&mut self.groups).into_iter();
        let of_group = |(common, group): (Arc<Common>, Group)| {
            group.parts.into_iter().map(move |part| (part.no, Arc::clone(&common), part))
        };
        let mut parts: Vec<_> = groups.flat_map(of_group).collect();
        parts.sort_by_key(|(no, ..)| *no);
        for (_, common, Part { at, runs, events, .. }) in parts {
            self.sort(at, common.sub, common.attempt, runs, &events);
        }
    }

    /// The first group that waits for nothing more.
    pub(super) fn ready(&self, now: Duration) -> Option<u64> {
        let overdue = self.order.keys().next().filter(|_| self.deadline().is_some_and(|at| at <= now));
        overdue.or_else(|| self.full.first()).copied()
    }

    /// When the oldest group has waited long enough.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let common = self.order.values().next()?;
        Some(self.groups.get(common)?.parts.front()?.at + self.options.timeout)
    }

    /// The oldest group of all.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.order.keys().next().copied()
    }

    /// The oldest group of a subscription.
    pub(super) fn oldest_of(&self, sub: SubId) -> Option<u64> {
        self.order.iter().find(|(_, common)| common.sub == sub).map(|(no, _)| *no)
    }

    /// How many events a call with this group has at most.
    pub(super) fn call_events(&self, no: u64) -> u32 {
        let group = self.order.get(&no).and_then(|common| self.groups.get(common));
        group.map_or(0, |group| narrow(group.events).min(self.options.size))
    }

    /// Takes a call's events off a group.
    pub(super) fn take(&mut self, no: u64) -> Option<Gathered> {
        let common = Arc::clone(self.order.get(&no)?);
        let mut group = self.unlink(&common);
        let (runs, events) = group.take(self.options.size as usize, self.bytes_max);
        self.link(Arc::clone(&common), group);
        self.count_taken(common.sub, events.len());
        Some(Gathered { sub: common.sub, attempt: common.attempt, runs, events })
    }

    /// Forgets what came on a subscription; how many events that were.
    pub(super) fn forget(&mut self, sub: SubId) -> u32 {
        while let Some(common) = self.oldest_of(sub).and_then(|no| self.order.get(&no).cloned()) {
            self.unlink(&common);
        }
        self.waiting.remove(&sub).unwrap_or(0)
    }

    pub(super) fn clear(&mut self) {
        self.groups.clear();
        self.order.clear();
        self.full.clear();
        self.waiting.clear();
    }

    /// Takes so many events of a subscription off, or all there are; their numbers.
    pub(super) fn drop_events(&mut self, sub: SubId, mut excess: usize, when_full: WhenFull) -> Vec<SeqRun> {
        let mut dropped = Vec::new();
        while excess > 0 {
            let newest = || {
                let of_sub = self.groups.iter().filter(|(common, _)| common.sub == sub);
                of_sub.max_by_key(|(_, group)| group.parts.back().map(|part| part.no)).map(|(common, _)| common)
            };
            let oldest = || self.oldest_of(sub).and_then(|no| self.order.get(&no));
            let common = if when_full == WhenFull::DropNewest { newest() } else { oldest() };
            let Some(common) = common.cloned() else { break };
            let mut group = self.unlink(&common);
            let runs = group.drop_part(excess, when_full);
            self.link(common, group);
            let count = runs.iter().map(|run| run.count as usize).sum();
            self.count_taken(sub, count);
            excess -= count;
            dropped.extend(runs);
        }
        dropped
    }

    fn count_taken(&mut self, sub: SubId, count: usize) {
        if let Some(waiting) = self.waiting.get_mut(&sub) {
            *waiting = waiting.saturating_sub(narrow(count));
        }
        self.waiting.retain(|_, waiting| *waiting > 0);
    }

    /// Takes a group out to change it; a new one if there is none.
    fn unlink(&mut self, common: &Common) -> Group {
        let group = self.groups.remove(common).unwrap_or_default();
        if let Some(first) = group.parts.front() {
            self.order.remove(&first.no);
            self.full.remove(&first.no);
        }
        group
    }

    /// Puts it back, if there is anything in it.
    fn link(&mut self, common: Arc<Common>, group: Group) {
        let Some(first) = group.parts.front() else { return };
        if group.events >= self.options.size as usize || group.bytes >= self.bytes_max {
            self.full.insert(first.no);
        }
        self.order.insert(first.no, Arc::clone(&common));
        self.groups.insert(common, group);
    }
}

impl Group {
    fn push(&mut self, part: Part) {
        self.events += part.events.len();
        self.bytes += part.bytes;
        self.parts.push_back(part);
    }

    fn push_front(&mut self, part: Part) {
        self.events += part.events.len();
        self.bytes += part.bytes;
        self.parts.push_front(part);
    }

    fn pop_front(&mut self) -> Option<Part> {
        let part = self.parts.pop_front()?;
        self.events -= part.events.len();
        self.bytes -= part.bytes;
        Some(part)
    }

    /// So many events at most, of so many bytes unless the first part alone has more.
    fn take(&mut self, events_max: usize, bytes_max: usize) -> (Vec<SeqRun>, Batch) {
        let (mut runs, mut batches, mut bytes) = (Vec::new(), Vec::new(), 0);
        let (mut missing, mut first) = (events_max, (0, Duration::ZERO));
        while let Some(mut part) = self.pop_front() {
            if missing == 0 || (!batches.is_empty() && bytes + part.bytes > bytes_max) {
                self.push_front(part);
                break;
            }
            if batches.is_empty() {
                first = (part.no, part.at);
            }
            bytes += part.bytes;
            let events = part.events.take_front(missing);
            take_runs(&mut part.runs, events.len()).into_iter().for_each(|run| push_run(&mut runs, run));
            missing -= events.len();
            batches.push(events);
            if !part.events.is_empty() {
                self.push_front(Part { bytes: part.events.bytes(), ..part });
            }
        }
        // More than one only if they name more topics than one batch can.
        let mut packed = Batch::pack(batches, usize::MAX);
        let mut runs = VecDeque::from(runs);
        let rest = packed.split_off(packed.len().min(1));
        let events = packed.pop().unwrap_or_default();
        let taken = take_runs(&mut runs, events.len());
        let (no, at) = first;
        let mut parts: Vec<_> = rest.into_iter().map(|events| (take_runs(&mut runs, events.len()), events)).collect();
        while let Some((runs, events)) = parts.pop() {
            let bytes = events.bytes();
            self.push_front(Part { no, at, runs: runs.into(), events, bytes });
        }
        (taken, events)
    }

    /// Drops events of the first part or the last; their numbers.
    fn drop_part(&mut self, excess: usize, when_full: WhenFull) -> Vec<SeqRun> {
        let is_newest = when_full == WhenFull::DropNewest;
        let part = if is_newest { self.parts.pop_back() } else { self.parts.pop_front() };
        let Some(Part { no, at, mut runs, mut events, bytes }) = part else { return Vec::new() };
        self.events -= events.len();
        self.bytes -= bytes;
        let count = excess.min(events.len());
        let kept = events.len() - count;
        let front = events.take_front(if is_newest { kept } else { count });
        let front_runs = take_runs(&mut runs, front.len());
        let (dropped, kept) = match is_newest {
            true => (Vec::from(runs), (front_runs.into(), front)),
            false => (front_runs, (runs, events)),
        };
        let (runs, events) = kept;
        if !events.is_empty() {
            let part = Part { no, at, runs, bytes: events.bytes(), events };
            if is_newest { self.push(part) } else { self.push_front(part) }
        }
        dropped
    }
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
