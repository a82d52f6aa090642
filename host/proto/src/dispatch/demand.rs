//! Each event to one subscription, largest open demand first (GenStage's `DemandDispatcher`).

use super::{AboveMax, Dispatcher, Share};
use crate::{batch::Batch, ids::SubId};

/// Serves the subscription with the largest open demand first; of equal ones that which reached the
/// figure first.
///
/// Unlike the original it keeps no count of demand left behind by cancelled subscriptions: the
/// producer counts what it asked its guest for, which says the same and cannot strand events.
#[derive(Debug, Default)]
pub struct DemandDispatcher {
    /// Sorted by open demand, largest first.
    demands: Vec<(u64, SubId)>,
    /// Expected of one ask at most.
    max: Option<u32>,
    /// Shuffle once, before the first dispatch.
    shuffle_seed: Option<u64>,
}

impl DemandDispatcher {
    /// `max`: asks above it are reported; by default the first ask sets it.
    ///
    /// `shuffle_seed`: serve the first dispatch in an order drawn from this seed rather than by
    /// demand (GenStage's `shuffle_demands_on_first_dispatch`), so that the first consumer to
    /// subscribe does not get all of a short input.
    pub fn new(max: Option<u32>, shuffle_seed: Option<u64>) -> Self {
        Self { demands: Vec::new(), max, shuffle_seed }
    }

    fn insert(&mut self, demand: u64, sub: SubId) {
        let at = self.demands.iter().position(|&(other, _)| demand > other).unwrap_or(self.demands.len());
        self.demands.insert(at, (demand, sub));
    }

    fn remove(&mut self, sub: SubId) -> u64 {
        match self.demands.iter().position(|&(_, other)| other == sub) {
            Some(at) => self.demands.remove(at).0,
            None => 0,
        }
    }

    /// Fisher and Yates. Subscriptions without demand go last: in the original one of them in front
    /// stops the first dispatch although others are waiting.
    fn shuffle(&mut self, mut seed: u64) {
        for at in (1..self.demands.len()).rev() {
            let other = next_random(&mut seed) % (at as u64 + 1);
            self.demands.swap(at, usize::try_from(other).expect("below the length"));
        }
        self.demands.sort_by_key(|&(demand, _)| demand == 0);
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

impl Dispatcher for DemandDispatcher {
    fn subscribe(&mut self, sub: SubId) {
        self.insert(0, sub);
    }

    fn ask(&mut self, sub: SubId, count: u32) -> Option<AboveMax> {
        let max = *self.max.get_or_insert(count);
        let open = self.remove(sub);
        self.insert(open + u64::from(count), sub);
        (count > max).then_some(AboveMax { max, asked: count })
    }

    fn cancel(&mut self, sub: SubId) {
        self.remove(sub);
    }

    fn open(&self) -> u64 {
        self.demands.iter().map(|&(demand, _)| demand).sum()
    }

    fn dispatch(&mut self, events: &[Batch]) -> Vec<Share> {
        if let Some(seed) = self.shuffle_seed.take() {
            self.shuffle(seed);
        }
        let count: usize = events.iter().map(Batch::len).sum();
        let mut shares = Vec::new();
        let mut start = 0;
        while start < count {
            let (demand, sub) = self.demands[0];
            assert!(demand > 0, "dispatched {count} events for an open demand of {start}");
            let share = usize::try_from(demand).unwrap_or(usize::MAX).min(count - start);
            self.remove(sub);
            self.insert(demand - share as u64, sub);
            shares.push(Share { sub, events: start..start + share });
            start += share;
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(demands: &[(u64, u32)]) -> DemandDispatcher {
        let mut dispatcher = DemandDispatcher::default();
        for &(sub, count) in demands {
            dispatcher.subscribe(SubId(sub));
            dispatcher.ask(SubId(sub), count);
        }
        dispatcher
    }

    fn dispatch(dispatcher: &mut DemandDispatcher, count: usize) -> Vec<(u64, usize)> {
        let events = [Batch::from_payloads(vec![""; count])];
        dispatcher.dispatch(&events).into_iter().map(|share| (share.sub.0, share.events.len())).collect()
    }

    #[test]
    fn the_largest_demand_is_served_first() {
        let mut dispatcher = asked(&[(1, 2), (2, 5)]);
        assert_eq!(dispatch(&mut dispatcher, 6), [(2, 5), (1, 1)]);
        assert_eq!(dispatcher.open(), 1);
    }

    #[test]
    fn of_equal_demands_the_earlier_is_served_first() {
        let mut dispatcher = asked(&[(3, 4), (1, 4), (2, 4)]);
        assert_eq!(dispatch(&mut dispatcher, 1), [(3, 1)]);
        assert_eq!(dispatch(&mut dispatcher, 9), [(1, 4), (2, 4), (3, 1)]);
    }

    #[test]
    fn the_demand_of_a_cancelled_subscription_is_gone() {
        let mut dispatcher = asked(&[(1, 9), (2, 1)]);
        dispatcher.cancel(SubId(1));
        assert_eq!(dispatcher.open(), 1);
        assert_eq!(dispatch(&mut dispatcher, 1), [(2, 1)]);
    }

    #[test]
    fn a_shuffle_never_puts_a_consumer_without_demand_in_front() {
        for seed in 0..50 {
            let mut dispatcher = DemandDispatcher::new(None, Some(seed));
            for sub in 1..=3 {
                dispatcher.subscribe(SubId(sub));
            }
            dispatcher.ask(SubId(2), 4);
            assert_eq!(dispatch(&mut dispatcher, 1), [(2, 1)], "seed {seed}");
        }
    }
}
