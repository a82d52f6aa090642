//! How far a stage is with its inbox: what to fetch, what is settled, and what to put on record as processed.
//!
//! ```text
//!  recorded          prefix                  next
//! ----|-----------------|---[ settled ]--------|----------> positions
//!     dropped from the  all settled    handed to the guest   to be fetched
//!     inbox by then
//! ```
//!
//! An event of an inbox is settled once all that was emitted in its place is acknowledged. Of a stage with a
//! checkpoint nothing is put on record that its last checkpoint does not know of: a successor gets it again.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{batch::Batch, checkpoints::Committed, message::SeqRun};

/// The pause before a record is stated again that was not answered.
const AGAIN: Duration = Duration::from_millis(100);

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
    arrived: VecDeque<(u64, Batch)>,
    prefix: u64,
    /// Settled after the prefix: from, and up to.
    settled: BTreeMap<u64, u64>,
    /// What the checkpoint that is being taken knows of, and the last on record.
    taken: u64,
    covered: u64,
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
            arrived: VecDeque::new(),
            prefix: position,
            settled: BTreeMap::new(),
            taken: position,
            covered: position,
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
        Some(Fetch { from: self.next, events_max: wanted })
    }

    /// Events were fetched; `first` is later than asked for where the inbox holds nothing before.
    pub(crate) fn on_arrived(&mut self, first: u64, events: Batch) {
        self.fetching = false;
        if first > self.next {
            // What is not there any more was processed.
            self.settle(self.next, first);
        }
        self.next = first + events.len() as u64;
        self.arrived.push_back((first, events));
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

    /// The guest's state is taken: it knows of all that was handed to it.
    pub(crate) fn on_snapshot(&mut self) {
        self.taken = self.arrived.front().map_or(self.next, |(first, _)| *first);
    }

    /// That state is on record.
    pub(crate) fn on_checkpoint(&mut self) {
        self.covered = self.taken;
    }

    fn processed(&self, is_covered: bool) -> u64 {
        if is_covered { self.prefix } else { self.prefix.min(self.covered) }
    }

    /// What to put on record. `is_covered`: no checkpoint has to know of it, or the last one does. `hurry`: there
    /// is no later.
    pub(crate) fn poll_processed(&mut self, now: Duration, is_covered: bool, hurry: bool) -> Option<u64> {
        let upto = self.processed(is_covered);
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

    pub(crate) fn is_recorded(&self, is_covered: bool) -> bool {
        self.recording.is_none() && self.processed(is_covered) <= self.recorded
    }

    pub(crate) fn timeout(&self, is_covered: bool) -> Option<Duration> {
        (self.recording.is_none() && !self.is_recorded(is_covered)).then_some(self.next_at)
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
        assert_eq!(intake.poll_processed(Duration::ZERO, true, false), None, "5 is open");
        intake.settle(5, 6);
        assert_eq!(intake.poll_processed(Duration::ZERO, true, false), Some(8));
        assert!(!intake.is_recorded(true));
        intake.on_recorded(Duration::ZERO, Committed::Unknown);
        assert_eq!(intake.poll_processed(Duration::ZERO, true, false), None, "a little later");
        assert_eq!(intake.poll_processed(AGAIN, true, false), Some(8));
        intake.on_recorded(AGAIN, Committed::Done);
        assert!(intake.is_recorded(true) && intake.timeout(true).is_none());
        intake.poll_fetch(1);
        intake.on_arrived(8, events(1));
        intake.settle(8, 9);
        assert_eq!(intake.poll_processed(AGAIN, true, false), None);
        assert_eq!(intake.timeout(true), Some(AGAIN + SECOND));
        assert_eq!(intake.poll_processed(AGAIN, true, true), Some(9), "unless there is no later");
    }

    #[test]
    fn what_no_checkpoint_knows_of_is_not_recorded() {
        let mut intake = Intake::new(0, SECOND);
        intake.poll_fetch(9);
        intake.on_arrived(0, events(2));
        intake.take();
        intake.on_snapshot();
        intake.poll_fetch(9);
        intake.on_arrived(2, events(2));
        intake.take();
        intake.settle(0, 4);
        assert_eq!(intake.poll_processed(SECOND, false, false), None, "the state is not on record yet");
        intake.on_checkpoint();
        assert_eq!(intake.poll_processed(SECOND, false, false), Some(2), "it knew of two");
    }

    #[test]
    fn what_the_inbox_has_no_more_counts_as_settled() {
        let mut intake = Intake::new(0, SECOND);
        intake.poll_fetch(9);
        intake.on_arrived(7, events(1));
        intake.settle(7, 8);
        assert_eq!(intake.poll_processed(SECOND, true, false), Some(8));
    }
}
