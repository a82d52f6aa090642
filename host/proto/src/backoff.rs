//! Waiting longer after each failure.

use std::time::Duration;

/// Doubles from `first` to `max`; [`Backoff::reset`] begins anew.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// For subscribing again. 20 ms: a round trip between nodes is below 1 ms, and the usual cause,
    /// an owner that has just claimed and whose stage is starting, takes a few. 1 s: no slower, so
    /// that a healed link is used within the second that the whole system aims at.
    pub const LINK: Self = Self::new(Duration::from_millis(20), Duration::from_secs(1));

    /// For a call that the guest wants repeated, and for restarts.
    pub const GUEST: Self = Self::new(Duration::from_millis(100), Duration::from_secs(30));

    /// Waits `first`, then twice as long each time, up to `max`.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, failures: 0 }
    }

    /// How long to wait after one more failure.
    pub fn fail(&mut self) -> Duration {
        let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.first.saturating_mul(factor).min(self.max)
    }

    /// It worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        let waits: Vec<_> = (0..4).map(|_| backoff.fail().as_millis()).collect();
        assert_eq!(waits, [100, 200, 350, 350]);
        backoff.reset();
        assert_eq!(backoff.fail().as_millis(), 100);
        assert_eq!((0..100).map(|_| backoff.fail()).last(), Some(Duration::from_millis(350)));
    }
}
