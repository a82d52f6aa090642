//! On one subscription, events that are delivered for the first time come in the order of their
//! numbers: when sent, when received and when processed. Not of a stage with partitions: one that is moved brings along
//! what waited for it. Nor when it is processed by one of several instances.
//!
//! Source: SEMANTICS I12.

use std::collections::HashMap;

use forebay_trace::{Event, Run};

use super::{Fact, Found, Law, World};
use crate::world::{End, guest};

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum Edge {
    Sent,
    Received,
    Processed,
}

#[derive(Default)]
struct FirstDeliveriesInOrder {
    /// The number after the last, and who said it.
    next: HashMap<(End, Edge), (u64, Fact)>,
}

pub(super) fn new() -> impl Law {
    FirstDeliveriesInOrder::default()
}

impl Law for FirstDeliveriesInOrder {
    fn see(&mut self, fact: &Fact, world: &World, found: &mut Found) {
        let (edge, source, sub, runs): (_, _, _, &[Run]) = match &fact.event {
            Event::Send { attempt: 1, stage, sub, runs, .. } => (Edge::Sent, stage, *sub, runs),
            Event::Recv { attempt: 1, source, sub, runs, .. } => (Edge::Received, source, *sub, runs),
            Event::Handled { stage, .. } if world.options.dispatching.several.contains(stage) => return,
            Event::Handled { attempt: 1, source, sub, runs, .. } => (Edge::Processed, source, *sub, runs),
            _ => return,
        };
        if world.options.dispatching.partition.contains(source) {
            return;
        }
        let Some(guest) = guest(fact) else { return };
        let (next, before) = self.next.entry(((guest, sub), edge)).or_insert_with(|| (0, fact.clone()));
        for run in runs {
            if run.first < *next {
                found.broken(
                    format!("event {} comes after {}, both for the first time", run.first, *next - 1),
                    [&*before, fact],
                );
            }
            *next = run.end().max(*next);
        }
        *before = fact.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use crate::Dispatching;

    #[test]
    fn only_a_redelivery_may_go_back() {
        holds!([sent("a", 1, "b", 0, 5, 1), sent("a", 1, "b", 8, 2, 1), sent("a", 1, "b", 0, 5, 2)]);
        breaks!([sent("a", 1, "b", 5, 5, 1), sent("a", 1, "b", 0, 5, 1)], "event 0 comes after 9");
        breaks!([handled_at("b", 1, 5, 5), handled_at("b", 1, 9, 1)], "event 9 comes after 9");
    }

    #[test]
    fn a_partition_that_is_moved_brings_along_what_waited() {
        let story = || {
            [sent("a", 1, "b", 5, 5, 1), sent("a", 1, "b", 0, 5, 1), handled_at("b", 1, 5, 5), handled_at("b", 1, 0, 5)]
        };
        let partition = |name: &str| Dispatching { partition: [name.into()].into(), ..Dispatching::default() };
        holds!(story(), dispatching: partition(SOURCE));
        breaks!(story(), "event 0", dispatching: partition("p/other"));
    }

    #[test]
    fn several_instances_are_done_in_any_order() {
        let story = || [handled_at("b", 1, 5, 5), handled_at("b", 1, 0, 5)];
        let several = |name: &str| Dispatching { several: [name.into()].into(), ..Dispatching::default() };
        holds!(story(), dispatching: several(SINK));
        breaks!(story(), "event 0", dispatching: several(SOURCE));
        breaks!([sent("a", 1, "b", 5, 5, 1), sent("a", 1, "b", 0, 5, 1)], "event 0", dispatching: several(SINK));
    }
}
