//! Cases of a pipeline: what goes in, what must come out, and what goes wrong in between. `forebay test PIPELINE`.
//!
//! ```text
//! cases file --> file    --> Case --> run: nodes of one process in virtual time, from a seed
//!                                      each plugin is watched: what it is given and emits is noted,
//!                                      and it is slow, fails or loses its node when a fault is due
//!                                 --> judge: what was noted against what was expected --> Outcome
//! ```
//!
//! What is real: the nodes, the agreement between them, the plugins in wasmtime with their limits. What is not: time,
//! which is tokio's paused clock and jumps whenever every task waits; the network, which is
//! [`memory`](crate::transport::memory); disks, which are in memory; and the clocks and the chance of guests.
//!
//! A seed gives the same run: elections, how long calls take, how many events a fed source gives at a time, and what
//! guests take for random come from it. One thing does not: who of several that wait for the same `watch` of tokio's goes
//! on first at one and the same time. Nothing on a node's path uses this module.

mod book;
mod event;
mod file;
mod judge;
mod run;
mod uninterrupted;
mod watched;
mod world;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use forebay_proto::ids::StageName;

pub use event::{Pattern, Payload, Seen, TimedEvent};
pub use file::{CasesError, Roles, read};
pub use run::{Outcome, RunError, Subject, run};

/// Where the cases of a pipeline file are: `x.toml` has them in `x.test.toml`.
pub fn cases_path(pipeline: &std::path::Path) -> PathBuf {
    pipeline.with_extension("test.toml")
}

/// One run of a pipeline, and what is to come of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Each has another one.
    pub name: String,
    /// How many nodes run it.
    pub nodes: u8,
    /// When it is over.
    pub end: End,
    /// What producers emit.
    pub inputs: BTreeMap<StageName, Input>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// What must come of it.
    pub expects: Vec<Expect>,
}

/// When a run is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// After so long, whatever happens then.
    After(Duration),
    /// When all inputs are in and nothing has happened for a while.
    Quiet {
        /// So long.
        quiet: Duration,
        /// One that is not quiet by then fails.
        limit: Duration,
    },
}

/// What a producer emits.
#[derive(Clone, Debug)]
pub enum Input {
    /// These events, in the place of what its plugin would emit.
    Events(Vec<TimedEvent>),
    /// What its plugin emits, until it is so many.
    Count(u64),
    /// These events are pushed into it from outside.
    Ingest(Vec<TimedEvent>),
}

/// Something that goes wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// The stage that is hit, or on whose node it happens.
    pub stage: StageName,
    /// When.
    pub when: When,
}

/// The moment of a fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum When {
    /// In the call in which its stage has processed so many events, of a producer: emitted.
    After(u64),
    /// So long after the start.
    At(Duration),
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FaultKind {
    /// The stage takes longer.
    Slow {
        /// So much for each event.
        per_event: Duration,
        /// For how long; `None`: to the end.
        lasts: Option<Duration>,
    },
    /// The stage's instance is lost in a call, with what the call has done.
    Crash,
    /// What the stage answers is lost: it is given the same once more.
    Redeliver,
    /// The node is killed, which says nothing to anybody.
    CrashNode {
        /// After how long it starts again; `None`: never.
        back: Option<Duration>,
    },
    /// The node ends in good order.
    DrainNode {
        /// After how long it starts again; `None`: never.
        back: Option<Duration>,
    },
    /// The node reaches no other, and none reaches it.
    CutNode {
        /// For how long.
        lasts: Duration,
    },
}

impl FaultKind {
    /// Its name in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slow { .. } => "slow",
            Self::Crash => "crash",
            Self::Redeliver => "redeliver",
            Self::CrashNode { .. } => "crash-node",
            Self::DrainNode { .. } => "drain-node",
            Self::CutNode { .. } => "cut-node",
        }
    }

    /// Whether events may come more than once after it.
    pub fn makes_repeats(self) -> bool {
        !matches!(self, Self::Slow { .. } | Self::DrainNode { .. })
    }

    fn is_of_node(self) -> bool {
        matches!(self, Self::CrashNode { .. } | Self::DrainNode { .. } | Self::CutNode { .. })
    }
}

/// What must come of a run at one stage.
#[derive(Clone, Debug)]
pub struct Expect {
    /// The stage.
    pub stage: StageName,
    /// What of it.
    pub side: Side,
    /// Which events.
    pub what: Wanted,
    /// Whether each may come more than once.
    pub repeats: bool,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Side {
    /// What the stage is given.
    Given,
    /// What it emits.
    Emitted,
    /// What it could not process for good.
    DeadLetters,
}

/// Which events are expected.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// So many.
    Count(u64),
    /// These.
    Events(Vec<Pattern>, Order),
}

/// In which order events are expected.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// As they stand in the file.
    #[default]
    Exact,
    /// In any.
    Any,
    /// Those with the same key as they stand in the file.
    ByKey,
}
