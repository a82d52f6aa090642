//! A checkpoint stands only for events that were processed, or given up on record: all of them, not
//! merely up to the highest. Not where consumers select: what none of them wants is never processed.
//!
//! Source: SEMANTICS I6, 2.5 (model: checkpoint of what was sent, or of the highest acknowledged).

use std::collections::HashMap;

use forebay_trace::{Event, Run};

use super::{Fact, Found, Law, World};
use crate::{ranges::Ranges, world::Lineage};

#[derive(Default)]
struct CheckpointsAreCovered {
    done: HashMap<Lineage, Ranges>,
}

pub(super) fn new() -> impl Law {
    CheckpointsAreCovered::default()
}

impl Law for CheckpointsAreCovered {
    fn see(&mut self, fact: &Fact, world: &World, found: &mut Found) {
        match &fact.event {
            Event::Handled { source: stage, epoch, runs, .. } | Event::Dead { stage, epoch, runs, .. } => {
                let done = self.done.entry(world.lineage(fact, stage, *epoch)).or_default();
                runs.iter().for_each(|run| {
                    done.insert(*run);
                });
            }
            Event::Skipped { stage, epoch, first, count } => {
                let done = self.done.entry(world.lineage(fact, stage, *epoch)).or_default();
                done.insert(Run { first: *first, count: *count });
            }
            Event::CkptApplied { stage, .. } if world.options.dispatching.selected.contains(stage) => {}
            Event::CkptApplied { stage, epoch, prev, seq, .. } => {
                let first = prev.map_or(0, |prev| prev + 1);
                let run = Run { first, count: (seq + 1).saturating_sub(first) };
                let none = Ranges::default();
                let done = self.done.get(&world.lineage(fact, stage, *epoch)).unwrap_or(&none);
                if let Some(missing) = done.missing(run) {
                    let what = format!(
                        "the checkpoint {seq} of {stage} in epoch {epoch} stands for event {missing}, which nobody has processed"
                    );
                    found.broken(what, [fact]);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use crate::Dispatching;

    #[test]
    fn a_hole_in_what_was_processed_is_found() {
        let story = |second| {
            [granted("a", 1), handled_at("b", 1, 0, 3), handled_at("c", 1, second, 4), checkpointed("a", 1, None, 6)]
        };
        holds!(story(3));
        holds!([skipped("a", 1, 0), checkpointed("a", 1, None, 0)]);
        breaks!(story(4), "stands for event 3");
    }

    #[test]
    fn what_nobody_wants_is_not_missed() {
        let selected = || Dispatching { selected: [SOURCE.into()].into(), ..Dispatching::default() };
        let story = || [granted("a", 1), handled_at("b", 1, 1, 1), checkpointed("a", 1, None, 1)];
        holds!(story(), dispatching: selected());
        breaks!(story(), "stands for event 0");
    }
}
