//! A stage that makes events of events and acknowledges late acknowledges an event only once all that it
//! made of it is acknowledged to itself.
//!
//! Source: DESIGN 7 "a producer-consumer acknowledges upstream after its own output for that batch is
//! acknowledged downstream (end to end)".

use std::collections::{BTreeMap, BTreeSet};

use forebay_proto::stage::{Ack, Role};

use super::Violation;
use crate::{
    facts::{Fact, InstanceNo, Seq, StreamNo, What, seqs},
    oracle::{Run, Subscriptions},
};

#[derive(Default)]
struct Known {
    subscriptions: Subscriptions,
    consumers: BTreeMap<StreamNo, InstanceNo>,
    emitted: BTreeMap<InstanceNo, u64>,
    /// What was processed last, whose outputs are emitted next.
    last: BTreeMap<InstanceNo, Vec<(StreamNo, Seq)>>,
    outputs: BTreeMap<(InstanceNo, StreamNo, Seq), (u64, u64)>,
    settled: BTreeSet<(InstanceNo, Seq)>,
}

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut known = Known::default();
    for fact in &run.facts {
        known.subscriptions.learn(fact);
        match &fact.what {
            What::Subscribed { stream, consumer, .. } => {
                let plan = run.workload.stages.iter().find(|plan| plan.no == consumer.stage);
                if plan.is_some_and(|plan| plan.role == Role::ProducerConsumer && plan.ack == Ack::Late) {
                    known.consumers.insert(*stream, consumer.no);
                }
            }
            What::Processed { consumer, stream, runs, .. } => {
                known.last.insert(consumer.no, seqs(runs).map(|seq| (*stream, seq)).collect());
            }
            What::Emitted { producer, payloads } => known.emit(producer.no, payloads.len() as u64),
            What::AskTaken { stream, acked: runs, .. } | What::ToldProcessed { stream, runs } => {
                known.settle(*stream, seqs(runs));
            }
            What::AskSent { stream, acked, .. } => known.acknowledge(fact, *stream, seqs(acked))?,
            _ => {}
        }
    }
    Ok(())
}

impl Known {
    fn emit(&mut self, producer: InstanceNo, count: u64) {
        let first = *self.emitted.entry(producer).or_default();
        self.emitted.insert(producer, first + count);
        for (stream, seq) in self.last.remove(&producer).unwrap_or_default() {
            self.outputs.insert((producer, stream, seq), (first, first + count));
        }
    }

    fn settle(&mut self, stream: StreamNo, seqs: impl Iterator<Item = Seq>) {
        let producer = self.subscriptions.get(stream).and_then(|subscription| subscription.producer);
        if let Some(producer) = producer {
            self.settled.extend(seqs.map(|seq| (producer.no, seq)));
        }
    }

    fn acknowledge(&self, fact: &Fact, stream: StreamNo, seqs: impl Iterator<Item = Seq>) -> Result<(), Violation> {
        let Some(consumer) = self.consumers.get(&stream) else { return Ok(()) };
        for seq in seqs {
            let Some((first, end)) = self.outputs.get(&(*consumer, stream, seq)) else { continue };
            if let Some(open) = (*first..*end).find(|output| !self.settled.contains(&(*consumer, Seq(*output)))) {
                let what =
                    format!("event {} of {stream} is acknowledged, and {open} that was made of it is not", seq.0);
                return Err(Violation::at(fact, what));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use forebay_proto::stage::Ack;

    use super::super::made_up::*;
    use super::*;

    /// A consumer that has processed one event and emitted two for it.
    fn transformed(whats: impl IntoIterator<Item = What>) -> Run {
        let mut run = subscribed([processed(0, 1), emitted_by(consumer(), 2)].into_iter().chain(whats));
        for plan in run.workload.stages.iter_mut().filter(|plan| plan.no == consumer().stage) {
            (plan.role, plan.ack) = (Role::ProducerConsumer, Ack::Late);
        }
        run
    }

    #[test]
    fn an_acknowledgement_before_that_of_the_outputs_is_found() {
        let ask_sent = || What::AskSent { stream: STREAM, granted: 7, acked: runs(0, 1) };
        assert!(check(&transformed([ask_sent()])).is_err());
        let downstream = StreamNo(9);
        let joined = [
            What::Subscribed {
                stream: downstream,
                consumer: producer(),
                source: consumer().stage,
                epoch: consumer().epoch,
                demand: forebay_proto::message::Demand::default(),
            },
            What::Joined { stream: downstream, producer: consumer() },
        ];
        let taken = |count| What::AskTaken { stream: downstream, granted: 9, acked: runs(0, count) };
        assert!(check(&transformed(joined.clone().into_iter().chain([taken(1), ask_sent()]))).is_err());
        assert_eq!(check(&transformed(joined.into_iter().chain([taken(2), ask_sent()]))), Ok(()));
    }
}
