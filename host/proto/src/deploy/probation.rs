//! Whether a new version of a stage does well, beside the one it replaced.

use std::time::Duration;

/// What an instance has done since its start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Meter {
    /// Events that its guest was given, or gave.
    pub events: u64,
    /// Calls with events.
    pub calls: u64,
    /// Of those it was given, how many it rejected.
    pub rejected: u64,
    /// Time spent in calls with events.
    pub busy: Duration,
}

/// The trial of a new version.
#[derive(Clone, Copy, Debug)]
pub struct Probation {
    /// For how long it is watched.
    pub watch: Duration,
    /// What its predecessor had done on this node; nothing, if there was none.
    pub former: Meter,
}

/// What comes of a trial.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Not yet clear; look again after this time.
    Wait(Duration),
    /// It does well.
    Well,
    /// It does not, with the reason.
    Failed(String),
}

/// So many events say something about time and rejections.
const ENOUGH: u64 = 100;

/// So many events, and so much time spent on them, say something about how long one takes: the first calls of an instance
/// are slow, and a busy machine takes its time away now and then.
const ENOUGH_FOR_TIME: (u64, Duration) = (1_000, Duration::from_millis(200));

/// A new version may take this many times as long for an event.
const SLOWER_MAX: u32 = 3;

/// Times below this are not compared: they are those of the host around the guest. Unit: time for each event.
const QUICK: Duration = Duration::from_micros(20);

/// A new version may reject one event in so many more than its predecessor.
const REJECTED_ONE_IN: u64 = 20;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(250);

impl Probation {
    /// What is to be said of it, when it has run for `ran` and done `now`.
    pub fn verdict(&self, ran: Duration, now: Meter) -> Verdict {
        if now.events >= ENOUGH
            && let Some(fault) = self.fault(now)
        {
            return Verdict::Failed(fault);
        }
        match self.watch.checked_sub(ran) {
            Some(left) if !left.is_zero() => Verdict::Wait(left.min(LOOK)),
            _ => Verdict::Well,
        }
    }

    fn fault(&self, now: Meter) -> Option<String> {
        let (Meter { events, rejected, .. }, known) = (now, self.former.events >= ENOUGH);
        // As many in a thousand as before, and one in twenty more; where nothing is known, half of them.
        let usual = u128::from(self.former.rejected) * u128::from(events) / u128::from(self.former.events.max(1));
        let one_in = if known { REJECTED_ONE_IN } else { 2 };
        if u128::from(rejected) > usual + u128::from(events.div_ceil(one_in)) {
            let (before, of) = (self.former.rejected, self.former.events);
            return Some(format!("it rejected {rejected} of {events} events, its predecessor {before} of {of}"));
        }
        let (events_min, busy_min) = ENOUGH_FOR_TIME;
        if events < events_min || now.busy < busy_min || !known {
            return None;
        }
        // Small batches make events dear, and large ones calls: a slower version is slower by both.
        let (each, before) = (now.of(now.events)?, self.former.of(self.former.events)?);
        let (call, call_before) = (now.of(now.calls)?, self.former.of(self.former.calls)?);
        let is_slower = each > QUICK.max(before * SLOWER_MAX) && call > call_before * SLOWER_MAX;
        is_slower.then(|| format!("it takes {each:?} for an event, its predecessor took {before:?}"))
    }
}

impl Meter {
    /// Time for each of so many.
    fn of(&self, count: u64) -> Option<Duration> {
        let nanos = self.busy.as_nanos().checked_div(u128::from(count))?;
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(events: u64, rejected: u64, busy_us: u64) -> Meter {
        // Ten in each call.
        Meter { events, calls: events / 10, rejected, busy: Duration::from_micros(busy_us) }
    }

    fn verdict(former: Meter, ran_ms: u64, now: Meter) -> Verdict {
        let probation = Probation { watch: Duration::from_secs(1), former };
        probation.verdict(Duration::from_millis(ran_ms), now)
    }

    #[test]
    fn one_that_does_as_its_predecessor_did_is_watched_to_the_end() {
        let former = meter(10_000, 100, 100_000);
        let ms = Duration::from_millis;
        assert_eq!(verdict(former, 0, Meter::default()), Verdict::Wait(ms(250)));
        assert_eq!(verdict(former, 900, meter(1_000, 12, 12_000)), Verdict::Wait(ms(100)));
        assert_eq!(verdict(former, 1_000, meter(1_000, 12, 12_000)), Verdict::Well);
        assert_eq!(verdict(Meter::default(), 1_000, Meter::default()), Verdict::Well, "nothing came");
    }

    #[test]
    fn more_rejections_than_before_are_a_fault() {
        let Verdict::Failed(why) = verdict(meter(1_000, 10, 0), 0, meter(200, 13, 0)) else { panic!() };
        assert_eq!(why, "it rejected 13 of 200 events, its predecessor 10 of 1000");
        assert!(matches!(verdict(meter(1_000, 10, 0), 0, meter(200, 12, 0)), Verdict::Wait(_)));
        assert!(matches!(verdict(meter(1_000, 500, 0), 0, meter(200, 100, 0)), Verdict::Wait(_)), "as before");
        assert!(matches!(verdict(meter(1_000, 0, 0), 0, meter(99, 99, 0)), Verdict::Wait(_)), "too few to say");
        assert!(matches!(verdict(Meter::default(), 0, meter(100, 50, 0)), Verdict::Wait(_)), "it may be usual");
        assert!(matches!(verdict(Meter::default(), 0, meter(100, 51, 0)), Verdict::Failed(_)));
    }

    #[test]
    fn a_slower_one_is_a_fault_unless_both_are_quick() {
        let former = meter(10_000, 0, 1_000_000);
        let Verdict::Failed(why) = verdict(former, 0, meter(1_000, 0, 301_000)) else { panic!() };
        assert_eq!(why, "it takes 301µs for an event, its predecessor took 100µs");
        let bears = |former, now, why: &str| assert!(matches!(verdict(former, 0, now), Verdict::Wait(_)), "{why}");
        bears(former, meter(1_000, 0, 300_000), "three times");
        bears(former, meter(999, 0, 900_000), "too few to say");
        bears(meter(10_000, 0, 10_000), meter(1_000, 0, 100_000), "too little time: it may have been another's");
        bears(meter(100_000, 0, 100_000), meter(100_000, 0, 2_000_000), "20 us is quick");
        bears(meter(50, 0, 50), meter(1_000, 0, 900_000), "no measure");
        let one_by_one = Meter { calls: 1_000, ..meter(1_000, 0, 500_000) };
        bears(former, one_by_one, "its batches are smaller");
    }
}
