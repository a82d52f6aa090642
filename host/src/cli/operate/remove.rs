//! `forebay node remove`: takes a node out of the group for good.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Client, LOOK_AGAIN, NodeChoice, Teller, drain::drain_node};
use crate::{
    cli::{Exit, Failure, OutputArgs},
    node::admin::wire::Request,
};

/// Take a node out of the group for good.
///
/// Drains it first, if it is there. Refused when the nodes that stay could not agree on anything
/// without it. The node's process ends with exit code 77, and so does it when it is started again;
/// with fresh data (without its `raft` directory) it joins as a new member.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The node to remove
    #[arg(value_name = "NODE")]
    removed: String,
    /// Do not drain it first: its stages end where they are
    #[arg(long)]
    force: bool,
    /// How long to wait for the draining, and then for the removal
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    node: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) fn remove(args: &Args) -> Result<Exit, Failure> {
    let (client, teller) = (args.node.client()?, Teller::new(args.output.output));
    let node = &args.removed;
    let order = |only_check| Request::Remove { node: node.clone(), only_check };
    client.ask(order(true))?;
    let status = client.status()?;
    let member = status.group.iter().flat_map(|group| &group.members).find(|member| member.node == *node);
    let is_there = member.is_some_and(|member| member.connected);
    if is_there && !args.force {
        drain_node(&client, teller, node, args.timeout)?;
    }
    let number = member.map(|member| member.member);
    client.ask(order(false))?;
    // The node that was asked ends if it is the one.
    if *node != status.node {
        await_removal(&client, node, number, args.timeout)?;
    }
    teller.tell("removed", &json!({"node": node, "member": number}), &format!("{node} is no member any more"));
    Ok(Exit::Done)
}

fn await_removal(client: &Client, node: &str, number: Option<u64>, within: Duration) -> Result<(), Failure> {
    let deadline = Instant::now() + within;
    loop {
        let now = client.status()?;
        let group = now.group.iter();
        let is_member = group.clone().flat_map(|group| &group.members).any(|member| Some(member.member) == number);
        let is_leaving = group.flat_map(|group| &group.leaving).any(|leaving| Some(*leaving) == number);
        if !is_member && !is_leaving {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let within = humantime::format_duration(within);
            let text = format!("{node} is removed, and still stands in the list of members after {within}");
            return Err(Failure::new(Exit::Unavailable, format!("{text}; `forebay status` shows who is connected")));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
