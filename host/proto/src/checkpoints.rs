//! When a stage's state is taken, and when it may be put on record.
//!
//! ```text
//!            every `every`, between two guest calls
//!  idle --------------------------------------------> taken (state after number S)
//!   ^                                                   | every event before S is settled
//!   +------- recorded: a successor goes on at S -----> recording, by compare-and-set on the epoch
//! ```
//!
//! What follows S is made again by a successor, so nothing of it has to be kept. One snapshot at a time.
//!
//! What a stage is given stays with whoever gave it until a state that knows of it is on record: of what was
//! processed since, a successor knows nothing. Where nothing was emitted since the last checkpoint the next one
//! takes a number itself, so that checkpoints rise.

use std::time::Duration;

use bytes::Bytes;

use crate::ids::Seq;

/// Something to put on record for a stage.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Commit {
    /// The checkpoint it follows.
    pub previous: Seq,
    /// Everything before this is settled.
    pub seq: Seq,
    /// The guest's state then.
    pub snapshot: Bytes,
}

/// What came of a [`Commit`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Committed {
    /// It is on record.
    Done,
    /// Nobody has said so in time: it is stated again.
    Unknown,
}

/// The pause before a record is stated again that was not answered.
pub(crate) const AGAIN: Duration = Duration::from_millis(100);

/// A state is taken this much earlier than it is time for where nothing more can be had before.
const EARLIER: u32 = 10;

#[derive(Debug)]
enum Taken {
    Nothing,
    /// Waits for what it covers to be settled, or for its time to be stated again.
    Waiting(Commit, Duration),
    Recording(Commit),
}

/// See the module's documentation. `T` is what the stage was given.
#[derive(Debug)]
pub(crate) struct Checkpoints<T> {
    every: Duration,
    recorded: Seq,
    /// Not before then.
    next_at: Duration,
    taken: Taken,
    /// What the state that is being recorded knows of.
    covered: Vec<T>,
    /// Processed since that was taken.
    since: Vec<T>,
    is_urgent: bool,
    /// The guest ticked or was asked something since its state was taken: it may be another, or not.
    is_touched: bool,
    /// What is on record, if it was put there by this instance.
    last: Option<Bytes>,
}

impl<T> Checkpoints<T> {
    pub(crate) fn new(every: Duration, recorded: Seq) -> Self {
        let (covered, since) = (Vec::new(), Vec::new());
        let (next_at, taken, last) = (Duration::ZERO, Taken::Nothing, None);
        Self { every, recorded, next_at, taken, covered, since, is_urgent: false, is_touched: false, last }
    }

    /// Something given was processed. `is_urgent`: no more is given before it is covered.
    pub(crate) fn add(&mut self, given: T, is_urgent: bool) {
        self.since.push(given);
        self.is_urgent |= is_urgent;
    }

    /// The guest was called without events, and may have another state since. Then that is put on record too.
    pub(crate) fn touch(&mut self) {
        self.is_touched = true;
    }

    /// The guest is gone, and what it knew since its state was last taken: gives what it was given since.
    pub(crate) fn on_lost(&mut self) -> Vec<T> {
        (self.is_urgent, self.is_touched) = (false, false);
        std::mem::take(&mut self.since)
    }

    /// Whether everything given is covered by a checkpoint on record.
    pub(crate) fn covers_all(&self) -> bool {
        self.since.is_empty() && self.covered.is_empty()
    }

    fn has_news(&self, next: Seq) -> bool {
        next > self.recorded || !self.since.is_empty() || self.is_touched
    }

    fn due_at(&self) -> Duration {
        if self.is_urgent { self.next_at.saturating_sub(self.every - self.every / EARLIER) } else { self.next_at }
    }

    /// Whether the state should be taken now, with `next` as the next number to be given.
    pub(crate) fn is_due(&self, now: Duration, next: Seq, hurry: bool) -> bool {
        let idle = matches!(self.taken, Taken::Nothing);
        idle && self.has_news(next) && (hurry || now >= self.due_at())
    }

    /// Whether all that was emitted and processed is on record.
    pub(crate) fn is_up_to_date(&self, next: Seq) -> bool {
        self.recorded >= next && self.covers_all() && !self.is_touched
    }

    /// When `is_due` or `poll` may change without anything else happening, with `next` the next number and every
    /// event before `settled` settled.
    pub(crate) fn timeout(&self, next: Seq, settled: impl FnOnce() -> Seq) -> Option<Duration> {
        match &self.taken {
            Taken::Nothing => self.has_news(next).then(|| self.due_at()),
            // The first time it goes as soon as it is settled, which needs no clock.
            Taken::Waiting(_, not_before) if not_before.is_zero() => None,
            Taken::Waiting(commit, not_before) => (commit.seq <= settled()).then_some(*not_before),
            Taken::Recording(_) => None,
        }
    }

    /// The guest gave its state as of before `next`. Gives the number of the checkpoint, which is `next` unless
    /// that has one already. A state that is on record, and of which nothing else is new, is not put there again.
    pub(crate) fn on_snapshot(&mut self, now: Duration, next: Seq, snapshot: Bytes) -> Seq {
        self.next_at = now + self.every;
        (self.is_urgent, self.is_touched) = (false, false);
        if !self.has_news(next) && self.last.as_ref() == Some(&snapshot) {
            return next;
        }
        self.covered = std::mem::take(&mut self.since);
        let seq = if next > self.recorded { next } else { Seq(self.recorded.0 + 1) };
        self.taken = Taken::Waiting(Commit { previous: self.recorded, seq, snapshot }, Duration::ZERO);
        seq
    }

    /// The guest gave none: the former one stands.
    pub(crate) fn on_no_snapshot(&mut self, now: Duration) {
        self.next_at = now + self.every;
        self.is_urgent = false;
    }

    /// What may be put on record, with every event before `settled` settled.
    pub(crate) fn poll(&mut self, now: Duration, settled: Seq) -> Option<Commit> {
        match &self.taken {
            Taken::Waiting(commit, not_before) if commit.seq <= settled && *not_before <= now => {
                let commit = commit.clone();
                self.taken = Taken::Recording(commit.clone());
                Some(commit)
            }
            _ => None,
        }
    }

    /// Gives what is covered by a checkpoint on record now.
    pub(crate) fn on_committed(&mut self, now: Duration, committed: Committed) -> Vec<T> {
        let Taken::Recording(commit) = std::mem::replace(&mut self.taken, Taken::Nothing) else { return Vec::new() };
        match committed {
            Committed::Done => {
                self.recorded = commit.seq;
                self.last = Some(commit.snapshot);
                std::mem::take(&mut self.covered)
            }
            Committed::Unknown => {
                self.taken = Taken::Waiting(commit, now + AGAIN);
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_snapshot_is_recorded_once_what_it_covers_is_settled() {
        let mut checkpoints = Checkpoints::<&str>::new(SECOND, Seq(5));
        assert!(!checkpoints.is_due(SECOND, Seq(5), true), "nothing has happened since");
        assert!(checkpoints.is_due(SECOND, Seq(8), false));
        checkpoints.on_snapshot(SECOND, Seq(8), Bytes::from_static(b"eight"));
        assert_eq!(checkpoints.poll(SECOND, Seq(7)), None);
        let commit = Commit { previous: Seq(5), seq: Seq(8), snapshot: Bytes::from_static(b"eight") };
        assert_eq!(checkpoints.poll(SECOND, Seq(9)), Some(commit));
        assert_eq!(checkpoints.poll(SECOND, Seq(9)), None, "once");
        assert!(!checkpoints.is_due(9 * SECOND, Seq(99), true), "one at a time");
        checkpoints.on_committed(SECOND, Committed::Done);
        assert!(!checkpoints.is_due(SECOND + SECOND / 2, Seq(9), false), "too early");
        assert!(checkpoints.is_due(SECOND + SECOND / 2, Seq(9), true), "unless there is no later");
        assert_eq!(checkpoints.timeout(Seq(9), || Seq(9)), Some(2 * SECOND));
        assert!(checkpoints.is_up_to_date(Seq(8)) && !checkpoints.is_up_to_date(Seq(9)));
    }

    #[test]
    fn a_commit_that_was_not_answered_is_stated_again_as_it_was() {
        let mut checkpoints = Checkpoints::<&str>::new(SECOND, Seq(0));
        checkpoints.on_snapshot(SECOND, Seq(3), Bytes::new());
        let first = checkpoints.poll(SECOND, Seq(3));
        checkpoints.on_committed(SECOND, Committed::Unknown);
        assert_eq!(checkpoints.poll(SECOND, Seq(4)), None);
        assert_eq!(checkpoints.timeout(Seq(4), || Seq(2)), None, "what is not settled is not waited for by the clock");
        let again = checkpoints.timeout(Seq(4), || Seq(4)).unwrap();
        assert_eq!(checkpoints.poll(again, Seq(4)), first);
    }

    #[test]
    fn what_was_given_is_kept_until_a_state_that_knows_of_it_is_on_record() {
        let mut checkpoints = Checkpoints::new(SECOND, Seq(4));
        checkpoints.add("a", false);
        assert!(!checkpoints.is_up_to_date(Seq(4)) && !checkpoints.covers_all());
        assert!(checkpoints.is_due(SECOND, Seq(4), false), "nothing was emitted, and yet it knows more");
        assert_eq!(checkpoints.on_snapshot(SECOND, Seq(4), Bytes::new()), Seq(5), "its own number");
        checkpoints.add("b", false);
        assert!(checkpoints.poll(SECOND, Seq(5)).is_some());
        assert_eq!(checkpoints.on_committed(SECOND, Committed::Unknown), [] as [&str; 0]);
        assert!(checkpoints.poll(2 * SECOND, Seq(5)).is_some());
        assert_eq!(checkpoints.on_committed(2 * SECOND, Committed::Done), ["a"]);
        assert_eq!(checkpoints.on_lost(), ["b"], "the state on record knows nothing of it");
        assert!(checkpoints.is_up_to_date(Seq(5)));
    }

    #[test]
    fn a_state_that_a_tick_has_changed_is_put_on_record_and_one_that_it_has_not_is_not() {
        let mut checkpoints = Checkpoints::<&str>::new(SECOND, Seq(3));
        checkpoints.touch();
        assert!(checkpoints.is_due(SECOND, Seq(3), false) && !checkpoints.is_up_to_date(Seq(3)));
        assert_eq!(checkpoints.on_snapshot(SECOND, Seq(3), Bytes::from_static(b"one")), Seq(4));
        assert!(checkpoints.poll(SECOND, Seq(4)).is_some());
        checkpoints.on_committed(SECOND, Committed::Done);
        for state in [&b"one"[..], b"two"] {
            let now = checkpoints.due_at();
            checkpoints.touch();
            assert!(checkpoints.is_due(now, Seq(4), false));
            let seq = checkpoints.on_snapshot(now, Seq(4), Bytes::from_static(state));
            assert_eq!(seq, if state == b"two" { Seq(5) } else { Seq(4) });
            assert_eq!(checkpoints.poll(now, Seq(5)).is_some(), state == b"two");
            assert_eq!(checkpoints.is_up_to_date(seq), state == b"one");
        }
    }

    #[test]
    fn a_state_is_taken_early_where_nothing_more_comes_before() {
        let mut checkpoints = Checkpoints::new(SECOND, Seq(0));
        checkpoints.on_snapshot(SECOND, Seq(1), Bytes::new());
        checkpoints.poll(SECOND, Seq(1));
        checkpoints.on_committed(SECOND, Committed::Done);
        checkpoints.add("a", false);
        assert_eq!(checkpoints.timeout(Seq(1), || Seq(1)), Some(2 * SECOND));
        checkpoints.add("b", true);
        let early = SECOND + SECOND / 10;
        assert_eq!(checkpoints.timeout(Seq(1), || Seq(1)), Some(early));
        assert!(!checkpoints.is_due(SECOND, Seq(1), false) && checkpoints.is_due(early, Seq(1), false));
    }
}
