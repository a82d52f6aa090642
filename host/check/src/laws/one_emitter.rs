//! In an epoch of a global stage at most one start of one node emits, and only who was granted the
//! epoch.
//!
//! Source: SEMANTICS I1.

use std::collections::HashMap;

use forebay_trace::{Epoch, Event, Text};

use super::{Fact, Found, Law, World};
use crate::world::process;

#[derive(Default)]
struct OneEmitter {
    grants: HashMap<(Text, Epoch), Fact>,
    emitters: HashMap<(Text, Epoch), Fact>,
}

pub(super) fn new() -> impl Law {
    OneEmitter::default()
}

impl Law for OneEmitter {
    fn see(&mut self, fact: &Fact, world: &World, found: &mut Found) {
        match &fact.event {
            Event::ClaimGranted { stage, epoch, .. } => {
                self.grants.entry((stage.clone(), *epoch)).or_insert_with(|| fact.clone());
            }
            Event::Emit { stage, epoch, .. } if world.is_global(stage) => self.emit(fact, stage, *epoch, found),
            _ => {}
        }
    }
}

impl OneEmitter {
    fn emit(&mut self, fact: &Fact, stage: &Text, epoch: Epoch, found: &mut Found) {
        let key = (stage.clone(), epoch);
        if let Some(first) = self.emitters.get(&key) {
            if process(first) != process(fact) {
                found.broken(format!("two nodes emit as {stage} in epoch {epoch}"), [first, fact]);
            }
            return;
        }
        match self.grants.get(&key) {
            Some(grant) if process(grant) == process(fact) => {}
            grant => {
                let what = format!("{} emits as {stage} in epoch {epoch}, which it was not granted", fact.node);
                found.broken(what, grant.into_iter().chain([fact]));
            }
        }
        self.emitters.insert(key, fact.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;

    #[test]
    fn owners_one_after_the_other_may_emit() {
        holds!([granted("a", 1), emitted("a", 1, 0, 5), granted("b", 2), emitted("b", 2, 0, 5), emitted("a", 1, 5, 5)]);
    }

    #[test]
    fn stages_that_every_node_runs_for_itself_share_epochs() {
        holds!([emitted("a", 1, 0, 5), emitted("b", 1, 0, 5)]);
    }

    #[test]
    fn two_that_emit_in_one_epoch_are_found() {
        breaks!([granted("a", 1), emitted("a", 1, 0, 5), emitted("b", 1, 5, 5)], "two nodes emit");
    }

    #[test]
    fn an_emission_without_a_grant_is_found() {
        breaks!([granted("a", 1), emitted("a", 2, 0, 5)], "not granted");
        breaks!([granted("a", 1), emitted("b", 1, 0, 5)], "not granted");
    }
}
