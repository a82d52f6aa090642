//! A guest call gets at most `max_demand - min_demand` events of its subscription.
//!
//! Source: SEMANTICS I11. That a producer's guest is asked for no more than consumers wait for shows
//! only in the state machine, where the simulator's `asked_is_wanted` checks it.

use forebay_trace::{Event, runs_len};

use super::{Fact, Found, Law, World};
use crate::world::guest;

struct BatchesFitDemand;

pub(super) fn new() -> impl Law {
    BatchesFitDemand
}

impl Law for BatchesFitDemand {
    fn see(&mut self, fact: &Fact, world: &World, found: &mut Found) {
        let Event::Handled { stage, sub, runs, .. } = &fact.event else { return };
        let Some(guest) = guest(fact) else { return };
        let Some(subscription) = world.subscription(&(guest, *sub)) else { return };
        let (batch, most) = (runs_len(runs), subscription.max.saturating_sub(subscription.min));
        if batch > most {
            found.broken(
                format!("a call of {stage} gets {batch} events, at most {most} fit"),
                [&subscription.fact, fact],
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;

    #[test]
    fn a_batch_too_large_is_found() {
        holds!([subscribed("b", 1, "a", 5, 2), handled_at("b", 1, 0, 3)]);
        breaks!([subscribed("b", 1, "a", 5, 2), handled_at("b", 1, 0, 4)], "gets 4 events");
    }
}
