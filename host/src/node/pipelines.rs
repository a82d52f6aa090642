//! Pipelines with their plugins, and the stages of them that run here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use forebay_proto::{
    consumer::AskMode,
    deploy::{Meter, compose, is_run_like},
    dispatch::DispatcherOptions,
    ids::{Epoch, PipelineName, StageName},
    names::{GlobalName, quorum::PipelineRecord},
    pipeline::{self, Pipeline, Scope},
    supervise::Supervisor,
};
use tokio::time::Instant;

use super::{Plugins, deploy::Fit, directory::StageKey, stage::StageHandle, vitals::Vitals};
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
    /// A consumer is to hand out events.
    #[error("stage `{stage}` has the key `dispatcher`, but its plugin is a consumer, which emits nothing; remove it")]
    NothingToDispatch {
        /// Which.
        stage: StageName,
    },
    /// A stage is to act by the clock and has no function for that.
    #[error(
        "stage `{stage}` has the key `tick`, but its plugin does not export `timer`; remove `tick`, or build the plugin with `timer`"
    )]
    NoTimer {
        /// Which.
        stage: StageName,
    },
    /// A stage with a state is to have several instances.
    #[error(
        "stage `{stage}` has `concurrency` of {instances}, and its plugin exports `checkpoint`: its state would be in as many \
         parts, of which a successor could be given one; set `checkpoint = \"off\"` if it can do without, or `concurrency = 1`"
    )]
    StateInParts {
        /// Which.
        stage: StageName,
        /// How many.
        instances: u32,
    },
    /// A stage is to ask a source itself and cannot.
    #[error(
        "stage `{stage}` subscribes to `{to}` with `ask = \"manual\"`, but its plugin never asks: it does not import \
         `forebay:stage/demand`; call the SDK's `ask` in the plugin and build it again, or remove `ask`"
    )]
    NeverAsks {
        /// Which.
        stage: StageName,
        /// To what.
        to: StageName,
    },
}

/// A pipeline whose plugins are loaded and fit it.
#[derive(Clone, Debug)]
pub struct LoadedPipeline {
    pipeline: Arc<Pipeline>,
    plugins: Plugins,
    digest: String,
}

impl LoadedPipeline {
    /// # Errors
    /// [`RoleError`] if a stage's settings do not go with what its plugin is.
    pub fn new(pipeline: Pipeline, plugins: Plugins) -> Result<Self, RoleError> {
        check_roles(&pipeline, |stage| plugins.get(stage).map(|plugin| &**plugin))?;
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

    /// All its stages, as what is to run from now on.
    pub(crate) fn into_fit(mut self) -> Fit {
        let stages = self.pipeline.upstream_order().map(|settings| {
            let plugin = self.plugins.remove(&settings.name).expect("checked when it was loaded");
            Fitted { settings: Arc::new(settings.clone()), plugin, revision: 0, on_trial: false }
        });
        Fit { stages: stages.collect(), pipeline: self.pipeline.name().clone(), number: 0 }
    }
}

/// Whether the subscriptions and ticks of all stages go with their plugins.
///
/// # Errors
/// [`RoleError`].
pub(crate) fn check_roles<'p>(
    pipeline: &Pipeline,
    plugin: impl Fn(&StageName) -> Option<&'p dyn Plugin>,
) -> Result<(), RoleError> {
    let plugin = |stage: &StageName| plugin(stage).ok_or_else(|| RoleError::Missing { stage: stage.clone() });
    let role = |stage: &StageName| plugin(stage).map(Plugin::role);
    for stage in pipeline.stages() {
        let name = || stage.name.clone();
        let has_timer = plugin(&stage.name)?.has_timer();
        match stage.tick {
            Some(_) if !has_timer => return Err(RoleError::NoTimer { stage: name() }),
            None if has_timer => {
                tracing::info!(stage = %stage.name, "its plugin exports `timer`, and without `tick` it is not called for it")
            }
            _ => {}
        }
        match (role(&stage.name)?, stage.subscribe.first()) {
            (Role::Producer, Some(first)) => {
                return Err(RoleError::ProducerSubscribes { stage: name(), to: first.to.clone() });
            }
            (role @ (Role::Consumer | Role::ProducerConsumer), None) => {
                return Err(RoleError::NothingToConsume { stage: name(), role });
            }
            _ => {}
        }
        if role(&stage.name)? == Role::Consumer && stage.dispatcher != DispatcherOptions::default() {
            return Err(RoleError::NothingToDispatch { stage: name() });
        }
        let has_state = checkpoint_of(stage, plugin(&stage.name)?).is_some();
        if has_state && stage.concurrency.instances > 1 {
            return Err(RoleError::StateInParts { stage: name(), instances: stage.concurrency.instances });
        }
        let can_ask = plugin(&stage.name)?.can_ask();
        for subscription in &stage.subscribe {
            if subscription.ask == AskMode::Manual && !can_ask {
                return Err(RoleError::NeverAsks { stage: name(), to: subscription.to.clone() });
            }
            if role(&subscription.to)? == Role::Consumer {
                return Err(RoleError::ConsumerAsSource { stage: name(), to: subscription.to.clone() });
            }
        }
    }
    Ok(())
}

/// How often a stage's state is put on record, if it has one.
pub(crate) fn checkpoint_of(settings: &pipeline::Stage, plugin: &dyn Plugin) -> Option<Duration> {
    settings.checkpoint.filter(|_| plugin.has_checkpoint())
}

/// Why a stage cannot have several instances on a node, if it cannot.
pub(crate) fn only_one(settings: &pipeline::Stage, plugin: &dyn Plugin) -> Option<&'static str> {
    if checkpoint_of(settings, plugin).is_some() {
        return Some(
            "its plugin exports `checkpoint`: its state would be in several parts; `checkpoint = \"off\"` in its file does without",
        );
    }
    if settings.subscribe.iter().any(|subscription| subscription.ask == AskMode::Manual) {
        return Some("its plugin asks for events itself, and is to be given what it asked for");
    }
    let is_builtin = matches!(settings.plugin, pipeline::PluginRef::Builtin(_));
    (is_builtin && plugin.role() == Role::Producer).then_some("it is a built-in source")
}

/// A pipeline as it runs on this node. Its stages may be of different revisions, while one is rolled out.
#[derive(Debug)]
pub(crate) struct RunningPipeline {
    pub(crate) name: PipelineName,
    /// Those that may run here.
    pub(crate) stages: BTreeMap<StageName, StageState>,
    /// The others, for which this node lacks labels.
    elsewhere: BTreeMap<StageName, (Arc<pipeline::Stage>, Arc<dyn Plugin>)>,
    /// All of them, each after those it subscribes to.
    order: Vec<StageName>,
    /// Those that are to run; the others are ending.
    pub(crate) wanted: BTreeSet<StageName>,
    /// Of the pipeline file; empty for one that was deployed, since the group knows it.
    digest: String,
}

impl RunningPipeline {
    /// One that nodes are given when they start, of whose stages those may run here that ask for no more than these labels.
    pub(crate) fn new(loaded: LoadedPipeline, labels: &BTreeSet<String>) -> Self {
        let LoadedPipeline { pipeline, mut plugins, digest } = loaded;
        let mut running = Self { digest, ..Self::empty(pipeline.name().clone()) };
        for settings in pipeline.upstream_order() {
            let plugin = plugins.remove(&settings.name).expect("checked when it was loaded");
            running.set(Fitted { settings: Arc::new(settings.clone()), plugin, revision: 0, on_trial: false }, labels);
        }
        running.put_in_order();
        running
    }

    /// One without stages.
    pub(crate) fn empty(name: PipelineName) -> Self {
        let (stages, elsewhere) = (BTreeMap::new(), BTreeMap::new());
        Self { name, stages, elsewhere, order: Vec::new(), wanted: BTreeSet::new(), digest: String::new() }
    }

    /// Adds a stage that is not there yet.
    pub(crate) fn set(&mut self, fitted: Fitted, labels: &BTreeSet<String>) {
        let name = fitted.settings.name.clone();
        if fitted.may_run_with(labels) {
            self.elsewhere.remove(&name);
            self.stages.insert(name, StageState::new(fitted));
        } else {
            self.elsewhere.insert(name, (fitted.settings, fitted.plugin));
        }
    }

    /// Keeps only these of the stages that do not run here.
    pub(crate) fn retain_elsewhere(&mut self, keep: impl Fn(&StageName) -> bool) {
        self.elsewhere.retain(|name, _| keep(name));
    }

    /// Settles the order again after stages have changed.
    pub(crate) fn put_in_order(&mut self) {
        let all: Vec<_> = self.all().cloned().collect();
        self.order = compose(all).into_iter().map(|stage| stage.name).collect();
    }

    fn all(&self) -> impl Iterator<Item = &pipeline::Stage> {
        let here = self.stages.values().map(|state| &*state.settings);
        here.chain(self.elsewhere.values().map(|(settings, _)| &**settings))
    }

    /// The settings of a stage, wherever it may run.
    pub(crate) fn stage(&self, name: &StageName) -> Option<&pipeline::Stage> {
        let here = self.stages.get(name).map(|state| &*state.settings);
        here.or_else(|| self.elsewhere.get(name).map(|(settings, _)| &**settings))
    }

    /// All stages, each after those it subscribes to.
    pub(crate) fn in_order(&self) -> impl DoubleEndedIterator<Item = &pipeline::Stage> {
        self.order.iter().filter_map(|name| self.stage(name))
    }

    /// The stages here that subscribe to this one.
    pub(crate) fn consumers_of(&self, source: &StageName) -> impl Iterator<Item = &StageState> {
        let asks = move |state: &&StageState| state.settings.subscribe.iter().any(|asked| asked.to == *source);
        self.stages.values().filter(asks)
    }

    /// Stages that take events from outside.
    pub(crate) fn takes_events(&self, name: &StageName) -> bool {
        self.plugin(name).is_some_and(|plugin| plugin.has_ingest())
    }

    /// Stages that answer requests.
    pub(crate) fn answers(&self, name: &StageName) -> bool {
        self.plugin(name).is_some_and(|plugin| plugin.has_call())
    }

    /// What a stage does with events.
    pub(crate) fn role(&self, name: &StageName) -> Option<Role> {
        self.plugin(name).map(|plugin| plugin.role())
    }

    /// Why a stage cannot have several instances, if it cannot.
    pub(crate) fn only_one(&self, name: &StageName) -> Option<&'static str> {
        let here = self.stages.get(name).map(|state| (&state.settings, &state.plugin));
        let (settings, plugin) =
            here.or_else(|| self.elsewhere.get(name).map(|(settings, plugin)| (settings, plugin)))?;
        only_one(settings, &**plugin)
    }

    /// The plugin of a stage, wherever it may run.
    fn plugin(&self, name: &StageName) -> Option<&Arc<dyn Plugin>> {
        let here = self.stages.get(name).map(|state| &state.plugin);
        here.or_else(|| self.elsewhere.get(name).map(|(_, plugin)| plugin))
    }

    /// What the group is told of it.
    pub(crate) fn record(&self) -> PipelineRecord {
        let here = self.stages.iter().map(|(name, state)| (name, &state.plugin));
        let all = here.chain(self.elsewhere.iter().map(|(name, (_, plugin))| (name, plugin)));
        let mut plugins: Vec<_> = all.map(|(name, plugin)| (name.clone(), plugin.digest().to_owned())).collect();
        plugins.sort();
        PipelineRecord { name: self.name.clone(), digest: self.digest.clone(), plugins }
    }

    /// Stages of node scope that run here, sources first.
    pub(crate) fn of_node_scope(&self) -> Vec<StageKey> {
        let here = |stage: &&pipeline::Stage| stage.scope == Scope::Node && self.stages.contains_key(&stage.name);
        self.in_order().filter(here).map(|stage| self.key(&stage.name)).collect()
    }

    /// Global stages that run here or are about to, sources first.
    pub(crate) fn owned(&self) -> Vec<StageKey> {
        let owned = |stage: &&pipeline::Stage| {
            let state = self.stages.get(&stage.name);
            state.is_some_and(|state| state.is_global() && (state.running.is_some() || state.restart_at.is_some()))
        };
        self.in_order().filter(owned).map(|stage| self.key(&stage.name)).collect()
    }

    pub(crate) fn key(&self, stage: &StageName) -> StageKey {
        GlobalName { pipeline: self.name.clone(), stage: stage.clone() }
    }

    /// Stages that have one owner in the cluster, wherever they may run.
    pub(crate) fn all_global_names(&self) -> impl Iterator<Item = GlobalName> {
        let global = self.in_order().filter(|stage| stage.scope == Scope::Global);
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

/// A stage with its code, as it is to run.
#[derive(Clone, Debug)]
pub(crate) struct Fitted {
    pub(crate) settings: Arc<pipeline::Stage>,
    pub(crate) plugin: Arc<dyn Plugin>,
    /// Of which revision; 0: what the node was given when it started.
    pub(crate) revision: u64,
    /// It is new: a fault is told and not borne.
    pub(crate) on_trial: bool,
}

impl Fitted {
    pub(crate) fn may_run_with(&self, labels: &BTreeSet<String>) -> bool {
        self.settings.labels.iter().all(|label| labels.contains(label))
    }

    /// Whether it is the same code with the same settings.
    pub(crate) fn is_like(&self, state: &StageState) -> bool {
        self.plugin.digest() == state.plugin.digest() && is_run_like(&state.settings, &self.settings)
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
    pub(crate) revision: u64,
    /// What takes its place once it has ended.
    pub(crate) next: Option<Fitted>,
    /// Nothing takes its place.
    pub(crate) retired: bool,
    /// A new version that failed waits for what the group decides.
    pub(crate) held: bool,
    /// Of the latest start.
    pub(crate) vitals: Arc<Vitals>,
    /// What the version before this one had done.
    pub(crate) former: Meter,
    on_trial: bool,
}

impl StageState {
    fn new(fitted: Fitted) -> Self {
        let Fitted { settings, plugin, revision, on_trial } = fitted;
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
            revision,
            next: None,
            retired: false,
            held: false,
            vitals: Arc::default(),
            former: Meter::default(),
            on_trial,
        }
    }

    /// Its next instance is of this version.
    pub(crate) fn become_next(&mut self, fitted: Fitted) {
        // A version that did not work is nothing to compare with.
        let former = if self.held { self.former } else { self.vitals.meter() };
        *self = Self { epoch: self.epoch, former, ..Self::new(fitted) };
    }

    /// Whether faults are told rather than borne.
    pub(crate) fn is_on_trial(&self) -> bool {
        self.on_trial
    }

    /// Begins or ends the trial of what runs.
    pub(crate) fn put_on_trial(&mut self, on_trial: bool) {
        self.on_trial = on_trial;
        self.vitals.put_on_trial(on_trial);
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
