//! How long consumers wait: from a fault to the first event that is processed on another node and was
//! produced by another owner.

use std::{collections::HashMap, time::Duration};

use forebay_trace::{Epoch, Event, Text};

use crate::Fact;

/// One fault that hit the owner of a stage.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Gap {
    /// The fault.
    pub id: u64,
    /// Its kind.
    pub class: Text,
    /// The stage whose owner was hit.
    pub stage: Text,
    /// Until an event of a later epoch was processed on a node that was not hit; `None` if none was.
    pub time: Option<Duration>,
}

#[derive(Debug)]
struct Waiting {
    gap: Gap,
    since: u64,
    epoch: Epoch,
    hit: Vec<Text>,
}

/// Measures as the records come.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    /// Who owns a stage, and since which epoch.
    owners: HashMap<Text, (Epoch, Text)>,
    waiting: Vec<Waiting>,
    done: Vec<Gap>,
}

impl Gaps {
    pub(crate) fn see(&mut self, fact: &Fact) {
        match &fact.event {
            Event::ClaimGranted { stage, epoch, .. } => {
                let owner = self.owners.entry(stage.clone()).or_insert((*epoch, fact.node.clone()));
                if owner.0 < *epoch {
                    *owner = (*epoch, fact.node.clone());
                }
            }
            Event::FaultBegin { id, class, nodes, .. } => {
                for (stage, (epoch, _)) in self.owners.iter().filter(|(_, (_, node))| nodes.contains(node)) {
                    let gap = Gap { id: *id, class: class.clone(), stage: stage.clone(), time: None };
                    self.waiting.push(Waiting { gap, since: fact.t_mono, epoch: *epoch, hit: nodes.clone() });
                }
            }
            Event::Handled { source, epoch, .. } if !self.waiting.is_empty() => {
                let (node, now) = (&fact.node, fact.t_mono);
                let over = |waiting: &mut Waiting| {
                    waiting.gap.stage == *source && waiting.epoch < *epoch && !waiting.hit.contains(node)
                };
                let over: Vec<_> = self.waiting.extract_if(.., over).collect();
                self.done.extend(over.into_iter().map(|Waiting { gap, since, .. }| {
                    let time = Some(Duration::from_nanos(now.saturating_sub(since)));
                    Gap { time, ..gap }
                }));
            }
            _ => {}
        }
    }

    pub(crate) fn finish(self) -> Vec<Gap> {
        let mut gaps = self.done;
        gaps.extend(self.waiting.into_iter().map(|waiting| waiting.gap));
        gaps.sort_by_key(|gap| gap.id);
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::laws::made_up::{SOURCE, facts, fault, granted, handled_at};

    #[test]
    fn a_gap_ends_with_an_event_of_a_later_epoch_on_another_node() {
        let mut gaps = Gaps::default();
        let story = [
            granted("a", 1),
            fault(7, "kill", &["a"]),
            handled_at("b", 1, 5, 1),
            granted("b", 2),
            handled_at("a", 2, 0, 1),
            handled_at("b", 2, 1, 1),
            handled_at("b", 2, 2, 1),
            fault(8, "kill", &["b"]),
        ];
        facts(story).iter().for_each(|fact| gaps.see(fact));
        let gap = |id, time| Gap { id, class: "kill".into(), stage: SOURCE.into(), time };
        assert_eq!(gaps.finish(), [gap(7, Some(Duration::from_millis(4))), gap(8, None)]);
    }
}
