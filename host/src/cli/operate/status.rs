//! `forebay status`: a node, its group, and whose loss stops what.

use super::{Client, NodeChoice, stages::ordered, text};
use crate::{
    cli::{Exit, Failure, OutputArgs, OutputChoice, output::print_line},
    node::admin::{
        Holds, Mode, OrderedBy, Setting,
        wire::{Group, LettersKept, Owned, Stage, Status},
    },
};

/// Show a running node, its group, and whose loss stops what.
///
/// Asks the node over the socket in its data directory. What it tells of others is what it knows of
/// them: during a split each side tells another story.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    node: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) fn status(args: &Args) -> Result<Exit, Failure> {
    let client: Client = args.node.client()?;
    let status = client.status()?;
    match args.output.output {
        OutputChoice::Json => print_line(&serde_json::to_string(&status).expect("it has string keys")),
        OutputChoice::Text => print_line(describe(&status).trim_end()),
    }
    Ok(Exit::Done)
}

fn describe(status: &Status) -> String {
    let up = text::duration(std::time::Duration::from_millis(status.up_ms));
    let mut out = format!("node {} on {}, up {up}, forebay {}\n", status.node, status.address, status.program);
    match &status.group {
        Some(group) => out += &describe_group(group),
        None => out += &describe_islands(status),
    }
    if !status.names.is_empty() {
        let rows: Vec<_> = status.names.iter().map(owner_row).collect();
        out += &format!("\nglobal stages\n{}", text::table(&["name", "owner", "epoch", "since"], &rows));
    }
    if !status.stages.is_empty() {
        let scope = |global: bool| if global { "global" } else { "node" };
        let row = |stage: &Stage| {
            let mut row = vec![stage.name.clone(), scope(stage.global).to_owned(), stage.state.clone()];
            row.extend(in_hand(stage));
            row
        };
        let rows: Vec<_> = status.stages.iter().map(row).collect();
        let heads = ["name", "scope", "state", "buffered", "unacked", "queued"];
        out += &format!("\nstages of this node\n{}", text::table(&heads, &rows));
        out += &describe_orders(&status.stages);
    }
    out += &describe_letters(&status.dead_letters);
    out + &describe_counts(status)
}

fn describe_group(group: &Group) -> String {
    let mut out = match &group.id {
        Some(id) => format!("agreement: quorum, group {id}\n"),
        None => "agreement: quorum, in no group\n".to_owned(),
    };
    if let Some(why) = &group.waits_for {
        out += &format!("waits for {why}\n");
    }
    let leader = group.leader.as_deref().unwrap_or("unknown");
    out += &format!(
        "leader: {leader}, term {}, as of entry {}, generation {}\n",
        group.term, group.applied, group.generation
    );
    let (since, ago) = (text::moment(group.quorum_since_ms), text::since(group.quorum_since_ms));
    out += &match group.quorum {
        true => format!("quorum: held since {since} ({ago})\n"),
        false => format!("quorum: no quorum since {since} ({ago}); global stages of this node wait\n"),
    };
    out += &format!("{}\n", robustness(group));
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let row = |member: &crate::node::admin::wire::Member| {
        vec![
            member.node.clone(),
            member.member.to_string(),
            if member.votes { "voter" } else { "learner" }.to_owned(),
            yes(member.connected),
            yes(member.draining),
            member.address.clone().unwrap_or_else(|| "unknown".to_owned()),
        ]
    };
    let rows: Vec<_> = group.members.iter().map(row).collect();
    let heads = ["node", "number", "role", "connected", "draining", "address"];
    out += &format!("\nmembers\n{}", text::table(&heads, &rows));
    if !group.leaving.is_empty() {
        let leaving: Vec<_> = group.leaving.iter().map(u64::to_string).collect();
        out += &format!("  being let go: number {}\n", text::list(&leaving));
    }
    out
}

/// Whose loss stops new claims, in words.
pub(super) fn robustness(group: &Group) -> String {
    if group.id.is_none() {
        return "nothing is agreed on before this node belongs to a group".to_owned();
    }
    if group.members.is_empty() {
        return "the members of the group are not known here yet".to_owned();
    }
    if !group.has_majority {
        return "too few voters are connected: no new claims until more of them are".to_owned();
    }
    if !group.quorum {
        return "a majority of the voters is connected, but does not agree just now: no new claims until it does"
            .to_owned();
    }
    match &group.critical[..] {
        [] => "any one more node may fail: the others go on".to_owned(),
        [one] => format!("failure of {one} stops new claims"),
        many => format!("failure of any one of {} stops new claims", text::list(many)),
    }
}

fn describe_islands(status: &Status) -> String {
    let mut out = "agreement: islands: each group of connected nodes has its own owners\n".to_owned();
    if status.peers.is_empty() {
        return out + "connected to nobody\n";
    }
    let rows: Vec<_> = status.peers.iter().map(|peer| vec![peer.node.clone(), peer.address.clone()]).collect();
    out += &format!("\nconnected to\n{}", text::table(&["node", "address"], &rows));
    out
}

pub(super) fn owner_row(name: &Owned) -> Vec<String> {
    let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let since = name.since_ms.map_or_else(|| "-".to_owned(), text::moment);
    vec![name.name.clone(), or_none(&name.owner), or_none(&name.epoch), since]
}

/// Events that wait to be asked for, those sent and not acknowledged, and messages not begun.
fn in_hand(stage: &Stage) -> [String; 3] {
    let [buffered, unacked, queued] = match stage.in_hand {
        Some(has) => [has.buffered, has.unacked, has.queued].map(|count| count.to_string()),
        None => ["-", "-", "-"].map(str::to_owned),
    };
    [buffered, unacked, queued]
}

/// What is not as the pipeline files say, and stages that hold demand back, which is easily forgotten.
fn describe_orders(stages: &[Stage]) -> String {
    let mut rows = Vec::new();
    for stage in stages {
        let mut add = |what: String, by: Option<&OrderedBy>| {
            let by = by.map_or_else(|| "as its file says".to_owned(), ordered);
            rows.push(vec![stage.name.clone(), what, by]);
        };
        let Holds { demand, suspended, rate_limit, instances } = &stage.holds;
        match demand {
            Some(Setting { now: Mode::Accumulate, ordered, .. }) => {
                add("demand accumulate".to_owned(), ordered.as_ref());
            }
            Some(Setting { now: Mode::Forward, ordered: Some(by), .. }) => add("demand forward".to_owned(), Some(by)),
            _ => {}
        }
        if let Some(by) = suspended {
            add("suspended".to_owned(), Some(by));
        }
        if let Some(by) = &instances.ordered {
            add(format!("instances {}", instances.now), Some(by));
        }
        if let Some(by) = &rate_limit.ordered {
            add(format!("rate limit {}", rate_limit.now), Some(by));
        }
    }
    match rows.is_empty() {
        true => String::new(),
        false => format!("\nheld back or changed\n{}", text::table(&["stage", "what", "since"], &rows)),
    }
}

fn describe_letters(kept: &LettersKept) -> String {
    let LettersKept { letters, bytes, letters_max, bytes_max, full } = *kept;
    if letters == 0 && !full {
        return "\ndead letters: none\n".to_owned();
    }
    let kept = format!("{letters} of {letters_max} letters, {bytes} of {bytes_max} bytes");
    match full {
        true => format!(
            "\ndead letters: full, {kept}\n  events that fail stay unacknowledged, and their stages wait; resend or drop some with `forebay dlq`\n"
        ),
        false => format!("\ndead letters: {kept}; `forebay dlq list` shows them\n"),
    }
}

fn describe_counts(status: &Status) -> String {
    let counted: Vec<_> = status.counts.iter().filter(|(_, count)| **count > 0).collect();
    if counted.is_empty() {
        return "\nnothing was refused or lost since it started\n".to_owned();
    }
    let rows: Vec<_> = counted.iter().map(|(kind, count)| vec![kind.replace('_', " "), count.to_string()]).collect();
    format!("\nrefused or lost since it started\n{}", text::table(&["kind", "count"], &rows))
}
