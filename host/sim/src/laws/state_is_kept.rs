//! What a stage with a state acknowledges late is known to its state on record, or kept as a dead letter:
//! its successor knows of all that will not be delivered again.
//!
//! Source: issue 4; as SEMANTICS 2.5 has it for a source, whose checkpoint covers what was acknowledged to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use forebay_proto::stage::Ack;

use super::Violation;
use crate::{
    facts::{EventId, Instance, InstanceNo, StreamNo, What, seqs},
    oracle::{Run, Subscriptions},
};

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let has_state = |consumer: &Instance| {
        let plan = run.workload.stages.iter().find(|plan| plan.no == consumer.stage);
        plan.is_some_and(|plan| plan.checkpoint.is_some() && plan.ack == Ack::Late)
    };
    let mut subscriptions = Subscriptions::default();
    let mut consumers: BTreeMap<StreamNo, InstanceNo> = BTreeMap::new();
    let mut known: BTreeMap<InstanceNo, Arc<BTreeSet<EventId>>> = BTreeMap::new();
    let mut letters = BTreeSet::new();
    for fact in &run.facts {
        subscriptions.learn(fact);
        match &fact.what {
            What::Subscribed { stream, consumer, .. } if has_state(consumer) => {
                consumers.insert(*stream, consumer.no);
            }
            What::Recorded { instance, known: now } => {
                let before = known.insert(instance.no, Arc::clone(now));
                if let Some(lost) = before.and_then(|before| before.difference(now).next().copied()) {
                    let EventId { stage, epoch, seq } = lost;
                    let what = format!("the state of {instance} knows event {} of {stage}@{epoch} no more", seq.0);
                    return Err(Violation::at(fact, what));
                }
            }
            What::Lettered { consumer, source, epoch, runs } => {
                let event = |seq| (consumer.no, EventId { stage: *source, epoch: *epoch, seq });
                letters.extend(seqs(runs).map(event));
            }
            What::AskSent { stream, acked, .. } => {
                let Some(consumer) = consumers.get(stream) else { continue };
                let none = Arc::default();
                let known = known.get(consumer).unwrap_or(&none);
                let is_kept = |event: &EventId| known.contains(event) || letters.contains(&(*consumer, *event));
                let events = seqs(acked).filter_map(|seq| subscriptions.event(*stream, seq));
                if let Some(EventId { seq, .. }) = events.into_iter().find(|event| !is_kept(event)) {
                    let what = format!("event {} of {stream} is acknowledged, and no state on record knows it", seq.0);
                    return Err(Violation::at(fact, what));
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

    use super::super::made_up::*;
    use super::*;

    fn with_state(whats: impl IntoIterator<Item = What>) -> Run {
        let mut run = subscribed(whats);
        for plan in run.workload.stages.iter_mut().filter(|plan| plan.no == consumer().stage) {
            (plan.ack, plan.checkpoint) = (Ack::Late, Some(Duration::from_millis(1)));
        }
        run
    }

    fn recorded(count: u64) -> What {
        let event = |seq| EventId { stage: SOURCE, epoch: producer().epoch, seq: forebay_proto::ids::Seq(seq) };
        What::Recorded { instance: consumer(), known: Arc::new((0..count).map(event).collect()) }
    }

    #[test]
    fn what_no_state_on_record_knows_is_found() {
        let acked = || What::AskSent { stream: STREAM, granted: 7, acked: runs(0, 2) };
        assert_eq!(check(&with_state([recorded(2), acked()])), Ok(()));
        assert!(check(&with_state([recorded(1), acked()])).is_err());
        assert!(check(&with_state([acked()])).is_err());
        assert!(check(&with_state([recorded(2), recorded(1)])).is_err(), "a state that goes back");
    }
}
