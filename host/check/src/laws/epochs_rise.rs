//! No epoch of a name is granted twice, those granted to one node rise, a guest never starts twice in
//! one epoch of a global stage; and the changes of claims that nodes apply are the same everywhere, with
//! epochs that rise.
//!
//! Grants to different nodes are compared only by what was applied: who is told late writes late.
//!
//! Source: SEMANTICS I2, decision 2.

use std::collections::{BTreeMap, HashMap};

use forebay_trace::{Epoch, Event, Text};

use super::{Fact, Found, Law, World};
use crate::world::{Guest, Process, guest, process};

#[derive(Default)]
struct EpochsRise {
    granted: HashMap<(Text, Epoch), Fact>,
    latest: HashMap<(Process, Text), Fact>,
    started: HashMap<Guest, Fact>,
    applied: BTreeMap<u64, Fact>,
}

pub(super) fn new() -> impl Law {
    EpochsRise::default()
}

impl Law for EpochsRise {
    fn see(&mut self, fact: &Fact, world: &World, found: &mut Found) {
        match &fact.event {
            Event::ClaimGranted { stage, epoch, .. } => self.grant(fact, stage, *epoch, found),
            Event::ClaimApplied { index, .. } => self.apply(fact, *index, found),
            Event::InstStart { stage, epoch, .. } if world.is_global(stage) => {
                let Some(guest) = guest(fact) else { return };
                if let Some(before) = self.started.insert(guest, fact.clone()) {
                    found.broken(format!("{stage} starts a second time in epoch {epoch}"), [&before, fact]);
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, _: &World, found: &mut Found) {
        let mut latest: HashMap<&Text, (Epoch, &Fact)> = HashMap::new();
        for fact in self.applied.values() {
            let Event::ClaimApplied { stage, epoch, owner: Some(_), .. } = &fact.event else { continue };
            if let Some((before, earlier)) = latest.insert(stage, (*epoch, fact))
                && before >= *epoch
            {
                found.broken(format!("the log gives {stage} epoch {epoch} after {before}"), [earlier, fact]);
            }
        }
    }
}

impl EpochsRise {
    fn grant(&mut self, fact: &Fact, stage: &Text, epoch: Epoch, found: &mut Found) {
        if let Some(before) = self.granted.insert((stage.clone(), epoch), fact.clone()) {
            found.broken(format!("epoch {epoch} of {stage} is granted twice"), [&before, fact]);
        }
        let before = self.latest.insert((process(fact), stage.clone()), fact.clone());
        if let Some(before) = before.filter(|before| granted(before) >= Some(epoch)) {
            found.broken(
                format!("{} is granted {stage} in epoch {epoch} after a later one", fact.node),
                [&before, fact],
            );
        }
    }

    fn apply(&mut self, fact: &Fact, index: u64, found: &mut Found) {
        let known = self.applied.entry(index).or_insert_with(|| fact.clone());
        if known.event != fact.event {
            found.broken(format!("two nodes apply different changes at {index} of the log"), [&*known, fact]);
        }
    }
}

fn granted(fact: &Fact) -> Option<Epoch> {
    match fact.event {
        Event::ClaimGranted { epoch, .. } => Some(epoch),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use forebay_trace::{Epoch, Event};

    fn applied(node: &'static str, index: u64, epoch: u64, owner: &str) -> Said {
        (node, Event::ClaimApplied { index, stage: SOURCE.into(), epoch: Epoch(epoch), owner: Some(owner.into()) })
    }

    #[test]
    fn epochs_that_rise_hold_though_one_is_told_late() {
        holds!([granted("a", 1), granted("b", 3), granted("a", 2), started("a", 2, None), granted("a", 4)]);
        holds!([applied("a", 5, 5, "a"), applied("b", 5, 5, "a"), applied("b", 7, 7, "b"), applied("a", 7, 7, "b")]);
    }

    #[test]
    fn an_epoch_granted_twice_or_lower_is_found() {
        breaks!([granted("a", 1), granted("b", 1)], "granted twice");
        breaks!([granted("a", 2), granted("a", 1)], "after a later one");
    }

    #[test]
    fn a_restart_that_keeps_its_epoch_is_found() {
        breaks!([granted("a", 1), started("a", 1, None), stopped("a", 1), started("a", 1, None)], "a second time");
        holds!([started("a", 1, None), stopped("a", 1), started("a", 1, None)]);
    }

    #[test]
    fn logs_that_differ_or_go_back_are_found() {
        breaks!([applied("a", 5, 5, "a"), applied("b", 5, 5, "b")], "different changes");
        breaks!([applied("a", 6, 5, "a"), applied("a", 5, 6, "b")], "after");
    }
}
