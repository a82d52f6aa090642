//! A reader of a stage's entries: where it is, what it has missed, and when another run of the stage has begun.

use super::{About, Counts, Cursor, Entry, Kinds, Page};

/// See the module's documentation.
#[derive(Debug)]
pub struct Follower {
    kinds: Kinds,
    at: Cursor,
    /// Events up to here were told, or told to be missed; nothing is known before the first entry of a run.
    seen: Option<Counts>,
}

/// What a reader hears.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Heard {
    /// A run of the stage, from some moment on.
    Began(About),
    /// So many events were not told.
    Missed(Counts),
    /// What comes next.
    Entry(Entry),
}

impl Follower {
    /// Of these kinds. With none it hears only what the stage is, until it is told [what is wanted](Self::want).
    pub fn new(kinds: Kinds) -> Self {
        Self { kinds, at: Cursor::default(), seen: None }
    }

    /// What is wanted from now on.
    pub fn want(&mut self, kinds: Kinds) {
        self.kinds = kinds;
    }

    /// What to ask for.
    pub fn asks(&self) -> (Cursor, Kinds) {
        (self.at, self.kinds)
    }

    /// What a page says, in its order.
    pub fn take(&mut self, page: Page) -> Vec<Heard> {
        let mut heard = Vec::with_capacity(page.entries.len() + 1);
        if page.at.run != self.at.run {
            self.seen = None;
        }
        self.at = page.at;
        heard.extend(page.about.map(Heard::Began));
        for numbered in page.entries {
            let missed = self.seen.map(|seen| numbered.before.since(seen, self.kinds));
            heard.extend(missed.filter(|missed| !missed.is_zero()).map(Heard::Missed));
            self.seen = Some(numbered.before.and(numbered.entry.counts()));
            heard.push(Heard::Entry(numbered.entry));
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::Batch,
        ids::{Epoch, Seq},
        pipeline::Limits,
        stage::Role,
        taps::{Answered, Given, Numbered, Ring},
    };

    fn about() -> About {
        let (plugin, config) = ("sha256:0".to_owned(), "null".to_owned());
        About { role: Role::Producer, epoch: Epoch::from_u64(3), plugin, config, limits: Limits::default() }
    }

    fn emitted(first: u64, count: usize) -> Entry {
        let events = Batch::from_payloads(vec!["x"; count]);
        Entry::Answered(Answered::Done { first: Seq(first), events, rejected: Vec::new() })
    }

    fn page(run: u64, next: u64, about: Option<About>, entries: Vec<(u64, Entry)>) -> Page {
        let numbered = |(emitted, entry)| Numbered { before: Counts { given: 5, emitted }, entry };
        Page { at: Cursor { run, next }, about, entries: entries.into_iter().map(numbered).collect() }
    }

    fn missed(emitted: u64) -> Heard {
        Heard::Missed(Counts { given: 0, emitted })
    }

    #[test]
    fn what_lies_between_two_entries_was_missed_and_what_was_before_the_first_was_not() {
        let mut follower = Follower::new(Kinds::ANSWERED);
        assert_eq!(follower.take(page(7, 2, Some(about()), vec![])), [Heard::Began(about())]);
        assert_eq!(follower.asks(), (Cursor { run: 7, next: 2 }, Kinds::ANSWERED));
        let heard = follower.take(page(7, 9, None, vec![(100, emitted(100, 3)), (103, emitted(103, 1))]));
        assert_eq!(heard, [Heard::Entry(emitted(100, 3)), Heard::Entry(emitted(103, 1))]);
        let heard = follower.take(page(7, 12, None, vec![(110, emitted(110, 2))]));
        assert_eq!(heard, [missed(6), Heard::Entry(emitted(110, 2))]);
    }

    #[test]
    fn another_run_begins_anew() {
        let mut follower = Follower::new(Kinds::ANSWERED);
        follower.take(page(7, 2, Some(about()), vec![]));
        follower.take(page(7, 3, None, vec![(100, emitted(0, 1))]));
        assert_eq!(follower.take(page(8, 0, Some(about()), vec![])), [Heard::Began(about())]);
        assert_eq!(follower.take(page(8, 1, None, vec![(500, emitted(0, 1))])), [Heard::Entry(emitted(0, 1))]);
    }

    #[test]
    fn what_is_not_wanted_is_not_missed() {
        let mut follower = Follower::new(Kinds::ANSWERED);
        let mut at = |given, emitted_before, entry| {
            let before = Counts { given, emitted: emitted_before };
            let entries = vec![Numbered { before, entry }];
            follower.take(Page { at: Cursor { run: 1, next: 1 }, about: None, entries })
        };
        at(0, 0, emitted(0, 1));
        assert_eq!(at(900, 1, emitted(1, 1)), [Heard::Entry(emitted(1, 1))]);
        assert_eq!(at(900, 3, emitted(3, 1)), [missed(1), Heard::Entry(emitted(3, 1))]);
    }

    #[test]
    fn a_slow_reader_of_a_ring_hears_what_it_did_not_get() {
        let (mut ring, mut follower, mut counts) = (Ring::default(), Follower::new(Kinds::ALL), Counts::default());
        let (mut told, mut lost) = (0, 0);
        for round in 0..3_000_u64 {
            for entry in [Entry::Given(Given::Demand(5)), emitted(counts.emitted, 5)] {
                let of_it = entry.counts();
                ring.push(counts, entry);
                counts = counts.and(of_it);
            }
            if round % 2_900 == 0 {
                let (at, entries) = ring.page(follower.asks().0, Kinds::ALL);
                for heard in follower.take(Page { at, about: None, entries }) {
                    match heard {
                        Heard::Missed(missed) => lost += missed.emitted,
                        Heard::Entry(entry) => told += entry.counts().emitted,
                        Heard::Began(_) => {}
                    }
                }
            }
        }
        assert_eq!(told + lost, follower.seen.unwrap().emitted);
        assert!(lost > 0 && told > 0, "{told} told, {lost} missed");
    }
}
