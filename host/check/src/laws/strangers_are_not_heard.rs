//! A node hears another, as producer or consumer, only once that one's keys and `Hello` were accepted.
//!
//! Source: SEMANTICS I16.

use std::collections::HashSet;

use forebay_trace::{Event, Text};

use super::{Fact, Found, Law, World};
use crate::world::{Process, guest, process};

#[derive(Default)]
struct StrangersAreNotHeard {
    met: HashSet<(Process, Text)>,
}

pub(super) fn new() -> impl Law {
    StrangersAreNotHeard::default()
}

impl Law for StrangersAreNotHeard {
    fn see(&mut self, fact: &Fact, world: &World, found: &mut Found) {
        match &fact.event {
            Event::PeerUp { peer, .. } => {
                self.met.insert((process(fact), peer.clone()));
            }
            Event::Joined { to, .. } => self.hear(fact, to, found),
            Event::Recv { sub, .. } => {
                let Some(guest) = guest(fact) else { return };
                if let Some(subscription) = world.subscription(&(guest, *sub)) {
                    self.hear(fact, &subscription.from, found);
                }
            }
            _ => {}
        }
    }
}

impl StrangersAreNotHeard {
    fn hear(&self, fact: &Fact, peer: &Text, found: &mut Found) {
        if *peer != fact.node && !self.met.contains(&(process(fact), peer.clone())) {
            found.broken(format!("{} hears {peer}, which it has not met", fact.node), [fact]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use forebay_trace::{Boot, Event};

    fn up(node: &'static str, peer: &str) -> Said {
        (node, Event::PeerUp { peer: peer.into(), peer_boot: Boot(1) })
    }

    #[test]
    fn a_stranger_that_is_heard_is_found() {
        let story = |met| [up("b", met), subscribed("b", 1, "a", 5, 2), received("b", 1, 0, 5, 1)];
        holds!(story("a"));
        breaks!(story("c"), "hears a");
        holds!([subscribed("b", 1, "b", 5, 2), received("b", 1, 0, 5, 1)]);
    }
}
