//! When an instance is replaced by a fresh one for the memory it takes: a guest's memory never shrinks, and some
//! languages' bindings lose a little of it with every event.
//!
//! ```text
//! 0 ........ fresh ............ mark ...... urgent ...... limit
//!            | left alone       | replaced, but  | at once   | refused: the guest traps
//!            |                  | at most 1/20   |
//!            |                  | of the time    |
//! ```
//!
//! It is done between two calls. Nothing is lost of a guest that exports `checkpoint`: the fresh one goes on with its
//! state. Of any other whatever it holds in memory goes, so that it is replaced only where it would soon be lost anyway,
//! or if its author says when.

use std::time::Duration;

use crate::{backoff::Backoff, stage::Role};

/// What a pipeline file says of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Recycle {
    /// As suits the plugin.
    #[default]
    Auto,
    /// Never: the guest ends when it runs out of memory.
    Off,
    /// When its memory has reached so much. Unit: bytes.
    At(u64),
}

/// How much memory is how much. Unit: bytes, all memories of an instance together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Marks {
    /// From here on an instance is replaced.
    pub mark: u64,
    /// More is refused.
    pub limit: u64,
}

/// Of what an instance may use, with a checkpoint: what is left holds four of the largest batches where the limit is that
/// by default, so that no single call gets from below the mark to the end.
const MARK: (u64, u64) = (3, 4);

/// The same without a checkpoint: as late as may be, for what such a guest keeps in memory goes.
const LAST_RESORT: (u64, u64) = (15, 16);

impl Recycle {
    /// Where the marks of such a plugin are; `None`: it is never replaced. One that makes events of nothing and has no
    /// checkpoint would begin anew, so only its author can want that.
    pub fn marks(self, limit: u64, role: Role, has_checkpoint: bool) -> Option<Marks> {
        let part = |(of, all): (u64, u64)| limit / all * of;
        let mark = match self {
            Self::Off => return None,
            Self::At(mark) => mark,
            Self::Auto if has_checkpoint => part(MARK),
            Self::Auto if role == Role::Producer => return None,
            Self::Auto => part(LAST_RESORT),
        };
        Some(Marks { mark, limit })
    }
}

/// Replacing takes at most one in so many parts of the time, unless it is urgent.
const TIME_SHARE: u32 = 20;

/// After an attempt that failed, for as a rule the next does too.
const FAILED: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Recycler {
    marks: Marks,
    used: u64,
    /// What the present instance took at its start.
    fresh: Option<u64>,
    began: Duration,
    /// It would take too much of the time before.
    rests_until: Duration,
    /// The last attempt failed: not before then, however urgent.
    failed_until: Duration,
    failures: Backoff,
}

impl Recycler {
    pub(crate) fn new(marks: Marks) -> Self {
        let (rests_until, failed_until) = (Duration::ZERO, Duration::ZERO);
        Self { marks, used: 0, fresh: None, began: Duration::ZERO, rests_until, failed_until, failures: FAILED }
    }

    /// So much the guest takes now.
    pub(crate) fn on_memory(&mut self, bytes: u64) {
        self.used = bytes;
        self.fresh.get_or_insert(bytes);
    }

    /// The mark of this instance: where it took more than that at its start, half-way between what it took and the end.
    fn mark(&self) -> u64 {
        let Marks { mark, limit } = self.marks;
        match self.fresh.unwrap_or_default() {
            fresh if fresh < mark => mark,
            fresh => fresh + limit.saturating_sub(fresh) / 2,
        }
    }

    /// Whether the guest should be replaced now.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        let mark = self.mark();
        // A fresh one that takes as much is no better.
        let may = self.used >= mark && self.fresh.is_some_and(|fresh| fresh < self.used) && now >= self.failed_until;
        let urgent = mark + self.marks.limit.saturating_sub(mark) / 2;
        may && (now >= self.rests_until || self.used >= urgent)
    }

    /// It is being replaced.
    pub(crate) fn begin(&mut self, now: Duration) {
        self.began = now;
    }

    /// It was replaced. Gives how much the former one took.
    pub(crate) fn on_recycled(&mut self, now: Duration) -> u64 {
        let took = now.saturating_sub(self.began);
        self.rests_until = now + took * (TIME_SHARE - 1);
        self.failures.reset();
        self.on_renewed();
        self.used
    }

    /// It is there still.
    pub(crate) fn on_failed(&mut self, now: Duration) {
        self.failed_until = now + self.failures.fail();
    }

    /// Another has taken its place, for whatever reason; what that takes is not known yet.
    pub(crate) fn on_renewed(&mut self) {
        self.fresh = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const LIMIT: u64 = 64 * MIB;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// With an instance that took 10 MiB at its start.
    fn recycler(mark: u64) -> Recycler {
        let mut recycler = Recycler::new(Marks { mark, limit: LIMIT });
        recycler.on_memory(10 * MIB);
        recycler
    }

    #[test]
    fn the_mark_depends_on_what_would_be_lost() {
        let mark = |recycle: Recycle, role, has_checkpoint| {
            recycle.marks(LIMIT, role, has_checkpoint).map(|marks| marks.mark / MIB)
        };
        for role in [Role::Producer, Role::ProducerConsumer, Role::Consumer] {
            assert_eq!(mark(Recycle::Auto, role, true), Some(48), "{role}");
            for has_checkpoint in [false, true] {
                assert_eq!(mark(Recycle::Off, role, has_checkpoint), None);
                assert_eq!(mark(Recycle::At(5 * MIB), role, has_checkpoint), Some(5), "its author says so");
            }
        }
        assert_eq!(mark(Recycle::Auto, Role::Producer, false), None, "it would begin anew");
        assert_eq!(mark(Recycle::Auto, Role::ProducerConsumer, false), Some(60));
        assert_eq!(mark(Recycle::Auto, Role::Consumer, false), Some(60));
    }

    #[test]
    fn an_instance_is_replaced_from_the_mark_on() {
        let mut recycler = recycler(48 * MIB);
        recycler.on_memory(48 * MIB - 1);
        assert!(!recycler.is_due(millis(0)));
        recycler.on_memory(48 * MIB);
        assert!(recycler.is_due(millis(0)));
        recycler.begin(millis(0));
        assert_eq!(recycler.on_recycled(millis(2)), 48 * MIB);
        assert!(!recycler.is_due(millis(1000)), "what the next one takes is not known");
        recycler.on_memory(10 * MIB);
        assert!(!recycler.is_due(millis(1000)));
    }

    #[test]
    fn replacing_takes_a_twentieth_of_the_time_unless_it_is_urgent() {
        let mut recycler = recycler(48 * MIB);
        recycler.on_memory(48 * MIB);
        recycler.begin(millis(1000));
        recycler.on_recycled(millis(1010));
        recycler.on_memory(10 * MIB);
        recycler.on_memory(50 * MIB);
        assert!(!recycler.is_due(millis(1199)) && recycler.is_due(millis(1200)));
        recycler.on_memory(56 * MIB);
        assert!(recycler.is_due(millis(1011)), "half-way to the end");
    }

    #[test]
    fn one_that_begins_above_the_mark_is_not_replaced_for_that() {
        let mut recycler = Recycler::new(Marks { mark: 48 * MIB, limit: LIMIT });
        recycler.on_memory(50 * MIB);
        assert!(!recycler.is_due(millis(0)));
        recycler.on_memory(56 * MIB);
        assert!(!recycler.is_due(millis(0)), "a fresh one would be there again soon");
        recycler.on_memory(57 * MIB);
        assert!(recycler.is_due(millis(0)));
        let mut full = Recycler::new(Marks { mark: 48 * MIB, limit: LIMIT });
        full.on_memory(LIMIT);
        assert!(!full.is_due(millis(0)), "nothing would be gained");
    }

    #[test]
    fn a_failure_is_followed_by_a_longer_pause_each_time_however_urgent() {
        let mut recycler = recycler(48 * MIB);
        recycler.on_memory(63 * MIB);
        recycler.on_failed(millis(0));
        assert!(!recycler.is_due(millis(999)) && recycler.is_due(millis(1000)));
        recycler.on_failed(millis(1000));
        assert!(!recycler.is_due(millis(2999)) && recycler.is_due(millis(3000)));
        recycler.begin(millis(3000));
        recycler.on_recycled(millis(3000));
        recycler.on_memory(10 * MIB);
        recycler.on_memory(63 * MIB);
        recycler.on_failed(millis(3000));
        assert!(recycler.is_due(millis(4000)), "a success has ended that");
    }
}
