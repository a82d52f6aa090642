//! Which faults come one after the other, decided by a seed.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::SliceRandom};

use super::kind::Kind;

/// One planned fault.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) kind: Kind,
    /// How long it lasts.
    pub(crate) hold: Duration,
    /// Chooses among the nodes or links that it could strike.
    pub(crate) pick: u64,
    /// The share of packets, for loss and duplication; 0.05 to 0.2.
    pub(crate) share: f64,
    /// For how long packets are delayed, in the mean; the jitter is half of it.
    pub(crate) delay: Duration,
}

/// Most faults are short, so that many fit into an hour: long enough for several times the 0.5 s after
/// which a silent peer counts as lost, and for a takeover. Unit: ms.
const HOLD_MS: std::ops::RangeInclusive<u64> = 1_000..=4_000;

/// One stop in so many is long, up to 30 s: longer than any time-out of a connection.
const LONG_STOP_ONE_IN: u32 = 12;
const LONG_STOP_MS: std::ops::RangeInclusive<u64> = 8_000..=30_000;

/// `count` faults. Each kind comes once, in an order by chance, before any comes again.
pub(crate) fn schedule(seed: u64, kinds: &[Kind], count: usize) -> Vec<Plan> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut round: Vec<Kind> = Vec::new();
    let mut plans = Vec::with_capacity(count);
    while plans.len() < count && !kinds.is_empty() {
        if round.is_empty() {
            round = kinds.to_vec();
            round.shuffle(&mut random);
        }
        if let Some(kind) = round.pop() {
            plans.push(plan(plans.len() + 1, kind, &mut random));
        }
    }
    plans
}

fn plan(number: usize, kind: Kind, random: &mut SmallRng) -> Plan {
    let is_stop = matches!(kind, Kind::StopOwner | Kind::StopLeader | Kind::StopOther);
    let is_long = is_stop && random.random_ratio(1, LONG_STOP_ONE_IN);
    let hold = random.random_range(if is_long { LONG_STOP_MS } else { HOLD_MS });
    Plan {
        number,
        kind,
        hold: Duration::from_millis(hold),
        pick: random.random(),
        share: f64::from(random.random_range(5..=20_u8)) / 100.0,
        delay: Duration::from_millis(random.random_range(20..=100)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_everything() {
        assert_eq!(schedule(7, &Kind::ALL, 100), schedule(7, &Kind::ALL, 100));
        assert_ne!(schedule(7, &Kind::ALL, 100), schedule(8, &Kind::ALL, 100));
    }

    #[test]
    fn each_kind_comes_once_before_any_comes_again() {
        let plans = schedule(3, &Kind::ALL, 2 * Kind::ALL.len());
        for round in plans.chunks(Kind::ALL.len()) {
            let mut kinds: Vec<_> = round.iter().map(|plan| plan.kind).collect();
            kinds.sort_unstable();
            assert_eq!(kinds, Kind::ALL);
        }
        assert_eq!(plans.last().unwrap().number, plans.len());
    }

    #[test]
    fn faults_keep_to_their_bounds_and_some_stops_are_long() {
        let plans = schedule(1, &Kind::ALL, 2_000);
        let seconds = |it: &Plan| it.hold.as_secs_f64();
        assert!(plans.iter().all(|it| (0.05..=0.2).contains(&it.share)));
        assert!(plans.iter().all(|it| (20..=100).contains(&it.delay.as_millis())));
        assert!(plans.iter().all(|it| (1.0..=30.0).contains(&seconds(it))));
        let long: Vec<_> = plans.iter().filter(|it| seconds(it) > 4.0).map(|it| it.kind.name()).collect();
        assert!(long.len() > 5 && long.iter().all(|name| name.starts_with("stop-")), "{long:?}");
    }

    #[test]
    fn no_kind_is_no_fault() {
        assert_eq!(schedule(1, &[], 5), []);
    }
}
