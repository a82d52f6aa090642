//! Where names go: operators' orders, labels, and what agreeing costs.

use super::*;

const THREE: &str = r#"
    name = "three"
    [stages.one]
    plugin = "native"
    scope = "global"
    [stages.two]
    plugin = "native"
    scope = "global"
    [stages.three]
    plugin = "native"
    scope = "global"
    [stages.sink]
    plugin = "native"
    subscribe = [{ to = "one", max_demand = 5 }, { to = "two", max_demand = 5 }, { to = "three", max_demand = 5 }]
"#;

fn three(world: &World, gate: &Gate) -> LoadedPipeline {
    let counter = counter(&world.log, u64::MAX);
    let plugins = [
        ("one", Arc::clone(&counter)),
        ("two", Arc::clone(&counter)),
        ("three", counter),
        ("sink", sink(&world.log, gate)),
    ];
    pipeline(THREE, plugins)
}

/// Waits until each of the three names was taken by one of these nodes.
async fn owned_by(world: &World, mark: usize, nodes: &[&str]) {
    world
        .log
        .until(&format!("all names are owned by {nodes:?}"), |entries| {
            let owned = events(&entries[mark..]).filter_map(|(node, event)| match event {
                NodeEvent::Owner(claim) if nodes.contains(&node) => Some(claim.name.stage.to_string()),
                _ => None,
            });
            owned.collect::<BTreeSet<_>>().len() == 3
        })
        .await;
}

fn drain(node: &str, drain: bool) -> Command {
    Command::Drain { node: node.parse().unwrap(), drain }
}

async fn drain_ordered(world: &World, mark: usize, node: &str, drain: bool) {
    let is_it = |by: &str, event: &NodeEvent| {
        (by == node && matches!(event, NodeEvent::DrainOrdered(d) if *d == drain)).then_some(())
    };
    world.log.event(mark, "the order arrives", is_it).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_drained_node_gives_its_names_to_others_one_by_one_and_takes_none_until_it_may() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let a = world.start("a", &[], three(&world, &gate));
    owned_by(&world, 0, &["a"]).await;
    let b = world.start("b", &["a"], three(&world, &gate));
    until_report(&b, "it is a member", |report| report.holds && report.members.len() == 2).await;
    let mark = world.log.mark();
    order(&b, drain("a", true)).await;
    drain_ordered(&world, mark, "a", true).await;
    owned_by(&world, mark, &["b"]).await;
    let entries = world.log.since(mark);
    let stopped: Vec<_> = events(&entries)
        .filter_map(|(node, event)| match event {
            NodeEvent::Stopped { stage, .. } if node == "a" => Some(stage.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(stopped.len(), 3, "each once: {stopped:?}");
    let owned = events(&entries).any(|(node, event)| node == "a" && matches!(event, NodeEvent::Owner(_)));
    assert!(!owned, "{}", world.log.told());
    let report = until_report(&a, "it drains", |report| report.members.iter().any(|member| member.draining)).await;
    let draining: Vec<_> = report.members.iter().filter(|member| member.draining).map(|m| m.node.as_str()).collect();
    assert_eq!(draining, ["a"]);

    // With nobody left who may, the names wait for one who may again.
    let mark = world.log.mark();
    order(&a, drain("b", true)).await;
    drain_ordered(&world, mark, "b", true).await;
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let owned = events(&world.log.since(mark)).any(|(_, event)| matches!(event, NodeEvent::Owner(_)));
    assert!(!owned, "a draining node claims nothing\n{}", world.log.told());
    order(&a, drain("a", false)).await;
    drain_ordered(&world, mark, "a", false).await;
    owned_by(&world, mark, &["a"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stages_with_labels_run_only_where_they_are() {
    const LABELLED: &str = r#"
        name = "numbers"
        [stages.counter]
        plugin = "native"
        scope = "global"
        labels = ["gpu"]
        [stages.sink]
        plugin = "native"
        subscribe = [{ to = "counter", max_demand = 5 }]
        [stages.probe]
        plugin = "native"
        labels = ["gpu"]
    "#;
    let (world, gate) = (World::of_quorum(), Gate::open());
    let labelled = || {
        let (counter, sink) = (counter(&world.log, u64::MAX), sink(&world.log, &gate));
        pipeline(LABELLED, [("counter", counter), ("sink", sink), ("probe", finite(0))])
    };
    let a = world.start("a", &[], labelled());
    until_report(&a, "it has a group", |report| report.holds).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    let entries = world.log.entries();
    let any = |is_it: fn(&NodeEvent) -> bool| events(&entries).any(|(_, event)| is_it(event));
    assert!(!any(|event| matches!(event, NodeEvent::Owner(_) | NodeEvent::Subscribed { .. })), "its consumers wait");
    let with_label = NodeOptions { labels: ["gpu".to_owned()].into(), ..world.joining("b", &["a"], labelled()) };
    let _b = Node::start(with_label);
    let (owner, epoch) = world.log.owner(0).await;
    assert_eq!(owner, "b");
    world.log.taken_by(0, &["a", "b"], epoch).await;
    let entries = world.log.entries();
    let probes: Vec<_> = events(&entries)
        .filter(|(_, event)| matches!(event, NodeEvent::Started { stage } if stage.as_str() == "probe"))
        .map(|(node, _)| node)
        .collect();
    assert_eq!(probes, ["b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_cost_no_entry_of_the_log() {
    const EVENTS: usize = 3000;
    let (world, gate) = (World::of_quorum(), Gate::open());
    let nodes = world.start_three(&gate).await;
    let before = report(&nodes["a"]).applied;
    let mark = world.log.mark();
    world.log.until("many events are taken", |entries| took(&entries[mark..]).count() >= EVENTS).await;
    let after = report(&nodes["a"]);
    assert_eq!((before, after.term), (after.applied, after.term), "{after:?}");
}
