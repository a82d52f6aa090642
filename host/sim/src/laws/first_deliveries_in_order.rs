//! On one subscription, events that are delivered for the first time come in the order of their
//! numbers: when sent, when received and when the guest gets them. Where the source has partitions, those of each do.
//!
//! Source: DESIGN 7 "per subscription, events arrive in seq order except redeliveries"; SEMANTICS I12.

use std::collections::BTreeMap;

use super::Violation;
use crate::{
    facts::{Seq, What},
    oracle::{Run, Subscriptions},
    routing::{Kind, partition},
};

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut last: BTreeMap<_, Seq> = BTreeMap::new();
    let mut subscriptions = Subscriptions::default();
    for fact in &run.facts {
        subscriptions.learn(fact);
        let (stream, events, at) = match &fact.what {
            What::EventsSent { stream, events } => (*stream, events, "sent"),
            What::EventsTaken { stream, events } => (*stream, events, "received"),
            // Several guests keep the order of each key: `keys_in_order`.
            What::Called { consumer, .. } if run.workload.stage(consumer.stage).is_pooled() => continue,
            What::Called { stream, events, .. } => (*stream, events, "handed to the guest"),
            _ => continue,
        };
        if events.attempt > 1 {
            continue;
        }
        let is_partitioned = subscriptions
            .get(stream)
            .is_some_and(|subscription| run.workload.routing.kind(subscription.source) == Kind::Partition);
        for (seq, payload) in events.seqs().zip(&events.payloads) {
            let partition = if is_partitioned { partition(payload) } else { None };
            if let Some(before) = last.insert((stream, at, partition), seq).filter(|before| *before >= seq) {
                let what = format!("event {} of {stream} is {at} after {}", seq.0, before.0);
                return Err(Violation::at(fact, what));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use super::*;

    #[test]
    fn first_deliveries_out_of_order_are_found() {
        assert_eq!(check(&subscribed([sent(3, 2, 1), sent(0, 2, 2), sent(5, 1, 1)])), Ok(()));
        assert!(check(&subscribed([sent(3, 2, 1), sent(0, 2, 1)])).is_err());
        assert!(check(&subscribed([called(3, 2, 1), called(4, 1, 1)])).is_err());
    }
}
