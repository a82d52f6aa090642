//! On a subscription no more is sent than was granted, grants only rise, and what is granted and not
//! acknowledged never exceeds `max_demand`; as seen at either end.
//!
//! Source: DESIGN 5 and 7 "outstanding events never exceed demand"; SEMANTICS 2.6 and I10.

use std::collections::BTreeMap;

use super::Violation;
use crate::{
    facts::{Fact, Side, StreamNo, What, seqs},
    oracle::{Run, Subscriptions},
};

#[derive(Default)]
struct Credit {
    granted: u64,
    acked: u64,
    events: u64,
}

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut subscriptions = Subscriptions::default();
    let mut credits: BTreeMap<(StreamNo, Side), Credit> = BTreeMap::new();
    for fact in &run.facts {
        subscriptions.learn(fact);
        let end = match &fact.what {
            What::AskSent { stream, .. } | What::RetrySent { stream, .. } | What::EventsTaken { stream, .. } => {
                (*stream, Side::Consumer)
            }
            What::AskTaken { stream, .. } | What::RetryTaken { stream, .. } | What::EventsSent { stream, .. } => {
                (*stream, Side::Producer)
            }
            _ => continue,
        };
        let Some(subscription) = subscriptions.get(end.0) else { continue };
        let credit = credits.entry(end).or_default();
        match &fact.what {
            What::AskSent { granted, acked, .. } | What::AskTaken { granted, acked, .. } => {
                credit.ask(fact, end, *granted, seqs(acked).count() as u64, subscription.demand.max())?;
            }
            // What is given back is answered as well.
            What::RetrySent { runs, .. } | What::RetryTaken { runs, .. } => credit.acked += seqs(runs).count() as u64,
            What::EventsSent { events, .. } | What::EventsTaken { events, .. } => {
                credit.events += events.seqs().count() as u64;
                if credit.events > credit.granted {
                    let (stream, side) = end;
                    let what =
                        format!("{} events on {stream} at the {side:?}, {} granted", credit.events, credit.granted);
                    return Err(Violation::at(fact, what));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

impl Credit {
    fn ask(
        &mut self,
        fact: &Fact,
        (stream, side): (StreamNo, Side),
        granted: u64,
        acked: u64,
        max: u32,
    ) -> Result<(), Violation> {
        self.acked += acked;
        let fell = granted < self.granted;
        self.granted = granted;
        if fell || self.acked > granted || granted - self.acked > u64::from(max) {
            let what = format!("{stream} at the {side:?}: granted {granted}, acked {}, max_demand {max}", self.acked);
            return Err(Violation::at(fact, what));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use super::*;

    #[test]
    fn more_than_granted_is_found() {
        assert_eq!(check(&subscribed([ask_taken(5, vec![]), sent(0, 5, 1)])), Ok(()));
        assert!(check(&subscribed([ask_taken(5, vec![]), sent(0, 5, 1), sent(5, 1, 1)])).is_err());
    }

    #[test]
    fn granting_more_than_max_demand_or_less_than_before_is_found() {
        assert_eq!(check(&subscribed([ask_taken(5, vec![]), ask_taken(8, runs(0, 3))])), Ok(()));
        assert!(check(&subscribed([ask_taken(6, vec![])])).is_err());
        assert!(check(&subscribed([ask_taken(5, vec![]), ask_taken(9, runs(0, 3))])).is_err());
        assert!(check(&subscribed([ask_taken(5, vec![]), ask_taken(4, vec![])])).is_err());
    }
}
