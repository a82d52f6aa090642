//! A consumer that has received events of an epoch takes none of an earlier one of that stage any more,
//! and its guest gets none, but for the call it is in. Not promised by islands, where an owner that
//! lost its name hands out what it has.
//!
//! Source: SEMANTICS I4, 2.4 gate 3.

use std::collections::HashMap;

use forebay_trace::{Epoch, Event, Text};

use super::{Fact, Found, Law, World};
use crate::world::{Guest, guest};

struct Highest {
    epoch: Epoch,
    fact: Fact,
    /// Calls with events of an earlier epoch that have returned since.
    calls: u32,
}

#[derive(Default)]
struct ConsumersFence {
    highest: HashMap<(Guest, Text), Highest>,
}

pub(super) fn new() -> impl Law {
    ConsumersFence::default()
}

impl Law for ConsumersFence {
    fn see(&mut self, fact: &Fact, world: &World, found: &mut Found) {
        let (source, epoch, is_call) = match &fact.event {
            Event::Recv { source, epoch, .. } => (source, *epoch, false),
            Event::Handled { source, epoch, .. } => (source, *epoch, true),
            _ => return,
        };
        let Some(guest) = guest(fact).filter(|_| world.is_global(source)) else { return };
        let stage = guest.stage.clone();
        let new = || Highest { epoch, fact: fact.clone(), calls: 0 };
        let highest = self.highest.entry((guest, source.clone())).or_insert_with(new);
        if epoch > highest.epoch {
            *highest = new();
        }
        if epoch == highest.epoch {
            return;
        }
        highest.calls += u32::from(is_call);
        if !is_call || highest.calls > 1 {
            let what = if is_call { "processes" } else { "takes" };
            let text = format!("{stage} {what} events of epoch {epoch} of {source} after some of {}", highest.epoch);
            found.broken(text, [&highest.fact, fact]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;

    #[test]
    fn the_call_in_hand_may_return() {
        holds!([granted("a", 1), received("b", 1, 0, 5, 1), received("b", 2, 0, 5, 1), handled_at("b", 1, 0, 5)]);
    }

    #[test]
    fn events_of_an_earlier_epoch_are_found() {
        breaks!([granted("a", 1), received("b", 2, 0, 5, 1), received("b", 1, 0, 5, 1)], "takes events");
        let calls = [handled_at("b", 1, 0, 5), handled_at("b", 1, 5, 5)];
        breaks!([granted("a", 1), received("b", 2, 0, 5, 1)].into_iter().chain(calls), "processes events");
    }
}
