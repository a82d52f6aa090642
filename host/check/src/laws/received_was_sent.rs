//! What a consumer takes in, the producer of that epoch has sent to it; what its guest processes, it has
//! taken in on that subscription; what is sent was emitted. Nothing comes from nowhere.
//!
//! Source: the event states of SEMANTICS 2.6. It also shows records in an order that cannot be.

use std::collections::HashMap;

use forebay_trace::{Event, Run, Text};

use super::{Fact, Found, Law, World};
use crate::{
    ranges::Ranges,
    world::{End, Lineage, guest, process},
};

#[derive(Default)]
struct ReceivedWasSent {
    emitted: HashMap<Lineage, Ranges>,
    sent: HashMap<(Lineage, Text, Text), Ranges>,
    received: HashMap<End, Ranges>,
}

pub(super) fn new() -> impl Law {
    ReceivedWasSent::default()
}

impl Law for ReceivedWasSent {
    fn see(&mut self, fact: &Fact, world: &World, found: &mut Found) {
        match &fact.event {
            Event::Emit { stage, epoch, first, count, .. } => {
                let emitted = self.emitted.entry(world.lineage(fact, stage, *epoch)).or_default();
                emitted.insert(Run { first: *first, count: *count });
            }
            Event::Send { stage, epoch, consumer, to, runs, .. } => {
                let lineage = world.lineage(fact, stage, *epoch);
                let emitted = self.emitted.entry(lineage.clone()).or_default();
                if let Some(seq) = runs.iter().find_map(|run| emitted.missing(*run)) {
                    found.broken(
                        format!("{stage} sends event {seq} of epoch {epoch}, which it has not emitted"),
                        [fact],
                    );
                }
                add(self.sent.entry((lineage, consumer.clone(), to.clone())).or_default(), runs);
            }
            Event::Recv { stage, source, epoch, sub, runs, .. } => {
                let Some(end) = guest(fact).map(|guest| (guest, *sub)) else { return };
                let from_traced = world.subscription(&end).is_some_and(|known| world.is_traced(&known.from));
                let key = (world.lineage(fact, source, *epoch), stage.clone(), process(fact).0);
                let sent = self.sent.entry(key).or_default();
                if let Some(seq) = runs.iter().find_map(|run| sent.missing(*run)).filter(|_| from_traced) {
                    found.broken(
                        format!("{stage} takes event {seq} of {source} in epoch {epoch}, which was not sent to it"),
                        [fact],
                    );
                }
                add(self.received.entry(end).or_default(), runs);
            }
            Event::Handled { stage, sub, runs, .. } => {
                let Some(end) = guest(fact).map(|guest| (guest, *sub)) else { return };
                let received = self.received.entry(end).or_default();
                if let Some(seq) = runs.iter().find_map(|run| received.missing(*run)) {
                    found.broken(
                        format!("{stage} processes event {seq}, which did not come on that subscription"),
                        [fact],
                    );
                }
            }
            _ => {}
        }
    }
}

fn add(ranges: &mut Ranges, runs: &[Run]) {
    runs.iter().for_each(|run| {
        ranges.insert(*run);
    });
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;

    fn begun() -> Vec<Said> {
        vec![granted("a", 1), subscribed("b", 1, "a", 5, 2), emitted("a", 1, 0, 5)]
    }

    fn with(more: impl IntoIterator<Item = Said>) -> Vec<Said> {
        begun().into_iter().chain(more).collect()
    }

    #[test]
    fn what_was_emitted_sent_and_received_may_be_processed() {
        holds!(with([sent("a", 1, "b", 0, 5, 1), received("b", 1, 0, 5, 1), handled_at("b", 1, 0, 3)]));
    }

    #[test]
    fn events_from_nowhere_are_found() {
        breaks!(with([sent("a", 1, "b", 4, 2, 1)]), "sends event 5");
        breaks!(with([sent("a", 1, "c", 0, 5, 1), received("b", 1, 0, 5, 1)]), "takes event 0");
        breaks!(with([sent("a", 1, "b", 0, 5, 1), received("b", 2, 0, 5, 1)]), "takes event 0");
        breaks!(
            with([sent("a", 1, "b", 0, 5, 1), received("b", 1, 0, 4, 1), handled_at("b", 1, 0, 5)]),
            "processes event 4"
        );
    }
}
