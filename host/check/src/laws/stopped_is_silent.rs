//! A guest that has stopped emits and sends nothing more; so does one whose node has lost its lease, or
//! that is held, but for a call in flight. A node that was paused meanwhile may not know yet.
//!
//! Source: SEMANTICS I3, 2.3.

use std::collections::HashMap;

use forebay_trace::Event;

use super::{Fact, Found, Law, World};
use crate::world::{Guest, Process, guest, process};

/// How long after the lease is back a node may say so: its stages see it at once, its core at its next look.
/// Unit: nanoseconds.
const SAYS_SO_WITHIN: u64 = 100_000_000;

#[derive(Default)]
struct StoppedIsSilent {
    stopped: HashMap<Guest, Fact>,
    suspended: HashMap<Guest, Fact>,
    without_lease: HashMap<Process, Fact>,
    /// Words that are forgiven if the lease turns out to be back already: its loss, and the word.
    doubtful: HashMap<Process, (Fact, Fact)>,
}

pub(super) fn new() -> impl Law {
    StoppedIsSilent::default()
}

impl Law for StoppedIsSilent {
    fn see(&mut self, fact: &Fact, world: &World, found: &mut Found) {
        self.clear_doubt(fact, found);
        match &fact.event {
            Event::LeaseLost {} => {
                self.without_lease.entry(process(fact)).or_insert_with(|| fact.clone());
            }
            Event::LeaseRegained {} => {
                self.without_lease.remove(&process(fact));
            }
            Event::InstStart { .. } | Event::InstStop { .. } | Event::Suspended { .. } | Event::Resumed { .. } => {
                self.change(fact);
            }
            Event::Emit { .. } | Event::Send { .. } => self.speak(fact, world, found),
            _ => {}
        }
    }

    fn end(&mut self, _: &World, found: &mut Found) {
        for (since, word) in std::mem::take(&mut self.doubtful).into_values() {
            without_lease(&since, &word, found);
        }
    }
}

/// Somebody who has no lease has spoken.
fn without_lease(since: &Fact, word: &Fact, found: &mut Found) {
    let Some(guest) = guest(word) else { return };
    let late = (word.t_mono - since.t_mono) / 1_000_000;
    found.broken(format!("{} speaks without a lease, {late} ms after", guest.stage), [since, word]);
}

impl StoppedIsSilent {
    fn clear_doubt(&mut self, fact: &Fact, found: &mut Found) {
        let process = process(fact);
        let Some((_, word)) = self.doubtful.get(&process) else { return };
        let in_time = fact.t_mono <= word.t_mono.saturating_add(SAYS_SO_WITHIN);
        if in_time && !matches!(fact.event, Event::LeaseRegained {}) {
            return;
        }
        if let Some((since, word)) = self.doubtful.remove(&process).filter(|_| !in_time) {
            without_lease(&since, &word, found);
        }
    }

    fn change(&mut self, fact: &Fact) {
        let Some(guest) = guest(fact) else { return };
        match &fact.event {
            Event::InstStop { .. } => {
                self.suspended.remove(&guest);
                self.stopped.insert(guest, fact.clone());
            }
            Event::Suspended { .. } => {
                self.suspended.entry(guest).or_insert_with(|| fact.clone());
            }
            Event::Resumed { .. } => {
                self.suspended.remove(&guest);
            }
            _ => {
                self.stopped.remove(&guest);
            }
        }
    }

    fn speak(&mut self, fact: &Fact, world: &World, found: &mut Found) {
        let Some(guest) = guest(fact) else { return };
        let stage = &guest.stage;
        if let Some(stop) = self.stopped.get(&guest) {
            return found.broken(format!("{stage} speaks after it has stopped"), [stop, fact]);
        }
        let slack = World::nanos(world.options.lease_slack);
        let is_late = |since: &&Fact| {
            fact.t_mono > since.t_mono.saturating_add(slack) && !world.was_paused(&fact.node, since.t_mono)
        };
        if let Some(since) = self.suspended.get(&guest).filter(is_late) {
            let late = (fact.t_mono - since.t_mono) / 1_000_000;
            return found.broken(format!("{stage} speaks while it is held, {late} ms after"), [since, fact]);
        }
        let lease = self.without_lease.get(&guest.process).filter(|_| world.is_global(stage));
        if let Some(since) = lease.filter(is_late) {
            self.doubtful.entry(guest.process).or_insert_with(|| (since.clone(), fact.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use forebay_trace::{Epoch, Event};
    use std::time::Duration;

    fn lost() -> Said {
        ("a", Event::LeaseLost {})
    }

    fn held(is_held: bool) -> Said {
        let (stage, epoch) = (SOURCE.into(), Epoch(1));
        if is_held {
            return ("a", Event::Suspended { stage, epoch, reason: "no quorum".into() });
        }
        ("a", Event::Resumed { stage, epoch })
    }

    #[test]
    fn words_after_the_end_are_found() {
        breaks!([emitted("a", 1, 0, 5), stopped("a", 1), sent("a", 1, "b", 0, 5, 1)], "after it has stopped");
        holds!([emitted("a", 1, 0, 5), stopped("a", 1), started("a", 2, None), emitted("a", 2, 0, 5)]);
    }

    #[test]
    fn words_without_a_lease_are_found_but_for_a_call_in_flight() {
        let story = || [granted("a", 1), lost(), granted("b", 2), emitted("a", 1, 0, 5)];
        breaks!(story(), "without a lease", lease_slack: Duration::ZERO);
        holds!(story());
        let soon = [granted("a", 1), lost(), emitted("a", 1, 0, 5), ("a", Event::LeaseRegained {})];
        holds!(soon, lease_slack: Duration::ZERO);
        let back = [granted("a", 1), lost(), ("a", Event::LeaseRegained {}), emitted("a", 1, 0, 5)];
        holds!(back, lease_slack: Duration::ZERO);
    }

    #[test]
    fn a_paused_node_may_not_know() {
        let story = [granted("a", 1), lost(), fault(1, "pause", &["a"]), emitted("a", 1, 0, 5)];
        holds!(story, lease_slack: Duration::ZERO);
        let before = [granted("a", 1), fault(1, "pause", &["a"]), fault_over(1), lost(), emitted("a", 1, 0, 5)];
        breaks!(before, "without a lease", lease_slack: Duration::ZERO);
    }

    #[test]
    fn words_of_a_held_stage_are_found() {
        breaks!([held(true), emitted("a", 1, 0, 5)], "while it is held", lease_slack: Duration::ZERO);
        holds!([held(true), held(false), emitted("a", 1, 0, 5)], lease_slack: Duration::ZERO);
    }
}
