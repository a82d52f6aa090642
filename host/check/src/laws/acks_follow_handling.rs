//! What a consumer acknowledges, its guest has processed; what a producer counts as acknowledged in its
//! epoch, the consumer's guest has processed of that epoch. An acknowledgement on receipt, or of another
//! epoch, would lose events.
//!
//! Source: SEMANTICS I5, 2.6 (model: AckOnReceive, an ack not matched by epoch).

use std::collections::HashMap;

use forebay_trace::{Event, Run, Text};

use super::{Fact, Found, Law, World};
use crate::{
    ranges::Ranges,
    world::{End, Lineage, guest},
};

#[derive(Default)]
struct AcksFollowHandling {
    by_end: HashMap<End, Ranges>,
    /// By events, consumer and its node.
    by_consumer: HashMap<(Lineage, Text, Text), Ranges>,
}

pub(super) fn new() -> impl Law {
    AcksFollowHandling::default()
}

impl Law for AcksFollowHandling {
    fn see(&mut self, fact: &Fact, world: &World, found: &mut Found) {
        match &fact.event {
            Event::Handled { stage, source, epoch, sub, runs, .. } => {
                let Some(guest) = guest(fact) else { return };
                add(self.by_end.entry((guest, *sub)).or_default(), runs);
                let lineage = world.lineage(fact, source, *epoch);
                add(self.by_consumer.entry((lineage, stage.clone(), fact.node.clone())).or_default(), runs);
            }
            Event::AckSent { stage, sub, runs, .. } => {
                let Some(end) = guest(fact).map(|guest| (guest, *sub)) else { return };
                if let Some(seq) = missing(self.by_end.get(&end), runs) {
                    let because = world.subscription(&end).map(|subscription| &subscription.fact);
                    let what = format!("{stage} acknowledges event {seq}, which its guest has not processed");
                    found.broken(what, because.into_iter().chain([fact]));
                }
            }
            Event::AckRecv { stage, epoch, consumer, from, runs, .. } if world.is_traced(from) => {
                let key = (world.lineage(fact, stage, *epoch), consumer.clone(), from.clone());
                if let Some(seq) = missing(self.by_consumer.get(&key), runs) {
                    let what = format!(
                        "{stage} counts event {seq} of epoch {epoch} as acknowledged by {consumer} on {from}, which has not processed it"
                    );
                    found.broken(what, [fact]);
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

fn missing(processed: Option<&Ranges>, runs: &[Run]) -> Option<u64> {
    let none = Ranges::default();
    let processed = processed.unwrap_or(&none);
    runs.iter().find_map(|run| processed.missing(*run))
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;

    #[test]
    fn an_acknowledgement_after_the_call_holds() {
        let told = [said_acked("b", 1, 0, 5, 10), acked("a", 1, "b", 0, 5)];
        holds!([granted("a", 1), handled_at("b", 1, 0, 5)].into_iter().chain(told));
        holds!([granted("a", 1), acked("a", 1, "untraced", 0, 5)]);
    }

    #[test]
    fn an_acknowledgement_on_receipt_is_found() {
        breaks!([received("b", 1, 0, 5, 1), said_acked("b", 1, 0, 5, 10)], "has not processed");
        breaks!([handled_at("b", 1, 0, 4), said_acked("b", 1, 0, 5, 10)], "event 4");
    }

    #[test]
    fn an_acknowledgement_of_another_epoch_or_consumer_is_found() {
        breaks!([granted("a", 2), handled_at("b", 1, 0, 5), acked("a", 2, "b", 0, 5)], "counts event 0");
        let other = [granted("a", 1), started_node("b"), handled_at("c", 1, 0, 5), acked("a", 1, "b", 0, 5)];
        breaks!(other, "counts event 0");
    }
}
