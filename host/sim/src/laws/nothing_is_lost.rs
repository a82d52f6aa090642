//! Every event that an owner emitted which still lives, in the same epoch, is processed at least once
//! after faults stop, and acknowledged; in a run without faults, exactly once.
//!
//! An owner without a consumer within reach keeps what it has: there is nobody to process it.
//! Source: DESIGN 7 "every event is processed at least once after faults stop"; SEMANTICS I9, L3.

use std::collections::BTreeMap;

use super::Violation;
use crate::{
    facts::{EventId, Seq, What, seqs},
    oracle::Run,
};

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut processed: BTreeMap<EventId, u32> = BTreeMap::new();
    let mut emitted: BTreeMap<_, u64> = BTreeMap::new();
    for fact in &run.facts {
        match &fact.what {
            What::Emitted { producer, payloads } => *emitted.entry(producer.no).or_default() += payloads.len() as u64,
            What::Processed { source: stage, epoch, runs, .. } | What::Lettered { source: stage, epoch, runs, .. } => {
                for seq in seqs(runs) {
                    *processed.entry(EventId { stage: *stage, epoch: *epoch, seq }).or_default() += 1;
                }
            }
            _ => {}
        }
    }
    let living = run.ending.nodes.iter().flat_map(|node| &node.running).filter(|ending| ending.is_wanted);
    for ending in living {
        let instance = ending.instance;
        // Of those that not all consumers want, or that all get, `each_group_gets_all` says more.
        let is_for_all = run.workload.routing.is_for_all(instance.stage);
        let count = emitted.get(&instance.no).copied().unwrap_or_default();
        for seq in 0..count {
            let event = EventId { stage: instance.stage, epoch: instance.epoch, seq: Seq(seq) };
            let times = processed.get(&event).copied().unwrap_or_default();
            if is_for_all && (times == 0 || run.workload.is_faultless && times > 1) {
                let what = format!("event {seq} of {instance}, one of {count}, was processed {times} times");
                return Err(Violation::in_the_end(run, what));
            }
        }
        if ending.visible.unacked > 0 || ending.visible.buffered > 0 {
            let what = format!("{instance} still waits for acknowledgements: {:?}", ending.visible);
            return Err(Violation::in_the_end(run, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::made_up::*;
    use super::*;
    use crate::{
        facts::{NodeNo, Visible},
        oracle::{InstanceEnding, NodeEnding},
    };

    fn ended(whats: impl IntoIterator<Item = What>, unacked: usize) -> Run {
        let visible = Visible { unacked, buffered: 0, queued: 0 };
        let instance = producer();
        let ending = InstanceEnding { instance, visible, is_wanted: true, sources: vec![] };
        let mut run = subscribed(whats);
        let owners = BTreeMap::new();
        run.ending.nodes = vec![NodeEnding { node: NodeNo(0), group: 0, owners, running: vec![ending] }];
        run
    }

    #[test]
    fn an_event_never_processed_is_found() {
        assert_eq!(check(&ended([emitted(2), processed(0, 2)], 0)), Ok(()));
        assert!(check(&ended([emitted(2), processed(1, 1)], 0)).is_err());
    }

    #[test]
    fn an_event_never_acknowledged_is_found() {
        assert!(check(&ended([emitted(2), processed(0, 2)], 1)).is_err());
    }

    #[test]
    fn a_repetition_without_faults_is_found() {
        let mut run = ended([emitted(2), processed(0, 2), processed(1, 1)], 0);
        assert_eq!(check(&run), Ok(()));
        run.workload.is_faultless = true;
        assert!(check(&run).is_err());
    }
}
