//! A stage that drains keeps nothing back: once its guest is idle, no received message waits; and
//! when it says that it has drained, all that it emitted was processed. Not what nobody selects, and not what was for a
//! group that has left.
//!
//! Source: DESIGN 6 "the losing owner is drained and stopped"; SEMANTICS 2.8 "drain in-flight".

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::{
    facts::{EventId, Exit, Seq, What, seqs},
    oracle::Run,
};

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut processed = BTreeSet::new();
    let mut emitted: BTreeMap<_, u64> = BTreeMap::new();
    for fact in &run.facts {
        match &fact.what {
            What::Emitted { producer, payloads } => *emitted.entry(producer.no).or_default() += payloads.len() as u64,
            What::Processed { source: stage, epoch, runs, .. } | What::Lettered { source: stage, epoch, runs, .. } => {
                let (stage, epoch) = (*stage, *epoch);
                processed.extend(seqs(runs).map(|seq| EventId { stage, epoch, seq }));
            }
            What::Stuck { instance, queued } => {
                return Err(Violation::at(fact, format!("{instance} drains and keeps {queued} messages back")));
            }
            What::Ended { instance, exit: Exit::Drained } => {
                let count = emitted.get(&instance.no).copied().unwrap_or_default();
                let id = |seq| EventId { stage: instance.stage, epoch: instance.epoch, seq: Seq(seq) };
                let is_for_all = run.workload.routing.is_for_all(instance.stage);
                let count = if is_for_all { count } else { 0 };
                if let Some(event) = (0..count).map(id).find(|event| !processed.contains(event)) {
                    return Err(Violation::at(fact, format!("{instance} has drained; {event:?} was not processed")));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use super::*;

    #[test]
    fn a_stage_that_drained_and_left_events_is_found() {
        let ended = || What::Ended { instance: producer(), exit: Exit::Drained };
        assert_eq!(check(&subscribed([emitted(2), processed(0, 2), ended()])), Ok(()));
        assert!(check(&subscribed([emitted(2), processed(0, 1), ended()])).is_err());
    }

    #[test]
    fn a_stage_that_is_stuck_is_found() {
        assert!(check(&run([What::Stuck { instance: consumer(), queued: 1 }])).is_err());
    }
}
