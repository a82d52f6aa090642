//! Once faults are off, every group of connected nodes comes to exactly one owner of every global
//! name that it can run, all its nodes agree on it, and every consumer is subscribed to it: once, and
//! to nobody else. Stages of node scope run, and are consumed, on each of their nodes.
//!
//! Source: DESIGN 6 "every island has its own owner"; SEMANTICS 2.8 (the promise) and L2, L5.

use forebay_proto::stage::Role;

use super::Violation;
use crate::{
    facts::{Instance, NodeNo, StageNo},
    oracle::{NodeEnding, Run},
    workload::{Scope, StagePlan},
};

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let broken = |what: String| Violation::in_the_end(run, what);
    for plan in &run.workload.stages {
        for near in neighbourhoods(run, plan) {
            let owner = only_owner(&near, plan).map_err(broken)?;
            if plan.scope == Scope::Global {
                all_agree(&near, plan.no, owner).map_err(broken)?;
            }
            if plan.role != Role::Consumer {
                consumers_follow(run, &near, plan, owner).map_err(broken)?;
            }
        }
    }
    Ok(())
}

/// The groups of nodes that each have one instance of the stage.
fn neighbourhoods<'a>(run: &'a Run, plan: &StagePlan) -> Vec<Vec<&'a NodeEnding>> {
    let nodes = &run.ending.nodes;
    if plan.scope == Scope::Node {
        return nodes.iter().map(|node| vec![node]).collect();
    }
    let mut groups: Vec<u8> = nodes.iter().map(|node| node.group).collect();
    groups.sort_unstable();
    groups.dedup();
    groups.into_iter().map(|group| nodes.iter().filter(|node| node.group == group).collect()).collect()
}

fn only_owner(near: &[&NodeEnding], plan: &StagePlan) -> Result<Option<Instance>, String> {
    let running: Vec<_> = near.iter().flat_map(|node| &node.running).map(|running| running.instance).collect();
    let running: Vec<_> = running.into_iter().filter(|instance| instance.stage == plan.no).collect();
    let can_run = near.iter().any(|node| plan.nodes.contains(&node.node));
    match running.as_slice() {
        [] if !can_run => Ok(None),
        [owner] if can_run => Ok(Some(*owner)),
        found => {
            let nodes: Vec<NodeNo> = near.iter().map(|node| node.node).collect();
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            Err(format!("{} runs {} times among {nodes:?}: {found:?}", plan.no, found.len()))
        }
    }
}

fn all_agree(near: &[&NodeEnding], stage: StageNo, owner: Option<Instance>) -> Result<(), String> {
    let expected = owner.map(|owner| (owner.node, owner.epoch));
    match near.iter().find(|node| node.owners.get(&stage).copied().flatten() != expected) {
        None => Ok(()),
        Some(node) => {
            let known = node.owners.get(&stage);
            Err(format!("{} takes {known:?} for the owner of {stage}, it is {expected:?}", node.node))
        }
    }
}

fn consumers_follow(run: &Run, near: &[&NodeEnding], plan: &StagePlan, owner: Option<Instance>) -> Result<(), String> {
    let expected: Vec<_> = owner.into_iter().collect();
    for consumer in near.iter().flat_map(|node| &node.running) {
        let upstreams = &run.workload.stage(consumer.instance.stage).upstreams;
        if !upstreams.iter().any(|(source, ..)| *source == plan.no) {
            continue;
        }
        let found: Vec<_> = consumer.sources.iter().copied().filter(|source| source.stage == plan.no).collect();
        if found != expected {
            return Err(format!("{} consumes {found:?}, expected {expected:?}", consumer.instance));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::made_up::*;
    use super::*;
    use crate::{facts::Visible, oracle::InstanceEnding};

    fn healed() -> Run {
        let ending = |instance: Instance, sources| {
            let visible = Visible { unacked: 0, buffered: 0, queued: 0 };
            InstanceEnding { instance, visible, is_wanted: true, sources }
        };
        let running = vec![ending(producer(), vec![]), ending(consumer(), vec![producer()])];
        let owners = BTreeMap::from([(SOURCE, Some((producer().node, producer().epoch)))]);
        let mut run = run([]);
        run.ending.nodes = vec![NodeEnding { node: NodeNo(0), group: 0, owners, running }];
        run
    }

    #[test]
    fn a_healed_cluster_passes() {
        assert_eq!(check(&healed()), Ok(()));
    }

    #[test]
    fn a_name_without_owner_is_found() {
        let mut run = healed();
        run.ending.nodes[0].running.remove(0);
        assert!(check(&run).is_err());
    }

    #[test]
    fn a_second_owner_is_found() {
        let mut run = healed();
        let mut running = healed().ending.nodes.remove(0).running.remove(0);
        running.instance.epoch = epoch(9);
        run.ending.nodes[0].running.push(running);
        assert!(check(&run).is_err());
    }

    #[test]
    fn a_node_that_knows_another_owner_is_found() {
        let mut run = healed();
        run.ending.nodes[0].owners.insert(SOURCE, Some((NodeNo(3), epoch(1))));
        assert!(check(&run).is_err());
    }

    #[test]
    fn a_consumer_that_is_not_subscribed_or_twice_is_found() {
        let mut run = healed();
        run.ending.nodes[0].running[1].sources.clear();
        assert!(check(&run).is_err());
        run.ending.nodes[0].running[1].sources = vec![producer(), producer()];
        assert!(check(&run).is_err());
    }
}
