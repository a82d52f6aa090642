//! An owner whose checkpoint was refused proposes no more in that epoch, and its guest stops within a
//! second of it; unless its node is paused or dead by then.
//!
//! Source: SEMANTICS I15.

use std::collections::HashMap;

use forebay_trace::{Event, Record};

use super::{Fact, Found, Law, World};
use crate::world::{Guest, Process, process};

#[derive(Default)]
struct FencedOwnersStop {
    fenced: HashMap<Guest, Fact>,
    /// When each process spoke last.
    spoke: HashMap<Process, u64>,
}

pub(super) fn new() -> impl Law {
    FencedOwnersStop::default()
}

impl Law for FencedOwnersStop {
    fn see(&mut self, fact: &Fact, world: &World, found: &mut Found) {
        self.spoke.insert(process(fact), fact.t_mono);
        let Some(guest) = owner(fact) else { return };
        match &fact.event {
            Event::CkptFenced { .. } => {
                self.fenced.entry(guest).or_insert_with(|| fact.clone());
            }
            Event::CkptProposed { .. } => {
                if let Some(fence) = self.fenced.get(&guest) {
                    found.broken(format!("{} proposes a checkpoint after one was refused", guest.stage), [fence, fact]);
                }
            }
            _ => {
                if let Some(fence) = self.fenced.remove(&guest) {
                    judge(&guest, &fence, fact.t_mono, &[&fence, fact], world, found);
                }
            }
        }
    }

    fn end(&mut self, world: &World, found: &mut Found) {
        for (guest, fence) in &self.fenced {
            // A process that was killed says nothing more.
            let alive_until = self.spoke.get(&guest.process).copied().unwrap_or_default();
            judge(guest, fence, alive_until, &[fence], world, found);
        }
    }
}

fn judge(guest: &Guest, fence: &Fact, until: u64, because: &[&Fact], world: &World, found: &mut Found) {
    let slack = World::nanos(world.options.fenced_slack);
    let late = until > fence.t_mono.saturating_add(slack);
    if late && !world.was_paused(&guest.process.0, fence.t_mono) {
        let ms = (until - fence.t_mono) / 1_000_000;
        found.broken(
            format!("{} runs on for {ms} ms after a checkpoint was refused", guest.stage),
            because.iter().copied(),
        );
    }
}

fn owner(record: &Record) -> Option<Guest> {
    match &record.event {
        Event::CkptFenced { stage, epoch, .. }
        | Event::CkptProposed { stage, epoch, .. }
        | Event::InstStop { stage, epoch, .. } => {
            Some(Guest { process: process(record), stage: stage.clone(), epoch: *epoch })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use std::time::Duration;

    #[test]
    fn an_owner_that_stops_in_time_holds() {
        holds!([fenced("a", 1, 2), stopped("a", 1), proposed("a", 3, None, 5)]);
        holds!([fenced("a", 1, 2), started_node("b"), started_node("b")], fenced_slack: Duration::ZERO);
    }

    #[test]
    fn an_owner_that_goes_on_is_found() {
        breaks!([fenced("a", 1, 2), proposed("a", 1, None, 5)], "proposes");
        breaks!([fenced("a", 1, 2), stopped("a", 1)], "runs on", fenced_slack: Duration::ZERO);
        breaks!([fenced("a", 1, 2), started_node("a")], "runs on", fenced_slack: Duration::ZERO);
    }

    #[test]
    fn a_paused_owner_stops_later() {
        let story = [fenced("a", 1, 2), fault(1, "pause", &["a"]), fault_over(1), stopped("a", 1)];
        holds!(story, fenced_slack: Duration::ZERO);
    }
}
