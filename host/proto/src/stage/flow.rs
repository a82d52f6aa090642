//! How much of a stage's work is done when: by demand, and no faster than its limit says.

use std::time::Duration;

use super::{Call, Notice, Role, Stage};
use crate::{
    intake::Intake,
    rate::{Limiter, RateLimit},
};

impl Stage {
    /// What a producer's guest is asked for now.
    pub(super) fn next_demand(&mut self, now: Duration) -> Option<Call> {
        if self.finished {
            return None;
        }
        let unasked = self.of_one_call(self.producer.unasked());
        if unasked > 0 {
            let demand = self.allowed(now, unasked)?;
            self.producer.count_asked(demand);
            return Some(Call::HandleDemand { demand });
        }
        let overdue = self.of_one_call(self.producer.overdue());
        let due = self.poll_at.is_some_and(|at| at <= now);
        let demand = self.allowed(now, overdue).filter(|_| due && overdue > 0)?;
        Some(Call::HandleDemand { demand })
    }

    fn of_one_call(&self, events: u64) -> u32 {
        u32::try_from(events).unwrap_or(u32::MAX).min(self.call_events_max)
    }

    /// How many of `wanted` events the limit lets through now, if any.
    fn allowed(&self, now: Duration, wanted: u32) -> Option<u32> {
        self.limiter.as_ref().map_or(Some(wanted), |limiter| limiter.allowed(now, wanted))
    }

    /// When time alone lets a producer's guest make events: it is to be asked again, or the limit lets it.
    pub(super) fn next_made_at(&self) -> Option<Duration> {
        if self.role != Role::Producer {
            return None;
        }
        let limiter = self.limiter.as_ref();
        let has_arrived = self.intake.as_ref().is_some_and(Intake::has_arrived) && self.producer.is_wanted();
        let ingest = limiter.filter(|_| has_arrived).map(|limiter| limiter.allowed_at(1));
        let (unasked, overdue) = (self.of_one_call(self.producer.unasked()), self.of_one_call(self.producer.overdue()));
        let demand = if unasked > 0 {
            limiter.map(|limiter| limiter.allowed_at(unasked))
        } else {
            let at = self.poll_at.filter(|_| overdue > 0);
            at.map(|at| limiter.map_or(at, |limiter| at.max(limiter.allowed_at(overdue))))
        };
        ingest.into_iter().chain(demand).min()
    }

    /// What a consumer's guest is given now.
    pub(super) fn next_events(&mut self, now: Duration) -> Option<Call> {
        if self.consumer.is_suspended() {
            return None;
        }
        match self.consumer.next_call(now, self.takes_events(), self.limiter.as_ref(), &mut self.out) {
            Ok(call) => call,
            Err(reason) => {
                self.out.notice(Notice::Stopping { reason: reason.clone() });
                self.stop(reason);
                None
            }
        }
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
    pub(super) fn count_given(&mut self, now: Duration, call: Option<&Call>) {
        if let (Some(limiter), Some(Call::HandleEvents { events, .. })) = (&mut self.limiter, call) {
            limiter.count(now, u32::try_from(events.len()).unwrap_or(u32::MAX));
        }
    }
}
