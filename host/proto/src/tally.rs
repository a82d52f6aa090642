//! What is counted before it is told: the first of a kind at once, and what follows together, a line a second at most.
//!
//! A stage that loses events may lose a million a second; its log must not have a line for each.

use std::{collections::BTreeMap, time::Duration};

/// At most so often something is told of one kind.
pub const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Kinds of which something may wait at a time. Of further ones each is told at once, as if there were no tally.
const KINDS_MAX: usize = 64;

/// See the module's documentation. `K` says what it was, and is the same for what may be told together.
#[derive(Clone, Debug)]
pub struct Tally<K> {
    kinds: BTreeMap<K, Kind>,
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    /// Nothing more is told before.
    quiet_until: Duration,
    /// Not told yet.
    count: u64,
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self { kinds: BTreeMap::new() }
    }
}

impl<K: Clone + Ord> Tally<K> {
    /// So many more; gives how many are to be told now. What is not told waits for [`Tally::due`].
    pub fn add(&mut self, now: Duration, kind: K, count: u64) -> Option<u64> {
        if let Some(known) = self.kinds.get_mut(&kind) {
            known.count = known.count.saturating_add(count);
            return None;
        }
        if self.kinds.len() < KINDS_MAX {
            self.kinds.insert(kind, Kind { quiet_until: now + TOLD_EVERY, count: 0 });
        }
        Some(count)
    }

    /// When something is due.
    pub fn timeout(&self) -> Option<Duration> {
        self.kinds.values().map(|kind| kind.quiet_until).min()
    }

    /// What is to be told now. A kind of which nothing came is forgotten: its next is told at once.
    pub fn due(&mut self, now: Duration) -> Vec<(K, u64)> {
        let mut told = Vec::new();
        self.kinds.retain(|name, kind| {
            if kind.quiet_until > now {
                return true;
            }
            if kind.count == 0 {
                return false;
            }
            told.push((name.clone(), std::mem::take(&mut kind.count)));
            kind.quiet_until = now + TOLD_EVERY;
            true
        });
        told
    }

    /// All that was not told, at the end.
    pub fn rest(&mut self) -> Vec<(K, u64)> {
        let kinds = std::mem::take(&mut self.kinds).into_iter();
        kinds.filter(|(_, kind)| kind.count > 0).map(|(name, kind)| (name, kind.count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_first_is_told_at_once_and_what_follows_together() {
        let mut tally = Tally::default();
        assert_eq!(tally.add(ms(0), "full", 3), Some(3));
        assert_eq!(tally.add(ms(10), "full", 4), None);
        assert_eq!(tally.add(ms(20), "away", 1), Some(1), "another kind");
        assert_eq!(tally.add(ms(999), "full", 5), None);
        assert_eq!((tally.timeout(), tally.due(ms(999))), (Some(ms(1000)), vec![]));
        assert_eq!(tally.due(ms(1000)), [("full", 9)]);
        assert_eq!(tally.add(ms(1001), "full", 1), None, "a second after the last line");
        assert_eq!(tally.due(ms(1020)), [], "nothing more came of `away`");
        assert_eq!(tally.add(ms(1021), "away", 2), Some(2));
        assert_eq!(tally.due(ms(2000)), [("full", 1)]);
        assert_eq!(tally.due(ms(9000)), []);
        assert_eq!(tally.timeout(), None);
    }

    #[test]
    fn a_flood_is_a_line_a_second_and_none_is_uncounted() {
        let (mut tally, mut lines, mut sum) = (Tally::default(), 0, 0);
        for at in 0..10_000 {
            for (_, count) in tally.due(ms(at)) {
                (lines, sum) = (lines + 1, sum + count);
            }
            if let Some(count) = tally.add(ms(at), (), 7) {
                (lines, sum) = (lines + 1, sum + count);
            }
        }
        let rest: u64 = tally.rest().into_iter().map(|(_, count)| count).sum();
        assert_eq!((lines, sum + rest, tally.rest()), (10, 70_000, vec![]));
    }

    #[test]
    fn kinds_are_bounded() {
        let mut tally = Tally::default();
        for kind in 0..1000 {
            assert_eq!(tally.add(ms(0), kind, 1), Some(1));
        }
        assert_eq!(tally.kinds.len(), KINDS_MAX);
        assert_eq!(tally.add(ms(0), 999, 2), Some(2));
    }
}
