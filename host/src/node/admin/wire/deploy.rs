//! Questions about what is to run, and orders that change it. What is longer than a line comes in parts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Something about pipelines that are deployed.
///
/// ```json
/// {"deploy":{"pause":{"pipeline":"counter","paused":true}}}
/// ```
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeployAsked {
    /// Which of these blobs this node does not have; at most 600.
    Missing {
        /// `sha256:` and 64 hexadecimal digits each.
        digests: Vec<String>,
    },
    /// A part of a blob. An empty part asks where to go on.
    Upload {
        /// Of the whole.
        digest: String,
        /// Of the whole.
        bytes: u64,
        /// Where the part begins.
        at: u64,
        /// At most 1 MiB, in Base64.
        base64: String,
    },
    /// A part of a blob, the other way.
    Download {
        /// Of the whole.
        digest: String,
        /// Where the part is to begin.
        from: u64,
    },
    /// What would happen if this were deployed.
    Plan(Deploying),
    /// Have it agreed on that this is to run.
    Start {
        /// What.
        deploying: Deploying,
        /// The latest revision that the plan knew of.
        after: u64,
        /// It may ask for more than the version before.
        approve: bool,
    },
    /// Take back what is being rolled out, or go back to a former revision.
    Rollback {
        /// Of which pipeline.
        pipeline: String,
        /// To which revision; none: the one before.
        to: Option<u64>,
        /// How long the first node is watched.
        canary_ms: u64,
    },
    /// Let all stages end in good order, or start again.
    Pause {
        /// Of which pipeline.
        pipeline: String,
        /// Which of the two.
        paused: bool,
    },
    /// Let all stages end in good order, for good.
    Undeploy {
        /// Of which pipeline.
        pipeline: String,
    },
    /// Remove what is kept of stages that do not run any more.
    Forget {
        /// Of which pipeline.
        pipeline: String,
    },
    /// What is to run, and how far it is.
    State {
        /// Of which pipeline; none: of all.
        pipeline: Option<String>,
    },
    /// Plugins that can be used by name.
    Plugins,
}

/// What is to be deployed. Its blobs are on the node that is asked.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Deploying {
    /// Of the pipeline file.
    pub text: String,
    /// Of plugins that are files, by stage.
    pub plugins: BTreeMap<String, PluginFile>,
    /// How long the first node with a new version is watched.
    pub canary_ms: u64,
    /// For the history.
    pub why: String,
}

/// A plugin's file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PluginFile {
    /// Of its bytes.
    pub digest: String,
    /// The text of its minisign signature, if it has one.
    pub signature: Option<String>,
}

/// What a node answers about deployments.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AboutDeploy {
    /// To `Missing`.
    Missing(Vec<String>),
    /// To `Upload`.
    Uploaded {
        /// So many bytes are here.
        held: u64,
    },
    /// To `Download`.
    Part {
        /// Of the whole.
        bytes: u64,
        /// At most 1 MiB, in Base64.
        base64: String,
    },
    /// To `Plan`.
    Plan(Plan),
    /// To `Start` and `Rollback`.
    Started {
        /// It is on its way; none: what was on its way is taken back.
        revision: Option<u64>,
    },
    /// To other orders.
    Done,
    /// To `State`.
    State(Vec<Deployment>),
    /// To `Plugins`.
    Plugins(Vec<Offered>),
}

/// What would happen.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Plan {
    /// Of which pipeline.
    pub pipeline: String,
    /// The latest revision.
    pub after: u64,
    /// The one in force.
    pub current: Option<u64>,
    /// Stages that would change, in the order in which they would; none: nothing would.
    pub stages: Vec<PlannedStage>,
}

/// What would happen to a stage.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PlannedStage {
    /// Its name.
    pub stage: String,
    /// `start`, `replace` or `stop`.
    pub change: String,
    /// Its code, before and then.
    pub code: [Option<String>; 2],
    /// Whether its settings would be others.
    pub settings: bool,
    /// `global` or `node`.
    pub scope: String,
    /// The node that owns it now.
    pub owner: Option<String>,
    /// What it may do that it could not before, or, if it is new, at all.
    pub more: Vec<String>,
}

impl Plan {
    /// Whether a stage that is replaced asks for more than before.
    pub fn asks_for_more(&self) -> bool {
        self.stages.iter().any(|stage| stage.change == "replace" && !stage.more.is_empty())
    }
}

/// What is to run of a pipeline.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Deployment {
    /// Which.
    pub pipeline: String,
    /// The revision in force; none: nothing is to run.
    pub current: Option<u64>,
    /// Whether it stands still by an operator's order.
    pub paused: bool,
    /// Of which revision each stage is.
    pub stages: BTreeMap<String, u64>,
    /// What is on its way.
    pub rollout: Option<Rollout>,
    /// All that are remembered, oldest first.
    pub revisions: Vec<Revision>,
}

/// A revision on its way.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Rollout {
    /// Which.
    pub revision: u64,
    /// How many steps it has, that of fetching included.
    pub steps: u64,
    /// Which it takes, from 0 on.
    pub at: u64,
    /// `fetch`, `start`, `replace` or `stop`.
    pub change: String,
    /// Of which stages.
    pub stages: Vec<String>,
    /// The node that is first, if not all take the step.
    pub canary: Option<String>,
    /// What each node has to say of this step. Nodes that said nothing yet, and are there, stand with `waiting`.
    pub nodes: BTreeMap<String, NodeProgress>,
}

/// How far a node is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NodeProgress {
    /// `waiting`, `compiling`, `well` or `not here`.
    pub said: String,
    /// While it fetches: bytes that it has, and of how many.
    pub fetched: Option<[u64; 2]>,
}

/// One version of a pipeline.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Revision {
    /// From 1 on.
    pub number: u64,
    /// Of the pipeline file.
    pub text: String,
    /// Of the code of each stage: a digest, or `builtin:NAME`.
    pub plugins: BTreeMap<String, String>,
    /// Unit: milliseconds since 1970.
    pub at_ms: u64,
    /// The node that proposed it.
    pub by: String,
    /// For people.
    pub why: String,
    /// `rolling out`, `rolled out` or `rolled back`.
    pub standing: String,
    /// When that came to its end. Unit: milliseconds since 1970.
    pub ended_ms: Option<u64>,
    /// Why it was rolled back.
    pub fault: Option<String>,
}

/// A plugin that can be used by its name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Offered {
    /// Its name.
    pub name: String,
    /// Of its file.
    pub digest: String,
    /// Of its file.
    pub bytes: u64,
    /// Whether a signature came with it.
    pub signed: bool,
    /// The node on which it was found.
    pub node: String,
    /// Unit: milliseconds since 1970.
    pub at_ms: u64,
}
