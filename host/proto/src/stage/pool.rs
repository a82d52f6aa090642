//! The instances of a stage's plugin on one node, its guests, and which events are given to which of them.
//!
//! ```text
//!                      by the hash of their key          calls
//! messages -- cut --> [a a c] lane of guest 0  ------>  guest 0
//!    into             [b]     lane of guest 1  ------>  guest 1     each takes one call at a time
//!   batches           [d d]   lane of guest 2  ------>  guest 2
//! ```
//!
//! To its sources and its consumers the stage is one, however many guests it has: demand, numbers, acknowledgements and
//! epochs know nothing of them. Events of one key go to one guest, in order; those without a key to whichever is free.
//! Another batch is cut when a guest is free whose lane is empty, so that a lane holds no more than was received.
//!
//! When the number of guests changes, the lanes change only once no event is in any of them: a key that moves to another
//! guest is not overtaken by what comes after it.

use std::{collections::VecDeque, time::Duration};

use super::{Call, Concurrency, GuestNo, Held, MAX_INSTANCES, StageOptions, turns::Turn};
use crate::{
    backoff::Backoff,
    consumer::{GatherBy, lane_of, push_number},
    ids::Seq,
    poison::{PoisonLimit, Suspects},
    rate::Limiter,
    recycle::{Marks, Recycler},
    ticks::Ticks,
};

/// One instance, and what it is to do.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) calling: Option<Call>,
    pub(super) held: Option<Held>,
    pub(super) backoff: Backoff,
    /// It has not begun, or did not survive its last call: another takes its place before the next.
    pub(super) renew: bool,
    pub(super) suspects: Suspects,
    pub(super) recycler: Option<Recycler>,
    /// What it was called for last, of what takes turns.
    pub(super) turn: Turn,
    pub(super) ticks: Option<Ticks>,
    /// Events that are for this one, cut into calls, in order.
    pub(super) lane: VecDeque<Call>,
    /// It has said that it has come to its end.
    pub(super) finished: bool,
    /// Ask a producer's guest again for what it left open.
    pub(super) poll_at: Option<Duration>,
    /// A limit lets it have what waits in its lane then.
    pub(super) lane_at: Option<Duration>,
}

impl Guest {
    /// Whether it could be called now.
    pub(super) fn is_idle(&self) -> bool {
        self.calling.is_none() && self.held.is_none()
    }

    /// The next events of its lane, if the limit lets them through; as many of them as it does, unless they were gathered.
    pub(super) fn take_of_lane(&mut self, now: Duration, limiter: Option<&Limiter>, gathers: bool) -> Option<Call> {
        self.lane_at = None;
        let Some(limiter) = limiter else { return self.lane.pop_front() };
        let next = self.lane.front_mut()?;
        let Call::HandleEvents { events, .. } = next else { return self.lane.pop_front() };
        let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let allowed = match gathers {
            true => Some(count).filter(|_| limiter.allows_all(now, count)),
            false => limiter.allowed(now, count),
        };
        let Some(allowed) = allowed else {
            self.lane_at = Some(if gathers { limiter.allows_all_at(count) } else { limiter.allowed_at(count) });
            return None;
        };
        if allowed < count { next.take_front(allowed as usize) } else { self.lane.pop_front() }
    }

    /// Whether it has events in hand, or is to have them next.
    fn has_events(&self) -> bool {
        let held = self.held.iter().filter_map(|held| held.call.as_ref());
        let has = |call: &Call| matches!(call, Call::HandleEvents { .. } | Call::HandleIngest { .. });
        self.calling.iter().chain(held).any(has) || !self.lane.is_empty()
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Pool {
    guests: Vec<Guest>,
    /// Work is for the first so many; at least 1.
    lanes: usize,
    /// So many there are to be; at least 1.
    wanted: usize,
    by: Option<GatherBy>,
    tick: Option<Duration>,
    poison: PoisonLimit,
    recycle: Option<Marks>,
}

impl Pool {
    /// The first guest is there; others are to be started, if there are to be more.
    pub(super) fn new(options: &StageOptions) -> Self {
        let StageOptions { concurrency, tick, poison, recycle, .. } = options;
        let Concurrency { instances, by } = concurrency.clone();
        let (guests, tick, poison, recycle) = (Vec::new(), *tick, *poison, *recycle);
        let mut pool = Self { guests, lanes: 1, wanted: 1, by, tick, poison, recycle };
        pool.add(false);
        pool.resize(instances);
        pool
    }

    fn add(&mut self, renew: bool) {
        self.guests.push(Guest {
            calling: None,
            held: None,
            backoff: Backoff::GUEST,
            renew,
            suspects: Suspects::new(self.poison),
            recycler: self.recycle.map(Recycler::new),
            turn: Turn::default(),
            ticks: self.tick.map(Ticks::new),
            lane: VecDeque::new(),
            finished: false,
            poll_at: None,
            lane_at: None,
        });
    }

    /// There are to be so many. New ones are started; those that are too many end when they have nothing left to do.
    pub(super) fn resize(&mut self, instances: u32) {
        self.wanted = instances.clamp(1, MAX_INSTANCES) as usize;
        while self.guests.len() < self.wanted {
            self.add(true);
        }
    }

    pub(super) fn wanted(&self) -> u32 {
        u32::try_from(self.wanted).unwrap_or(MAX_INSTANCES)
    }

    pub(super) fn len(&self) -> usize {
        self.guests.len()
    }

    pub(super) fn lanes(&self) -> usize {
        self.lanes
    }

    /// In what events are equal that are given to one guest.
    pub(super) fn by(&self) -> Option<&GatherBy> {
        self.by.as_ref()
    }

    pub(super) fn get(&mut self, at: usize) -> &mut Guest {
        &mut self.guests[at]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Guest> {
        self.guests.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Guest> {
        self.guests.iter_mut()
    }

    /// Where a guest is that was not ended since.
    pub(super) fn find(&self, no: GuestNo) -> Option<usize> {
        usize::try_from(no.0).ok().filter(|at| *at < self.guests.len())
    }

    /// Whether there is work for this one.
    pub(super) fn is_used(&self, at: usize) -> bool {
        at < self.lanes
    }

    /// Whether any has events in hand, or is to have them next.
    pub(super) fn has_events(&self) -> bool {
        self.guests.iter().any(Guest::has_events)
    }

    /// Whether what no guest survived is to be tried again.
    pub(super) fn has_suspects(&self) -> bool {
        self.guests.iter().any(|guest| !guest.suspects.is_empty())
    }

    /// Whether one that has work is to be replaced.
    pub(super) fn has_lost_one(&self) -> bool {
        self.guests[..self.lanes].iter().any(|guest| guest.renew)
    }

    /// Those that could be given work now.
    pub(super) fn idle(&self) -> impl Iterator<Item = &Guest> {
        self.guests[..self.lanes].iter().filter(|guest| guest.is_idle() && !guest.renew && !guest.finished)
    }

    /// How many poison events all but this one have found.
    pub(super) fn found_by_others(&self, now: Duration, at: usize) -> usize {
        let others = self.guests.iter().enumerate().filter(|(other, _)| *other != at);
        others.map(|(_, guest)| guest.suspects.found(now)).sum()
    }

    /// What a producer's guests are asked for at this moment. Unit: events.
    pub(super) fn being_made(&self) -> u64 {
        let demand = |guest: &Guest| match &guest.calling {
            Some(Call::HandleDemand { demand }) => u64::from(*demand),
            _ => 0,
        };
        self.guests.iter().map(demand).sum()
    }

    /// How many lanes there are to be next; `None`: as many as there are, or not all guests have begun.
    fn next_lanes(&self) -> Option<usize> {
        let have_begun = self.guests[self.lanes.min(self.wanted)..self.wanted].iter().all(|guest| !guest.renew);
        Some(self.wanted).filter(|wanted| *wanted != self.lanes && have_begun)
    }

    /// Whether no further event is given to any guest until all have done with theirs.
    pub(super) fn is_changing(&self) -> bool {
        self.next_lanes().is_some()
    }

    /// Changes the lanes, if it is time: gives how many there are now.
    pub(super) fn change(&mut self) -> Option<usize> {
        let next = self.next_lanes()?;
        if self.has_events() || self.has_suspects() {
            return None;
        }
        self.lanes = next;
        Some(next)
    }

    /// Whether this one is to end now: the last of those that are too many, and it has nothing to do.
    pub(super) fn is_too_many(&self, at: usize) -> bool {
        at >= self.lanes.max(self.wanted) && at + 1 == self.guests.len()
    }

    /// One has ended. There may have to be more again by now.
    pub(super) fn retire(&mut self, at: usize) {
        if self.is_too_many(at) {
            self.guests.pop();
        } else {
            self.guests[at].renew = true;
        }
    }

    /// Puts the events of a call into the lanes they belong to; those that belong to none into this guest's.
    pub(super) fn deal(&mut self, at: usize, call: Call) {
        let Some(by) = self.by.as_ref().filter(|_| self.lanes > 1) else {
            return self.guests[at].lane.push_back(call);
        };
        let Call::HandleEvents { sub, source, epoch, attempt, runs, events } = call else { return };
        let mut of_lanes: Vec<Vec<usize>> = vec![Vec::new(); self.lanes];
        for (lane, range) in lane_of(&events, by, self.lanes) {
            of_lanes[lane.unwrap_or(at)].extend(range);
        }
        let numbers: Vec<u64> = runs.iter().flat_map(|run| run.first.0..run.end().0).collect();
        for (lane, indexes) in of_lanes.into_iter().enumerate().filter(|(_, indexes)| !indexes.is_empty()) {
            let mut of_lane = Vec::new();
            indexes.iter().for_each(|&index| push_number(&mut of_lane, Seq(numbers[index])));
            let (source, events) = (source.clone(), events.choose(&indexes));
            self.guests[lane].lane.push_back(Call::HandleEvents { sub, source, epoch, attempt, runs: of_lane, events });
        }
    }

    /// Forgets what waits in lanes for which this holds.
    pub(super) fn drop_if(&mut self, is_it: impl Fn(&Call) -> bool) {
        for guest in &mut self.guests {
            guest.suspects.drop_if(&is_it);
            guest.lane.retain(|call| !is_it(call));
        }
    }
}
