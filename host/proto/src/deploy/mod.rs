//! Which version of each pipeline the cluster is to run, and how it gets from one to the next.
//!
//! A [`Deployment`] stands in the group's ledger, one for each pipeline. Every node reads off it what it is to run
//! ([`Deployment::wanted`]), brings itself there, and reports. The leader conducts: it says when the next step begins
//! ([`next_move`]). Whoever sees a fault reports it, and that alone turns the roll-out back.
//!
//! ```text
//! deploy --> fetch --> step 1 --> step 2 --> ... --> in force
//!              |         |  one node first, then all: each node reports that it runs and does well
//!              |         |
//!              +---------+--- a fault is reported, or somebody is waited for in vain --> as before
//! ```
//!
//! Away nodes are not waited for: they read the ledger when they are back.

mod conduct;
mod deployment;
pub(crate) mod encoding;
mod order;
mod probation;
mod steps;

use std::{collections::BTreeMap, fmt, time::Duration};

pub use conduct::{Patience, next_move};
pub use deployment::{Deployment, NotDeployed, REVISIONS_KEPT, Wanted};
pub use order::{OFFERS_MAX, Offer, Order, check_signature};
pub use probation::{Meter, Probation, Verdict};
pub use steps::{Difference, Version, compose, differences, is_run_like, steps};

use crate::{
    blob::BlobInfo,
    ids::{NodeName, StageName},
};

/// How many stages a deployed pipeline may have.
pub const STAGES_MAX: usize = 256;

/// The longest signature of a plugin, in bytes; those of minisign have about 300.
pub const SIGNATURE_BYTES_MAX: usize = 4096;

/// How many pipelines a group takes.
pub const DEPLOYMENTS_MAX: usize = 256;

/// How long the first node with a new version of a stage is watched before the others follow, unless it is said otherwise.
pub const CANARY_DEFAULT: Duration = Duration::from_secs(5);

/// The code of a stage in one revision.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PluginVersion {
    /// A component.
    Blob {
        /// Which.
        blob: BlobInfo,
        /// Who vouches for it: the text of a minisign signature.
        signature: Option<String>,
    },
    /// Part of the host.
    Builtin(String),
}

impl fmt::Display for PluginVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob { blob, .. } => write!(f, "{}", blob.digest),
            Self::Builtin(name) => write!(f, "builtin:{name}"),
        }
    }
}

/// What is to be deployed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewRevision {
    /// The pipeline file.
    pub text: BlobInfo,
    /// The code of each of its stages.
    pub plugins: BTreeMap<StageName, PluginVersion>,
    /// The node that proposed it.
    pub by: NodeName,
    /// For people: an operator's deploy, a file that was dropped, a roll-back.
    pub why: String,
    /// In which order its stages are brought in, see [`steps()`].
    pub steps: Vec<Step>,
    /// How long the first node with a new version is watched.
    pub canary: Duration,
    /// The revision in force that its steps lead away from.
    pub beside: Option<u64>,
}

/// One version of a pipeline.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Revision {
    /// From 1 on, for each pipeline.
    pub number: u64,
    /// The pipeline file.
    pub text: BlobInfo,
    /// The code of each of its stages.
    pub plugins: BTreeMap<StageName, PluginVersion>,
    /// Unit: milliseconds since 1970.
    pub at_ms: u64,
    /// The node that proposed it.
    pub by: NodeName,
    /// For people.
    pub why: String,
    /// What became of it.
    pub standing: Standing,
}

/// What became of a revision.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It is on its way.
    RollingOut,
    /// All nodes that were there came to run it, at this time.
    RolledOut {
        /// Unit: milliseconds since 1970.
        at_ms: u64,
    },
    /// It was taken back.
    RolledBack {
        /// Unit: milliseconds since 1970.
        at_ms: u64,
        /// The node that saw the fault, and the fault; or the operator's order.
        why: String,
    },
}

/// Stages that are brought in, replaced or taken away together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// What happens to them.
    pub change: Change,
    /// Which.
    pub stages: Vec<StageName>,
}

/// What a step does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// Stages that were not there.
    Start,
    /// Stages whose code or settings are others.
    Replace,
    /// Stages that are there no more.
    Stop,
}

/// A revision on its way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rollout {
    /// Which.
    pub revision: u64,
    /// What each stage was of before, for the way back.
    pub former: BTreeMap<StageName, u64>,
    /// All of it.
    pub steps: Vec<Step>,
    /// 0: nodes fetch and load what is new; n: the step `steps[n - 1]`.
    pub at: u32,
    /// How far that is.
    pub phase: Phase,
    /// What nodes said of this step.
    pub reports: BTreeMap<NodeName, Report>,
    /// How long the first node with a new version is watched.
    pub canary: Duration,
}

/// Who is to take a step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Phase {
    /// The leader has not said yet who is first.
    Pending,
    /// This node alone.
    Canary(NodeName),
    /// All nodes.
    Everywhere,
}

/// What a node says of a step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Report {
    /// It runs the new version, or fetched it, and all is well.
    Well,
    /// There is nothing to do here.
    NotHere,
    /// It does not work, with the reason.
    Failed(String),
}

/// What happens to a roll-out next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Move {
    /// This node is the first to take the step.
    Canary(NodeName),
    /// All take it.
    Everywhere,
    /// The step is done.
    Next,
    /// Back, with the reason.
    Back(String),
}

impl Revision {
    /// All files of it, each once.
    pub fn blobs(&self) -> Vec<BlobInfo> {
        let plugins = self.plugins.values().filter_map(|plugin| match plugin {
            PluginVersion::Blob { blob, .. } => Some(*blob),
            PluginVersion::Builtin(_) => None,
        });
        let mut blobs: Vec<_> = plugins.chain([self.text]).collect();
        blobs.sort_by_key(|blob| blob.digest);
        blobs.dedup();
        blobs
    }
}

impl Rollout {
    /// Whether a node is to take the step now.
    pub fn includes(&self, node: &NodeName) -> bool {
        match &self.phase {
            Phase::Pending => false,
            Phase::Canary(canary) => canary == node,
            Phase::Everywhere => true,
        }
    }

    /// The step that is being taken; `None` while nodes fetch.
    pub fn step(&self) -> Option<&Step> {
        self.steps.get(usize::try_from(self.at).ok()?.checked_sub(1)?)
    }
}
