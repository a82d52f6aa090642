//! The seam to what runs a stage's logic.
//!
//! `wasm` runs components in wasmtime; `native` runs closures, for built-in sources and for tests.
//! Both pass the suite in `tests/all/runtime.rs`. Nothing above this module knows wasmtime.
//!
//! An instance takes one call at a time. After a [`CallError::Trap`] it is finished: drop it and
//! start another.

pub mod native;
pub mod wasm;

mod asks;
mod check;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_proto::{
    batch::Batch,
    ids::{Epoch, NodeName, PipelineName, StageName},
    message::SeqRun,
};

pub use asks::Asks;
/// What a stage may use and what it does are settings and decisions of the core.
pub use forebay_proto::{
    pipeline::{Grants, Limits},
    stage::Role,
};

/// What an instance is told at its start, and where its words go.
#[derive(Clone, Debug)]
pub struct InstanceSpec {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The stage.
    pub stage: StageName,
    /// The node.
    pub node: NodeName,
    /// Which instance of the stage on this node.
    pub instance: u32,
    /// The stage's config as JSON.
    pub config: String,
    /// What it may use.
    pub limits: Limits,
    /// What a former instance gave as its state; only for a plugin that [`Plugin::has_checkpoint`].
    pub restore: Option<Bytes>,
    /// Which sources it asks itself, and what it asks them for.
    pub asks: Asks,
    /// Where its log lines and its standard output go.
    pub output: Arc<dyn GuestOutput>,
}

/// How much a guest's line matters. `Stdout` and `Stderr` are lines it printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LineKind {
    /// Printed to standard output.
    Stdout,
    /// Printed to standard error.
    Stderr,
    /// Logged through the host.
    Log(tracing::Level),
}

/// The longest snapshot. Unit: bytes. Every member of the group keeps the latest of each stage, so this is
/// for positions and counters; a state of another size belongs into a database.
pub const SNAPSHOT_BYTES_MAX: usize = 1 << 20;

/// The longest request of `handle_call`, and the longest answer. Unit: bytes.
pub const CALL_BYTES_MAX: usize = forebay_proto::calls::BYTES_MAX;

/// Takes what guests say. Called from within guest calls, so it must not block for long.
pub trait GuestOutput: Send + Sync + fmt::Debug {
    /// One line, without its end; already cut to 8 KiB, with control characters escaped.
    fn line(&self, stage: &StageName, kind: LineKind, line: &str);

    /// `count` lines were dropped because the stage went over its rate.
    fn dropped(&self, stage: &StageName, count: u64);
}

/// Events for a consuming guest.
#[derive(Clone, Debug)]
pub struct GuestDelivery {
    /// The stage that emitted them.
    pub source: StageName,
    /// Its epoch.
    pub epoch: Epoch,
    /// 1 the first time.
    pub attempt: u32,
    /// The numbers of the events.
    pub runs: Vec<SeqRun>,
    /// The events.
    pub events: Batch,
}

/// What came of `handle_demand`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Produced {
    /// The events; at most as many as were asked for.
    pub events: Batch,
    /// Whether these are the last: the source has come to its end, and asking again gives nothing.
    /// Only built-in stages can say so; a wasm guest never does.
    pub finished: bool,
}

impl From<Batch> for Produced {
    fn from(events: Batch) -> Self {
        Self { events, finished: false }
    }
}

/// One event the guest could not process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejection {
    /// Its index in the delivered batch; checked to be inside it.
    pub index: u32,
    /// Whether a later attempt may succeed.
    pub retry: bool,
    /// Why.
    pub reason: String,
}

/// What came of `handle_events`.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Events to pass on; empty from a consumer.
    pub events: Batch,
    /// Delivered events that could not be processed.
    pub rejections: Vec<Rejection>,
}

/// The guest said no. The instance is whole.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StageError {
    /// Call again later.
    #[error("the stage asks for another try: {0}")]
    Retry(String),
    /// The stage cannot go on.
    #[error("the stage gave up: {0}")]
    Fatal(String),
    /// From `handle_call` alone: whoever asked is told, and the stage goes on as before.
    #[error("the stage refused the request: {0}")]
    Refused(String),
}

/// The guest is finished: it trapped, ran out of time, or broke the contract.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Trap {
    /// The call took too long.
    #[error("{call} took longer than {limit:?}; raise `limits.call_time` or do less in one call")]
    TimedOut {
        /// Which call.
        call: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// More memory than allowed was wanted.
    #[error("{call} trapped after memory was refused at {limit_bytes} bytes; raise `limits.memory`: {message}")]
    OutOfMemory {
        /// Which call.
        call: &'static str,
        /// The limit.
        limit_bytes: u64,
        /// The trap itself.
        message: String,
    },
    /// The guest's code trapped: a panic, an unreachable, a bad access.
    #[error("{call} trapped: {message}")]
    Guest {
        /// Which call.
        call: &'static str,
        /// The trap, with the guest's backtrace.
        message: String,
    },
    /// What came back does not keep the contract; nothing of it was taken.
    #[error("{call} broke the contract: {message}")]
    Contract {
        /// Which call.
        call: &'static str,
        /// What was returned and what is allowed.
        message: String,
    },
    /// The call was not made: an earlier one had ended the instance.
    #[error("{call} was not made: an earlier call had ended this instance; start another")]
    Finished {
        /// Which call.
        call: &'static str,
    },
}

/// A call did not succeed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CallError {
    /// The guest said no; it can be called again.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The instance must be dropped.
    #[error(transparent)]
    Trap(#[from] Trap),
}

/// An instance could not be started.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StartError {
    /// The component could not be instantiated: too much memory wanted at once, a trap in a start
    /// function.
    #[error("plugin `{plugin}` could not be instantiated: {message}")]
    Instantiate {
        /// The plugin's path or name.
        plugin: String,
        /// What wasmtime said.
        message: String,
    },
    /// What the plugin is granted is not there on this node.
    #[error("stage `{stage}` cannot be given its `grants` here: {message}")]
    Grants {
        /// The stage.
        stage: StageName,
        /// What is missing.
        message: String,
    },
    /// `init` returned an error.
    #[error("`init` of stage `{stage}` failed: {message}")]
    Init {
        /// The stage.
        stage: StageName,
        /// The guest's words.
        message: String,
    },
    /// `restore` returned an error. The stage does not start over with an empty state instead: that would
    /// lose what the state stands for without a word.
    #[error("`restore` of stage `{stage}` refused the snapshot of {bytes} bytes: {message}")]
    Restore {
        /// The stage.
        stage: StageName,
        /// How long the snapshot is.
        bytes: usize,
        /// The guest's words.
        message: String,
    },
    /// `init` or `restore` trapped.
    #[error(transparent)]
    Trap(#[from] Trap),
}

/// A plugin could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read plugin {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a plugin; the text says what it is and what to do.
    #[error("{path} is not a plugin: {found}")]
    NotAPlugin {
        /// Which file.
        path: PathBuf,
        /// What was found, what was expected, and what to do.
        found: String,
    },
    /// The file is a plugin, but not for this host; the text says why and what to do.
    #[error("plugin {path} cannot run here: {reason}")]
    Refused {
        /// Which file.
        path: PathBuf,
        /// What it needs, what there is, and what to do.
        reason: String,
    },
    /// No built-in stage has this name.
    #[error("no built-in stage `{found}`; expected one of {expected}")]
    UnknownBuiltin {
        /// The name given.
        found: String,
        /// The names there are.
        expected: String,
    },
}

/// A running stage's logic.
///
/// One call at a time. A call's future must be driven to its end: dropping it finishes the instance.
/// After a [`CallError::Trap`] every further call is [`Trap::Finished`] and reaches no guest. Texts
/// of a guest (errors, reasons) come with control characters escaped and cut to 8 KiB.
///
/// A call that does not go with the plugin's [`Role`] is [`Trap::Contract`].
#[async_trait]
pub trait Instance: Send + fmt::Debug {
    /// Asks a producer for up to `demand` events; `demand` is at least 1. More than that is
    /// [`Trap::Contract`], and none of them is taken.
    ///
    /// # Errors
    /// [`CallError`].
    ///
    /// # Cancel safety
    /// Not: see [`Instance`]. So with every call.
    async fn handle_demand(&mut self, demand: u32) -> Result<Produced, CallError>;

    /// Hands events to a consumer or producer-consumer.
    ///
    /// # Errors
    /// [`CallError`]. Indexes of rejections are inside the batch, each at most once.
    async fn handle_events(&mut self, delivery: GuestDelivery) -> Result<Output, CallError>;

    /// The whole state after the last call, to be handed to another instance at its start; at most
    /// [`SNAPSHOT_BYTES_MAX`]. Only of a plugin that [`Plugin::has_checkpoint`].
    ///
    /// # Errors
    /// [`CallError`]; the guest's own words, and that it is too long, come as [`StageError::Retry`], since the
    /// former snapshot stands.
    async fn snapshot(&mut self) -> Result<Bytes, CallError> {
        Err(check::not_exported("snapshot", "checkpoint").into())
    }

    /// Hands over events from outside; what comes back is emitted in their place. Only of a producer that
    /// [`Plugin::has_ingest`].
    ///
    /// # Errors
    /// [`CallError`].
    async fn handle_ingest(&mut self, _events: Batch) -> Result<Batch, CallError> {
        Err(check::not_exported("handle-ingest", "ingest").into())
    }

    /// Lets a guest act by the clock. What comes back is emitted, whether or not anybody asked for it; of a consumer,
    /// any event is [`Trap::Contract`]. Only of a plugin that [`Plugin::has_timer`].
    ///
    /// # Errors
    /// [`CallError`].
    async fn handle_tick(&mut self) -> Result<Batch, CallError> {
        Err(check::not_exported("handle-tick", "timer").into())
    }

    /// Asks a question; request and answer have at most [`CALL_BYTES_MAX`] each. Only of a plugin that
    /// [`Plugin::has_call`].
    ///
    /// # Errors
    /// [`CallError`]; the guest's own words come as [`StageError::Refused`]. So does a request that is too long,
    /// which reaches no guest, and an answer that is.
    async fn handle_call(&mut self, _request: Bytes) -> Result<Bytes, CallError> {
        Err(check::not_exported("handle-call", "call").into())
    }

    /// What the guest asked its sources for since this was called last, by source. What a call asked for that has failed
    /// does not count: the caller lets go of it. Nothing of an instance that is finished, nor of a plugin that does not
    /// [`Plugin::can_ask`].
    fn take_asked(&mut self) -> Vec<(StageName, u32)> {
        Vec::new()
    }

    /// Whether a call gives way to others after a few milliseconds, whatever the guest does, so that it may be made where
    /// others wait. Native code may block its thread for as long as it likes.
    fn gives_way(&self) -> bool {
        false
    }

    /// What it takes of [`Limits::memory_bytes`] now. It is 0 of one that is finished, and of built-in stages, which are
    /// part of the host.
    fn memory_bytes(&self) -> u64 {
        0
    }

    /// Tells the guest that it ends, if it wants to know. The last call.
    ///
    /// # Errors
    /// [`CallError::Trap`].
    async fn terminate(&mut self, reason: &str) -> Result<(), CallError>;
}

/// Code that was loaded and checked, ready to be started any number of times.
#[async_trait]
pub trait Plugin: Send + Sync + fmt::Debug {
    /// What it is.
    fn role(&self) -> Role;

    /// `sha256:` and 64 hexadecimal digits; `builtin:NAME` for built-in stages.
    fn digest(&self) -> &str;

    /// Whether `handle_demand` waits until there is an event, rather than giving none. Such a producer
    /// is asked again at once for what it left open; any other after the stage's `poll`.
    fn waits_for_events(&self) -> bool {
        false
    }

    /// Which interfaces it imports beyond those that every plugin is given, by full name. They say what it may
    /// try at most: all of them need a grant.
    fn imports_granted(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether its state can move to another instance: it has `snapshot` and `restore`.
    fn has_checkpoint(&self) -> bool {
        false
    }

    /// Whether events can be pushed into it from outside.
    fn has_ingest(&self) -> bool {
        false
    }

    /// Whether it acts by the clock.
    fn has_timer(&self) -> bool {
        false
    }

    /// Whether it answers questions.
    fn has_call(&self) -> bool {
        false
    }

    /// Whether it may ask its sources itself. One that does not is given nothing by a subscription with
    /// `ask = "manual"`.
    fn can_ask(&self) -> bool {
        false
    }

    /// Starts an instance, calls its `init`, and `restore` if there is something to restore.
    ///
    /// # Errors
    /// [`StartError`].
    async fn start(&self, spec: InstanceSpec) -> Result<Box<dyn Instance>, StartError>;
}
