//! Nodes that agree by a majority: how a group comes about, who is in it, and who owns what through
//! crashes, cuts and orders.

mod founding;
mod members;
mod orders;
mod splits;

use forebay_proto::names::quorum::{Command, End};

use super::*;

/// Starts a node that founds a group with so many, itself included, and joins all others of a, b and c.
fn start_expecting(world: &World, node: &str, expect: u16, gate: &Gate) -> Node {
    let others: Vec<_> = ABC.into_iter().filter(|other| *other != node).collect();
    let mut options = world.joining(node, &others, world.numbers(gate));
    let AgreementOptions::Quorum(quorum) = &mut options.agreement else { panic!("not by quorum") };
    quorum.expect = expect;
    Node::start(options)
}

/// Ends a node at once, without a word, and waits until nothing of it is left.
async fn crash(world: &World, name: &str, node: Node) {
    let control = node.control();
    drop(node);
    let gone = async {
        while control.registry().is_some() || world.network.bind(world.addr(name), name.parse().unwrap()).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("what the node ran has ended");
}

/// Waits until a node waits, for something that is called so.
async fn waits_for(world: &World, mark: usize, node: &str, what: &str) {
    let told = format!("{node} waits for {what}");
    world
        .log
        .event(mark, &told, |by, event| match event {
            NodeEvent::Quorum { holds: false, why } if by == node && why.contains(what) => Some(()),
            _ => None,
        })
        .await;
}

async fn holds(world: &World, mark: usize, node: &str, holds: bool) {
    let is_it = |by: &str, event: &NodeEvent| {
        matches!(event, NodeEvent::Quorum { holds: now, .. } if by == node && *now == holds).then_some(())
    };
    world.log.event(mark, &format!("{node}'s tenure: {holds}"), is_it).await;
}

async fn order(node: &Node, command: Command) {
    let registry = node.control().registry().unwrap();
    registry.as_quorum().unwrap().order(command).await.unwrap();
}

fn member(report: &QuorumReport, node: &str) -> u64 {
    report.members.iter().find(|member| member.node.as_str() == node).map(|member| member.member).unwrap()
}

/// Why a node's claim of the counter ended, by the history.
fn ends(node: &Node) -> Vec<Option<End>> {
    let names = node.control().registry().unwrap().as_quorum().unwrap().names();
    names.iter().flat_map(|(_, record)| record.history().map(|term| term.end.clone().map(|(_, end)| end))).collect()
}
