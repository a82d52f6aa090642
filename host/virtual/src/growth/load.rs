//! What a cluster runs whose growth is measured: global stages that have nothing to say, and on every node one that
//! listens to all of them.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use anyhow::Context;
use forebay::{
    node::{LoadedPipeline, Plugins},
    runtime::{GuestDelivery, Plugin, Produced, native::Native},
};
use forebay_proto::{ids::BootId, pipeline::Pipeline};

use crate::{
    load::{Failing, Load},
    story::Story,
    workload::Life,
};

/// The stage of every node.
pub(super) const LISTENER: &str = "listener";

/// So many global stages, without events.
#[derive(Debug)]
pub(super) struct Idle {
    story: Story,
    names: Vec<String>,
    failing: Failing,
}

impl Idle {
    pub(super) fn new(story: Story, names: usize) -> Self {
        let names = (1..=names).map(|number| format!("source-{number}")).collect();
        Self { story, names, failing: Failing::default() }
    }

    /// A source that has nothing is asked again every `poll`: seldom, for that is not what is measured.
    fn text(&self) -> String {
        let mut text = "name = \"idle\"\n".to_owned();
        for name in &self.names {
            let _ = writeln!(text, "[stages.{name}]\nplugin = \"native\"\nscope = \"global\"\npoll = \"1min\"");
        }
        let sources: Vec<_> = self.names.iter().map(|name| format!("{{ to = \"{name}\" }}")).collect();
        let _ = writeln!(text, "[stages.{LISTENER}]\nplugin = \"native\"\nsubscribe = [{}]", sources.join(", "));
        text
    }

    fn source(&self, boot: BootId) -> Arc<dyn Plugin> {
        let story = self.story.clone();
        Native::producer("source", move |spec| {
            let life = Life::begin(&story, &spec.node, boot, &spec.stage);
            Ok(move |_: u32| {
                let _ = &life;
                Ok(Produced::default())
            })
        })
    }

    fn listener(&self, boot: BootId) -> Arc<dyn Plugin> {
        let story = self.story.clone();
        Native::consumer(LISTENER, move |spec| {
            let life = Life::begin(&story, &spec.node, boot, &spec.stage);
            Ok(move |_: GuestDelivery| {
                let _ = &life;
                Ok(Vec::new())
            })
        })
    }
}

impl Load for Idle {
    fn pipeline(&self, boot: BootId) -> anyhow::Result<LoadedPipeline> {
        let parsed = Pipeline::parse(&self.text(), "idle.toml").context("the idle pipeline")?;
        let mut plugins = Plugins::new();
        for stage in parsed.stages() {
            let is_listener = stage.name.as_str() == LISTENER;
            plugins.insert(stage.name.clone(), if is_listener { self.listener(boot) } else { self.source(boot) });
        }
        LoadedPipeline::new(parsed, plugins).context("the idle pipeline's plugins")
    }

    fn labels(&self, _: usize) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn stages(&self) -> Vec<&str> {
        self.global_stages().into_iter().chain([LISTENER]).collect()
    }

    fn global_stages(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    fn failing(&self) -> &Failing {
        &self.failing
    }
}
