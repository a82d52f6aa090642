//! A set of numbers that come mostly in runs.

use std::collections::BTreeMap;

use forebay_trace::Run;

/// The numbers, as runs that do not touch: first number to the one after the last.
#[derive(Clone, Debug, Default)]
pub struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds numbers; gives the first of them that was there already.
    pub fn insert(&mut self, run: Run) -> Option<u64> {
        if run.count == 0 {
            return None;
        }
        let (mut first, mut end) = (run.first, run.end());
        let mut known = None;
        while let Some((&from, &to)) = self.0.range(..=end).next_back().filter(|(_, to)| **to >= first) {
            if to > run.first && from < run.end() {
                known = Some(from.max(run.first));
            }
            (first, end) = (first.min(from), end.max(to));
            self.0.remove(&from);
        }
        self.0.insert(first, end);
        known
    }

    /// The first number of `run` that is not in the set.
    pub fn missing(&self, run: Run) -> Option<u64> {
        if run.count == 0 {
            return None;
        }
        match self.0.range(..=run.first).next_back() {
            Some((_, &to)) if to >= run.end() => None,
            Some((_, &to)) if to > run.first => Some(to),
            _ => Some(run.first),
        }
    }

    /// How many of `run` are not in the set.
    pub fn missing_count(&self, run: Run) -> u64 {
        // The one that `run` begins in, if any, and those after it: not all from the begin, which may be many.
        let begin = self.0.range(..=run.first).next_back().map_or(run.first, |(&from, _)| from);
        let within = self.0.range(begin..begin.max(run.end())).filter(|(_, to)| **to > run.first);
        let present: u64 = within.map(|(&from, &to)| to.min(run.end()) - from.max(run.first)).sum();
        run.count - present
    }

    /// All of it, in order.
    pub fn runs(&self) -> impl Iterator<Item = Run> {
        self.0.iter().map(|(&first, &end)| Run { first, count: end - first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u64, count: u64) -> Run {
        Run { first, count }
    }

    #[test]
    fn ranges_say_what_overlaps_and_what_is_missing() {
        let mut ranges = Ranges::default();
        assert_eq!(ranges.insert(run(0, 5)), None);
        assert_eq!(ranges.insert(run(5, 5)), None);
        assert_eq!(ranges.insert(run(20, 5)), None);
        assert_eq!(
            (ranges.missing(run(0, 10)), ranges.missing(run(2, 10)), ranges.missing(run(15, 2))),
            (None, Some(10), Some(15))
        );
        assert_eq!((ranges.missing_count(run(8, 14)), ranges.missing_count(run(0, 10))), (10, 0));
        assert_eq!(ranges.insert(run(8, 14)), Some(8));
        assert_eq!(ranges.runs().collect::<Vec<_>>(), [run(0, 25)]);
        assert_eq!(ranges.insert(run(0, 0)), None);
    }

    #[test]
    fn ranges_are_a_set_whatever_the_order() {
        let (mut ranges, mut plain) = (Ranges::default(), std::collections::BTreeSet::new());
        for step in 0..300_u64 {
            let added = run(step * 7919 % 500, step % 13);
            let known = (added.first..added.end()).find(|number| plain.contains(number));
            let missing = (added.first..added.end()).filter(|number| !plain.contains(number)).count() as u64;
            assert_eq!(ranges.missing_count(added), missing, "{added}");
            assert_eq!(ranges.insert(added), known, "{added}");
            plain.extend(added.first..added.end());
        }
        let flat: Vec<u64> = ranges.runs().flat_map(|run| run.first..run.end()).collect();
        assert_eq!(flat, plain.into_iter().collect::<Vec<_>>());
    }
}
