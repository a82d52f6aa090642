//! `forebay deploy` and its like: what the cluster is to run, and how that changes.
//!
//! - `read.rs`: a pipeline file and its plugins, from disk.
//! - `upload.rs`: blobs that the node does not have yet.
//! - `plan.rs`: what would happen, for people.
//! - `watch.rs`: a roll-out, to its end.
//! - `apply.rs`, `history.rs`, `orders.rs`: the other commands.

mod apply;
mod history;
mod orders;
mod plan;
mod read;
mod upload;
mod watch;

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::PathBuf,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use serde_json::json;

pub(in crate::cli) use self::{
    apply::{Args as ApplyArgs, apply},
    history::{DiffArgs, HistoryArgs, PluginsArgs, diff, history, plugins},
    orders::{PauseArgs, RollbackArgs, UndeployArgs, pause, rollback, undeploy},
};
use super::{Client, NodeChoice, Teller, something_else};
use crate::{
    cli::{Exit, Failure, OutputArgs},
    node::admin::wire::{AboutDeploy, Answer, DeployAsked, Deploying, Deployment, Plan, Request},
};

/// Deploy a pipeline to the cluster, or a new version of it.
///
/// Shows what would start, be replaced and stop, and what each new version may do that the old one could not, and asks.
/// Then the pipeline file and its plugins go to the node that is asked, and from there to all others; stages are
/// replaced one after the other, each on one node first. A version that traps, rejects more events than the one before,
/// or is slower beyond measure is rolled back by itself.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The pipeline file
    #[arg(value_name = "PIPELINE")]
    file: PathBuf,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    node: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

/// How a version is brought in.
#[derive(Clone, Debug, clap::Args)]
struct How {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Let versions have what they ask for beyond those before
    #[arg(long)]
    approve: bool,
    /// How long the first node with a new version of a stage is watched before the others follow; at most 1h
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    canary: Duration,
    /// Do not wait until it is rolled out; `forebay history` tells what became of it
    #[arg(long)]
    detach: bool,
    /// A word on why, for the history
    #[arg(long, value_name = "TEXT", default_value = "deployed")]
    why: String,
    /// Only show what would happen
    #[arg(long)]
    dry_run: bool,
}

pub(in crate::cli) fn deploy(args: &Args) -> Result<Exit, Failure> {
    let (client, teller) = (args.node.client()?, Teller::new(args.output.output));
    bring_in(&client, teller, &args.file, &args.how)?;
    Ok(Exit::Done)
}

/// Brings a version in, to its end unless it is told not to wait. Whether there was anything to do.
fn bring_in(client: &Client, teller: Teller, file: &std::path::Path, how: &How) -> Result<bool, Failure> {
    let meant = read::read(file)?;
    upload::upload(client, &meant)?;
    let deploying = Deploying {
        text: meant.text.to_string(),
        plugins: meant.plugins.clone(),
        canary_ms: millis(how.canary),
        why: how.why.clone(),
    };
    let planned = patiently("the node compiles plugins that it does not know yet ...", || {
        ask(client, DeployAsked::Plan(deploying.clone()))
    });
    let plan = match planned? {
        AboutDeploy::Plan(plan) => plan,
        _ => return Err(something_else()),
    };
    plan::tell(teller, &plan);
    if plan.stages.is_empty() || how.dry_run {
        return Ok(false);
    }
    confirm(&plan, how, teller)?;
    let start = DeployAsked::Start { deploying, after: plan.after, approve: how.approve };
    let AboutDeploy::Started { revision: Some(revision) } = ask(client, start)? else { return Err(something_else()) };
    if !how.detach {
        watch::watch(client, teller, &plan.pipeline, revision)?;
    }
    Ok(true)
}

/// Tells people what they wait for, if they have to.
fn patiently<T>(what: &str, work: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        let watch = move || {
            if is_done.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{what}");
            }
        };
        // Without a thread for it nothing is told.
        let _ = thread::Builder::new().spawn_scoped(scope, watch);
        let outcome = work();
        drop(done);
        outcome
    })
}

fn confirm(plan: &Plan, how: &How, teller: Teller) -> Result<(), Failure> {
    if plan.asks_for_more() && !how.approve {
        let text = "a new version may do more than the one before (see above), so nothing was deployed";
        return Err(Failure::new(Exit::Permission, format!("{text}; if that is meant, add --approve")));
    }
    if how.yes || agrees(teller)? {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "nothing was deployed; answer `y`, or give --yes"))
}

/// Whether a person says yes.
fn agrees(teller: Teller) -> Result<bool, Failure> {
    if teller.json || !io::stdin().is_terminal() {
        return Ok(false);
    }
    let failed = |error| Failure::new(Exit::Io, "cannot ask on this terminal").because(error);
    write!(io::stderr().lock(), "go on? [y/N] ").map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn ask(client: &Client, asked: DeployAsked) -> Result<AboutDeploy, Failure> {
    match client.ask(Request::Deploy(asked))? {
        Answer::Deploy(about) => Ok(about),
        _ => Err(something_else()),
    }
}

/// What is to run of one pipeline.
fn state(client: &Client, pipeline: &str) -> Result<Deployment, Failure> {
    match ask(client, DeployAsked::State { pipeline: Some(pipeline.to_owned()) })? {
        AboutDeploy::State(mut all) => all.pop().ok_or_else(something_else),
        _ => Err(something_else()),
    }
}

/// What is to run of all of them.
fn states(client: &Client) -> Result<Vec<Deployment>, Failure> {
    match ask(client, DeployAsked::State { pipeline: None })? {
        AboutDeploy::State(all) => Ok(all),
        _ => Err(something_else()),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// An order about a pipeline was carried out.
fn told(teller: Teller, what: &str, pipeline: &str, text: &str) -> Exit {
    teller.tell(what, &json!({ "pipeline": pipeline }), text);
    Exit::Done
}
