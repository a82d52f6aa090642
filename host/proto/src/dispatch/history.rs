//! What a producer under broadcast has dispatched since its start, for consumers that are not there yet.
//!
//! A new owner, or one that was started again, does not know who its consumers are: to forget what those that came
//! first have acknowledged would be a loss to those that come back a moment later. So for the first second every event
//! counts as not settled, and nothing is dispatched beyond what is kept here. Afterwards, until a lost consumer would be
//! given up as well, events are kept as far as there is room, and settled without regard to it.

use std::time::Duration;

use super::{Ledger, SETTLING};
use crate::{
    chunks::Chunks,
    producer::{BufferOptions, Keep},
};

#[derive(Debug)]
pub(super) struct History {
    away: Duration,
    buffer: BufferOptions,
    /// What is kept counts as a copy until then.
    firm_until: Option<Duration>,
    until: Option<Duration>,
    events: Chunks,
}

impl History {
    pub(super) fn new(away: Duration, buffer: BufferOptions) -> Self {
        Self { away, buffer, firm_until: None, until: None, events: Chunks::default() }
    }

    /// The time is this.
    pub(super) fn at(&mut self, now: Duration, ledger: &mut Ledger) {
        let until = *self.until.get_or_insert_with(|| {
            self.firm_until = Some(now + SETTLING.min(self.away));
            now + self.away
        });
        if self.firm_until.is_some_and(|firm_until| firm_until <= now) {
            self.firm_until = None;
            self.events.runs().into_iter().for_each(|run| ledger.settle(run));
        }
        if until <= now && !self.events.is_empty() {
            let events = std::mem::take(&mut self.events);
            events.runs().into_iter().for_each(|run| ledger.forget(run));
        }
        if until <= now {
            // A time that has passed for good.
            self.until = Some(Duration::ZERO);
        }
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        self.firm_until.or(self.until).filter(|_| !self.events.is_empty())
    }

    /// Whether what is kept counts as a copy.
    pub(super) fn is_firm(&self) -> bool {
        self.firm_until.is_some()
    }

    /// Whether events are still kept.
    pub(super) fn is_kept(&self) -> bool {
        self.until.is_some_and(|until| until > Duration::ZERO)
    }

    /// How many events may be dispatched now.
    pub(super) fn room(&self) -> usize {
        if self.is_firm() { self.buffer.size_max().saturating_sub(self.events.len()) } else { usize::MAX }
    }

    /// These were dispatched. What does not fit is not kept for anybody.
    pub(super) fn push(&mut self, events: Chunks, ledger: &mut Ledger) {
        self.events.append(events);
        let excess = self.events.len().saturating_sub(self.buffer.size_max());
        let dropped = match self.buffer.keep {
            Keep::Last => self.events.take_front(excess),
            Keep::First => self.events.take_back(excess),
        };
        dropped.runs().into_iter().for_each(|run| ledger.forget(run));
    }

    /// All that is kept, for one who comes now.
    pub(super) fn events(&self) -> &Chunks {
        &self.events
    }
}
