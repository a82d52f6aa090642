//! Of a source whose events all get, and that lives in the end, every group has processed every event that it selects,
//! at least once; in a run without faults, exactly once. Groups that have left meanwhile, by their own will, and those
//! out of reach have no claim to that.
//!
//! Source: SEMANTICS I9 "in each required group".

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::{
    facts::{EventId, Exit, Fault, Instance, NodeNo, Seq, StageNo, What, seqs},
    oracle::{InstanceEnding, Run},
    routing::{Group, Kind},
    workload::Scope,
};

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let is_broadcast = |ending: &&InstanceEnding| run.workload.routing.kind(ending.instance.stage) == Kind::Broadcast;
    let endings: Vec<_> = run.ending.nodes.iter().flat_map(|node| &node.running).collect();
    let sources: Vec<_> = endings.iter().copied().filter(is_broadcast).filter(|ending| ending.is_wanted).collect();
    if sources.is_empty() {
        return Ok(());
    }
    let processed = processed_by_groups(run);
    let left = left(run);
    for source in sources.into_iter().map(|ending| ending.instance) {
        for group in groups(run, source, &endings).difference(&left) {
            check_group(run, source, *group, &processed)?;
        }
    }
    Ok(())
}

/// How often each group has processed, or put aside, each event.
fn processed_by_groups(run: &Run) -> BTreeMap<(EventId, Group), u32> {
    let mut processed = BTreeMap::new();
    for fact in &run.facts {
        if let What::Processed { consumer, source: stage, epoch, runs, .. }
        | What::Lettered { consumer, source: stage, epoch, runs } = &fact.what
        {
            let group = run.workload.routing.group(*stage, *consumer);
            for seq in seqs(runs) {
                *processed.entry((EventId { stage: *stage, epoch: *epoch, seq }, group)).or_default() += 1;
            }
        }
    }
    processed
}

/// Groups of which an instance has taken leave of its sources, or may have.
fn left(run: &Run) -> BTreeSet<Group> {
    let mut leaving: BTreeSet<(StageNo, NodeNo)> = BTreeSet::new();
    for fact in &run.facts {
        match &fact.what {
            What::Fault(Fault::Cancel(node)) => {
                leaving.extend(run.workload.stages.iter().map(|stage| (stage.no, *node)));
            }
            What::Draining { instance } => drop(leaving.insert((instance.stage, instance.node))),
            What::Ended { instance, exit: Exit::Stopped(_) | Exit::Drained | Exit::Cut } => {
                leaving.insert((instance.stage, instance.node));
            }
            _ => {}
        }
    }
    leaving.into_iter().flat_map(|(stage, node)| [Some((stage, None)), Some((stage, Some(node)))]).collect()
}

/// The groups of consumers that a source can reach.
fn groups(run: &Run, source: Instance, endings: &[&InstanceEnding]) -> BTreeSet<Group> {
    let workload = &run.workload;
    let is_near = |other: NodeNo| match workload.stage(source.stage).scope {
        Scope::Global => workload.is_joined_in_the_end(other, source.node),
        Scope::Node => other == source.node,
    };
    let consumes = |consumer: &Instance| {
        workload.stage(consumer.stage).upstreams.iter().any(|(upstream, ..)| *upstream == source.stage)
    };
    let consumers = endings.iter().map(|ending| ending.instance);
    let near = consumers.filter(|consumer| is_near(consumer.node) && consumes(consumer));
    near.map(|consumer| workload.routing.group(source.stage, consumer)).collect()
}

fn check_group(
    run: &Run,
    source: Instance,
    group: Group,
    processed: &BTreeMap<(EventId, Group), u32>,
) -> Result<(), Violation> {
    let Some((consumer, _)) = group else { return Ok(()) };
    let wish = run.workload.routing.wish(consumer, source.stage);
    let emitted = run.facts.iter().filter_map(|fact| match &fact.what {
        What::Emitted { producer, payloads } if producer.no == source.no => Some(payloads),
        _ => None,
    });
    for (seq, payload) in (0..).map(Seq).zip(emitted.flatten()) {
        let event = EventId { stage: source.stage, epoch: source.epoch, seq };
        let times = processed.get(&(event, group)).copied().unwrap_or_default();
        if wish.selects(payload) && (times == 0 || run.workload.is_faultless && times > 1) {
            let what = format!("event {} of {source} was processed {times} times by {group:?}", seq.0);
            return Err(Violation::in_the_end(run, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use super::*;
    use crate::{facts::Visible, oracle::NodeEnding};

    fn ended(whats: impl IntoIterator<Item = What>) -> Run {
        let mut run = subscribed(whats);
        run.workload.routing.dispatch(SOURCE, Kind::Broadcast);
        let visible = Visible { unacked: 0, buffered: 0, queued: 0 };
        let ending = |instance| InstanceEnding { instance, visible, is_wanted: true, sources: vec![] };
        let running = vec![ending(producer()), ending(consumer())];
        run.ending.nodes = vec![NodeEnding { node: NodeNo(0), group: 0, owners: BTreeMap::new(), running }];
        run
    }

    #[test]
    fn an_event_that_a_group_never_got_is_found() {
        assert_eq!(check(&ended([emitted(2), processed(0, 2)])), Ok(()));
        assert!(check(&ended([emitted(2), processed(0, 1)])).is_err());
        let mut run = ended([emitted(2), processed(0, 1)]);
        run.workload.routing.want(SINK, SOURCE, [0]);
        assert_eq!(check(&run), Ok(()), "it did not want the second");
    }

    #[test]
    fn one_that_has_left_has_no_claim() {
        assert_eq!(check(&ended([emitted(2), What::Fault(Fault::Cancel(NodeNo(0)))])), Ok(()));
        assert!(check(&ended([emitted(2), What::Fault(Fault::Cancel(NodeNo(1)))])).is_err());
    }

    #[test]
    fn a_repetition_without_faults_is_found() {
        let mut run = ended([emitted(2), processed(0, 2), processed(1, 1)]);
        assert_eq!(check(&run), Ok(()));
        run.workload.is_faultless = true;
        assert!(check(&run).is_err());
    }
}
