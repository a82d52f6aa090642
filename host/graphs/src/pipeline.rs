//! A graph as a pipeline file.

use std::fmt::Write;

use crate::graph::{Dispatcher, Graph, Input, PIPELINE, Scope, Stage};

/// How long a consumer is waited for that was lost or has not come yet; longer than any run takes to start.
const AWAY: &str = "60s";

/// The code of a stage, as the pipeline file says it.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// `plugin`.
    pub plugin: String,
    /// Further lines of the stage's table; none, or each with its line end.
    pub settings: String,
}

impl Graph {
    /// The text of its pipeline file, with the code that is asked for.
    pub fn pipeline(&self, plugin: impl Fn(&Stage) -> Plugin) -> String {
        let mut text = format!("# Drawn from seed {}: {self}.\nname = \"{PIPELINE}\"\n", self.seed);
        for (at, stage) in self.stages.iter().enumerate() {
            let has_consumers = self.consumers_of(at).next().is_some();
            self.write_stage(&mut text, stage, has_consumers, &plugin(stage)).expect("writing to memory does not fail");
        }
        text
    }

    fn write_stage(&self, to: &mut String, stage: &Stage, has_consumers: bool, plugin: &Plugin) -> std::fmt::Result {
        write!(to, "\n[stages.{}]\nplugin = \"{}\"\n{}", stage.name, plugin.plugin, plugin.settings)?;
        if stage.scope == Scope::Global {
            writeln!(to, "scope = \"global\"")?;
        }
        if let Some(label) = stage.place.label {
            writeln!(to, "labels = [\"{label}\"]")?;
        }
        if stage.instances > 1 {
            writeln!(to, "concurrency = {}", stage.instances)?;
        }
        match stage.dispatcher {
            Dispatcher::Broadcast if has_consumers => {
                writeln!(to, "dispatcher = {{ kind = \"broadcast\", away = \"{AWAY}\" }}")?;
            }
            Dispatcher::Partition { partitions, .. } if has_consumers => {
                writeln!(to, "dispatcher = {{ kind = \"partition\", partitions = {partitions} }}")?;
            }
            _ => {}
        }
        if stage.inputs.is_empty() {
            return Ok(());
        }
        let inputs: Vec<_> = stage.inputs.iter().map(|input| self.input(input)).collect();
        writeln!(to, "subscribe = [\n    {},\n]", inputs.join(",\n    "))
    }

    fn input(&self, input: &Input) -> String {
        let Input { from, max_demand, min_demand, topics, is_shared, partitions } = input;
        let to = &self.stages[*from].name;
        let mut text = format!("{{ to = \"{to}\", max_demand = {max_demand}, min_demand = {min_demand}");
        if !topics.is_empty() {
            let topics: Vec<_> = topics.iter().map(|pattern| format!("\"{pattern}\"")).collect();
            text += &format!(", topics = [{}]", topics.join(", "));
        }
        if *is_shared {
            text += ", deliver = \"shared\"";
        }
        if !partitions.is_empty() {
            text += &format!(", partitions = {partitions:?}");
        }
        text + " }"
    }
}
