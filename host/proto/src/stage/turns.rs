//! Whose turn it is: events, the clock, or somebody who asks.
//!
//! A guest takes one call at a time. What waits for it takes turns, so that a stage with much to do ticks and
//! answers, and one that ticks or is asked without end goes on with its events: each waits for one call of each other
//! kind at most.

use std::time::Duration;

use super::{Call, Notice, Role, Stage, pool::Guest};
use crate::ticks::Ticks;

/// What the guest may be called for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Turn {
    /// Events: to be made, to be processed, or from an inbox.
    #[default]
    Events,
    Tick,
    Request,
}

impl Turn {
    fn next(self) -> Self {
        match self {
            Self::Events => Self::Tick,
            Self::Tick => Self::Request,
            Self::Request => Self::Events,
        }
    }
}

impl Stage {
    /// The first that there is, beginning with what comes after the last.
    pub(super) fn next_in_turn(&mut self, now: Duration, at: usize) -> Option<Call> {
        for _ in 0..3 {
            let guest = self.pool.get(at);
            guest.turn = guest.turn.next();
            let call = match guest.turn {
                Turn::Events => self.next_of_events(now, at),
                Turn::Tick => self.next_tick(now, at),
                Turn::Request => self.next_request(now, at),
            };
            // A look for events may have stopped the stage.
            if call.is_some() || self.stopped.is_some() {
                return call;
            }
        }
        None
    }

    fn next_of_events(&mut self, now: Duration, at: usize) -> Option<Call> {
        if let Some(call) = self.next_ingest(now, at) {
            return Some(call);
        }
        if self.role == Role::Producer { self.next_demand(now, at) } else { self.next_events(now, at) }
    }

    fn next_tick(&mut self, now: Duration, at: usize) -> Option<Call> {
        let guest = self.pool.iter().nth(at)?;
        if self.next_tick_at(guest)? > now {
            return None;
        }
        self.pool.get(at).ticks.as_mut()?.take(now).then_some(Call::HandleTick)
    }

    /// The first one answers.
    fn next_request(&mut self, now: Duration, at: usize) -> Option<Call> {
        let taken = if at == 0 { self.requests.take(now) } else { None };
        taken.map(|(no, request)| Call::HandleCall { no, request })
    }

    /// When the guest is to tick next. Not while as much waits as the buffer holds: what a tick emits is kept, so that
    /// whoever does not ask for events holds the ticks up. Nor while a producer has made more than its limit allows.
    pub(super) fn next_tick_at(&self, guest: &Guest) -> Option<Duration> {
        let may = !guest.finished && self.producer.has_room();
        let at = guest.ticks.as_ref().filter(|_| may).and_then(Ticks::timeout)?;
        let limiter = self.limiter.as_ref().filter(|_| self.role == Role::Producer);
        Some(limiter.map_or(at, |limiter| at.max(limiter.out_of_debt_at())))
    }

    /// A stage that ends lets its guest tick once more after its last events: what it keeps to pass on together is
    /// passed on then. Not a producer's, which makes nothing new.
    pub(super) fn last_tick(&mut self, at: usize) -> Option<Call> {
        let settled = self.consumer.is_idle() && !self.pool.has_events() && self.producer.has_room();
        let owes = self.pool.iter().nth(at).is_some_and(|guest| self.owes(guest));
        let ticks = self.pool.get(at).ticks.as_mut().filter(|_| settled && owes)?;
        ticks.count_last();
        Some(Call::HandleTick)
    }

    pub(super) fn owes_last_tick(&self) -> bool {
        self.pool.iter().any(|guest| self.owes(guest))
    }

    fn owes(&self, guest: &Guest) -> bool {
        let is_last = self.draining.is_some() && self.role != Role::Producer && !guest.renew;
        is_last && guest.ticks.as_ref().is_some_and(Ticks::owes_last)
    }

    /// The guest did not survive a request: whoever asked is told, and what it was given since its state was last
    /// taken comes again.
    pub(super) fn on_lost_in_request(&mut self, now: Duration, at: usize, why: String) {
        self.on_guest_lost(now, at);
        self.on_state_lost();
        self.out.notice(Notice::LostInRequest { why });
    }
}
