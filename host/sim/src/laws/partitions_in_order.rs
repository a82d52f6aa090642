//! A partition is with one subscription at a time, and its events are sent for the first time in the order of their
//! numbers, whoever has it.
//!
//! Source: SEMANTICS I12, "per key for partition"; GenStage's partitions.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::{
    facts::{Fact, InstanceNo, Numbered, Seq, Side, StreamNo, What, seqs},
    oracle::{Run, Subscriptions, is_closed_by},
    routing::{Kind, partition},
};

#[derive(Default)]
struct Known {
    subscriptions: Subscriptions,
    /// The last first delivery of each partition.
    last: BTreeMap<(InstanceNo, Option<u8>), Seq>,
    /// Sent and neither acknowledged nor given back.
    unacked: BTreeMap<StreamNo, BTreeMap<Seq, Option<u8>>>,
}

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut known = Known::default();
    for fact in &run.facts {
        known.subscriptions.learn(fact);
        if let Some(stream) = is_closed_by(fact, Side::Producer) {
            known.unacked.remove(&stream);
        }
        match &fact.what {
            What::EventsSent { stream, events } => {
                let source = known.subscriptions.get(*stream).map(|subscription| subscription.source);
                if source.is_some_and(|source| run.workload.routing.kind(source) == Kind::Partition) {
                    known.send(fact, *stream, events)?;
                }
            }
            What::AskTaken { stream, acked: runs, .. } | What::RetryTaken { stream, runs } => {
                for (seq, unacked) in seqs(runs).zip(std::iter::repeat(*stream)) {
                    known.unacked.entry(unacked).or_default().remove(&seq);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

impl Known {
    fn send(&mut self, fact: &Fact, stream: StreamNo, events: &Numbered) -> Result<(), Violation> {
        let Some(producer) = self.subscriptions.get(stream).and_then(|subscription| subscription.producer) else {
            return Ok(());
        };
        let sent: BTreeSet<_> = events.payloads.iter().map(|payload| partition(payload)).collect();
        let is_other = |other: &StreamNo| {
            let of = self.subscriptions.get(*other).and_then(|subscription| subscription.producer);
            *other != stream && of.is_some_and(|of| of.no == producer.no)
        };
        for (other, unacked) in self.unacked.iter().filter(|(other, _)| is_other(other)) {
            if let Some((seq, found)) = unacked.iter().find(|(_, partition)| sent.contains(partition)) {
                let what = format!("partition {found:?} is sent on {stream}, and {other} has its event {}", seq.0);
                return Err(Violation::at(fact, what));
            }
        }
        for (seq, payload) in events.seqs().zip(&events.payloads) {
            let partition = partition(payload);
            self.unacked.entry(stream).or_default().insert(seq, partition);
            let last = (events.attempt == 1).then(|| self.last.insert((producer.no, partition), seq)).flatten();
            if let Some(before) = last.filter(|before| *before >= seq) {
                let what = format!("event {} of partition {partition:?} is sent after {}", seq.0, before.0);
                return Err(Violation::at(fact, what));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use super::*;

    const SECOND: StreamNo = StreamNo(2);

    fn partitioned(whats: impl IntoIterator<Item = What>) -> Run {
        let mut run = subscribed(subscribed_by(SECOND).into_iter().chain(whats));
        run.workload.routing.dispatch(SOURCE, Kind::Partition);
        run
    }

    fn on_second(first: u64, count: u32) -> What {
        What::EventsSent { stream: SECOND, events: events(first, count, 1) }
    }

    #[test]
    fn a_partition_with_two_at_a_time_is_found() {
        assert_eq!(check(&partitioned([sent(0, 1, 1), on_second(1, 1)])), Ok(()));
        assert!(check(&partitioned([sent(0, 1, 1), on_second(4, 1)])).is_err());
        assert_eq!(check(&partitioned([sent(0, 1, 1), ask_taken(5, runs(0, 1)), on_second(4, 1)])), Ok(()));
    }

    #[test]
    fn a_partition_out_of_order_is_found() {
        assert!(check(&partitioned([sent(4, 1, 1), ask_taken(5, runs(4, 1)), on_second(0, 1)])).is_err());
        assert_eq!(check(&partitioned([sent(4, 1, 1), on_second(1, 1)])), Ok(()));
    }
}
