//! `forebay rollback`, `undeploy`, `pause` and `resume`.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{ask, millis, something_else, state, told, watch};
use crate::{
    cli::{
        Exit, Failure, OutputArgs,
        operate::{Client, NodeChoice, Teller},
    },
    node::admin::wire::{AboutDeploy, DeployAsked},
};

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long stages may take to end in good order.
const END_WITHIN: Duration = Duration::from_secs(60);

/// Go back to a former revision of a pipeline, or stop one that is on its way.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct RollbackArgs {
    /// The pipeline's name
    #[arg(value_name = "PIPELINE")]
    pipeline: String,
    /// To this revision; without it what is on its way is taken back or, if nothing is, the last one before
    #[arg(long, value_name = "REVISION")]
    revision: Option<u64>,
    /// How long the first node is watched before the others follow
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    canary: Duration,
    #[command(flatten)]
    node: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) fn rollback(args: &RollbackArgs) -> Result<Exit, Failure> {
    let (client, teller) = (args.node.client()?, Teller::new(args.output.output));
    let pipeline = &args.pipeline;
    let order = DeployAsked::Rollback { pipeline: pipeline.clone(), to: args.revision, canary_ms: millis(args.canary) };
    let AboutDeploy::Started { revision } = ask(&client, order)? else { return Err(something_else()) };
    match revision {
        None => {
            return Ok(told(
                teller,
                "taken_back",
                pipeline,
                &format!("what was on its way of {pipeline} is taken back"),
            ));
        }
        Some(revision) => watch::watch(&client, teller, pipeline, revision)?,
    }
    Ok(Exit::Done)
}

/// Let all stages of a pipeline end in good order, on all nodes.
///
/// Checkpoints and events in inboxes stay, so that it goes on where it was when it is deployed again, unless --forget is
/// given.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct UndeployArgs {
    /// The pipeline's name
    #[arg(value_name = "PIPELINE")]
    pipeline: String,
    /// Remove checkpoints and events in inboxes, too: nothing of the pipeline is left but its history
    #[arg(long)]
    forget: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    node: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) fn undeploy(args: &UndeployArgs) -> Result<Exit, Failure> {
    let (client, teller) = (args.node.client()?, Teller::new(args.output.output));
    let pipeline = &args.pipeline;
    let found = state(&client, pipeline)?;
    let stages: Vec<_> = found.stages.keys().map(String::as_str).collect();
    if !stages.is_empty() && !teller.json {
        let also = if args.forget { ", and their checkpoints and waiting events go" } else { "" };
        super::super::super::output::print_line(&format!(
            "pipeline {pipeline}: {} would stop{also}",
            stages.join(", ")
        ));
    }
    if !args.yes && !super::agrees(teller)? {
        return Err(Failure::new(Exit::Usage, "nothing was changed; answer `y`, or give --yes"));
    }
    ask(&client, DeployAsked::Undeploy { pipeline: pipeline.clone() })?;
    await_end(&client, pipeline)?;
    if args.forget {
        ask(&client, DeployAsked::Forget { pipeline: pipeline.clone() })?;
    }
    Ok(told(teller, "undeployed", pipeline, &format!("pipeline {pipeline} runs nowhere any more")))
}

/// Waits until nobody owns a stage of the pipeline, and none runs on the node that is asked.
pub(super) fn await_end(client: &Client, pipeline: &str) -> Result<(), Failure> {
    let deadline = Instant::now() + END_WITHIN;
    let prefix = format!("{pipeline}/");
    loop {
        let status = client.status()?;
        let owned = status.names.iter().any(|name| name.name.starts_with(&prefix) && name.owner.is_some());
        let runs = status.stages.iter().any(|stage| stage.name.starts_with(&prefix));
        if !owned && !runs {
            return Ok(());
        }
        if Instant::now() > deadline {
            let text = format!("stages of {pipeline} still run after {} s", END_WITHIN.as_secs());
            return Err(Failure::new(Exit::Unavailable, format!("{text}; `forebay status` shows which")));
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// Let all stages of a pipeline end in good order until it is resumed, or start again where they were.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct PauseArgs {
    /// The pipeline's name
    #[arg(value_name = "PIPELINE")]
    pipeline: String,
    #[command(flatten)]
    node: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) fn pause(args: &PauseArgs, paused: bool) -> Result<Exit, Failure> {
    let (client, teller) = (args.node.client()?, Teller::new(args.output.output));
    let pipeline = &args.pipeline;
    ask(&client, DeployAsked::Pause { pipeline: pipeline.clone(), paused })?;
    let (what, text) = match paused {
        true => {
            await_end(&client, pipeline)?;
            ("paused", format!("pipeline {pipeline} stands still; `forebay resume {pipeline}` lets it go on"))
        }
        false => ("resumed", format!("pipeline {pipeline} goes on")),
    };
    teller.tell(what, &json!({ "pipeline": pipeline }), &text);
    Ok(Exit::Done)
}
