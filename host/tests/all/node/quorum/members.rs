//! Who is in a group, and who votes: joining, coming back with and without data, being removed.

use forebay::node::Expelled;

use super::*;

/// Nodes that join a group one after the other: how many vote after each.
async fn voters_as_nodes_join(voters_max: usize) -> Vec<usize> {
    let (mut world, gate) = (World::of_quorum(), Gate::open());
    world.quorum.as_mut().unwrap().voters = voters_max;
    let (mut nodes, mut counts) = (Vec::new(), Vec::new());
    for (index, name) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        let join: &[&str] = if index == 0 { &[] } else { &["a"] };
        nodes.push(world.start(name, join, world.numbers(&gate)));
        let odd = if index % 2 == 0 { index + 1 } else { index };
        let expected = odd.min(voters_max);
        for node in &nodes {
            let settled = |report: &QuorumReport| {
                // While they change, or while the ledger of this node lags, the list says nothing.
                let says = !report.changing && report.leaving.is_empty() && votes(report) > 0;
                assert!(!says || votes(report) % 2 == 1, "an even number votes: {report:?}");
                report.members.len() == index + 1 && votes(report) == expected
            };
            until_report(node, "an odd number votes", settled).await;
        }
        // Nor does it change after that.
        tokio::time::sleep(Duration::from_millis(300)).await;
        counts.push(votes(&report(&nodes[0])));
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn members_vote_in_odd_numbers_and_three_at_most() {
    assert_eq!(voters_as_nodes_join(3).await, [1, 1, 3, 3, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn five_vote_if_configured() {
    assert_eq!(voters_as_nodes_join(5).await, [1, 1, 3, 3, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_owner_that_restarts_with_its_data_keeps_its_number_and_nothing_else() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let mut nodes = world.start_three(&gate).await;
    let (_, old) = world.log.owner(0).await;
    let before = member(&report(&nodes["b"]), "a");
    let mark = world.log.mark();
    crash(&world, "a", nodes.remove("a").unwrap()).await;
    let again = world.start("a", &["b", "c"], world.numbers(&gate));
    let (_, new) = world.log.owner(mark).await;
    assert!(new > old, "{new} after {old}");
    world.log.taken_by(mark, &ABC, new).await;
    let report = until_report(&again, "it votes again", |report| votes(report) == 3 && report.holds).await;
    assert_eq!(member(&report, "a"), before);
    let ended = ends(&again);
    assert!(matches!(ended[..], [Some(End::Restarted | End::Lost(_)), None]), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_lost_its_data_is_another_member() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let mut nodes = world.start_three(&gate).await;
    let before = member(&report(&nodes["a"]), "b");
    crash(&world, "b", nodes.remove("b").unwrap()).await;
    world.lose_data("b");
    let again = world.start("b", &["a", "c"], world.numbers(&gate));
    for node in [&nodes["a"], &nodes["c"], &again] {
        // As long as they change who votes, they need the former b for it.
        let is_new = |report: &QuorumReport| votes(report) == 3 && !report.changing && member(report, "b") != before;
        until_report(node, "three vote, b with a new number", is_new).await;
    }
    // If the former number had a vote still, two of four could agree on nothing.
    let mark = world.log.mark();
    crash(&world, "a", nodes.remove("a").unwrap()).await;
    let (owner, epoch) = world.log.owner(mark).await;
    assert_ne!(owner, "a");
    world.log.taken_by(mark, &["b", "c"], epoch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_group_that_was_down_as_a_whole_goes_on_from_its_data() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let nodes = world.start_three(&gate).await;
    let (_, old) = world.log.owner(0).await;
    let before = report(&nodes["a"]);
    for (name, node) in nodes {
        crash(&world, name, node).await;
    }
    let mark = world.log.mark();
    let nodes = [("a", ["b", "c"]), ("b", ["a", "c"]), ("c", ["a", "b"])]
        .map(|(name, join)| world.start(name, &join, world.numbers(&gate)));
    let (_, new) = world.log.owner(mark).await;
    assert!(new > old, "{new} after {old}");
    world.log.taken_by(mark, &ABC, new).await;
    for node in &nodes {
        let after = until_report(node, "all vote", |report| votes(report) == 3).await;
        assert_eq!(after.group, before.group);
        for name in ABC {
            assert_eq!(member(&after, name), member(&before, name));
        }
    }
}

async fn assert_removed(mut node: Node) {
    let exit = tokio::time::timeout(PATIENCE, node.wait()).await.expect("a removed node ends");
    assert!(matches!(exit.expelled, Some(Expelled::Removed(_))), "{exit:?}");
}

/// It went on waiting for what its consumers had not taken, for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_removed_owner_whose_consumer_never_returns_ends_all_the_same() {
    let (world, gate, open) = (World::of_quorum(), Gate::open(), Gate::open());
    let _end = OpenAtEnd(&gate);
    let mut options = world.joining("a", &[], world.numbers(&gate));
    options.drain_timeout = Duration::from_millis(500);
    let a = Node::start(options);
    let (_, old) = world.log.owner(0).await;
    let b = world.start("b", &["a"], world.numbers(&open));
    world.log.taken_by(0, &["a", "b"], old).await;
    gate.set(false);
    gate.holds().await;
    let mark = world.log.mark();
    order(&b, remove("a")).await;
    assert_removed(a).await;
    world.log.owner(mark).await;
}

fn remove(node: &str) -> Command {
    Command::Remove { node: node.parse().unwrap() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_removed_node_ends_and_an_odd_number_goes_on() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let mut nodes = world.start_three(&gate).await;
    order(&nodes["b"], remove("c")).await;
    assert_removed(nodes.remove("c").unwrap()).await;
    for node in nodes.values() {
        until_report(node, "one of two votes", |report| report.members.len() == 2 && votes(report) == 1).await;
    }
    let (mark, (_, epoch)) = (world.log.mark(), world.log.owner(0).await);
    world.log.taken_by(mark, &["a", "b"], epoch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_was_removed_while_it_was_away_ends_when_it_comes_back() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let mut nodes = world.start_three(&gate).await;
    crash(&world, "c", nodes.remove("c").unwrap()).await;
    order(&nodes["a"], remove("c")).await;
    until_report(&nodes["b"], "it is none any more", |report| report.members.len() == 2 && votes(report) == 1).await;
    assert_removed(world.start("c", &["a", "b"], world.numbers(&gate))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leader_and_owner_that_is_removed_hands_over() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let mut nodes = world.start_three(&gate).await;
    let mark = world.log.mark();
    order(&nodes["b"], remove("a")).await;
    assert_removed(nodes.remove("a").unwrap()).await;
    let (owner, epoch) = world.log.owner(mark).await;
    assert_ne!(owner, "a");
    world.log.taken_by(mark, &["b", "c"], epoch).await;
    until_report(&nodes["b"], "one of two votes", |report| votes(report) == 1 && report.members.len() == 2).await;
}

/// It went as soon as it had written down who votes from then on, or after two seconds, whether or not the
/// other knew; who then waited for it for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_only_voter_that_is_removed_waits_for_one_to_take_over() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let mut a = world.start("a", &[], world.numbers(&gate));
    world.log.owner(0).await;
    let b = world.start("b", &["a"], world.numbers(&gate));
    until_report(&b, "both are members", |report| report.members.len() == 2 && report.holds).await;
    let mark = world.log.mark();
    world.network.cut(world.addr("a"), world.addr("b"));
    let lost = |by: &str, event: &NodeEvent| (by == "a" && matches!(event, NodeEvent::PeerDown { .. })).then_some(());
    world.log.event(mark, "a misses b", lost).await;
    order(&a, remove("a")).await;
    let early = tokio::time::timeout(Duration::from_secs(3), a.wait()).await;
    assert!(early.is_err(), "it left b without a vote: {early:?}");
    let mark = world.log.mark();
    world.network.heal(world.addr("a"), world.addr("b"));
    assert_removed(a).await;
    let (owner, _) = world.log.owner(mark).await;
    assert_eq!(owner, "b");
}

/// It took the group with it: its number was retired, and nobody was left who had a vote.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_only_voter_can_be_removed_and_the_other_node_goes_on() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let a = world.start("a", &[], world.numbers(&gate));
    let (_, old) = world.log.owner(0).await;
    let b = world.start("b", &["a"], world.numbers(&gate));
    until_report(&b, "both are members", |report| report.members.len() == 2 && report.holds).await;
    let mark = world.log.mark();
    order(&b, remove("a")).await;
    assert_removed(a).await;
    let (owner, new) = world.log.owner(mark).await;
    assert!(owner == "b" && new > old);
    world.log.taken_by(mark, &["b"], new).await;
    let report = report(&b);
    assert_eq!((votes(&report), report.members.len()), (1, 1), "{report:?}");
}
