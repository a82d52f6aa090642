//! Commands for operators of running nodes: each asks a node, over the socket in its data directory or the network.

mod call;
mod choice;
mod client;
mod deploy;
mod dlq;
mod drain;
mod owners;
mod recover;
mod remote;
mod remove;
mod stages;
mod status;
mod tap;
mod text;

use std::{collections::BTreeSet, time::Duration};

use super::{Exit, Failure, OutputChoice};
use crate::node::admin::wire::{DeployAsked, Request};

pub(super) use self::client::Client;
pub(super) use self::text::{harmless, harmless_json};
pub(super) use self::{
    call::{Args as CallArgs, call},
    choice::{NodeChoice, Place},
    deploy::{
        ApplyArgs, Args as DeployArgs, DiffArgs, HistoryArgs, PauseArgs, PluginsArgs, RollbackArgs, UndeployArgs,
        apply, deploy, diff, history, pause, plugins, rollback, undeploy,
    },
    dlq::{Args as DlqArgs, dlq},
    drain::{Args as DrainArgs, drain},
    owners::{Args as OwnersArgs, owners},
    recover::{Args as RecoverArgs, recover},
    remote::{NoAnswer, Remote},
    remove::{Args as RemoveArgs, remove},
    stages::{DemandArgs, RateArgs, ResizeArgs, SuspendArgs, UnsuspendArgs, demand, rate, resize, suspend, unsuspend},
    status::{Args as StatusArgs, status},
    tap::{Args as TapArgs, RecordArgs, record, tap},
};

/// How long a node may take to answer; it gives up on its group after 3 s.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long a node may take that loads plugins first: compilers take up to a minute for the longest.
const LOADED_WITHIN: Duration = Duration::from_secs(300);

/// How often it is looked whether an order is carried out.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What is to be deployed is fetched and compiled before the answer.
fn answer_within(request: &Request) -> Duration {
    match request {
        Request::Deploy(DeployAsked::Plan(_) | DeployAsked::Start { .. } | DeployAsked::Rollback { .. }) => {
            LOADED_WITHIN
        }
        Request::Call(call) => Duration::from_millis(call.within_ms).saturating_add(ANSWER_WITHIN),
        _ => ANSWER_WITHIN,
    }
}

/// The node that is asked, and whomever it knows: members of its group, and who is connected.
fn all_nodes(client: &Client) -> Result<Vec<String>, Failure> {
    let status = client.status()?;
    let members = status.group.into_iter().flat_map(|group| group.members).map(|member| member.node);
    let mut others: BTreeSet<_> = status.peers.into_iter().map(|peer| peer.node).chain(members).collect();
    others.remove(&status.node);
    Ok([status.node].into_iter().chain(others).collect())
}

fn something_else() -> Failure {
    Failure::new(Exit::Software, "the node answered something else than was asked")
}

/// Prints what happens while an order is carried out.
#[derive(Clone, Copy)]
struct Teller {
    json: bool,
}

impl Teller {
    fn new(output: OutputChoice) -> Self {
        Self { json: matches!(output, OutputChoice::Json) }
    }

    /// One step, as text or as an object with `what` and these fields.
    fn tell(self, what: &str, fields: &serde_json::Value, text: &str) {
        match self.json {
            true => super::output::print_line(&super::output::object(&[("what", what)], fields)),
            false => super::output::print_line(text),
        }
    }
}
