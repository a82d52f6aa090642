//! The last entries of a stage, for who looks: bounded, and the oldest goes first.

use std::collections::VecDeque;

use super::{Counts, Cursor, ENTRIES_MAX, ENTRY_BYTES_MAX, Entry, Kinds, Numbered, PAGE_BYTES, RING_BYTES};

/// See the module's documentation. It has no reader's place: each reader brings its own, so that any number of them
/// costs as much as one.
#[derive(Debug, Default)]
pub struct Ring {
    entries: VecDeque<Kept>,
    /// The number of the first.
    first: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    numbered: Numbered,
    bytes: usize,
}

impl Ring {
    /// Keeps an entry, in place of the oldest if there is no room. One that is too long is not kept.
    pub fn push(&mut self, before: Counts, entry: Entry) {
        let entry = entry.detached();
        let bytes = entry.bytes();
        if bytes > ENTRY_BYTES_MAX {
            return;
        }
        self.bytes += bytes;
        self.entries.push_back(Kept { numbered: Numbered { before, entry }, bytes });
        while self.bytes > RING_BYTES || self.entries.len() > ENTRIES_MAX {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.bytes;
            self.first += 1;
        }
    }

    /// Lets go of all entries; their numbers are not given again.
    pub fn clear(&mut self) {
        self.first = self.end();
        self.bytes = 0;
        self.entries = VecDeque::new();
    }

    /// The number that the next entry will have.
    pub fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Entries of these kinds from a number on, or from the oldest; at least one, if there is one, and no more than
    /// fit a page. And where the next page begins.
    pub fn page(&self, at: Cursor, kinds: Kinds) -> (Cursor, Vec<Numbered>) {
        let skipped = usize::try_from(at.next.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let (mut page, mut bytes, mut next) = (Vec::new(), 0, at.next.clamp(self.first, self.end()));
        for kept in self.entries.iter().skip(skipped) {
            if kinds.has(kept.numbered.entry.kind()) {
                if !page.is_empty() && bytes + kept.bytes > PAGE_BYTES {
                    break;
                }
                bytes += kept.bytes;
                page.push(kept.numbered.clone());
            }
            next += 1;
        }
        (Cursor { run: at.run, next }, page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::Batch,
        ids::Seq,
        taps::{Answered, Given},
    };

    fn emitted(first: u64, events: Batch) -> Entry {
        Entry::Answered(Answered::Done { first: Seq(first), events, rejected: Vec::new() })
    }

    fn one(number: u64) -> Entry {
        emitted(number, Batch::from_payloads([number.to_string()]))
    }

    fn before(emitted: u64) -> Counts {
        Counts { given: 0, emitted }
    }

    fn at(next: u64) -> Cursor {
        Cursor { run: 7, next }
    }

    fn numbers(page: &[Numbered]) -> Vec<u64> {
        page.iter().map(|numbered| numbered.before.emitted).collect()
    }

    #[test]
    fn a_reader_gets_each_entry_once_and_in_order() {
        let mut ring = Ring::default();
        (0..3).for_each(|number| ring.push(before(number), one(number)));
        let (next, page) = ring.page(at(0), Kinds::ANSWERED);
        assert_eq!((next, numbers(&page)), (at(3), vec![0, 1, 2]));
        assert_eq!(ring.page(next, Kinds::ANSWERED), (at(3), vec![]));
        ring.push(before(3), one(3));
        let (next, page) = ring.page(next, Kinds::ANSWERED);
        assert_eq!((next, numbers(&page)), (at(4), vec![3]));
    }

    #[test]
    fn the_oldest_entries_go_first_by_number_and_by_bytes() {
        let mut ring = Ring::default();
        let more = ENTRIES_MAX as u64 + 10;
        (0..more).for_each(|number| ring.push(before(number), one(number)));
        let (_, page) = ring.page(at(0), Kinds::ANSWERED);
        assert_eq!(page[0].before.emitted, 10);
        let mut ring = Ring::default();
        let long = Batch::from_payloads([vec![0; 1 << 20]]);
        (0..40).for_each(|number| ring.push(before(number), emitted(number, long.clone())));
        assert!(ring.bytes <= RING_BYTES);
        let (next, page) = ring.page(at(0), Kinds::ANSWERED);
        assert_eq!((next, numbers(&page)), (at(26), vec![25]), "a page has one entry that is longer than a page");
    }

    #[test]
    fn what_is_kept_holds_no_larger_batch() {
        let mut ring = Ring::default();
        let large = Batch::from_payloads([vec![0; 1 << 20], vec![1]]);
        ring.push(before(0), emitted(0, large.slice(1..2)));
        assert!(ring.bytes < 1000);
        let (_, page) = ring.page(at(0), Kinds::ANSWERED);
        let Entry::Answered(Answered::Done { events, .. }) = &page[0].entry else { panic!("{page:?}") };
        assert_eq!(events.to_columns().payloads, [1], "and nothing else");
        assert!(!events.shares_columns(&large));
    }

    #[test]
    fn an_entry_that_fits_no_frame_is_not_kept() {
        let mut ring = Ring::default();
        ring.push(before(0), emitted(0, Batch::from_payloads([vec![0; ENTRY_BYTES_MAX]])));
        ring.push(before(1), one(1));
        assert_eq!(numbers(&ring.page(at(0), Kinds::ANSWERED).1), [1]);
    }

    #[test]
    fn only_the_kinds_asked_for_are_told_and_the_others_passed_over() {
        let mut ring = Ring::default();
        ring.push(before(0), Entry::Given(Given::Demand(1)));
        ring.push(before(0), one(0));
        let (next, page) = ring.page(at(0), Kinds::GIVEN);
        assert_eq!((next, page.len()), (at(2), 1));
        assert_eq!(ring.page(at(0), Kinds::NONE), (at(2), vec![]));
    }

    #[test]
    fn numbers_are_not_given_again_after_a_clearing() {
        let mut ring = Ring::default();
        (0..3).for_each(|number| ring.push(before(number), one(number)));
        ring.clear();
        assert_eq!((ring.end(), ring.page(at(1), Kinds::ALL)), (3, (at(3), vec![])));
        ring.push(before(9), one(9));
        assert_eq!(numbers(&ring.page(at(3), Kinds::ALL).1), [9]);
    }

    #[test]
    fn a_reader_that_is_ahead_is_taken_back() {
        let ring = Ring::default();
        assert_eq!(ring.page(at(u64::MAX), Kinds::ALL), (at(0), vec![]));
    }
}
