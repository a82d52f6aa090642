//! What a consumer's guest is called with next.

use std::time::Duration;

use super::{AskMode, Consumer, Current, Queued, WhenFull, gather::Gathered, take_runs};
use crate::{
    batch::Batch,
    ids::SubId,
    message::{Events, Reason, SeqRun},
    rate::Limiter,
    stage::{Call, Letter, Outputs},
};

impl Consumer {
    /// The next events to make a call with. `wanted` says whether a new message may be
    /// taken: always for a consumer, while downstream waits for a producer-consumer. `idle` says whether nothing that came
    /// before is in hand or waits for an instance: the end of a subscription comes behind its events.
    ///
    /// `limiter` says how many events a call may have, and whether there may be one.
    ///
    /// `Err` says that the end of a subscription stops the stage.
    pub(crate) fn next_call(
        &mut self,
        now: Duration,
        wanted: bool,
        idle: bool,
        limiter: Option<&Limiter>,
        out: &mut Outputs,
    ) -> Result<Option<Call>, Reason> {
        self.call_at = None;
        while self.current.is_none() {
            if !wanted {
                return Ok(None);
            }
            if let Some(no) = self.gathered_before_the_end() {
                return Ok(self.call_gathered(now, no, limiter));
            }
            if !idle && matches!(self.queue.front(), Some(Queued::Ended(..))) {
                return Ok(None);
            }
            match self.queue.pop_front() {
                None => return Ok(self.next_gathered(now, limiter)),
                Some(Queued::Events(sub, Events { attempt, runs, events })) => {
                    self.current = Some(Current { sub, attempt, runs: runs.into(), rest: events });
                }
                Some(Queued::Ended(sub, ending, reason)) => self.finish(now, sub, ending, reason, out)?,
                Some(Queued::Resent(letter)) => return Ok(Some(Self::take_letter(letter))),
            }
        }
        Ok(self.cut_batch(now, limiter))
    }

    /// When there will be a call, if nothing happens before.
    pub(crate) fn call_at(&self) -> Option<Duration> {
        self.call_at
    }

    fn take_letter(Letter { source, epoch, seq, attempts, event, .. }: Letter) -> Call {
        let (sub, runs) = (SubId::RESENT, vec![SeqRun { first: seq, count: 1 }]);
        Call::HandleEvents { sub, source, epoch, attempt: attempts.saturating_add(1), runs, events: event }
    }

    fn cut_batch(&mut self, now: Duration, limiter: Option<&Limiter>) -> Option<Call> {
        let current = self.current.as_mut()?;
        let subscription = self.subs.get(&current.sub)?;
        let mut count = match subscription.ask {
            AskMode::Auto => current.rest.len().min(subscription.demand.batch_max() as usize),
            AskMode::Manual => current.rest.len(),
        };
        if let Some(limiter) = limiter {
            let wanted = u32::try_from(count).unwrap_or(u32::MAX);
            let Some(allowed) = limiter.allowed(now, wanted) else {
                self.call_at = Some(limiter.allowed_at(wanted));
                return None;
            };
            count = allowed as usize;
        }
        let events = current.rest.take_front(count);
        let runs = take_runs(&mut current.runs, events.len());
        let (sub, attempt) = (current.sub, current.attempt);
        if current.rest.is_empty() {
            self.current = None;
        }
        self.call(sub, attempt, runs, events)
    }

    /// Whether events wait in groups.
    pub(crate) fn has_gathered(&self) -> bool {
        self.gather.as_ref().is_some_and(|gather| gather.oldest().is_some())
    }

    /// What waits in groups goes back to its producers with the rest.
    pub(crate) fn give_up_gathered(&mut self) {
        if let Some(gather) = &mut self.gather {
            gather.clear();
        }
    }

    /// What came on a subscription goes to the guest before its end counts.
    fn gathered_before_the_end(&self) -> Option<u64> {
        let Some(Queued::Ended(sub, ..)) = self.queue.front() else { return None };
        self.gather.as_ref()?.oldest_of(*sub)
    }

    fn next_gathered(&mut self, now: Duration, limiter: Option<&Limiter>) -> Option<Call> {
        let gather = self.gather.as_ref()?;
        let last = gather.oldest().filter(|_| self.draining);
        let Some(no) = last.or_else(|| gather.ready(now)).or_else(|| self.stalled()) else {
            self.call_at = gather.deadline();
            return None;
        };
        self.call_gathered(now, no, limiter)
    }

    /// A group that would wait in vain: all that was asked for on its subscription has come and waits in groups.
    fn stalled(&self) -> Option<u64> {
        let gather = self.gather.as_ref()?;
        let mut stalled = self.subs.iter().filter(|(sub, subscription)| {
            let has_come = subscription.when_full == WhenFull::Block && subscription.received == subscription.granted;
            has_come && subscription.pending == gather.waiting(**sub)
        });
        stalled.find_map(|(sub, _)| gather.oldest_of(*sub))
    }

    fn call_gathered(&mut self, now: Duration, no: u64, limiter: Option<&Limiter>) -> Option<Call> {
        let gather = self.gather.as_mut()?;
        let count = gather.call_events(no);
        if let Some(limiter) = limiter.filter(|limiter| !limiter.allows_all(now, count)) {
            self.call_at = Some(limiter.allows_all_at(count));
            return None;
        }
        let Gathered { sub, attempt, runs, events } = gather.take(no)?;
        self.call(sub, attempt, runs, events)
    }

    fn call(&mut self, sub: SubId, attempt: u32, runs: Vec<SeqRun>, events: Batch) -> Option<Call> {
        // A subscription stays known until its end comes up in the queue, behind its events.
        let subscription = self.subs.get_mut(&sub)?;
        subscription.given += u32::try_from(events.len()).unwrap_or(u32::MAX);
        let (source, epoch) = (subscription.source.clone(), subscription.epoch);
        Some(Call::HandleEvents { sub, source, epoch, attempt, runs, events })
    }
}
