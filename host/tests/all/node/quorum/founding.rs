//! How a group comes about, and what a node without one says.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_alone_is_a_group_of_one_and_owns_its_names() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let node = world.start("a", &[], world.numbers(&gate));
    let (owner, epoch) = world.log.owner(0).await;
    assert_eq!(owner, "a");
    world.log.taken_by(0, &["a"], epoch).await;
    let report = report(&node);
    assert!(report.holds && report.group.is_some(), "{report:?}");
    assert_eq!((report.members.len(), votes(&report)), (1, 1));
    assert_eq!(report.critical(), [&"a".parse::<NodeName>().unwrap()]);
    let exit = end(node).await;
    assert_eq!(exit, NodeExit { gave_up: Vec::new(), cut_short: Vec::new(), expelled: None });
}

async fn three_found_one_group(order: [&str; 3]) {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let mut nodes: Vec<_> = order[..2].iter().map(|node| start_expecting(&world, node, 3, &gate)).collect();
    for node in &order[..2] {
        waits_for(&world, 0, node, "3 nodes to be there, 2 are").await;
    }
    for node in &nodes {
        assert_eq!(report(node).group, None, "two of three found nothing");
    }
    nodes.push(start_expecting(&world, order[2], 3, &gate));
    let mut groups = BTreeSet::new();
    for node in &nodes {
        let report = until_report(node, "all three vote", |report| votes(report) == 3 && !report.changing).await;
        groups.insert(report.group.unwrap().0);
    }
    assert_eq!(groups.len(), 1, "one group");
    let (_, epoch) = world.log.owner(0).await;
    world.log.taken_by(0, &ABC, epoch).await;
    let entries = world.log.entries();
    let owners = events(&entries).filter(|(_, event)| matches!(event, NodeEvent::Owner(_)));
    assert_eq!(owners.count(), 1, "{}", world.log.told());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_that_expect_three_found_one_group_whoever_starts_first() {
    for order in [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]] {
        three_found_one_group(order).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_expect_different_numbers_found_nothing_and_say_so() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let nodes = [start_expecting(&world, "a", 2, &gate), start_expecting(&world, "b", 3, &gate)];
    waits_for(&world, 0, "a", "it expects 2 nodes and b expects 3; give both the same").await;
    waits_for(&world, 0, "b", "it expects 3 nodes and a expects 2; give both the same").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(nodes.iter().all(|node| report(node).group.is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_only_join_found_nothing_and_say_so() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let nodes = [world.start("a", &["b"], world.numbers(&gate)), world.start("b", &["a"], world.numbers(&gate))];
    for node in ["a", "b"] {
        waits_for(&world, 0, node, "a member of the group to let it in").await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(nodes.iter().all(|node| report(node).group.is_none()));
    let owned = events(&world.log.entries()).any(|(_, event)| matches!(event, NodeEvent::Owner(_)));
    assert!(!owned, "without a group nobody owns anything");
}

/// It kept two others from founding, for it expects another number than they: none.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_only_joins_keeps_nobody_from_founding() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let joiner = world.start("a", &["b", "c"], world.numbers(&gate));
    let founders = [start_expecting(&world, "b", 2, &gate), start_expecting(&world, "c", 2, &gate)];
    let group = until_report(&founders[0], "a group", |report| report.group.is_some()).await.group;
    let joined = until_report(&joiner, "it is let in", |report| report.group.is_some()).await.group;
    assert_eq!(joined, group);
    until_report(&joiner, "all three vote", |report| votes(report) == 3 && !report.changing).await;
}
