//! `forebay apply`: brings the cluster to what a folder of pipeline files says.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{How, ask, bring_in, orders, states};
use crate::{
    cli::{
        Exit, Failure, OutputArgs, load,
        operate::{NodeChoice, Teller},
    },
    node::admin::wire::DeployAsked,
};

/// Bring the cluster to what a folder of pipeline files says.
///
/// Each file `*.toml` in it is a pipeline. What is deployed already and does not differ is left alone, so it can be
/// given again and again. Pipelines are brought in one after the other, in the order of their files' names; one that is
/// rolled back does not keep the others from being tried.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The folder
    #[arg(value_name = "DIRECTORY")]
    folder: PathBuf,
    #[command(flatten)]
    how: How,
    /// Undeploy pipelines that have no file in the folder
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    node: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) fn apply(args: &Args) -> Result<Exit, Failure> {
    let files = files(&args.folder)?;
    // A mistake in one of them is found before any is deployed.
    let mut names = Vec::new();
    for file in &files {
        let (pipeline, _) = load::read_bytes(file)?;
        let name = pipeline.name().to_string();
        if let Some(at) = names.iter().position(|known| *known == name) {
            let (one, other): (&PathBuf, _) = (&files[at], file);
            let text = format!("{} and {} are both of pipeline `{name}`", one.display(), other.display());
            return Err(Failure::new(Exit::Data, text));
        }
        names.push(name);
    }
    let (client, teller) = (args.node.client()?, Teller::new(args.output.output));
    let (mut changed, mut failed) = (0, Vec::new());
    for (file, name) in files.iter().zip(&names) {
        match bring_in(&client, teller, file, &args.how) {
            Ok(did) => changed += u32::from(did),
            Err(failure) => failed.push((name, failure)),
        }
    }
    if args.prune && failed.is_empty() {
        for deployed in states(&client)? {
            let runs = !deployed.stages.is_empty() || deployed.rollout.is_some();
            if runs && !names.contains(&deployed.pipeline) {
                changed += 1;
                prune(&client, teller, &deployed.pipeline, args)?;
            }
        }
    }
    let fields = json!({ "pipelines": names.len(), "changed": changed, "failed": failed.len() });
    let text = format!("{} pipelines, {changed} changed, {} failed", names.len(), failed.len());
    teller.tell("applied", &fields, &text);
    match failed.into_iter().next() {
        Some((name, failure)) => Err(Failure::new(failure.exit, format!("pipeline {name}: {failure}"))),
        None => Ok(Exit::Done),
    }
}

fn prune(client: &super::Client, teller: Teller, pipeline: &str, args: &Args) -> Result<(), Failure> {
    if args.how.dry_run || !args.how.yes {
        let text = format!("pipeline {pipeline}: has no file and would be undeployed; --yes does it");
        teller.tell("would_undeploy", &json!({ "pipeline": pipeline }), &text);
        return Ok(());
    }
    ask(client, DeployAsked::Undeploy { pipeline: pipeline.to_owned() })?;
    orders::await_end(client, pipeline)?;
    teller.tell(
        "undeployed",
        &json!({ "pipeline": pipeline }),
        &format!("pipeline {pipeline} has no file: undeployed"),
    );
    Ok(())
}

/// Pipeline files of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error| Failure::reading(folder, error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(Failure::new(Exit::NoInput, format!("{} has no pipeline file, *.toml", folder.display()))),
        false => Ok(files),
    }
}
