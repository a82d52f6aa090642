//! Pipelines with their plugins, and the stages of them that run here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use forebay_proto::{
    ids::{Epoch, StageName},
    names::{GlobalName, quorum::PipelineRecord},
    pipeline::{self, Pipeline, Scope},
    supervise::Supervisor,
};
use tokio::time::Instant;

use super::{Plugins, SharedPipeline, directory::StageKey, stage::StageHandle};
use crate::runtime::{Plugin, Role};

/// A pipeline does not fit the roles of its plugins.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RoleError {
    /// A stage has no plugin.
    #[error("stage `{stage}` has no plugin loaded")]
    Missing {
        /// Which.
        stage: StageName,
    },
    /// A producer subscribes.
    #[error(
        "stage `{stage}` subscribes to `{to}`, but its plugin is a producer, which consumes nothing; remove `subscribe`, or use a producer-consumer"
    )]
    ProducerSubscribes {
        /// Which.
        stage: StageName,
        /// To what.
        to: StageName,
    },
    /// A consumer or producer-consumer does not subscribe.
    #[error("stage `{stage}` is a {role} and subscribes to nothing; add `subscribe = [{{ to = \"...\" }}]`")]
    NothingToConsume {
        /// Which.
        stage: StageName,
        /// What it is.
        role: Role,
    },
    /// Somebody subscribes to a consumer.
    #[error("stage `{stage}` subscribes to `{to}`, but that one's plugin is a consumer, which emits nothing")]
    ConsumerAsSource {
        /// Which.
        stage: StageName,
        /// To what.
        to: StageName,
    },
}

/// A pipeline whose plugins are loaded and fit it.
#[derive(Clone, Debug)]
pub struct LoadedPipeline {
    pipeline: SharedPipeline,
    plugins: Plugins,
    digest: String,
}

impl LoadedPipeline {
    /// # Errors
    /// [`RoleError`] if a stage's subscriptions do not go with what its plugin is.
    pub fn new(pipeline: Pipeline, plugins: Plugins) -> Result<Self, RoleError> {
        let role = |stage: &StageName| {
            let plugin = plugins.get(stage).ok_or_else(|| RoleError::Missing { stage: stage.clone() })?;
            Ok(plugin.role())
        };
        for stage in pipeline.stages() {
            let name = || stage.name.clone();
            match (role(&stage.name)?, stage.subscribe.first()) {
                (Role::Producer, Some(first)) => {
                    return Err(RoleError::ProducerSubscribes { stage: name(), to: first.to.clone() });
                }
                (role @ (Role::Consumer | Role::ProducerConsumer), None) => {
                    return Err(RoleError::NothingToConsume { stage: name(), role });
                }
                _ => {}
            }
            for subscription in &stage.subscribe {
                if role(&subscription.to)? == Role::Consumer {
                    return Err(RoleError::ConsumerAsSource { stage: name(), to: subscription.to.clone() });
                }
            }
        }
        Ok(Self { pipeline: Arc::new(pipeline), plugins, digest: String::new() })
    }

    /// With the digest of its file, by which nodes can be compared: `sha256:` and 64 hexadecimal digits.
    #[must_use]
    pub fn with_digest(mut self, digest: String) -> Self {
        self.digest = digest;
        self
    }

    /// The pipeline.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }
}

/// A pipeline as it runs on this node.
#[derive(Debug)]
pub(crate) struct RunningPipeline {
    pub(crate) pipeline: SharedPipeline,
    /// Those that may run here.
    pub(crate) stages: BTreeMap<StageName, StageState>,
    digests: BTreeMap<StageName, String>,
    /// Of the pipeline file.
    digest: String,
    /// Stages that take events from outside.
    pub(crate) ingesting: BTreeSet<StageName>,
}

impl RunningPipeline {
    /// The stages of it that may run on a node with these labels.
    pub(crate) fn new(loaded: LoadedPipeline, labels: &BTreeSet<String>) -> Self {
        let LoadedPipeline { pipeline, mut plugins, digest } = loaded;
        let ingesting =
            plugins.iter().filter(|(_, plugin)| plugin.has_ingest()).map(|(stage, _)| stage.clone()).collect();
        let digests = plugins.iter().map(|(stage, plugin)| (stage.clone(), plugin.digest().to_owned()));
        let digests: BTreeMap<_, _> = digests.collect();
        let state = |settings: &pipeline::Stage| {
            let plugin = plugins.remove(&settings.name).expect("checked when it was loaded");
            (settings.name.clone(), StageState::new(Arc::new(settings.clone()), plugin))
        };
        let fits = |stage: &&pipeline::Stage| stage.labels.iter().all(|label| labels.contains(label));
        let stages = pipeline.stages().iter().filter(fits).map(state).collect();
        Self { pipeline, stages, digests, digest, ingesting }
    }

    /// What the group is told of it.
    pub(crate) fn record(&self) -> PipelineRecord {
        let plugins = self.digests.iter().map(|(stage, digest)| (stage.clone(), digest.clone())).collect();
        PipelineRecord { name: self.pipeline.name().clone(), digest: self.digest.clone(), plugins }
    }

    /// Stages of node scope that run here, sources first.
    pub(crate) fn of_node_scope(&self) -> Vec<StageKey> {
        let here = |stage: &&pipeline::Stage| stage.scope == Scope::Node && self.stages.contains_key(&stage.name);
        self.pipeline.upstream_order().filter(here).map(|stage| self.key(&stage.name)).collect()
    }

    /// Global stages that run here or are about to, sources first.
    pub(crate) fn owned(&self) -> Vec<StageKey> {
        let owned = |stage: &&pipeline::Stage| {
            let state = self.stages.get(&stage.name);
            state.is_some_and(|state| state.is_global() && (state.running.is_some() || state.restart_at.is_some()))
        };
        self.pipeline.upstream_order().filter(owned).map(|stage| self.key(&stage.name)).collect()
    }

    pub(crate) fn key(&self, stage: &StageName) -> StageKey {
        GlobalName { pipeline: self.pipeline.name().clone(), stage: stage.clone() }
    }

    /// Stages that have one owner in the cluster, wherever they may run.
    pub(crate) fn all_global_names(&self) -> impl Iterator<Item = GlobalName> {
        let global = self.pipeline.stages().iter().filter(|stage| stage.scope == Scope::Global);
        global.map(|stage| self.key(&stage.name))
    }

    /// Stages that have one owner in the cluster and may run here.
    pub(crate) fn global_names(&self) -> impl Iterator<Item = GlobalName> {
        let global = self.stages.iter().filter(|(_, state)| state.is_global());
        global.map(|(stage, _)| self.key(stage))
    }

    /// Whether every producer that consumes nothing has said that it has come to its end.
    pub(crate) fn is_finished(&self) -> bool {
        self.stages.values().filter(|stage| stage.settings.subscribe.is_empty()).all(|stage| stage.finished)
    }
}

/// One stage of a pipeline on this node, running or not.
#[derive(Debug)]
pub(crate) struct StageState {
    pub(crate) settings: Arc<pipeline::Stage>,
    pub(crate) plugin: Arc<dyn Plugin>,
    pub(crate) supervisor: Supervisor,
    /// Of the latest start.
    pub(crate) epoch: Epoch,
    pub(crate) running: Option<StageHandle>,
    /// Start again then.
    pub(crate) restart_at: Option<Instant>,
    /// Stop where it is then: its drain time is over.
    pub(crate) stop_at: Option<Instant>,
    /// It was stopped so.
    pub(crate) cut_short: bool,
    pub(crate) finished: bool,
    /// It is being drained so that its name can be given up, for this reason.
    pub(crate) drains: Option<&'static str>,
}

impl StageState {
    fn new(settings: Arc<pipeline::Stage>, plugin: Arc<dyn Plugin>) -> Self {
        let supervisor = Supervisor::new(settings.restart);
        Self {
            settings,
            plugin,
            supervisor,
            epoch: Epoch::default(),
            running: None,
            restart_at: None,
            stop_at: None,
            cut_short: false,
            finished: false,
            drains: None,
        }
    }

    pub(crate) fn is_global(&self) -> bool {
        self.settings.scope == Scope::Global
    }

    /// The next moment at which something is due without an event.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.restart_at.into_iter().chain(self.stop_at).min()
    }
}

/// How long a name is left to others after its stage gave up here. Long enough for each other node
/// to try and give up in turn, short enough that a mended cause needs no operator.
pub(crate) const GAVE_UP_FOR: Duration = Duration::from_secs(60);
