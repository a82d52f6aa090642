//! Owners and leaders that go, and networks that part.

use super::*;

fn cut_off(world: &World, node: &str) {
    for other in ABC.into_iter().filter(|other| *other != node) {
        world.network.cut(world.addr(node), world.addr(other));
    }
}

fn heal(world: &World, node: &str) {
    for other in ABC.into_iter().filter(|other| *other != node) {
        world.network.heal(world.addr(node), world.addr(other));
    }
}

/// Three nodes, of which the leader, a, runs nothing.
async fn start_with_bare_leader(world: &World, gate: &Gate) -> (BTreeMap<&'static str, Node>, String, Epoch) {
    let bare = NodeOptions { pipelines: Vec::new(), ..world.joining("a", &[], world.numbers(gate)) };
    let mut nodes = BTreeMap::from([("a", Node::start(bare))]);
    for name in ["b", "c"] {
        nodes.insert(name, world.start(name, &["a"], world.numbers(gate)));
    }
    let (owner, epoch) = world.log.owner(0).await;
    world.log.taken_by(0, &["b", "c"], epoch).await;
    for node in nodes.values() {
        let is_ready =
            |report: &QuorumReport| votes(report) == 3 && !report.changing && report.holds && leads(report, "a");
        until_report(node, "all three vote", is_ready).await;
    }
    (nodes, owner, epoch)
}

fn leads(report: &QuorumReport, node: &str) -> bool {
    report.leader.as_ref().is_some_and(|leader| leader.as_str() == node)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn data_flows_on_while_there_is_no_leader() {
    let (mut world, gate) = (World::of_quorum(), Gate::open());
    // What a busy machine takes to elect another must be less than an owner goes on for.
    world.quorum.as_mut().unwrap().lease = Duration::from_secs(10);
    let (mut nodes, _, epoch) = start_with_bare_leader(&world, &gate).await;
    let mark = world.log.mark();
    crash(&world, "a", nodes.remove("a").unwrap()).await;
    let without = world.log.mark();
    until_report(&nodes["b"], "another leads", |report| report.leader.is_some() && !leads(report, "a")).await;
    let during: BTreeSet<_> = took(&world.log.since(without)).map(|took| took.node).collect();
    assert_eq!(during, ["b", "c"].map(str::to_owned).into(), "both took events without a leader");
    let after = world.log.mark();
    world.log.taken_by(after, &["b", "c"], epoch).await;
    let entries = world.log.since(mark);
    let stops = |(_, event): &(&str, &NodeEvent)| {
        matches!(event, NodeEvent::Quorum { holds: false, .. } | NodeEvent::Owner(_) | NodeEvent::Fenced { .. })
    };
    assert_eq!(events(&entries).filter(stops).count(), 0, "{}", world.log.told());
    assert!(took(&entries).all(|took| took.epoch == epoch));
    let taken = counts(&world.log.entries(), epoch);
    assert!(taken.values().all(|count| *count == 1), "each number was taken once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_owner_that_is_cut_off_falls_silent_and_is_fenced_when_it_is_back() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let _nodes = world.start_three(&gate).await;
    let (_, old) = world.log.owner(0).await;
    let cut = world.log.mark();
    cut_off(&world, "a");
    holds(&world, cut, "a", false).await;
    // A call that had begun may end, on a busy machine late.
    tokio::time::sleep(Duration::from_millis(250)).await;
    let silent = world.log.mark();
    let (owner, new) = world.log.owner(cut).await;
    assert!(owner != "a" && new > old, "{owner} in {new} after {old}");
    world.log.taken_by(cut, &["b", "c"], new).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let healed = world.log.mark();
    heal(&world, "a");
    let fenced = |node: &str, event: &NodeEvent| match event {
        NodeEvent::Fenced { claim, .. } if node == "a" => Some(claim.epoch),
        _ => None,
    };
    assert_eq!(world.log.event(healed, "a is fenced", fenced).await, old);
    world.log.subscribed("a", new).await;
    let settled = world.log.mark();
    world.log.taken_by(settled, &ABC, new).await;
    let entries = world.log.since(silent);
    let late = entries.iter().filter(|entry| match entry {
        Entry::Emitted { node, .. } => node == "a",
        Entry::Took { epoch, .. } => *epoch == old,
        _ => false,
    });
    let late: Vec<_> = late.collect();
    assert!(late.is_empty(), "once its tenure had ended, of the old owner came {late:?}\n{}", world.log.told());
    let stopped = events(&entries).any(
        |(node, event)| matches!(event, NodeEvent::Stopped { stage, .. } if node == "a" && stage.as_str() != "counter"),
    );
    assert!(!stopped, "stages that every node has stay up\n{}", world.log.told());
    let owners = events(&entries).filter(|(_, event)| matches!(event, NodeEvent::Owner(_)));
    assert!(owners.count() <= 1, "one takes over, once\n{}", world.log.told());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_owner_that_is_back_before_anybody_took_over_goes_on() {
    let (mut world, gate) = (World::of_quorum(), Gate::open());
    // It falls silent after 4.2 s, and has 1.8 s to be back.
    world.quorum.as_mut().unwrap().lease = Duration::from_secs(6);
    let _nodes = world.start_three(&gate).await;
    let (_, epoch) = world.log.owner(0).await;
    let cut = world.log.mark();
    cut_off(&world, "a");
    holds(&world, cut, "a", false).await;
    let healed = world.log.mark();
    heal(&world, "a");
    holds(&world, healed, "a", true).await;
    for node in ["b", "c"] {
        let again = |by: &str, event: &NodeEvent| {
            matches!(event, NodeEvent::Subscribed { owner, .. } if by == node && owner.epoch == epoch).then_some(())
        };
        world.log.event(healed, &format!("{node} subscribes again"), again).await;
    }
    let settled = world.log.mark();
    world.log.taken_by(settled, &ABC, epoch).await;
    let last = took(&world.log.since(settled)).map(|took| took.number).min().unwrap();
    let entries = world.log.since(cut);
    let moved = events(&entries).any(|(_, event)| matches!(event, NodeEvent::Owner(_) | NodeEvent::Fenced { .. }));
    assert!(!moved, "{}", world.log.told());
    let taken: BTreeSet<_> = counts(&world.log.entries(), epoch).into_keys().filter(|number| *number < last).collect();
    let missing: Vec<_> = (0..last.saturating_sub(100)).filter(|number| !taken.contains(number)).collect();
    assert!(missing.is_empty(), "never taken: {missing:?}");
    // What was in the hands of b or c when the way to them was cut is given to others, and says so; these may be
    // done with it first.
    let mut seen = BTreeSet::new();
    for took in took(&world.log.entries()).filter(|took| took.epoch == epoch && took.attempt == 1) {
        assert!(seen.insert(took.number), "{took:?} was taken before, and both times as the first attempt");
    }
}
