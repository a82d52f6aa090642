//! `forebay drain`: has a node give all its global stages to others.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{Client, LOOK_AGAIN, NodeChoice, Teller, text};
use crate::{
    cli::{Exit, Failure, OutputArgs},
    node::admin::wire::{Group, Member, Name, Request, Status},
};

/// Have a node give all its global stages to others, one after the other.
///
/// Any node of the group can be asked, for any node. Each stage hands out what it has, and its name is
/// given up; the node then owns nothing until `--cancel`, also after it was started again. Ends once
/// all is moved. Before a node is stopped for maintenance this is not needed: a node that ends in
/// good order does the same by itself.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The node to drain
    #[arg(value_name = "NODE")]
    drained: String,
    /// Take the order back: the node may own stages again
    #[arg(long)]
    cancel: bool,
    /// How long to wait until all is moved; the node goes on draining after that
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    node: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) fn drain(args: &Args) -> Result<Exit, Failure> {
    let (client, teller) = (args.node.client()?, Teller::new(args.output.output));
    let node = &args.drained;
    if args.cancel {
        client.ask(Request::Drain { node: node.clone(), drain: false })?;
        teller.tell("cancelled", &json!({"node": node}), &format!("{node} may own global stages again"));
        return Ok(Exit::Done);
    }
    drain_node(&client, teller, node, args.timeout)?;
    Ok(Exit::Done)
}

/// Orders it, and waits until the node owns nothing and all it owned has another owner.
pub(super) fn drain_node(client: &Client, teller: Teller, node: &str, within: Duration) -> Result<(), Failure> {
    let status = client.status()?;
    if let Some(group) = &status.group {
        check_takers(&status, group, node)?;
    }
    let owned: BTreeSet<String> = of(&client.owners()?, node);
    client.ask(Request::Drain { node: node.to_owned(), drain: true })?;
    let text = match owned.len() {
        0 => format!("{node} owns nothing, and will not"),
        count => {
            format!("{node} is draining; it owns {count}: {}", text::list(&owned.iter().cloned().collect::<Vec<_>>()))
        }
    };
    teller.tell("draining", &json!({"node": node, "owns": owned}), &text);
    let deadline = Instant::now() + within;
    let mut waiting = owned;
    loop {
        let names = client.owners()?;
        // What it claimed just before the order came through is to move, too.
        waiting.extend(of(&names, node));
        let moved = |name: &&Name| {
            let owner = name.now.owner.as_deref();
            waiting.contains(&name.now.name) && owner.is_some_and(|owner| owner != node)
        };
        let moved: Vec<_> = names.iter().filter(moved).collect();
        for name in moved {
            waiting.remove(&name.now.name);
            let (name, owner, epoch) = (&name.now.name, &name.now.owner, &name.now.epoch);
            let text = format!(
                "{name} moved to {} (epoch {})",
                owner.as_deref().unwrap_or("-"),
                epoch.as_deref().unwrap_or("-")
            );
            teller.tell("moved", &json!({"name": name, "owner": owner, "epoch": epoch}), &text);
        }
        if waiting.is_empty() {
            teller.tell("drained", &json!({"node": node}), &format!("{node} owns nothing"));
            return Ok(());
        }
        if Instant::now() >= deadline {
            let left = text::list(&waiting.into_iter().collect::<Vec<_>>());
            let text = format!("after {} this is not moved yet: {left}", humantime::format_duration(within));
            let remedy = format!("{node} goes on draining; `forebay drain {node} --cancel` takes the order back");
            return Err(Failure::new(Exit::Unavailable, format!("{text}; {remedy}")));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn of(names: &[Name], node: &str) -> BTreeSet<String> {
    let owned = names.iter().filter(|name| name.now.owner.as_deref() == Some(node));
    owned.map(|name| name.now.name.clone()).collect()
}

/// Somebody else must be able to run what is to be moved. Labels are not looked at here.
fn check_takers(status: &Status, group: &Group, node: &str) -> Result<(), Failure> {
    let could = |member: &Member, pipeline: &str| {
        let is_there = member.connected && !member.draining && member.node != node;
        is_there && member.pipelines.iter().any(|name| name == pipeline)
    };
    for name in status.names.iter().filter(|name| name.owner.as_deref() == Some(node)) {
        let pipeline = name.name.split('/').next().unwrap_or_default();
        if !group.members.iter().any(|member| could(member, pipeline)) {
            let text = format!("no other node could take `{}`", name.name);
            let why = format!("none that is connected and not draining runs the pipeline `{pipeline}`");
            return Err(Failure::new(Exit::Unavailable, format!("{text}: {why}; start one, or stop {node} instead")));
        }
    }
    Ok(())
}
