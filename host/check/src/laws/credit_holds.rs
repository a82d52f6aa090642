//! A producer sends no more than was asked for and a consumer takes no more than it asked for, at every
//! moment; what was asked for never falls and, less what was processed, never exceeds `max_demand`.
//!
//! Source: SEMANTICS I10.

use std::collections::HashMap;

use forebay_trace::{Event, runs_len};

use super::{Fact, Found, Law, World};
use crate::world::{End, guest};

#[derive(Default)]
struct Credit {
    granted: u64,
    used: u64,
    acked: u64,
    /// The last that changed `granted`.
    fact: Option<Fact>,
}

#[derive(Default)]
struct CreditHolds {
    credits: HashMap<End, Credit>,
}

pub(super) fn new() -> impl Law {
    CreditHolds::default()
}

impl Law for CreditHolds {
    fn see(&mut self, fact: &Fact, world: &World, found: &mut Found) {
        let (sub, granted, used, acked) = match &fact.event {
            Event::Demand { sub, granted, .. } => (*sub, Some(*granted), 0, 0),
            Event::AckSent { sub, granted, runs, .. } => (*sub, Some(*granted), 0, runs_len(runs)),
            Event::Send { sub, runs, .. } | Event::Recv { sub, runs, .. } => (*sub, None, runs_len(runs), 0),
            _ => return,
        };
        let Some(end) = guest(fact).map(|guest| (guest, sub)) else { return };
        let max = world.subscription(&end).map(|subscription| subscription.max);
        let credit = self.credits.entry(end).or_default();
        credit.used += used;
        credit.acked += acked;
        let because = || credit.fact.iter().chain([fact]);
        if let Some(granted) = granted.filter(|granted| *granted < credit.granted) {
            found.broken(format!("demand falls from {} to {granted}", credit.granted), because());
        }
        credit.granted = granted.unwrap_or(credit.granted).max(credit.granted);
        let Credit { granted: open, used, acked, .. } = *credit;
        if used > open {
            found.broken(
                format!("{used} events pass on a subscription that asked for {open}"),
                credit.fact.iter().chain([fact]),
            );
        }
        if max.is_some_and(|max| open.saturating_sub(acked) > max) && granted.is_some() {
            found.broken(format!("{open} events asked for, {acked} processed: more open than max_demand"), [fact]);
        }
        if granted.is_some() {
            credit.fact = Some(fact.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;

    #[test]
    fn what_was_asked_for_may_pass() {
        holds!([demanded("a", 1, 5), sent("a", 1, "b", 0, 5, 1), demanded("a", 1, 10), sent("a", 1, "b", 5, 5, 1)]);
        let asked = [subscribed("b", 1, "a", 5, 2), said_acked("b", 1, 0, 0, 5), received("b", 1, 0, 5, 1)];
        holds!(asked.into_iter().chain([said_acked("b", 1, 0, 3, 8)]));
    }

    #[test]
    fn an_event_too_many_is_found_at_both_ends() {
        breaks!([demanded("a", 1, 5), sent("a", 1, "b", 0, 6, 1)], "6 events pass");
        breaks!([said_acked("b", 1, 0, 0, 5), received("b", 1, 0, 6, 1)], "6 events pass");
    }

    #[test]
    fn demand_that_falls_or_is_too_much_is_found() {
        breaks!([demanded("a", 1, 5), demanded("a", 1, 4)], "falls");
        breaks!([subscribed("b", 1, "a", 5, 2), said_acked("b", 1, 0, 1, 7)], "more open than max_demand");
    }
}
