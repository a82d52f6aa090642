//! What is written on the boxes and arrows of a pipeline's picture, whatever draws it.

use forebay_proto::{
    consumer::WhenFull,
    dispatch::{DispatcherOptions, PartitionBy},
    message::Demand,
    pipeline::{Pipeline, PluginRef, Scope, Stage, Subscription},
    select::Deliver,
};

/// A label of an arrow is cut after so many characters: a list of topics can be long.
const LABEL_MAX: usize = 60;

/// A picture's boxes and arrows.
#[derive(Debug)]
pub(super) struct Drawing {
    /// In the order of the file.
    pub(super) stages: Vec<StageBox>,
    pub(super) arrows: Vec<Arrow>,
}

/// A stage.
#[derive(Debug)]
pub(super) struct StageBox {
    /// Its name, its plugin, and what it has besides.
    pub(super) lines: Vec<String>,
    pub(super) is_global: bool,
}

/// A subscription, in the direction in which events go.
#[derive(Debug)]
pub(super) struct Arrow {
    /// Indexes of boxes.
    pub(super) from: usize,
    pub(super) to: usize,
    /// What differs from the defaults; empty: nothing.
    pub(super) label: String,
}

impl Drawing {
    pub(super) fn of(pipeline: &Pipeline) -> Self {
        let stages = pipeline.stages();
        let index = |name| stages.iter().position(|stage| stage.name == name);
        let arrows = stages.iter().enumerate().flat_map(|(to, stage)| {
            let arrow = move |subscription: &Subscription| {
                // A pipeline's subscriptions are to stages of it.
                let from = index(subscription.to.clone())?;
                Some(Arrow { from, to, label: label(subscription) })
            };
            stage.subscribe.iter().filter_map(arrow)
        });
        Self { arrows: arrows.collect(), stages: stages.iter().map(StageBox::of).collect() }
    }
}

impl StageBox {
    fn of(stage: &Stage) -> Self {
        let mut lines = vec![stage.name.to_string(), plugin(&stage.plugin)];
        let is_global = stage.scope == Scope::Global;
        let place = if is_global { "one in the cluster" } else { "one on each node" };
        lines.push(match stage.labels.as_slice() {
            [] => place.to_owned(),
            labels => format!("{place} with {}", labels.join(", ")),
        });
        lines.extend(dispatcher(&stage.dispatcher));
        Self { lines, is_global }
    }
}

/// A path's last part: folders say little, and differ from machine to machine.
fn plugin(plugin: &PluginRef) -> String {
    match plugin {
        PluginRef::File(path) => {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            name.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
        }
        PluginRef::Name { name, .. } => name.to_string(),
        PluginRef::Builtin(_) => plugin.to_string(),
    }
}

fn dispatcher(options: &DispatcherOptions) -> Option<String> {
    match options {
        DispatcherOptions::Demand { .. } => None,
        DispatcherOptions::Broadcast { .. } => Some("broadcast".to_owned()),
        DispatcherOptions::Partition(partition) => {
            let by = match &partition.by {
                PartitionBy::Key => "key".to_owned(),
                PartitionBy::Topic => "topic".to_owned(),
                PartitionBy::Header(name) | PartitionBy::Number(name) => format!("header {name}"),
            };
            Some(format!("{} partitions by {by}", partition.partitions.len()))
        }
    }
}

fn label(subscription: &Subscription) -> String {
    let mut said = Vec::new();
    let select = &subscription.select;
    if !select.topics.is_empty() {
        said.push(select.topics.iter().map(|topic| topic.as_str()).collect::<Vec<_>>().join(" "));
    }
    if !select.partitions.is_empty() {
        said.push(format!(
            "partitions {}",
            select.partitions.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(" ")
        ));
    }
    if select.deliver == Deliver::Shared {
        said.push("shared".to_owned());
    }
    match subscription.when_full {
        WhenFull::Block => {}
        WhenFull::DropOldest => said.push("drops oldest".to_owned()),
        WhenFull::DropNewest => said.push("drops newest".to_owned()),
    }
    if subscription.demand.max() != Demand::MAX_DEFAULT {
        said.push(format!("max {}", subscription.demand.max()));
    }
    let said = said.join(", ");
    if said.chars().count() <= LABEL_MAX { said } else { said.chars().take(LABEL_MAX - 1).chain(['…']).collect() }
}
