//! The checkpoints of a stage are one sequence on all nodes: each follows on the one before, stands for
//! more, and comes from the epoch that was granted last.
//!
//! Source: SEMANTICS I7, 2.4 gate 1.

use std::collections::HashMap;

use forebay_trace::{Epoch, Event, Text};

use super::{Fact, Found, Law, World};

type Step = (Epoch, Option<u64>, u64);

#[derive(Default)]
struct CheckpointsAdvance {
    applied: HashMap<Text, Vec<(Step, Fact)>>,
}

pub(super) fn new() -> impl Law {
    CheckpointsAdvance::default()
}

impl Law for CheckpointsAdvance {
    fn see(&mut self, fact: &Fact, _: &World, found: &mut Found) {
        let Event::CkptApplied { stage, epoch, prev, seq, .. } = &fact.event else { return };
        let steps = self.applied.entry(stage.clone()).or_default();
        let step = (*epoch, *prev, *seq);
        // Every node applies each.
        if steps.iter().rev().any(|(known, _)| *known == step) {
            return;
        }
        if let Some(((last_epoch, _, last), before)) = steps.last() {
            let problem = if *prev != Some(*last) {
                Some("does not follow on the one before")
            } else if seq <= last {
                Some("stands for no more than the one before")
            } else if epoch < last_epoch {
                Some("comes from an earlier epoch than the one before")
            } else {
                None
            };
            if let Some(problem) = problem {
                found.broken(format!("the checkpoint {seq} of {stage} in epoch {epoch} {problem}"), [before, fact]);
            }
        }
        steps.push((step, fact.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;

    #[test]
    fn a_sequence_that_all_nodes_apply_holds() {
        let first = [checkpointed("a", 1, None, 4), checkpointed("a", 1, Some(4), 9)];
        holds!(first.into_iter().chain([checkpointed("b", 1, None, 4), checkpointed("b", 2, Some(9), 12)]));
    }

    #[test]
    fn a_checkpoint_that_goes_back_is_found() {
        let after = |next| [checkpointed("a", 2, None, 9), next];
        breaks!(after(checkpointed("a", 2, Some(4), 12)), "does not follow");
        breaks!(after(checkpointed("a", 2, Some(9), 9)), "stands for no more");
        breaks!(after(checkpointed("a", 1, Some(9), 12)), "earlier epoch");
    }
}
