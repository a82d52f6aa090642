//! Who owns the one counter, and what happens when islands meet and owners go.

use super::*;

in_both_modes! {
    every_number_goes_to_exactly_one_consumer_and_all_nodes_get_some,
    a_node_that_joins_moves_nothing,
    an_owner_that_dies_is_succeeded_in_a_higher_epoch,
    an_owner_that_leaves_hands_over_and_loses_nothing,
    a_node_that_comes_back_is_another_start_of_it,
    events_go_through_a_chain_of_stages_across_nodes,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_three_nodes_that_start_together_owns_the_name() {
    let (world, gate) = (World::new(), Gate::open());
    let start = |name: &'static str| {
        let options = NodeOptions { settle: PATIENCE, ..world.options(name, world.numbers(&gate)) };
        Node::start(options)
    };
    let _nodes: Vec<_> = ABC.into_iter().map(start).collect();
    let (owner, epoch) = world.log.owner(0).await;
    world.log.taken_by(0, &ABC, epoch).await;
    assert_eq!(owner, preferred(&ABC)[0], "{}", world.log.told());
    let entries = world.log.entries();
    let owners = events(&entries).filter(|(_, event)| matches!(event, NodeEvent::Owner(_)));
    assert_eq!(owners.count(), 1, "{}", world.log.told());
}

async fn every_number_goes_to_exactly_one_consumer_and_all_nodes_get_some(world: World) {
    const LIMIT: u64 = 600;
    let gate = Gate::open();
    gate.set(false);
    let _open = OpenAtEnd(&gate);
    let numbers = || pipeline(NUMBERS, [("counter", counter(&world.log, LIMIT)), ("sink", sink(&world.log, &gate))]);
    let mut nodes = vec![world.start("a", &[], numbers())];
    let (_, epoch) = world.log.owner(0).await;
    nodes.push(world.start("b", &["a"], numbers()));
    nodes.push(world.start("c", &["a", "b"], numbers()));
    for node in ABC {
        world.log.subscribed(node, epoch).await;
    }
    gate.set(true);
    world.log.until("all numbers are taken", |entries| took(entries).count() as u64 >= LIMIT).await;
    for node in nodes.into_iter().rev() {
        assert_eq!(end(node).await, NodeExit { gave_up: Vec::new(), cut_short: Vec::new(), expelled: None });
    }
    let entries = world.log.entries();
    assert_eq!(counts(&entries, epoch), (0..LIMIT).map(|number| (number, 1)).collect());
    let nodes: BTreeSet<_> = took(&entries).map(|took| took.node).collect();
    assert_eq!(nodes, ABC.map(str::to_owned).into());
}

async fn a_node_that_joins_moves_nothing(world: World) {
    let gate = Gate::open();
    let ranked = preferred(&ABC);
    let (first, later) = (ranked[2], [ranked[1], ranked[0]]);
    let _owner = world.start(first, &[], world.numbers(&gate));
    let (owner, epoch) = world.log.owner(0).await;
    assert_eq!(owner, first);
    let mut nodes = Vec::new();
    for name in later {
        nodes.push(world.start(name, &[first], world.numbers(&gate)));
        world.log.subscribed(name, epoch).await;
    }
    world.log.taken_by(0, &ABC, epoch).await;
    let entries = world.log.entries();
    let moved = events(&entries).filter(|(_, event)| {
        matches!(event, NodeEvent::Owner(_) | NodeEvent::Conflict { .. } | NodeEvent::Stopped { .. })
    });
    assert_eq!(moved.count(), 1, "{}", world.log.told());
}

/// That of the two owners one was stopped after draining, and that all three consume from the other.
async fn assert_one_remains(world: &World, mark: usize) -> (String, Epoch) {
    let (winner, loser) = world
        .log
        .event(mark, "a conflict", |_, event| match event {
            NodeEvent::Conflict { winner, loser } => Some((winner.clone(), loser.clone())),
            _ => None,
        })
        .await;
    world
        .log
        .event(mark, "the loser has stopped", |node, event| match event {
            NodeEvent::Stopped { stage, .. } if node == loser.node.as_str() && stage.as_str() == "counter" => Some(()),
            _ => None,
        })
        .await;
    for node in ABC {
        world.log.subscribed(node, winner.epoch).await;
    }
    let after = world.log.mark();
    world.log.taken_by(after, &ABC, winner.epoch).await;
    let late = took(&world.log.since(after)).filter(|took| took.epoch != winner.epoch).count();
    assert_eq!(late, 0, "a stopped owner's events are not handed out any more");
    let entries = world.log.since(mark);
    let repeated: Vec<_> = counts(&entries, loser.epoch).into_iter().filter(|(_, count)| *count > 1).collect();
    assert_eq!(repeated, [], "what the loser handed out is not handed out again: it drained first");
    let winners: BTreeSet<_> = events(&world.log.since(mark))
        .filter_map(|(_, event)| match event {
            NodeEvent::Conflict { winner, .. } => Some(winner.node.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(winners.len(), 1, "all nodes come to the same winner");
    (winner.node.to_string(), winner.epoch)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_islands_meet_one_owner_remains_and_everybody_consumes_from_it() {
    let (world, gate) = (World::new(), Gate::open());
    let [a, b, c] = ABC.map(|node| world.addr(node));
    world.network.cut(a, b);
    world.network.cut(a, c);
    let _nodes = ABC.map(|name| Node::start(world.options(name, world.numbers(&gate))));
    let own = |of: &'static [&'static str]| {
        move |node: &str, event: &NodeEvent| matches!(event, NodeEvent::Owner(_) if of.contains(&node)).then_some(())
    };
    world.log.event(0, "a is an owner", own(&["a"])).await;
    world.log.event(0, "b or c is an owner", own(&["b", "c"])).await;
    let mark = world.log.mark();
    world.network.heal(a, b);
    world.network.heal(a, c);
    assert_one_remains(&world, mark).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_successor_stands_against_an_owner_that_was_only_cut_off() {
    let (world, gate) = (World::new(), Gate::open());
    let _nodes = world.start_three(&gate).await;
    let (first, old) = world.log.owner(0).await;
    assert_eq!(first, "a");
    let [a, b, c] = ABC.map(|node| world.addr(node));
    let mark = world.log.mark();
    world.network.cut(a, b);
    world.network.cut(a, c);
    let (second, new) = world.log.owner(mark).await;
    assert!(second != "a" && new.lamport > old.lamport, "{second} owns it in epoch {new}, after {old}");
    world.log.taken_by(mark, &["b", "c"], new).await;
    let mark = world.log.mark();
    world.log.taken_by(mark, &["a"], old).await;
    world.network.heal(a, b);
    world.network.heal(a, c);
    assert_eq!(assert_one_remains(&world, mark).await, (second, new));
}

async fn an_owner_that_dies_is_succeeded_in_a_higher_epoch(world: World) {
    let gate = Gate::open();
    let mut nodes = world.start_three(&gate).await;
    let (_, old) = world.log.owner(0).await;
    let mark = world.log.mark();
    drop(nodes.remove("a"));
    let (second, new) = world.log.owner(mark).await;
    assert!(second != "a" && new > old, "{second} in {new} after {old}");
    world.log.taken_by(mark, &["b", "c"], new).await;
}

async fn an_owner_that_leaves_hands_over_and_loses_nothing(world: World) {
    let gate = Gate::open();
    let mut nodes = world.start_three(&gate).await;
    let (_, old) = world.log.owner(0).await;
    world.log.taken_by(0, &ABC, old).await;
    let mark = world.log.mark();
    let exit = end(nodes.remove("a").unwrap()).await;
    assert_eq!(exit, NodeExit { gave_up: Vec::new(), cut_short: Vec::new(), expelled: None });
    let (second, new) = world.log.owner(mark).await;
    assert!(second != "a" && new > old, "{second} in {new} after {old}");
    world.log.taken_by(mark, &["b", "c"], new).await;
    let entries = world.log.entries();
    let emitted = entries.iter().filter_map(|entry| match entry {
        Entry::Emitted { node, number } if node == "a" => Some((*number, 1)),
        _ => None,
    });
    assert_eq!(counts(&entries, old), emitted.collect(), "each number of the first owner was taken once");
}

async fn a_node_that_comes_back_is_another_start_of_it(world: World) {
    let gate = Gate::open();
    let mut nodes = world.start_three(&gate).await;
    drop(nodes.remove("a"));
    let mark = world.log.mark();
    let (second, new) = world.log.owner(mark).await;
    nodes.insert("a", world.start("a", &["b", "c"], world.numbers(&gate)));
    world.log.subscribed("a", new).await;
    world.log.taken_by(mark, &ABC, new).await;
    let entries = world.log.since(mark);
    let owners = events(&entries).filter(|(_, event)| matches!(event, NodeEvent::Owner(_)));
    assert_eq!(owners.count(), 1, "it stays with {second}\n{}", world.log.told());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_scoped_stage_runs_on_every_node_and_is_consumed_there() {
    const TEXT: &str = r#"
        name = "local"
        [stages.here]
        plugin = "native"
        [stages.sink]
        plugin = "native"
        subscribe = [{ to = "here", max_demand = 5 }]
    "#;
    let (world, gate) = (World::new(), Gate::open());
    // Each node's numbers are of another hundred thousand.
    let here = Native::producer("here", |spec| {
        let mut next = 100_000 * u64::from(spec.node.as_str().as_bytes()[0] - b'a');
        Ok(move |demand: u32| {
            let numbers = next..next + u64::from(demand);
            next = numbers.end;
            Ok(of_numbers(numbers).into())
        })
    });
    let local = || pipeline(TEXT, [("here", Arc::clone(&here)), ("sink", sink(&world.log, &gate))]);
    let _nodes: Vec<_> = ABC.into_iter().map(|name| Node::start(world.options(name, local()))).collect();
    world
        .log
        .until("all take some", |entries| {
            let nodes: BTreeSet<_> = took(entries).map(|took| took.node).collect();
            nodes.len() == 3 && took(entries).count() > 300
        })
        .await;
    for Took { node, number, .. } in took(&world.log.entries()) {
        assert_eq!(ABC[usize::try_from(number / 100_000).unwrap()], node);
    }
    let owned = events(&world.log.entries()).any(|(_, event)| matches!(event, NodeEvent::Owner(_)));
    assert!(!owned, "a name that every node has is not claimed");
}

/// The counter on one node, two doublers and two sinks: each number is taken twice, wherever.
async fn events_go_through_a_chain_of_stages_across_nodes(world: World) {
    const LIMIT: u64 = 400;
    const TEXT: &str = r#"
        name = "numbers"
        [stages.counter]
        plugin = "native"
        scope = "global"
        [stages.double]
        plugin = "native"
        subscribe = [{ to = "counter", max_demand = 20 }]
        [stages.sink]
        plugin = "native"
        subscribe = [{ to = "double", max_demand = 10 }]
    "#;
    let gate = Gate::open();
    let double = Native::producer_consumer("double", |_| {
        Ok(|delivery: GuestDelivery| {
            let numbers = numbers_of(&delivery.events).into_iter().flat_map(|number| [number, number]);
            Ok(forebay::runtime::Output { events: of_numbers(numbers), rejections: Vec::new() })
        })
    });
    gate.set(false);
    let _open = OpenAtEnd(&gate);
    let chain = || {
        let plugins = [
            ("counter", counter(&world.log, LIMIT)),
            ("double", Arc::clone(&double)),
            ("sink", sink(&world.log, &gate)),
        ];
        pipeline(TEXT, plugins)
    };
    let _a = world.start("a", &[], chain());
    let (_, epoch) = world.log.owner(0).await;
    let _b = world.start("b", &["a"], chain());
    world.log.subscribed("b", epoch).await;
    gate.set(true);
    world.log.until("all are taken", |entries| took(entries).count() as u64 >= 2 * LIMIT).await;
    let mut counts = BTreeMap::<u64, usize>::new();
    for took in took(&world.log.entries()) {
        *counts.entry(took.number).or_default() += 1;
    }
    assert_eq!(counts, (0..LIMIT).map(|number| (number, 2)).collect());
    let nodes: BTreeSet<_> = took(&world.log.entries()).map(|took| took.node).collect();
    assert_eq!(nodes.len(), 2, "both nodes' chains worked");
}
