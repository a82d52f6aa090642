//! How many events a stage may handle in a time (Broadway's `rate_limiting`): a token bucket.
//!
//! ```text
//! tokens  burst |      ____          ____      what is not used is not saved beyond the burst
//!               |     /    \        /
//!             0 |____/______\______/_______
//!               |  start     \    /            debt: what came unasked is paid off first
//!               |             \__/
//! ```
//!
//! `events` tokens come in evenly over `per`; the bucket holds a tenth of them, or one call where that takes more, and what
//! comes in while a timer is late: else each call would lose that, and of one event each millisecond half were lost.
//! So in any time as long as `per` at most `events` and the burst are handled, and a stage that is started again, here or
//! elsewhere, has at most that tenth more. All in whole numbers: when a token is said to be there, it is.

use std::{fmt, time::Duration};

/// How late a timer may be: those of tokio and of most systems count milliseconds, and begin one that has begun anew.
const TIMER_LATE: Duration = Duration::from_millis(2);

/// See the module's documentation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RateLimit {
    /// At least 1. Unit: events.
    pub events: u32,
    /// Not zero.
    pub per: Duration,
}

impl RateLimit {
    /// What may be handled at once at the start, and what is worth a call. Unit: events; at least 1.
    pub fn tenth(self) -> u32 {
        (self.events / 10).max(1)
    }

    /// What may be saved, of a stage whose calls take `call_events` where that is not less. Unit: events.
    pub fn burst(self, call_events: u32) -> u32 {
        let late = TIMER_LATE.as_nanos() * u128::from(self.events) / self.per.as_nanos().max(1);
        self.tenth().max(call_events).saturating_add(u32::try_from(late).unwrap_or(u32::MAX))
    }
}

/// As `forebay rate` takes it: `100/1s`.
impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = humantime::format_duration(self.per).to_string().replace(' ', "");
        write!(f, "{}/{per}", self.events)
    }
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Limiter {
    limit: RateLimit,
    /// Unit: events.
    burst: u32,
    /// As of `since`, in parts of a token: `per` in nanoseconds of them are one.
    level: i128,
    /// `None` before the start.
    since: Option<Duration>,
}

impl Limiter {
    /// `call_events`: what a call takes that is not made with less. Unit: events.
    pub(crate) fn new(limit: RateLimit, call_events: u32) -> Self {
        let mut limiter = Self { limit, burst: limit.burst(call_events), level: 0, since: None };
        limiter.level = limiter.parts(limit.tenth());
        limiter
    }

    pub(crate) fn limit(&self) -> RateLimit {
        self.limit
    }

    /// Another limit from now on: nothing beyond its burst is saved, and what is owed stays owed.
    pub(crate) fn change(&mut self, now: Duration, limit: RateLimit, call_events: u32) {
        let tokens = self.level(now) / self.parts(1);
        *self = Self::new(limit, call_events);
        self.level = self.level.min(tokens.saturating_mul(self.parts(1)));
        self.since = Some(now);
    }

    /// How much is worth handling at once. Unit: events.
    pub(crate) fn at_once(&self) -> u32 {
        self.limit.tenth()
    }

    /// The time begins to count, if it does not already.
    pub(crate) fn start(&mut self, now: Duration) {
        self.since.get_or_insert(now);
    }

    fn parts(&self, tokens: u32) -> i128 {
        // `per` is given in days at most.
        i128::from(tokens) * i128::try_from(self.limit.per.as_nanos().max(1)).unwrap_or(i128::MAX / (1 << 40))
    }

    fn level(&self, now: Duration) -> i128 {
        let passed = now.saturating_sub(self.since.unwrap_or(now)).as_nanos();
        let gained = i128::try_from(passed).unwrap_or(i128::MAX).saturating_mul(i128::from(self.limit.events));
        self.level.saturating_add(gained).min(self.parts(self.burst))
    }

    /// How many of `wanted` events may be handled now. Less than a tenth of the limit is not worth a call, unless no
    /// more are wanted.
    pub(crate) fn allowed(&self, now: Duration, wanted: u32) -> Option<u32> {
        self.allowed_beside(now, wanted, 0)
    }

    /// As [`Self::allowed`], beside `being_made` events that are not counted yet.
    pub(crate) fn allowed_beside(&self, now: Duration, wanted: u32, being_made: u32) -> Option<u32> {
        let tokens = u32::try_from(self.level(now) / self.parts(1)).unwrap_or(0).saturating_sub(being_made);
        (tokens >= self.worth(wanted)).then(|| tokens.min(wanted))
    }

    /// As [`Self::allowed_at`], beside these; `None` if time alone does not let them be handled.
    pub(crate) fn allowed_beside_at(&self, wanted: u32, being_made: u32) -> Option<Duration> {
        let needed = self.worth(wanted).saturating_add(being_made);
        (being_made == 0 || needed <= self.burst).then(|| self.at(self.parts(needed)))
    }

    fn worth(&self, wanted: u32) -> u32 {
        wanted.min(self.limit.tenth())
    }

    /// When some of `wanted` events may be handled; a time that has passed if they may be already.
    pub(crate) fn allowed_at(&self, wanted: u32) -> Duration {
        self.at(self.parts(self.worth(wanted)))
    }

    /// Whether all of `wanted` events may be handled now, which are not handled in parts. At most the burst is needed.
    pub(crate) fn allows_all(&self, now: Duration, wanted: u32) -> bool {
        self.level(now) >= self.parts(wanted.min(self.burst))
    }

    /// When they may; a time that has passed if they may already.
    pub(crate) fn allows_all_at(&self, wanted: u32) -> Duration {
        self.at(self.parts(wanted.min(self.burst)))
    }

    /// When nothing is owed any more; a time that has passed if nothing is.
    pub(crate) fn out_of_debt_at(&self) -> Duration {
        self.at(0)
    }

    fn at(&self, level: i128) -> Duration {
        let missing = u128::try_from(level - self.level).unwrap_or(0);
        let nanos = missing.div_ceil(u128::from(self.limit.events.max(1)));
        let since = self.since.unwrap_or_default();
        since.saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// So many were handled, allowed or not.
    pub(crate) fn count(&mut self, now: Duration, events: u32) {
        self.level = self.level(now) - self.parts(events);
        self.since = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn limiter(events: u32, per: Duration) -> Limiter {
        let mut limiter = Limiter::new(RateLimit { events, per }, 0);
        limiter.start(Duration::ZERO);
        limiter
    }

    #[test]
    fn a_tenth_is_there_at_the_start_and_the_rest_comes_evenly() {
        let mut limiter = limiter(1000, millis(1000));
        assert_eq!(limiter.allowed(millis(0), 5000), Some(100));
        assert_eq!(limiter.allowed(millis(0), 7), Some(7));
        limiter.count(millis(0), 100);
        assert_eq!((limiter.allowed(millis(99), 5000), limiter.allowed(millis(99), 99)), (None, Some(99)));
        assert_eq!(limiter.allowed_at(5000), millis(100));
        assert_eq!(limiter.allowed(millis(100), 5000), Some(100));
        assert_eq!(limiter.allowed(millis(90_000), 5000), Some(102), "no more than the burst is saved");
    }

    #[test]
    fn timers_of_milliseconds_lose_nothing_of_a_limit_over_a_short_time() {
        for (events, per) in [(1, 1), (10, 10), (100, 10), (7, 2)] {
            let mut limiter = limiter(events, millis(per));
            let (mut now, mut handled) = (Duration::ZERO, 0);
            while now < millis(10_000) {
                let allowed = limiter.allowed(now, 5000).unwrap_or_default();
                limiter.count(now, allowed);
                handled += allowed;
                // At the end of the next millisecond, and a little later.
                let at = limiter.allowed_at(5000).max(now);
                now = millis(u64::try_from(at.as_micros() / 1000).unwrap() + 1) + Duration::from_micros(130);
            }
            let whole = u32::try_from(10_000 / per).unwrap() * events;
            assert!((whole * 99 / 100..=whole + 2 * events).contains(&handled), "{handled} of {whole}");
        }
    }

    #[test]
    fn debts_are_paid_off_first() {
        let mut limiter = limiter(10, millis(1000));
        limiter.count(millis(0), 6);
        assert_eq!(limiter.out_of_debt_at(), millis(500));
        assert_eq!((limiter.allowed(millis(599), 1), limiter.allowed(millis(600), 1)), (None, Some(1)));
    }

    #[test]
    fn a_batch_that_is_larger_than_a_tenth_is_saved_for() {
        let mut limiter = Limiter::new(RateLimit { events: 10, per: millis(10) }, 100);
        limiter.start(millis(0));
        assert!(!limiter.allows_all(millis(98), 100) && limiter.allows_all(millis(99), 100));
        assert_eq!(limiter.allows_all_at(100), millis(99));
        limiter.count(millis(99), 100);
        assert_eq!(limiter.allows_all_at(100), millis(199));
    }

    #[test]
    fn a_new_limit_takes_debts_over_and_no_more_than_its_own_burst() {
        let second = millis(1000);
        let mut limiter = limiter(1000, second);
        limiter.change(millis(0), RateLimit { events: 20, per: second }, 0);
        assert_eq!(limiter.allowed(millis(0), 50), Some(2));
        limiter.count(millis(0), 12);
        limiter.change(millis(0), RateLimit { events: 1000, per: second }, 0);
        assert_eq!(limiter.out_of_debt_at(), millis(10), "ten events are owed");
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_the_limit_and_the_burst(
            events in 1..500_u32,
            per in 1..5_000_u64,
            wants in prop::collection::vec((0..400_u64, 1..200_u32), 1..200),
        ) {
            let mut limiter = limiter(events, millis(per));
            let mut now = 0;
            let mut handled: Vec<(u64, u64)> = Vec::new();
            for (pause, wanted) in wants {
                now += pause;
                if let Some(allowed) = limiter.allowed(millis(now), wanted) {
                    prop_assert!(allowed > 0 && allowed <= wanted);
                    prop_assert!(limiter.allowed_at(wanted) <= millis(now));
                    limiter.count(millis(now), allowed);
                    handled.push((now, u64::from(allowed)));
                } else {
                    let at = limiter.allowed_at(wanted);
                    prop_assert!(at > millis(now), "it says when, and that is later");
                    prop_assert!(limiter.allowed(at, wanted).is_some(), "and then it is so");
                    prop_assert!(limiter.allowed(at - Duration::from_nanos(1), wanted).is_none());
                }
            }
            for (at, _) in &handled {
                let window = handled.iter().filter(|(other, _)| (*at..at + per).contains(other));
                let sum: u64 = window.map(|(_, events)| events).sum();
                let burst = (events / 10).max(1) + events * 2 / u32::try_from(per).unwrap();
                prop_assert!(sum <= u64::from(events) + u64::from(burst), "{} from {} on", sum, at);
            }
        }
    }
}
