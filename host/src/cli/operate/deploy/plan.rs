//! What would happen, for people and for programs.

use serde_json::json;

use super::Teller;
use crate::{
    cli::operate::harmless,
    node::admin::wire::{Plan, PlannedStage},
};

pub(super) fn tell(teller: Teller, plan: &Plan) {
    teller.tell("plan", &json!(plan), text(plan).trim_end());
}

fn text(plan: &Plan) -> String {
    let (pipeline, next) = (&plan.pipeline, plan.after + 1);
    if plan.stages.is_empty() {
        let current = plan.current.map_or("what is to run".to_owned(), |current| format!("revision {current}"));
        return format!("pipeline {pipeline}: nothing differs from {current}\n");
    }
    let mut text = match plan.current {
        Some(current) => format!("pipeline {pipeline}: revision {next} would take the place of revision {current}\n"),
        None => format!("pipeline {pipeline}: revision {next} would be the first to run\n"),
    };
    let width = plan.stages.iter().map(|stage| stage.stage.len()).max().unwrap_or(0);
    for stage in &plan.stages {
        text += &format!("  {:7}  {:width$}  {}\n", stage.change, stage.stage, about(stage));
        for more in &stage.more {
            let may = if stage.change == "start" { "may" } else { "may then, and could not before," };
            text += &format!("  {:7}  {:width$}  {may} {}\n", "", "", harmless(more));
        }
    }
    text
}

fn about(stage: &PlannedStage) -> String {
    let mut about = Vec::new();
    match &stage.code {
        [Some(before), Some(then)] if before != then => about.push(format!("{} -> {}", short(before), short(then))),
        [_, Some(then)] if stage.change == "start" => about.push(short(then)),
        _ => {}
    }
    if stage.change == "replace" && stage.settings {
        about.push("other settings".to_owned());
    }
    let scope = match (&*stage.scope, &stage.owner) {
        ("global", Some(owner)) => format!("one owner, now {owner}"),
        ("global", None) => "one owner".to_owned(),
        _ => "on every node".to_owned(),
    };
    about.push(scope);
    about.join(", ")
}

/// Enough of a digest to tell it from others.
pub(super) fn short(code: &str) -> String {
    match code.strip_prefix("sha256:") {
        Some(hex) => format!("sha256:{}", hex.get(..12).unwrap_or(hex)),
        None => code.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_says_what_changes_and_what_a_new_version_may_do() {
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
        let stage = |name: &str, change: &str, code: [Option<String>; 2], more: &[&str]| PlannedStage {
            stage: name.to_owned(),
            change: change.to_owned(),
            code,
            settings: change == "replace",
            scope: if name == "counter" { "global" } else { "node" }.to_owned(),
            owner: (name == "counter").then(|| "b".to_owned()),
            more: more.iter().map(ToString::to_string).collect(),
        };
        let stages = vec![
            stage("tally", "start", [None, Some(digest("c"))], &["read /data (host /srv)"]),
            stage("counter", "replace", [Some(digest("a")), Some(digest("b"))], &["connect to db:1 over TCP"]),
            stage("printer", "stop", [Some(digest("d")), None], &[]),
        ];
        let plan = Plan { pipeline: "p".to_owned(), after: 2, current: Some(2), stages };
        let expected = "\
pipeline p: revision 3 would take the place of revision 2
  start    tally    sha256:cccccccccccc, on every node
                    may read /data (host /srv)
  replace  counter  sha256:aaaaaaaaaaaa -> sha256:bbbbbbbbbbbb, other settings, one owner, now b
                    may then, and could not before, connect to db:1 over TCP
  stop     printer  on every node
";
        assert_eq!(text(&plan), expected);
        let nothing = Plan { stages: Vec::new(), ..plan };
        assert_eq!(text(&nothing), "pipeline p: nothing differs from revision 2\n");
    }
}
