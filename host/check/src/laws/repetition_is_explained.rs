//! An event is processed a second time only as a redelivery, which its attempt says: at most one call
//! that returned had it with attempt 1, whatever nodes the consumer runs on; of a stage that broadcasts, one on each.
//!
//! Source: SEMANTICS I13, 2.6.

use std::collections::HashMap;

use forebay_trace::{Event, Text};

use super::{Fact, Found, Law, World};
use crate::{ranges::Ranges, world::Lineage};

/// Of which source, by which consumer, and on which node if each has its own.
type Key = (Lineage, Text, Option<Text>);

#[derive(Default)]
struct RepetitionIsExplained {
    first: HashMap<Key, (Ranges, Option<Fact>)>,
}

pub(super) fn new() -> impl Law {
    RepetitionIsExplained::default()
}

impl Law for RepetitionIsExplained {
    fn see(&mut self, fact: &Fact, world: &World, found: &mut Found) {
        let Event::Handled { stage, source, epoch, attempt: 1, runs, .. } = &fact.event else { return };
        let node = world.options.dispatching.broadcast.contains(source).then(|| fact.node.clone());
        let key = (world.lineage(fact, source, *epoch), stage.clone(), node);
        let (seen, last) = self.first.entry(key).or_default();
        for run in runs {
            if let Some(seq) = seen.insert(*run) {
                let what = format!(
                    "{stage} processes event {seq} of {source} in epoch {epoch} twice, each time as the first attempt"
                );
                found.broken(what, last.iter().chain([fact]));
            }
        }
        *last = Some(fact.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use crate::Dispatching;

    #[test]
    fn a_repetition_says_that_it_is_one() {
        holds!([granted("a", 1), handled("b", 1, 0, 5, 2), handled_at("c", 1, 0, 5), handled_at("c", 2, 0, 5)]);
        holds!([handled_at("b", 1, 0, 5), handled_at("c", 1, 0, 5)]);
    }

    #[test]
    fn what_is_for_all_comes_once_to_each_node() {
        let broadcast = || Dispatching { broadcast: [SOURCE.into()].into(), ..Dispatching::default() };
        let story = || [granted("a", 1), handled_at("b", 1, 0, 5), handled_at("c", 1, 0, 5)];
        holds!(story(), dispatching: broadcast());
        breaks!(story(), "event 0");
        breaks!(story().into_iter().chain([handled_at("b", 1, 4, 1)]), "event 4", dispatching: broadcast());
    }

    #[test]
    fn a_repetition_without_explanation_is_found() {
        breaks!([granted("a", 1), handled_at("b", 1, 0, 5), handled_at("c", 1, 4, 5)], "event 4");
    }
}
