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

/// The pause before a commit is stated again that was not answered.
const AGAIN: Duration = Duration::from_millis(100);

#[derive(Debug)]
enum Taken {
    Nothing,
    /// Waits for what it covers to be settled, or for its time to be stated again.
    Waiting(Commit, Duration),
    Recording(Commit),
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    every: Duration,
    recorded: Seq,
    /// Not before then.
    next_at: Duration,
    taken: Taken,
}

impl Checkpoints {
    pub(crate) fn new(every: Duration, recorded: Seq) -> Self {
        Self { every, recorded, next_at: Duration::ZERO, taken: Taken::Nothing }
    }

    /// Whether the state should be taken now, with `next` as the next number to be given.
    pub(crate) fn is_due(&self, now: Duration, next: Seq, hurry: bool) -> bool {
        let idle = matches!(self.taken, Taken::Nothing);
        idle && next > self.recorded && (hurry || now >= self.next_at)
    }

    /// Whether all that was emitted is on record.
    pub(crate) fn is_up_to_date(&self, next: Seq) -> bool {
        self.recorded >= next
    }

    /// When `is_due` or `poll` may change without anything else happening, with `next` the next number and every
    /// event before `settled` settled.
    pub(crate) fn timeout(&self, next: Seq, settled: impl FnOnce() -> Seq) -> Option<Duration> {
        match &self.taken {
            Taken::Nothing => (next > self.recorded).then_some(self.next_at),
            // The first time it goes as soon as it is settled, which needs no clock.
            Taken::Waiting(_, not_before) if not_before.is_zero() => None,
            Taken::Waiting(commit, not_before) => (commit.seq <= settled()).then_some(*not_before),
            Taken::Recording(_) => None,
        }
    }

    /// The guest gave its state as of before `next`.
    pub(crate) fn on_snapshot(&mut self, now: Duration, next: Seq, snapshot: Bytes) {
        self.next_at = now + self.every;
        let commit = Commit { previous: self.recorded, seq: next, snapshot };
        self.taken = Taken::Waiting(commit, Duration::ZERO);
    }

    /// The guest gave none: the former one stands.
    pub(crate) fn on_no_snapshot(&mut self, now: Duration) {
        self.next_at = now + self.every;
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

    pub(crate) fn on_committed(&mut self, now: Duration, committed: Committed) {
        let Taken::Recording(commit) = std::mem::replace(&mut self.taken, Taken::Nothing) else { return };
        match committed {
            Committed::Done => self.recorded = commit.seq,
            Committed::Unknown => self.taken = Taken::Waiting(commit, now + AGAIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_snapshot_is_recorded_once_what_it_covers_is_settled() {
        let mut checkpoints = Checkpoints::new(SECOND, Seq(5));
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
        let mut checkpoints = Checkpoints::new(SECOND, Seq(0));
        checkpoints.on_snapshot(SECOND, Seq(3), Bytes::new());
        let first = checkpoints.poll(SECOND, Seq(3));
        checkpoints.on_committed(SECOND, Committed::Unknown);
        assert_eq!(checkpoints.poll(SECOND, Seq(4)), None);
        assert_eq!(checkpoints.timeout(Seq(4), || Seq(2)), None, "what is not settled is not waited for by the clock");
        let again = checkpoints.timeout(Seq(4), || Seq(4)).unwrap();
        assert_eq!(checkpoints.poll(again, Seq(4)), first);
    }
}
