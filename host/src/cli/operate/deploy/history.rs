//! `forebay history`, `diff` and `plugins`.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::json;
use similar::TextDiff;

use super::{ask, plan::short, something_else, state, states};
use crate::{
    cli::{
        Exit, Failure, OutputArgs, load,
        operate::{Client, NodeChoice, Teller, harmless, text},
        output,
        registry::size,
    },
    node::admin::wire::{AboutDeploy, DeployAsked, Deployment, Revision},
};

/// Show what was deployed of a pipeline, and what became of it; without a name, what is deployed now.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct HistoryArgs {
    /// The pipeline's name
    #[arg(value_name = "PIPELINE")]
    pipeline: Option<String>,
    #[command(flatten)]
    node: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) fn history(args: &HistoryArgs) -> Result<Exit, Failure> {
    let (client, teller) = (args.node.client()?, Teller::new(args.output.output));
    let found = match &args.pipeline {
        Some(pipeline) => vec![state(&client, pipeline)?],
        None => states(&client)?,
    };
    if teller.json {
        found.iter().for_each(|found| output::print_line(&json!(found).to_string()));
        return Ok(Exit::Done);
    }
    let told = match &*found {
        [] => "no pipeline is deployed".to_owned(),
        [one] if args.pipeline.is_some() => revisions(one),
        all => overview(all),
    };
    output::print_line(told.trim_end());
    Ok(Exit::Done)
}

fn overview(all: &[Deployment]) -> String {
    let row = |found: &Deployment| {
        let how = match &found.rollout {
            Some(rollout) => format!("revision {} is being rolled out", rollout.revision),
            None if found.paused => "paused".to_owned(),
            None if found.stages.is_empty() => "undeployed".to_owned(),
            None => "runs".to_owned(),
        };
        let current = found.current.map_or("-".to_owned(), |current| current.to_string());
        let stages: Vec<_> = found.stages.keys().map(String::as_str).collect();
        vec![found.pipeline.clone(), current, how, stages.join(", ")]
    };
    text::table(&["pipeline", "revision", "how it stands", "stages"], &all.iter().map(row).collect::<Vec<_>>())
}

fn revisions(found: &Deployment) -> String {
    let mut before: Option<&Revision> = None;
    let mut rows = Vec::new();
    for revision in &found.revisions {
        let mark = if found.current == Some(revision.number) { "*" } else { "" };
        let standing = match &revision.fault {
            Some(why) => format!("{}: {}", revision.standing, harmless(why)),
            None => revision.standing.clone(),
        };
        let number = format!("{}{mark}", revision.number);
        let changes = changes(before, revision);
        rows.push(vec![
            number,
            text::moment(revision.at_ms),
            revision.by.clone(),
            harmless(&revision.why),
            changes,
            standing,
        ]);
        // What was taken back is not what the next was compared with.
        if revision.fault.is_none() {
            before = Some(revision);
        }
    }
    text::table(&["revision", "deployed", "by", "why", "code", "what became of it"], &rows)
}

/// Which stages have other code than in the revision before.
fn changes(before: Option<&Revision>, revision: &Revision) -> String {
    let code = |stage: &String| before.and_then(|before| before.plugins.get(stage));
    let changed: Vec<_> = revision.plugins.iter().filter(|(stage, plugin)| code(stage) != Some(*plugin)).collect();
    match &*changed {
        [] => "the same".to_owned(),
        [(stage, plugin)] => format!("{stage} {}", short(plugin)),
        many => many.iter().map(|(stage, _)| stage.as_str()).collect::<Vec<_>>().join(", "),
    }
}

/// Show how two versions of a pipeline differ: two revisions, or the one that runs and a file.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct DiffArgs {
    /// The pipeline's name
    #[arg(value_name = "PIPELINE")]
    pipeline: String,
    /// The older revision; without it the one in force
    #[arg(value_name = "FROM")]
    from: Option<u64>,
    /// The newer revision; without it the latest
    #[arg(value_name = "TO", conflicts_with = "file")]
    to: Option<u64>,
    /// A pipeline file instead of a newer revision
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    node: NodeChoice,
}

pub(in crate::cli) fn diff(args: &DiffArgs) -> Result<Exit, Failure> {
    let client = args.node.client()?;
    let found = state(&client, &args.pipeline)?;
    let number = |number: u64| {
        let known = found.revisions.iter().find(|known| known.number == number);
        known.ok_or_else(|| {
            let all: Vec<_> = found.revisions.iter().map(|known| known.number.to_string()).collect();
            let text =
                format!("revision {number} of {} is not remembered; there are: {}", args.pipeline, all.join(", "));
            Failure::new(Exit::Unavailable, text)
        })
    };
    let latest = found.revisions.last().map_or(0, |revision| revision.number);
    let before = number(args.from.or(found.current).unwrap_or(latest))?;
    let old = Side::of_revision(&client, before)?;
    let new = match &args.file {
        Some(file) => Side { name: file.display().to_string(), text: text_of(load::read_bytes(file)?.1), code: None },
        None => Side::of_revision(&client, number(args.to.unwrap_or(latest))?)?,
    };
    let lines = TextDiff::from_lines(&*old.text, &*new.text);
    let told = lines.unified_diff().context_radius(3).header(&old.name, &new.name).to_string();
    told.lines().for_each(|line| output::print_line(&harmless(line)));
    for line in code(&old, &new) {
        output::print_line(&line);
    }
    Ok(Exit::Done)
}

/// One of two versions.
struct Side {
    name: String,
    text: String,
    /// By stage; none where only the file is known.
    code: Option<std::collections::BTreeMap<String, String>>,
}

impl Side {
    fn of_revision(client: &Client, revision: &Revision) -> Result<Self, Failure> {
        let text = text_of(download(client, &revision.text)?);
        Ok(Self { name: format!("revision {}", revision.number), text, code: Some(revision.plugins.clone()) })
    }
}

fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn code(old: &Side, new: &Side) -> Vec<String> {
    let (Some(before), Some(now)) = (&old.code, &new.code) else { return Vec::new() };
    let stages: std::collections::BTreeSet<_> = before.keys().chain(now.keys()).collect();
    let line = |stage: &&String| {
        let (was, is) = (before.get(*stage), now.get(*stage));
        let told = |code: Option<&String>| code.map_or("nothing".to_owned(), |code| short(code));
        (was != is).then(|| format!("code of {stage}: {} -> {}", told(was), told(is)))
    };
    stages.iter().filter_map(line).collect()
}

fn download(client: &Client, digest: &str) -> Result<Vec<u8>, Failure> {
    let mut whole = Vec::new();
    loop {
        let asked = DeployAsked::Download { digest: digest.to_owned(), from: whole.len() as u64 };
        let AboutDeploy::Part { bytes, base64 } = ask(client, asked)? else { return Err(something_else()) };
        let part = BASE64.decode(base64).map_err(|_| something_else())?;
        whole.extend_from_slice(&part);
        if part.is_empty() || whole.len() as u64 >= bytes {
            return Ok(whole);
        }
    }
}

/// List the plugins that pipelines can use by name: those that were put into a node's `plugins` folder.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct PluginsArgs {
    #[command(flatten)]
    node: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) fn plugins(args: &PluginsArgs) -> Result<Exit, Failure> {
    let (client, teller) = (args.node.client()?, Teller::new(args.output.output));
    let AboutDeploy::Plugins(plugins) = ask(&client, DeployAsked::Plugins)? else { return Err(something_else()) };
    if teller.json {
        plugins.iter().for_each(|plugin| output::print_line(&json!(plugin).to_string()));
        return Ok(Exit::Done);
    }
    let row = |plugin: &crate::node::admin::wire::Offered| {
        let signed = if plugin.signed { "yes" } else { "no" };
        let found = text::moment(plugin.at_ms);
        vec![
            plugin.name.clone(),
            short(&plugin.digest),
            size(plugin.bytes),
            signed.to_owned(),
            plugin.node.clone(),
            found,
        ]
    };
    let rows: Vec<_> = plugins.iter().map(row).collect();
    let told = match rows.is_empty() {
        true => "no plugin has a name here; put NAME.wasm into the `plugins` folder of a node".to_owned(),
        false => text::table(&["name", "code", "size", "signed", "found on", "found"], &rows),
    };
    output::print_line(told.trim_end());
    Ok(Exit::Done)
}
