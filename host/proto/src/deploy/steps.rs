//! What differs between two versions of a pipeline, and in which order it is brought in.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, PluginVersion, Step};
use crate::{
    ids::StageName,
    pipeline::{Pipeline, Stage},
};

/// A pipeline with the code of its stages.
pub type Version<'v> = (&'v Pipeline, &'v BTreeMap<StageName, PluginVersion>);

/// What becomes of a stage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Difference {
    /// What happens to it.
    pub change: Change,
    /// Its code is another.
    pub code: bool,
    /// Its settings are others.
    pub settings: bool,
}

/// Stages that differ, by name. What stays as it is has no entry.
pub fn differences(former: Option<Version<'_>>, new: Version<'_>) -> BTreeMap<StageName, Difference> {
    let mut found = BTreeMap::new();
    let before = |stage: &StageName| former.and_then(|(pipeline, _)| pipeline.stage(stage));
    for stage in new.0.stages() {
        let name = &stage.name;
        let Some(was) = before(name) else {
            found.insert(name.clone(), Difference { change: Change::Start, code: true, settings: true });
            continue;
        };
        let code_of = |plugins: &BTreeMap<StageName, PluginVersion>| plugins.get(name).map(ToString::to_string);
        let code = former.and_then(|(_, plugins)| code_of(plugins)) != code_of(new.1);
        // How the file names the code does not matter, only what it came to be.
        let settings = !is_run_like(was, stage);
        if code || settings {
            found.insert(name.clone(), Difference { change: Change::Replace, code, settings });
        }
    }
    for stage in former.iter().flat_map(|(pipeline, _)| pipeline.stages()) {
        if new.0.stage(&stage.name).is_none() {
            let stop = Difference { change: Change::Stop, code: false, settings: false };
            found.insert(stage.name.clone(), stop);
        }
    }
    found
}

/// Whether two stages of the same code run alike.
pub fn is_run_like(one: &Stage, other: &Stage) -> bool {
    Stage { plugin: other.plugin.clone(), follow: other.follow, ..one.clone() } == *other
}

/// The order in which differences are brought in: what is new starts first, all of it together; then each stage that is
/// replaced alone, those behind before those in front, so that nobody is sent what only a later version understands; at
/// last what is not there any more stops.
pub fn steps(former: Option<&Pipeline>, new: &Pipeline, differences: &BTreeMap<StageName, Difference>) -> Vec<Step> {
    let is = |stage: &Stage, change| differences.get(&stage.name).is_some_and(|found| found.change == change);
    let mut steps = Vec::new();
    let starts: Vec<_> = new.upstream_order().filter(|stage| is(stage, Change::Start)).collect();
    if !starts.is_empty() {
        steps.push(Step { change: Change::Start, stages: names(starts) });
    }
    for stage in new.upstream_order().rev().filter(|stage| is(stage, Change::Replace)) {
        steps.push(Step { change: Change::Replace, stages: names(vec![stage]) });
    }
    let stops = former.iter().flat_map(|pipeline| pipeline.upstream_order()).filter(|stage| is(stage, Change::Stop));
    let stops: Vec<_> = stops.collect();
    if !stops.is_empty() {
        steps.push(Step { change: Change::Stop, stages: names(stops) });
    }
    steps
}

fn names(stages: Vec<&Stage>) -> Vec<StageName> {
    stages.into_iter().map(|stage| stage.name.clone()).collect()
}

/// Stages of which each may be of another version, each after those it subscribes to as far as that goes: between two
/// versions some may not be there, and two may even subscribe to each other.
pub fn compose(stages: Vec<Stage>) -> Vec<Stage> {
    let present: BTreeSet<StageName> = stages.iter().map(|stage| stage.name.clone()).collect();
    let (mut waiting, mut placed, mut ordered) = (stages, BTreeSet::new(), Vec::new());
    while !waiting.is_empty() {
        let is_ready = |stage: &Stage| {
            stage
                .subscribe
                .iter()
                .all(|subscription| placed.contains(&subscription.to) || !present.contains(&subscription.to))
        };
        // Of a cycle the first goes first.
        let at = waiting.iter().position(is_ready).unwrap_or(0);
        let stage = waiting.remove(at);
        placed.insert(stage.name.clone());
        ordered.push(stage);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{BlobInfo, Digest};

    fn pipeline(stages: &str) -> Pipeline {
        Pipeline::parse(&format!("name = \"p\"\n{stages}"), "p.toml").unwrap()
    }

    fn stage(name: &str, more: &str) -> String {
        format!("[stages.{name}]\nplugin = \"{name}.wasm\"\n{more}\n")
    }

    fn plugins(of: &Pipeline, version: u8) -> BTreeMap<StageName, PluginVersion> {
        let digest = Digest([version; 32]);
        let blob = PluginVersion::Blob { blob: BlobInfo { digest, bytes: 1, chunks: digest }, signature: None };
        of.stages().iter().map(|stage| (stage.name.clone(), blob.clone())).collect()
    }

    fn name(text: &str) -> StageName {
        text.parse().unwrap()
    }

    fn taken(former: Option<&Pipeline>, new: &Pipeline, versions: (u8, u8)) -> Vec<(Change, Vec<String>)> {
        let before = former.map(|pipeline| plugins(pipeline, versions.0));
        let found = differences(former.zip(before.as_ref()), (new, &plugins(new, versions.1)));
        let text = |step: Step| (step.change, step.stages.iter().map(ToString::to_string).collect());
        steps(former, new, &found).into_iter().map(text).collect()
    }

    fn chain() -> Pipeline {
        let double = stage("double", "subscribe = [{ to = \"counter\" }]");
        pipeline(&[stage("printer", "subscribe = [{ to = \"double\" }]"), stage("counter", ""), double].concat())
    }

    #[test]
    fn a_new_pipeline_starts_all_its_stages_together_sources_first() {
        let start = (Change::Start, ["counter", "double", "printer"].map(str::to_owned).to_vec());
        assert_eq!(taken(None, &chain(), (0, 1)), [start]);
    }

    #[test]
    fn new_code_is_brought_in_one_stage_after_the_other_from_behind() {
        let replaced = ["printer", "double", "counter"].map(|stage| (Change::Replace, vec![stage.to_owned()]));
        assert_eq!(taken(Some(&chain()), &chain(), (1, 2)), replaced);
        assert_eq!(taken(Some(&chain()), &chain(), (1, 1)), [], "nothing differs");
    }

    #[test]
    fn stages_come_first_and_go_last() {
        let printer = |to: &str, more: &str| stage("printer", &format!("subscribe = [{{ to = \"{to}\" }}]\n{more}"));
        let former = pipeline(&[stage("old", ""), printer("old", "")].concat());
        let new = pipeline(&[stage("new", ""), printer("new", "")].concat());
        let one = |change, stage: &str| (change, vec![stage.to_owned()]);
        let all = [one(Change::Start, "new"), one(Change::Replace, "printer"), one(Change::Stop, "old")];
        assert_eq!(taken(Some(&former), &new, (1, 1)), all);
    }

    #[test]
    fn settings_count_and_how_code_is_named_does_not() {
        let former = pipeline(&stage("s", ""));
        let renamed = pipeline("[stages.s]\nplugin = \"elsewhere/s.wasm\"");
        assert_eq!(taken(Some(&former), &renamed, (1, 1)), []);
        let slower = pipeline(&stage("s", "poll = \"1s\""));
        assert_eq!(taken(Some(&former), &slower, (1, 1)), [(Change::Replace, vec!["s".to_owned()])]);
    }

    /// GenStage's `async_subscribe`, `async_resubscribe` and `cancel` of a running stage: here a revision.
    #[test]
    fn a_subscription_that_is_added_changed_or_removed_concerns_its_consumer_only() {
        let sources = [stage("one", ""), stage("two", "")].concat();
        let with = |subscriptions: &str| pipeline(&format!("{sources}{}", stage("sink", subscriptions)));
        let one = with("subscribe = [{ to = \"one\" }]");
        let slower = with("subscribe = [{ to = \"one\", max_demand = 5 }]");
        let both = with("subscribe = [{ to = \"one\" }, { to = \"two\", topics = [\"a.>\"] }]");
        let sink = [(Change::Replace, vec!["sink".to_owned()])];
        for (former, new) in [(&one, &slower), (&one, &both), (&both, &one)] {
            assert_eq!(taken(Some(former), new, (1, 1)), sink);
        }
        assert_eq!(taken(Some(&both), &both, (1, 1)), []);
    }

    #[test]
    fn a_mixture_of_versions_has_an_order_though_stages_are_missing_or_ask_each_other() {
        let all = chain();
        let mut mixed: Vec<Stage> = all.stages().to_vec();
        mixed.retain(|stage| stage.name != name("counter"));
        let order = |stages| compose(stages).iter().map(|stage| stage.name.to_string()).collect::<Vec<_>>();
        assert_eq!(order(mixed.clone()), ["double", "printer"]);
        mixed[1].subscribe[0].to = name("printer");
        assert_eq!(order(mixed).len(), 2);
    }
}
