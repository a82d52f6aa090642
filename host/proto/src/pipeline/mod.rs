//! A pipeline: named stages, their settings, and who subscribes to whom.
//!
//! Read from a TOML file by [`Pipeline::parse`]; what is held here was checked and cannot be
//! invalid. A file says nothing about roles: whether a stage produces or consumes is known when its
//! plugin is loaded.
//!
//! ```
//! use forebay_proto::pipeline::Pipeline;
//!
//! let text = r#"
//!     name = "counter"
//!     [stages.counter]
//!     plugin = "counter.wasm"
//!     scope = "global"
//!     config = { start = 1000 }
//!     [stages.printer]
//!     plugin = "printer.wasm"
//!     subscribe = [{ to = "counter", max_demand = 5, min_demand = 0 }]
//! "#;
//! let pipeline = Pipeline::parse(text, "pipeline.toml")?;
//! let order: Vec<_> = pipeline.upstream_order().map(|stage| stage.name.as_str()).collect();
//! assert_eq!(order, ["counter", "printer"]);
//!
//! let mistyped = text.replace("global", "globl");
//! let error = Pipeline::parse(&mistyped, "pipeline.toml").unwrap_err();
//! assert!(error.to_string().starts_with(
//!     "pipeline.toml:5:13: `stages.counter.scope` is the string \"globl\"; \
//!      expected \"global\" or \"node\"; did you mean `global`?"
//! ));
//! # Ok::<(), forebay_proto::pipeline::ManifestError>(())
//! ```
//!
#![doc = include_str!("keys.md")]

mod fields;
mod flow;
mod grants;
mod graph;
mod json;
mod manifest;
mod plugin;
mod problem;
mod routing;
mod syntax;
mod units;

use std::{fmt, path::PathBuf, time::Duration};

pub use grants::{Address, Dir, Endpoint, EndpointError, Grants, Hosts};
pub use problem::{ManifestError, Problem};

/// A limit as people give it by hand: `off`, `100/s`, or as a file has the key `rate_limit`. `None`: as many as it can.
///
/// # Errors
/// What was expected.
pub fn parse_rate(text: &str) -> Result<Option<RateLimit>, String> {
    flow::parse_rate(text)
}

use crate::{
    batch::BatchLimits,
    blob::Digest,
    consumer::{AskMode, CancelMode, Gathering, WhenFull},
    dispatch::DispatcherOptions,
    ids::{PipelineName, PluginName, StageName},
    message::Demand,
    producer::{DemandMode, Keep},
    rate::RateLimit,
    recycle::Recycle,
    select::Selection,
    stage::{Ack, Concurrency, RetryPolicy},
    supervise::RestartPolicy,
};

/// The longest pipeline file, in bytes: 1 MiB, a thousand times what people write.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// A checked pipeline: at least one stage, every subscription to a stage of it, no cycle.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    name: PipelineName,
    stages: Vec<Stage>,
    /// Indexes of `stages`, each after those it subscribes to.
    upstream_order: Vec<usize>,
}

impl Pipeline {
    /// Reads a pipeline file's text. `file` is what errors call it; nothing is opened.
    ///
    /// # Errors
    /// [`ManifestError`] with up to 20 problems: those of the syntax, or those of the keys and
    /// values, or those between stages; the later ones are looked for only if there are none of the
    /// earlier.
    pub fn parse(text: &str, file: &str) -> Result<Self, ManifestError> {
        manifest::parse(text, file)
    }

    /// As [`Pipeline::parse`], for a file's bytes as they were read.
    ///
    /// # Errors
    /// As [`Pipeline::parse`], and if the bytes are not UTF-8.
    pub fn parse_bytes(bytes: &[u8], file: &str) -> Result<Self, ManifestError> {
        Self::parse(syntax::decode(bytes, file)?, file)
    }

    /// The pipeline's name.
    pub fn name(&self) -> &PipelineName {
        &self.name
    }

    /// All stages, in the order of the file; at least one.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// One stage by its name.
    pub fn stage(&self, name: &StageName) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.name == *name)
    }

    /// All stages, each after those it subscribes to: the order to start them in. Reversed, the
    /// order to stop them in. Stages that do not depend on each other keep the order of the file.
    pub fn upstream_order(&self) -> impl DoubleEndedIterator<Item = &Stage> {
        self.upstream_order.iter().map(|&index| &self.stages[index])
    }

    /// The stages that subscribe to `producer`, in the order of the file, with their subscription.
    pub fn consumers_of<'p>(&'p self, producer: &'p StageName) -> impl Iterator<Item = (&'p Stage, &'p Subscription)> {
        let to_it = move |stage: &'p Stage| stage.subscribe.iter().find(|subscription| subscription.to == *producer);
        self.stages.iter().filter_map(move |stage| Some((stage, to_it(stage)?)))
    }
}

/// One stage and its settings. What each means, and its default, stands in the table above.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Its name, unique in the pipeline.
    pub name: StageName,
    /// Where its code is.
    pub plugin: PluginRef,
    /// Whether a new plugin of its name takes its place by itself. Only with a name without digest.
    pub follow: bool,
    /// What its plugin may use besides clocks, random numbers and printing.
    pub grants: Grants,
    /// How many owners it has.
    pub scope: Scope,
    /// What a node must have for the stage to run on it; empty: any node will do.
    pub labels: Vec<String>,
    /// What its plugin is told at `init`: a JSON object, keys sorted.
    pub config: String,
    /// Whom it asks for events; each producer at most once, never itself.
    pub subscribe: Vec<Subscription>,
    /// Who gets which of its events.
    pub dispatcher: DispatcherOptions,
    /// How its events are gathered for its plugin's calls. `None`: as they come.
    pub batch: Option<Gathering>,
    /// How many events it handles in a time, in each instance. `None`: as many as it can.
    pub rate_limit: Option<RateLimit>,
    /// How many instances of its plugin run on each node that it runs on.
    pub concurrency: Concurrency,
    /// Where events wait that nobody asked for.
    pub buffer: Buffer,
    /// What happens when it ends.
    pub restart: RestartPolicy,
    /// What one instance may use.
    pub limits: Limits,
    /// How long to wait before a producer that returned fewer events than asked is asked for the
    /// rest. `None`: never, as in GenStage.
    pub poll: Option<Duration>,
    /// How often its plugin acts by the clock. `None`: never; a plugin without `timer` cannot.
    pub tick: Option<Duration>,
    /// Whether demand reaches it from the start.
    pub demand: DemandMode,
    /// When it acknowledges what it made other events of.
    pub ack: Ack,
    /// How often its state is put on record, if it has one. `None`: never.
    pub checkpoint: Option<Duration>,
    /// What happens to events that it could not process.
    pub retry: RetryPolicy,
    /// When an instance gives way to a fresh one for the memory it takes.
    pub recycle: Recycle,
}

/// Where a stage's code is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PluginRef {
    /// A component file; a relative path counts from the pipeline file's directory.
    File(PathBuf),
    /// A plugin in the cluster's store.
    Name {
        /// The name it was given there.
        name: PluginName,
        /// Which of all that ever had the name; `None`: the one that has it when the pipeline is deployed.
        digest: Option<Digest>,
    },
    /// A stage that is part of the host, by its name.
    Builtin(String),
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Name { name, digest: None } => write!(f, "{name}"),
            Self::Name { name, digest: Some(digest) } => write!(f, "{name}@{digest}"),
            Self::Builtin(name) => write!(f, "builtin:{name}"),
        }
    }
}

/// How many owners a stage has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Scope {
    /// One in the cluster, or in each island of it.
    Global,
    /// One on every node.
    #[default]
    Node,
}

/// That a stage asks another for events.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscription {
    /// The stage that produces.
    pub to: StageName,
    /// How much is asked for.
    pub demand: Demand,
    /// What the end of the subscription means for the consumer.
    pub cancel: CancelMode,
    /// What happens when the consumer cannot keep up.
    pub when_full: WhenFull,
    /// Who asks for more.
    pub ask: AskMode,
    /// What is wanted of the producer: it fits its dispatcher.
    pub select: Selection,
}

/// Where events wait that nobody asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Buffer {
    /// Unit: events. `None`: the file does not say; then it depends on the role, which only the
    /// plugin tells: a producer's is [`crate::producer::BufferOptions::SIZE_DEFAULT`], a
    /// producer-consumer's has no limit in count, because what it holds is bounded by what it asked for upstream.
    pub size: Option<u64>,
    /// Which events stay when it is full.
    pub keep: Keep,
}

/// What one instance of a stage may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Linear memory, in bytes, all memories together. Default 64 MiB.
    pub memory_bytes: u64,
    /// Wall time of one guest call, `init` included. Default 5 s.
    pub call_time: Duration,
    /// Elements of all tables. Default 100,000.
    pub table_elements: u32,
    /// Log lines a second, in the mean. Default 1,000.
    pub log_lines_per_second: u32,
    /// What one emitted batch may be.
    pub batch: BatchLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            call_time: Duration::from_secs(5),
            table_elements: 100_000,
            log_lines_per_second: 1_000,
            batch: BatchLimits::default(),
        }
    }
}

#[cfg(test)]
mod tests;
