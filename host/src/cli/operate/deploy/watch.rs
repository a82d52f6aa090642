//! Follows a roll-out to its end.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{Client, Teller, state};
use crate::{
    cli::{Exit, Failure, operate::harmless, registry::Progress},
    node::admin::wire::{Deployment, Revision, Rollout},
};

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long no answer is borne: the node that is asked may be one of those that are restarted meanwhile.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// # Errors
/// If it was rolled back, with the reason.
pub(super) fn watch(client: &Client, teller: Teller, pipeline: &str, revision: u64) -> Result<(), Failure> {
    let began = Instant::now();
    let mut compiling = Compiling::default();
    let (mut told, mut heard, mut progress) = (String::new(), Instant::now(), Progress::new("fetched"));
    loop {
        let found = match state(client, pipeline) {
            Ok(found) => found,
            Err(failure) if heard.elapsed() > SILENCE_MAX => return Err(failure),
            Err(_) => {
                thread::sleep(LOOK_AGAIN);
                continue;
            }
        };
        heard = Instant::now();
        if let Some(rollout) = found.rollout.as_ref().filter(|rollout| rollout.revision == revision) {
            let step = text(rollout);
            if step != told {
                teller.tell("step", &json!(rollout), &step);
                told = step;
            }
            let fetched = rollout.nodes.values().filter_map(|node| node.fetched);
            let (held, all) = fetched.fold((0, 0), |(held, all), [of_it, of]| (held + of_it, all + of));
            if held < all {
                progress.tell(held, all);
            }
            compiling.look(teller, rollout);
        } else if let Some(ended) = ended(&found, revision) {
            progress.end();
            return end(teller, pipeline, ended, began.elapsed());
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// Nodes that compile take a moment or many seconds: only the latter are told of.
#[derive(Default)]
struct Compiling {
    since: Option<Instant>,
    told: Vec<String>,
}

const COMPILES_LONG: Duration = Duration::from_secs(1);

impl Compiling {
    fn look(&mut self, teller: Teller, rollout: &Rollout) {
        let compile = rollout.nodes.iter().filter(|(_, node)| node.said == "compiling");
        let nodes: Vec<_> = compile.map(|(node, _)| node.clone()).collect();
        if nodes.is_empty() {
            self.since = None;
        } else if self.since.get_or_insert_with(Instant::now).elapsed() > COMPILES_LONG && nodes != self.told {
            teller.tell("compiling", &json!({ "nodes": nodes }), &format!("compiling on {} ...", nodes.join(", ")));
            self.told = nodes;
        }
    }
}

fn ended(found: &Deployment, revision: u64) -> Option<&Revision> {
    found.revisions.iter().find(|known| known.number == revision && known.standing != "rolling out")
}

fn end(teller: Teller, pipeline: &str, revision: &Revision, took: Duration) -> Result<(), Failure> {
    let number = revision.number;
    if revision.standing == "rolled back" {
        let why = revision.fault.as_deref().unwrap_or("the reason is not known");
        let text = format!("revision {number} of {pipeline} was rolled back: {}", harmless(why));
        return Err(Failure::new(Exit::Software, text));
    }
    let fields = json!({ "pipeline": pipeline, "revision": number, "took_ms": super::millis(took) });
    teller.tell(
        "rolled_out",
        &fields,
        &format!("revision {number} of {pipeline} runs, after {:.1} s", took.as_secs_f64()),
    );
    Ok(())
}

fn text(rollout: &Rollout) -> String {
    let (at, steps) = (rollout.at + 1, rollout.steps);
    let said: Vec<_> = rollout.nodes.iter().filter(|(_, node)| node.said == "well").map(|(node, _)| &**node).collect();
    let on = if said.is_empty() { "nowhere yet".to_owned() } else { format!("on {}", said.join(", ")) };
    let what = match &*rollout.change {
        "fetch" => "fetched and loaded".to_owned(),
        "start" => format!("started {}", rollout.stages.join(", ")),
        "stop" => format!("stopped {}", rollout.stages.join(", ")),
        _ => format!("replaced {}", rollout.stages.join(", ")),
    };
    match &rollout.canary {
        Some(canary) => format!("{at}/{steps} {what}: first on {canary}, which is watched"),
        None => format!("{at}/{steps} {what}: {on}"),
    }
}
