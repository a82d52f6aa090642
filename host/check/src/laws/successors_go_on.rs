//! A guest starts from the checkpoint that came with its claim, and numbers its events from the one after
//! it; without a hole from then on.
//!
//! Source: SEMANTICS I8, 2.1 (dense numbers).

use std::collections::HashMap;

use forebay_trace::{Event, Text};

use super::{Fact, Found, Law, World};
use crate::world::{Guest, guest, process};

#[derive(Default)]
struct SuccessorsGoOn {
    granted: HashMap<Guest, Fact>,
    /// The number of the next event, and why.
    next: HashMap<Guest, (u64, Fact)>,
}

pub(super) fn new() -> impl Law {
    SuccessorsGoOn::default()
}

impl Law for SuccessorsGoOn {
    fn see(&mut self, fact: &Fact, _: &World, found: &mut Found) {
        match &fact.event {
            Event::ClaimGranted { stage, epoch, .. } => {
                let guest = Guest { process: process(fact), stage: stage.clone(), epoch: *epoch };
                self.granted.insert(guest, fact.clone());
            }
            Event::InstStart { stage, ckpt, .. } => self.start(fact, stage, *ckpt, found),
            Event::Emit { stage, first, count, .. } | Event::Skipped { stage, first, count, .. } => {
                let Some(guest) = guest(fact) else { return };
                if let Some((next, before)) = self.next.get(&guest).filter(|(next, _)| next != first) {
                    found.broken(format!("{stage} numbers its events from {first}, {next} comes next"), [before, fact]);
                }
                self.next.insert(guest, (first.saturating_add(*count), fact.clone()));
            }
            _ => {}
        }
    }
}

impl SuccessorsGoOn {
    fn start(&mut self, fact: &Fact, stage: &Text, ckpt: Option<u64>, found: &mut Found) {
        let Some(guest) = guest(fact) else { return };
        if let Some(grant) = self.granted.get(&guest)
            && let Event::ClaimGranted { ckpt: granted, .. } = grant.event
            && granted != ckpt
        {
            found.broken(
                format!("{stage} starts from checkpoint {ckpt:?}, {granted:?} came with its claim"),
                [grant, fact],
            );
        }
        self.next.insert(guest, (ckpt.map_or(0, |ckpt| ckpt + 1), fact.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;

    #[test]
    fn a_successor_that_goes_on_holds() {
        holds!([
            granted_with("a", 1, Some(6)),
            started("a", 1, Some(6)),
            emitted("a", 1, 7, 5),
            skipped("a", 1, 12),
            emitted("a", 1, 13, 1)
        ]);
        holds!([granted("a", 1), started("a", 1, None), emitted("a", 1, 0, 5)]);
    }

    #[test]
    fn another_checkpoint_or_number_is_found() {
        breaks!([granted_with("a", 1, Some(6)), started("a", 1, None)], "starts from checkpoint None");
        breaks!([started("a", 1, Some(6)), emitted("a", 1, 6, 5)], "7 comes next");
        breaks!([started("a", 1, None), emitted("a", 1, 0, 5), emitted("a", 1, 6, 5)], "5 comes next");
    }
}
