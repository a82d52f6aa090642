//! When a guest that acts by the clock is called.
//!
//! ```text
//!  start     tick      tick      tick      tick
//!    |---------|---------|---------|---------|
//!              x         (busy)  x           x      the rhythm stays; what is missed is not made up
//! ```
//!
//! A tick that comes late, because the guest was busy or nobody took what it emits, is made as soon as it can be;
//! the next is due when it would have been anyway. As tokio's `MissedTickBehavior::Skip`: in the mean there are as
//! many ticks as the interval says, and never two at once for an interval that was missed.

use std::time::Duration;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Ticks {
    /// Not zero.
    every: Duration,
    /// `None` before the start.
    due: Option<Duration>,
    /// The one of a stage that ends was made.
    last_made: bool,
}

impl Ticks {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every: every.max(Duration::from_nanos(1)), due: None, last_made: false }
    }

    /// Counts from now on, if it does not already.
    pub(crate) fn start(&mut self, now: Duration) {
        self.due.get_or_insert(now + self.every);
    }

    /// When the next one is due.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.due
    }

    /// Whether one is to be made now; then it counts as made.
    pub(crate) fn take(&mut self, now: Duration) -> bool {
        let Some(due) = self.due.filter(|due| *due <= now) else { return false };
        let late = (now - due).as_nanos() % self.every.as_nanos();
        // Less than `every`, which is given in hours at most.
        let late = Duration::from_nanos(u64::try_from(late).unwrap_or(u64::MAX));
        self.due = Some(now + self.every - late);
        true
    }

    /// Whether the last one, of a stage that ends, was not made yet.
    pub(crate) fn owes_last(&self) -> bool {
        !self.last_made
    }

    pub(crate) fn count_last(&mut self) {
        self.last_made = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_first_is_due_an_interval_after_the_start() {
        let mut ticks = Ticks::new(millis(100));
        assert_eq!((ticks.timeout(), ticks.take(millis(500))), (None, false), "it has not begun");
        ticks.start(millis(7));
        ticks.start(millis(50));
        assert_eq!(ticks.timeout(), Some(millis(107)));
        assert!(!ticks.take(millis(106)) && ticks.take(millis(107)) && !ticks.take(millis(107)));
        assert_eq!(ticks.timeout(), Some(millis(207)));
    }

    #[test]
    fn a_late_tick_keeps_the_rhythm_and_missed_ones_are_not_made_up() {
        let mut ticks = Ticks::new(millis(100));
        ticks.start(millis(0));
        assert!(ticks.take(millis(130)));
        assert_eq!(ticks.timeout(), Some(millis(200)), "30 ms late, and on time the next time");
        assert!(ticks.take(millis(555)) && !ticks.take(millis(555)));
        assert_eq!(ticks.timeout(), Some(millis(600)), "those of 300, 400 and 500 are gone");
        assert!(ticks.take(millis(700)));
        assert_eq!(ticks.timeout(), Some(millis(800)));
    }
}
