//! Who waits for how many events, in the order of service (GenStage's `DemandDispatcher`).

use crate::ids::SubId;

/// Open demand of subscriptions: the largest first; of equal ones that which reached the figure first.
#[derive(Debug, Default)]
pub(super) struct Demands {
    rows: Vec<(u64, SubId)>,
    sum: u64,
}

impl Demands {
    pub(super) fn insert(&mut self, demand: u64, sub: SubId) {
        let at = self.rows.iter().position(|&(other, _)| demand > other).unwrap_or(self.rows.len());
        self.rows.insert(at, (demand, sub));
        self.sum += demand;
    }

    pub(super) fn remove(&mut self, sub: SubId) -> u64 {
        let Some(at) = self.rows.iter().position(|&(_, other)| other == sub) else { return 0 };
        let demand = self.rows.remove(at).0;
        self.sum -= demand;
        demand
    }

    pub(super) fn add(&mut self, sub: SubId, count: u32) {
        let open = self.remove(sub);
        self.insert(open + u64::from(count), sub);
    }

    /// Whom to serve next among those that `may` be, and with how many events.
    pub(super) fn first(&self, may: impl Fn(SubId) -> bool) -> Option<(SubId, usize)> {
        let waiting = self.rows.iter().take_while(|(demand, _)| *demand > 0);
        let (demand, sub) = waiting.copied().find(|(_, sub)| may(*sub))?;
        Some((sub, usize::try_from(demand).unwrap_or(usize::MAX)))
    }

    /// So many were given to it.
    pub(super) fn serve(&mut self, sub: SubId, count: usize) {
        let open = self.remove(sub);
        self.insert(open.saturating_sub(count as u64), sub);
    }

    pub(super) fn sum(&self) -> u64 {
        self.sum
    }

    /// Fisher and Yates. Subscriptions without demand go last: in the original one of them in front
    /// stops the first dispatch although others are waiting.
    pub(super) fn shuffle(&mut self, mut seed: u64) {
        for at in (1..self.rows.len()).rev() {
            let other = next_random(&mut seed) % (at as u64 + 1);
            self.rows.swap(at, usize::try_from(other).expect("below the length"));
        }
        self.rows.sort_by_key(|&(demand, _)| demand == 0);
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(demands: &[(u64, u32)]) -> Demands {
        let mut asked = Demands::default();
        for &(sub, count) in demands {
            asked.insert(0, SubId(sub));
            asked.add(SubId(sub), count);
        }
        asked
    }

    /// Who is served with how many of `count` events.
    fn serve(demands: &mut Demands, mut count: usize) -> Vec<(u64, usize)> {
        let mut served = Vec::new();
        while count > 0 {
            let (sub, demand) = demands.first(|_| true).unwrap();
            let share = demand.min(count);
            demands.serve(sub, share);
            served.push((sub.0, share));
            count -= share;
        }
        served
    }

    #[test]
    fn the_largest_demand_is_served_first() {
        let mut demands = asked(&[(1, 2), (2, 5)]);
        assert_eq!(serve(&mut demands, 6), [(2, 5), (1, 1)]);
        assert_eq!(demands.sum(), 1);
    }

    #[test]
    fn of_equal_demands_the_earlier_is_served_first() {
        let mut demands = asked(&[(3, 4), (1, 4), (2, 4)]);
        assert_eq!(serve(&mut demands, 1), [(3, 1)]);
        assert_eq!(serve(&mut demands, 9), [(1, 4), (2, 4), (3, 1)]);
    }

    #[test]
    fn the_demand_of_one_that_is_removed_is_gone() {
        let mut demands = asked(&[(1, 9), (2, 1)]);
        assert_eq!(demands.remove(SubId(1)), 9);
        assert_eq!(demands.sum(), 1);
        assert_eq!(serve(&mut demands, 1), [(2, 1)]);
    }

    #[test]
    fn a_shuffle_never_puts_one_without_demand_in_front() {
        for seed in 0..50 {
            let mut demands = asked(&[(1, 0), (2, 4), (3, 0)]);
            demands.shuffle(seed);
            assert_eq!(serve(&mut demands, 1), [(2, 1)], "seed {seed}");
        }
    }
}
