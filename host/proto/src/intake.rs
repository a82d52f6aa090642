//! How far a stage is with its inbox: what to fetch, what is settled, and what to put on record as processed.
//!
//! ```text
//!  recorded          prefix                  next
//! ----|-----------------|---[ settled ]--------|----------> positions
//!     dropped from the  all settled    handed to the guest   to be fetched
//!     inbox by then
//! ```
//!
//! An event of an inbox is settled once all that was emitted in its place is acknowledged, and of a stage with a
//! checkpoint once that knows of it: a successor gets it again until then.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{
    batch::Batch,
    checkpoints::{AGAIN, Committed},
    message::SeqRun,
};

/// What is to be read from an inbox.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fetch {
    /// From this position on.
    pub from: u64,
    /// At most so many.
    pub events_max: u32,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Intake {
    every: Duration,
    next: u64,
    fetching: bool,
    /// To be fetched once more before that: from, and up to.
    again: VecDeque<(u64, u64)>,
    /// The first of these is being fetched.
    fetching_again: bool,
    arrived: VecDeque<(u64, Batch)>,
    prefix: u64,
    /// Settled after the prefix: from, and up to.
    settled: BTreeMap<u64, u64>,
    recorded: u64,
    recording: Option<u64>,
    next_at: Duration,
}

impl Intake {
    /// Begins at a position before which all is processed, and puts on record how far it is that often.
    pub(crate) fn new(position: u64, every: Duration) -> Self {
        Self {
            every,
            next: position,
            fetching: false,
            again: VecDeque::new(),
            fetching_again: false,
            arrived: VecDeque::new(),
            prefix: position,
            settled: BTreeMap::new(),
            recorded: position,
            recording: None,
            next_at: Duration::ZERO,
        }
    }

    /// What to fetch, if so many events are wanted.
    pub(crate) fn poll_fetch(&mut self, wanted: u32) -> Option<Fetch> {
        if self.fetching || !self.arrived.is_empty() || wanted == 0 {
            return None;
        }
        self.fetching = true;
        self.fetching_again = !self.again.is_empty();
        Some(match self.again.front() {
            Some((from, upto)) => {
                let events_max = u32::try_from(upto - from).unwrap_or(u32::MAX).min(wanted);
                Fetch { from: *from, events_max }
            }
            None => Fetch { from: self.next, events_max: wanted },
        })
    }

    /// Events were fetched; `first` is later than asked for where the inbox holds nothing before.
    pub(crate) fn on_arrived(&mut self, first: u64, events: Batch) {
        self.fetching = false;
        if self.fetching_again {
            return self.on_arrived_again(first, &events);
        }
        if first > self.next {
            // What is not there any more was processed.
            self.settle(self.next, first);
        }
        self.next = first + events.len() as u64;
        self.arrived.push_back((first, events));
    }

    /// Whether there are events for the guest.
    pub(crate) fn has_arrived(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// The next events for the guest.
    pub(crate) fn take(&mut self) -> Option<(u64, Batch)> {
        self.arrived.pop_front()
    }

    /// Nothing more is handed to the guest; what has arrived stays in the inbox.
    pub(crate) fn stop(&mut self) {
        self.arrived.clear();
        self.fetching = true;
    }

    pub(crate) fn settle_runs(&mut self, runs: &[SeqRun]) {
        runs.iter().for_each(|run| self.settle(run.first.0, run.end().0));
    }

    fn settle(&mut self, from: u64, upto: u64) {
        self.settled.insert(from, upto);
        while let Some(entry) = self.settled.first_entry().filter(|entry| *entry.key() <= self.prefix) {
            self.prefix = self.prefix.max(entry.remove());
        }
    }

    /// What was fetched before, and is still not settled.
    fn on_arrived_again(&mut self, first: u64, events: &Batch) {
        let Some((from, upto)) = self.again.pop_front() else { return };
        if first > from {
            self.settle(from, first.min(upto));
        }
        let count = usize::try_from(upto.saturating_sub(first)).map_or(events.len(), |count| count.min(events.len()));
        let end = first + count as u64;
        if end < upto {
            self.again.push_front((end, upto));
        }
        if count > 0 {
            self.arrived.push_back((first, events.slice(0..count)));
        }
    }

    /// These are handed to the guest once more.
    pub(crate) fn hand_out_again(&mut self, runs: &[SeqRun]) {
        self.again.extend(runs.iter().map(|run| (run.first.0, run.end().0)));
    }

    /// What to put on record. `hurry`: there is no later.
    pub(crate) fn poll_processed(&mut self, now: Duration, hurry: bool) -> Option<u64> {
        let upto = self.prefix;
        if self.recording.is_some() || upto <= self.recorded || !(hurry || now >= self.next_at) {
            return None;
        }
        self.recording = Some(upto);
        Some(upto)
    }

    pub(crate) fn on_recorded(&mut self, now: Duration, committed: Committed) {
        let Some(upto) = self.recording.take() else { return };
        match committed {
            Committed::Done => {
                self.recorded = upto;
                self.next_at = now + self.every;
            }
            Committed::Unknown => self.next_at = now + AGAIN,
        }
    }

    pub(crate) fn is_recorded(&self) -> bool {
        self.recording.is_none() && self.prefix <= self.recorded
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        (self.recording.is_none() && !self.is_recorded()).then_some(self.next_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn events(count: usize) -> Batch {
        Batch::from_payloads(vec!["x"; count])
    }

    #[test]
    fn what_is_settled_without_a_hole_is_recorded_now_and_then() {
        let mut intake = Intake::new(5, SECOND);
        assert_eq!(intake.poll_fetch(0), None);
        assert_eq!(intake.poll_fetch(3), Some(Fetch { from: 5, events_max: 3 }));
        assert_eq!(intake.poll_fetch(3), None, "one at a time");
        intake.on_arrived(5, events(3));
        assert_eq!(intake.take().map(|(first, events)| (first, events.len())), Some((5, 3)));
        intake.settle(6, 8);
        assert_eq!(intake.poll_processed(Duration::ZERO, false), None, "5 is open");
        intake.settle(5, 6);
        assert_eq!(intake.poll_processed(Duration::ZERO, false), Some(8));
        assert!(!intake.is_recorded());
        intake.on_recorded(Duration::ZERO, Committed::Unknown);
        assert_eq!(intake.poll_processed(Duration::ZERO, false), None, "a little later");
        assert_eq!(intake.poll_processed(AGAIN, false), Some(8));
        intake.on_recorded(AGAIN, Committed::Done);
        assert!(intake.is_recorded() && intake.timeout().is_none());
        intake.poll_fetch(1);
        intake.on_arrived(8, events(1));
        intake.settle(8, 9);
        assert_eq!(intake.poll_processed(AGAIN, false), None);
        assert_eq!(intake.timeout(), Some(AGAIN + SECOND));
        assert_eq!(intake.poll_processed(AGAIN, true), Some(9), "unless there is no later");
    }

    #[test]
    fn what_the_guest_has_forgotten_is_handed_out_again() {
        let mut intake = Intake::new(0, SECOND);
        intake.poll_fetch(9);
        intake.on_arrived(0, events(4));
        intake.take();
        intake.settle(0, 1);
        intake.poll_fetch(9);
        intake.hand_out_again(&[SeqRun { first: crate::ids::Seq(1), count: 3 }]);
        intake.on_arrived(4, events(1));
        let mut taken = || intake.take().map(|(first, events)| (first, events.len()));
        assert_eq!(taken(), Some((4, 1)), "that was on its way");
        assert_eq!(intake.poll_fetch(2), Some(Fetch { from: 1, events_max: 2 }));
        intake.on_arrived(2, events(2));
        let mut taken = || intake.take().map(|(first, events)| (first, events.len()));
        assert_eq!(taken(), Some((2, 2)));
        assert_eq!(intake.poll_processed(SECOND, false), Some(2), "what the inbox has no more was processed");
        assert_eq!(intake.poll_fetch(9), Some(Fetch { from: 5, events_max: 9 }), "and then it goes on");
    }

    #[test]
    fn what_the_inbox_has_no_more_counts_as_settled() {
        let mut intake = Intake::new(0, SECOND);
        intake.poll_fetch(9);
        intake.on_arrived(7, events(1));
        intake.settle(7, 8);
        assert_eq!(intake.poll_processed(SECOND, false), Some(8));
    }
}
