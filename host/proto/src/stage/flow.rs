//! How much of a stage's work is done when: by demand, and no faster than its limit says.

use std::time::Duration;

use super::{Call, MAX_INSTANCES, Notice, Role, Stage};
use crate::{
    intake::Intake,
    rate::{Limiter, RateLimit},
};

impl Stage {
    /// What a producer's guest is asked for now.
    pub(super) fn next_demand(&mut self, now: Duration, at: usize) -> Option<Call> {
        if self.pool.get(at).finished || !self.pool.is_used(at) {
            return None;
        }
        // Those that are idle with this one get the same.
        let share = self.producer.unasked().div_ceil(self.pool.idle().count().max(1) as u64);
        let unasked = self.of_one_call(share);
        if unasked > 0 {
            let demand = self.allowed(now, unasked)?;
            self.producer.count_asked(demand);
            return Some(Call::HandleDemand { demand });
        }
        let overdue = self.overdue();
        let due = self.pool.get(at).poll_at.is_some_and(|at| at <= now);
        let demand = self.allowed(now, overdue).filter(|demand| due && *demand > 0)?;
        Some(Call::HandleDemand { demand })
    }

    fn overdue(&self) -> u32 {
        self.of_one_call(self.producer.overdue(self.pool.being_made()))
    }

    fn of_one_call(&self, events: u64) -> u32 {
        let fit = self.sizes.call_events(self.message_bytes_max);
        u32::try_from(events).unwrap_or(u32::MAX).min(self.call_events_max).min(fit)
    }

    /// How many of `wanted` events the limit lets through now, if any, beside those that are being made.
    fn allowed(&self, now: Duration, wanted: u32) -> Option<u32> {
        let limiter = self.limiter.as_ref();
        limiter.map_or(Some(wanted), |limiter| limiter.allowed_beside(now, wanted, self.being_made()))
    }

    pub(super) fn being_made(&self) -> u32 {
        u32::try_from(self.pool.being_made()).unwrap_or(u32::MAX)
    }

    /// When time alone lets a producer's guest make events: it is to be asked again, or the limit lets it.
    pub(super) fn next_made_at(&self) -> Option<Duration> {
        if self.role != Role::Producer {
            return None;
        }
        let allowed_at = |limiter: &Limiter, wanted| limiter.allowed_beside_at(wanted, self.being_made());
        let limiter = self.limiter.as_ref();
        let has_arrived = self.intake.as_ref().is_some_and(Intake::has_arrived) && self.producer.is_wanted();
        let ingest = limiter.filter(|_| has_arrived).and_then(|limiter| allowed_at(limiter, 1));
        let (unasked, overdue) = (self.of_one_call(self.producer.unasked()), self.overdue());
        let demand = if unasked > 0 {
            limiter.and_then(|limiter| allowed_at(limiter, unasked))
        } else {
            let at = self.pool.idle().filter(|_| overdue > 0).filter_map(|guest| guest.poll_at).min();
            match limiter {
                Some(limiter) => at.zip(allowed_at(limiter, overdue)).map(|(at, allowed)| at.max(allowed)),
                None => at,
            }
        };
        ingest.into_iter().chain(demand).min()
    }

    /// What a consumer's guest is given now: of what is for it; if there is nothing, of what was not cut yet.
    pub(super) fn next_events(&mut self, now: Duration, at: usize) -> Option<Call> {
        if self.consumer.is_suspended() || !self.pool.is_used(at) {
            return None;
        }
        // Of several lanes each is held to the limit where events leave it; of one, events are cut to it.
        let gathers = self.batch_events > 0;
        let several = self.pool.lanes() > 1;
        loop {
            let limiter = self.limiter.as_ref();
            let guest = self.pool.get(at);
            if let Some(call) = guest.take_of_lane(now, limiter.filter(|_| several), gathers) {
                self.count_given(now, &call);
                return Some(call);
            }
            if !guest.lane.is_empty() || self.pool.is_changing() {
                return None;
            }
            let (wanted, idle) = (self.takes_events(), !self.pool.has_events() && !self.pool.has_suspects());
            let limiter = limiter.filter(|_| !several);
            match self.consumer.next_call(now, wanted, idle, limiter, &mut self.out) {
                Ok(call) => self.pool.deal(at, call?),
                Err(reason) => {
                    self.out.notice(Notice::Stopping { reason: reason.clone() });
                    self.stop(reason);
                    return None;
                }
            }
        }
    }

    /// Divides the events among as many guests as there are to be, once it may.
    pub(super) fn change_lanes(&mut self) {
        let Some(lanes) = self.pool.change() else { return };
        let by = self.pool.by().cloned().filter(|_| lanes > 1);
        self.consumer.set_lanes(by.map(|by| (by, lanes)));
        self.out.notice(Notice::Resized { instances: u32::try_from(lanes).unwrap_or(MAX_INSTANCES) });
    }

    pub(super) fn set_rate(&mut self, now: Duration, limit: Option<RateLimit>) {
        match (&mut self.limiter, limit) {
            (Some(limiter), Some(limit)) => limiter.change(now, limit, self.batch_events),
            (limiter, limit) => *limiter = limit.map(|limit| Limiter::new(limit, self.batch_events)),
        }
        if let Some(limiter) = &mut self.limiter {
            limiter.start(now);
        }
    }

    /// A producer has made events, asked for or not.
    pub(super) fn count_made(&mut self, now: Duration, events: usize) {
        if let Some(limiter) = self.limiter.as_mut().filter(|_| self.role == Role::Producer) {
            limiter.count(now, u32::try_from(events).unwrap_or(u32::MAX));
        }
    }

    /// A consumer's guest is given events. Those of a call that is repeated count again, and do not wait: what the
    /// guest has begun comes first, and what comes after it waits for that much longer.
    pub(super) fn count_given(&mut self, now: Duration, call: &Call) {
        if let (Some(limiter), Call::HandleEvents { events, .. }) = (&mut self.limiter, call) {
            limiter.count(now, u32::try_from(events.len()).unwrap_or(u32::MAX));
        }
    }
}
