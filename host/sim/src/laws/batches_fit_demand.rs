//! A consumer's guest gets at most `max_demand - min_demand` events at once, all of one message; one that asks itself
//! gets whole messages; one whose events are gathered at most as many as its batches have, of one subscription.
//!
//! Source: GenStage `split_batches` and `{:manual, state}`; Broadway's batchers; SEMANTICS I11.

use std::collections::BTreeMap;

use super::Violation;
use crate::{
    facts::What,
    oracle::{Run, Subscriptions},
    workload::Flow,
};

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut subscriptions = Subscriptions::default();
    let mut messages = 0u64;
    let mut message_of = BTreeMap::new();
    for fact in &run.facts {
        subscriptions.learn(fact);
        match &fact.what {
            What::EventsTaken { stream, events } => {
                messages += 1;
                message_of.extend(events.seqs().map(|seq| ((*stream, seq), messages)));
            }
            What::Called { consumer, stream, events, .. } => {
                let flow = &run.workload.stage(consumer.stage).flow;
                let max = subscriptions.get(*stream).map_or(0, |subscription| match flow {
                    Flow { batch: Some(batch), .. } => batch.size,
                    Flow { manual: Some(_), .. } => subscription.demand.max(),
                    Flow { .. } => subscription.demand.batch_max(),
                });
                let count = events.payloads.len();
                if count == 0 || count > max as usize {
                    return Err(Violation::at(fact, format!("{count} events in one call on {stream}, {max} fit")));
                }
                let mut from = events.seqs().map(|seq| message_of.get(&(*stream, seq)));
                let first = from.next().flatten();
                let may_join = flow.batch.is_some();
                if first.is_none() || from.any(|other| other.is_none() || (other != first && !may_join)) {
                    return Err(Violation::at(fact, format!("a call on {stream} is not of one message")));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay_proto::consumer::Gathering;

    use super::super::made_up::*;
    use super::*;

    fn taken(first: u64, count: u32) -> What {
        What::EventsTaken { stream: STREAM, events: events(first, count, 1) }
    }

    #[test]
    fn a_batch_that_is_too_large_or_of_two_messages_is_found() {
        assert_eq!(check(&subscribed([taken(0, 5), called(0, 3, 1)])), Ok(()));
        assert!(check(&subscribed([taken(0, 5), called(0, 4, 1)])).is_err());
        assert!(check(&subscribed([taken(0, 1), taken(1, 1), called(0, 2, 1)])).is_err());
    }

    #[test]
    fn one_that_gathers_joins_messages_up_to_its_size() {
        let gathers = |size, whats: Vec<What>| {
            let mut run = subscribed(whats);
            let batch = Gathering { size, timeout: Duration::from_secs(1), by: None };
            run.workload.stages[1].flow.batch = Some(batch);
            check(&run)
        };
        assert_eq!(gathers(4, vec![taken(0, 1), taken(1, 3), called(0, 4, 1)]), Ok(()));
        assert!(gathers(3, vec![taken(0, 1), taken(1, 3), called(0, 4, 1)]).is_err());
        assert!(gathers(4, vec![taken(0, 1), called(0, 2, 1)]).is_err(), "of events that never came");
    }
}
