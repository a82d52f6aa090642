//! How many numbers are due by the clock.

use std::time::{Duration, Instant};

/// The quickest. Unit: numbers a second.
pub(crate) const RATE_MAX: u32 = 1_000_000_000;

/// What was not taken in time is made up for, but no more than that of so long.
const MADE_UP: Duration = Duration::from_secs(1);

/// A rate, and what of it was taken.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Unit: numbers a second.
    rate: u32,
    /// Until when all that was due is taken. From the first call on.
    taken_until: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(rate: u32) -> Self {
        Self { rate, taken_until: None }
    }

    /// Takes what is due at `now`, `demand` at most.
    pub(crate) fn take(&mut self, demand: u32, now: Instant) -> u32 {
        let until = *self.taken_until.get_or_insert(now);
        let behind = now.saturating_duration_since(until).min(MADE_UP);
        // A second's worth fits.
        let due = u32::try_from(behind.as_nanos() * u128::from(self.rate) / 1_000_000_000).unwrap_or(u32::MAX);
        let taken = due.min(demand);
        // Rounded up, so that none is taken early.
        let worth = (u64::from(taken) * 1_000_000_000).div_ceil(u64::from(self.rate));
        self.taken_until = Some(now - behind + Duration::from_nanos(worth));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_in_the_mean_though_calls_come_as_they_like() {
        let (mut pace, began) = (Pace::new(3_000), Instant::now());
        let mut taken = 0;
        for call in 0..1_000_u64 {
            taken += pace.take(100, began + Duration::from_micros(call * call * 3));
        }
        // The last call was after 2.994 s.
        assert_eq!(taken, 8_982);
    }

    #[test]
    fn what_nobody_asked_for_is_made_up_for_by_a_second_at_most() {
        let (mut pace, began) = (Pace::new(100), Instant::now());
        let at = |ms| began + Duration::from_millis(ms);
        assert_eq!(pace.take(10, at(0)), 0);
        assert_eq!(pace.take(10, at(500)), 10, "no more than is asked for");
        assert_eq!(pace.take(1_000, at(500)), 40);
        assert_eq!(pace.take(1_000, at(60_000)), 100);
        assert_eq!(pace.take(1_000, at(60_010)), 1);
    }
}
