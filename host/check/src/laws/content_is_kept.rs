//! An event has one content: the serial it was emitted with is the one it is sent, received and
//! processed with. Only where traces tell serials.
//!
//! Source: SEMANTICS 2.1, the identity of an event.

use std::collections::{BTreeMap, HashMap};

use forebay_trace::{Event, Run, runs_len};

use super::{Fact, Found, Law, World};
use crate::world::Lineage;

/// Runs of numbers whose serials are consecutive too: by first number, how many, and the first serial.
type Serials = BTreeMap<u64, (u64, u64)>;

#[derive(Default)]
struct ContentIsKept {
    emitted: HashMap<Lineage, Serials>,
}

pub(super) fn new() -> impl Law {
    ContentIsKept::default()
}

impl Law for ContentIsKept {
    fn see(&mut self, fact: &Fact, world: &World, found: &mut Found) {
        let (source, epoch, runs, serials) = match &fact.event {
            Event::Emit { stage, epoch, first, count, serials, .. } => {
                let known = self.emitted.entry(world.lineage(fact, stage, *epoch)).or_default();
                zip(&[Run { first: *first, count: *count }], serials, |first, count, serial| {
                    remember(known, first, count, serial)
                });
                return;
            }
            Event::Send { stage, epoch, runs, serials, .. } => (stage, epoch, runs, serials),
            Event::Recv { source, epoch, runs, serials, .. } | Event::Handled { source, epoch, runs, serials, .. } => {
                (source, epoch, runs, serials)
            }
            _ => return,
        };
        let Some(known) = self.emitted.get(&world.lineage(fact, source, *epoch)) else { return };
        zip(runs, serials, |first, count, serial| {
            if let Some((seq, expected)) = differs(known, first, count, serial) {
                let found_serial = serial + (seq - first);
                let what = format!(
                    "event {seq} of {source} in epoch {epoch} says {found_serial}, it was emitted as {expected}"
                );
                found.broken(what, [fact]);
            }
        });
    }
}

/// Appends where it goes on from the last, so that a long run of serials is one entry.
fn remember(known: &mut Serials, first: u64, count: u64, serial: u64) {
    if let Some((&from, (length, start))) = known.range_mut(..first).next_back()
        && from + *length == first
        && start.wrapping_add(*length) == serial
    {
        *length += count;
        return;
    }
    known.insert(first, (count, serial));
}

/// The first event whose serial is not the known one, and that.
fn differs(known: &Serials, first: u64, count: u64, serial: u64) -> Option<(u64, u64)> {
    let start = known.range(..=first).next_back().map_or(first, |(from, _)| *from);
    known.range(start..first.saturating_add(count)).find_map(|(&from, &(length, known_serial))| {
        let seq = from.max(first);
        let overlaps = seq < from.saturating_add(length) && seq < first.saturating_add(count);
        let (expected, said) = (known_serial.wrapping_add(seq - from), serial.wrapping_add(seq - first));
        (overlaps && expected != said).then_some((seq, expected))
    })
}

/// Takes numbers and serials in step, in pieces in which both are consecutive. Nothing unless there is a
/// serial for each number.
fn zip(runs: &[Run], serials: &[Run], mut piece: impl FnMut(u64, u64, u64)) {
    if runs_len(runs) != runs_len(serials) {
        return;
    }
    let (mut runs, mut serials) = (runs.iter().copied(), serials.iter().copied());
    let (mut run, mut serial) = (runs.next(), serials.next());
    while let (Some(seq), Some(said)) = (run, serial) {
        let count = seq.count.min(said.count);
        if count > 0 {
            piece(seq.first, count, said.first);
        }
        let rest = |of: Run| (of.count > count).then(|| Run { first: of.first + count, count: of.count - count });
        run = rest(seq).or_else(|| runs.next());
        serial = rest(said).or_else(|| serials.next());
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use forebay_trace::Event;

    fn says(first: u64, count: u64, serial: u64) -> Said {
        let (node, mut event) = handled_at("b", 1, first, count);
        if let Event::Handled { serials, .. } = &mut event {
            *serials = runs(serial, count);
        }
        (node, event)
    }

    #[test]
    fn content_that_stays_the_same_holds() {
        holds!([
            granted("a", 1),
            emitted("a", 1, 0, 5),
            emitted("a", 1, 5, 5),
            says(2, 6, 1002),
            sent("a", 1, "b", 0, 9, 1)
        ]);
    }

    #[test]
    fn content_that_changes_is_found() {
        breaks!([granted("a", 1), emitted("a", 1, 0, 5), says(2, 2, 1003)], "event 2");
        breaks!([granted("a", 1), emitted("a", 1, 5, 5), says(3, 4, 1004)], "event 5");
    }
}
