//! Which events are settled, where an event may have several copies.
//!
//! An event is settled once each of its copies is acknowledged or discarded; it is reported once. Events that
//! are in no entry have one copy: under the demand and the partition dispatcher there are no entries, and
//! settling is what it was without a ledger.
//!
//! ```text
//! copies   [0..40) left 2        [40..55) left 1, kept        two groups have 0..40, one has 40..55
//! ```
//!
//! An event that is *kept* for consumers that may still come (see [`super::broadcast`]) stays known after it was
//! settled, so that a further copy of it is not taken for a further event.

use std::collections::BTreeMap;

use crate::{ids::Seq, message::SeqRun, stage::Notice};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Entry {
    end: Seq,
    /// Copies that are neither acknowledged nor discarded.
    left: u32,
    /// It was reported.
    settled: bool,
    kept: bool,
}

impl Entry {
    fn is_like(&self, other: &Self) -> bool {
        (self.left, self.settled, self.kept) == (other.left, other.settled, other.kept)
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By their first numbers.
    copies: BTreeMap<Seq, Entry>,
    settled: Vec<SeqRun>,
    notices: Vec<Notice>,
}

impl Ledger {
    /// These have so many copies. They have no entry yet.
    pub(super) fn begin(&mut self, run: SeqRun, left: u32, kept: bool) {
        self.copies.insert(run.first, Entry { end: run.end(), left, settled: false, kept });
        self.join(run);
    }

    /// One copy of these is acknowledged or discarded.
    pub(crate) fn settle(&mut self, run: SeqRun) {
        if self.copies.is_empty() {
            return self.settled.push(run);
        }
        self.split(run);
        let mut next = run.first;
        let mut over = Vec::new();
        for (first, entry) in self.copies.range_mut(run.first..run.end()) {
            self.settled.extend(between(next, *first));
            next = entry.end;
            entry.left = entry.left.saturating_sub(1);
            if entry.left == 0 && !entry.settled {
                entry.settled = true;
                self.settled.extend(between(*first, entry.end));
            }
            over.extend((entry.left == 0 && !entry.kept).then_some(*first));
        }
        self.settled.extend(between(next, run.end()));
        for first in over {
            self.copies.remove(&first);
        }
        self.join(run);
    }

    /// A further copy of what is kept.
    pub(super) fn add(&mut self, run: SeqRun) {
        self.split(run);
        for entry in self.copies.range_mut(run.first..run.end()).map(|(_, entry)| entry) {
            entry.left += 1;
        }
        self.join(run);
    }

    /// There will be no further copies of these.
    pub(super) fn forget(&mut self, run: SeqRun) {
        self.split(run);
        for entry in self.copies.range_mut(run.first..run.end()).map(|(_, entry)| entry) {
            entry.kept = false;
        }
        self.copies.retain(|_, entry| entry.left > 0 || entry.kept);
        self.join(run);
    }

    /// How many of these have so many copies left.
    pub(super) fn count(&self, run: SeqRun, left: u32) -> u64 {
        let entries = self.copies.range(..run.end()).rev().take_while(|(_, entry)| entry.end > run.first);
        let within = |(first, entry): (&Seq, &Entry)| entry.end.min(run.end()).0 - first.max(&run.first).0;
        entries.filter(|(_, entry)| entry.left == left).map(within).sum()
    }

    /// The lowest number in the ledger that is not settled.
    pub(crate) fn first_unsettled(&self) -> Option<Seq> {
        self.copies.iter().find(|(_, entry)| !entry.settled).map(|(first, _)| *first)
    }

    pub(crate) fn take_settled(&mut self) -> Vec<SeqRun> {
        std::mem::take(&mut self.settled)
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Lets entries begin and end where `run` does.
    fn split(&mut self, run: SeqRun) {
        for at in [run.first, run.end()] {
            let Some((_, entry)) = self.copies.range_mut(..at).next_back() else { continue };
            if entry.end > at {
                let rest = *entry;
                entry.end = at;
                self.copies.insert(at, rest);
            }
        }
    }

    /// Makes one entry of those in and around `run` that say the same.
    fn join(&mut self, run: SeqRun) {
        let from = self.copies.range(..run.first).next_back().map_or(run.first, |(first, _)| *first);
        let firsts: Vec<Seq> = self.copies.range(from..=run.end()).map(|(first, _)| *first).collect();
        let mut last: Option<(Seq, Entry)> = None;
        for first in firsts {
            let entry = self.copies[&first];
            match &mut last {
                Some((before, joined)) if joined.end == first && joined.is_like(&entry) => {
                    joined.end = entry.end;
                    self.copies.remove(&first);
                    self.copies.insert(*before, *joined);
                }
                _ => last = Some((first, entry)),
            }
        }
    }
}

/// The numbers from `first` up to, not including, `end`; more than a run can hold are several.
fn between(first: Seq, end: Seq) -> impl Iterator<Item = SeqRun> {
    let mut next = first;
    std::iter::from_fn(move || {
        let left = end.0.checked_sub(next.0).filter(|left| *left > 0)?;
        let run = SeqRun { first: next, count: u32::try_from(left).unwrap_or(u32::MAX) };
        next = run.end();
        Some(run)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u64, count: u32) -> SeqRun {
        SeqRun { first: Seq(first), count }
    }

    #[test]
    fn without_entries_what_is_settled_is_reported() {
        let mut ledger = Ledger::default();
        ledger.settle(run(3, 4));
        assert_eq!((ledger.take_settled(), ledger.first_unsettled()), (vec![run(3, 4)], None));
    }

    #[test]
    fn an_event_is_reported_once_all_its_copies_are_settled() {
        let mut ledger = Ledger::default();
        ledger.begin(run(0, 10), 2, false);
        ledger.settle(run(2, 3));
        ledger.settle(run(4, 6));
        assert_eq!(ledger.take_settled(), [run(4, 1)]);
        assert_eq!(ledger.first_unsettled(), Some(Seq(0)));
        assert_eq!(ledger.count(run(0, 10), 2), 2);
        assert_eq!(ledger.count(run(3, 4), 1), 3);
        ledger.settle(run(0, 4));
        assert_eq!((ledger.take_settled(), ledger.first_unsettled()), (vec![run(2, 2)], Some(Seq(0))));
        ledger.settle(run(0, 2));
        ledger.settle(run(5, 5));
        assert_eq!(ledger.take_settled(), [run(0, 2), run(5, 5)]);
        assert!(ledger.copies.is_empty());
    }

    #[test]
    fn what_is_beside_the_entries_has_one_copy() {
        let mut ledger = Ledger::default();
        ledger.begin(run(5, 2), 2, false);
        ledger.settle(run(0, 10));
        assert_eq!(ledger.take_settled(), [run(0, 5), run(7, 3)]);
    }

    #[test]
    fn a_copy_of_what_was_settled_and_kept_is_not_reported_again() {
        let mut ledger = Ledger::default();
        ledger.begin(run(0, 4), 1, true);
        ledger.settle(run(0, 4));
        assert_eq!(ledger.take_settled(), [run(0, 4)]);
        ledger.add(run(0, 4));
        assert_eq!(ledger.first_unsettled(), None);
        ledger.settle(run(1, 2));
        ledger.forget(run(0, 4));
        ledger.settle(run(0, 1));
        ledger.settle(run(3, 1));
        assert_eq!(ledger.take_settled(), []);
        assert!(ledger.copies.is_empty());
    }

    #[test]
    fn equal_neighbours_become_one_entry() {
        let mut ledger = Ledger::default();
        for first in 0..10 {
            ledger.begin(run(10 * first, 10), 2, false);
        }
        assert_eq!(ledger.copies.len(), 1);
        (0..100).step_by(2).for_each(|first| ledger.settle(run(first, 1)));
        assert_eq!(ledger.copies.len(), 100);
        (1..100).step_by(2).for_each(|first| ledger.settle(run(first, 1)));
        assert_eq!(ledger.copies.len(), 1);
    }
}
