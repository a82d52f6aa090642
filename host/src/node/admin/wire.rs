//! Questions to a node and its answers: one JSON object a line, each with the version of this language.
//!
//! ```json
//! {"version":1,"request":{"drain":{"node":"n1","drain":true}}}
//! {"version":1,"answer":"done"}
//! ```
//!
//! Spoken only between a node and the `forebay` command of the same installation. What `--output json`
//! prints are the objects within.

mod deploy;
mod letters;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Call, Called, Holds, Ingest, Ingested, NotIngested, Order, StageHolds, Tap, Tapped};
pub use deploy::{
    AboutDeploy, DeployAsked, Deploying, Deployment, NodeProgress, Offered, Plan, PlannedStage, PluginFile, Revision,
    Rollout,
};
pub use letters::{
    AboutLetters, Letter, LetterPart, LettersAsked, LettersKept, LettersPage, LettersQuestion, Outcome, OutcomeOf,
};

/// The version of this language.
pub const VERSION: u16 = 1;

/// A question, as a line.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Asked {
    /// [`VERSION`] of who asks.
    pub version: u16,
    /// What is asked.
    pub request: Request,
}

/// What a node is asked for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// The node and its group.
    Status,
    /// Who owns what, and owned it.
    Owners,
    /// Have it agreed on that a node shall own nothing, or may again.
    Drain {
        /// Which.
        node: String,
        /// Whether it drains.
        drain: bool,
    },
    /// Something about dead letters.
    DeadLetters(LettersAsked),
    /// Have it agreed on that a node is a member no more.
    Remove {
        /// Which.
        node: String,
        /// Say only whether it may be.
        #[serde(default)]
        only_check: bool,
    },
    /// Put events into a stage's inbox.
    Ingest(Ingest),
    /// Ask a stage something.
    Call(Call),
    /// Change how a stage runs, or ask how.
    OrderStage(Order),
    /// What a stage is given and answers.
    Tap(Tap),
    /// Something about pipelines that are deployed.
    Deploy(DeployAsked),
}

/// An answer, as a line.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Answered {
    /// [`VERSION`] of the node.
    pub version: u16,
    /// Its answer.
    pub answer: Answer,
}

/// What a node answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To `Status`.
    Status(Box<Status>),
    /// To `Owners`.
    Owners(Vec<Name>),
    /// To `Deploy`.
    Deploy(AboutDeploy),
    /// To `DeadLetters`.
    DeadLetters(AboutLetters),
    /// It is agreed on.
    Done,
    /// To `Call`.
    Called(Called),
    /// To `OrderStage`.
    Stage(Box<StageHolds>),
    /// To `Tap`.
    Tapped(Tapped),
    /// To `Ingest`: the events will not be lost any more.
    Ingested(Ingested),
    /// To `Ingest`: they were not taken, or not surely.
    NotIngested(NotIngested),
    /// It was refused, or could not be done, with the reason.
    Error(String),
}

/// A node, and what it knows of others. Times are in milliseconds since 1970.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Status {
    /// Its name.
    pub node: String,
    /// The version of its program.
    pub program: String,
    /// This start of it, as a hexadecimal number.
    pub boot: String,
    /// The UDP address it listens on.
    pub address: String,
    /// How long it has run. Unit: milliseconds.
    pub up_ms: u64,
    /// How it agrees with others: `quorum` or `islands`.
    pub agreement: String,
    /// The group, in quorum mode.
    pub group: Option<Group>,
    /// Nodes that are connected to it.
    pub peers: Vec<Peer>,
    /// Global stages it knows of.
    pub names: Vec<Owned>,
    /// Stages that may run on it.
    pub stages: Vec<Stage>,
    /// How many events it keeps that could not be processed.
    pub dead_letters: LettersKept,
    /// What it refused or lost since it started, by kind.
    pub counts: BTreeMap<String, u64>,
}

/// A group as one of its members sees it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Group {
    /// Its number in hexadecimal; none before the node belongs to one.
    pub id: Option<String>,
    /// What a node without a group waits for, or why it takes part no more.
    pub waits_for: Option<String>,
    /// Who leads, as far as the node knows.
    pub leader: Option<String>,
    /// The term of the consensus protocol.
    pub term: u64,
    /// The last entry of the log that the node knows: the rest is as of then.
    pub applied: u64,
    /// How often a quorum was given up for good.
    pub generation: u16,
    /// Whether the node can reach the group, so that its global stages go on.
    pub quorum: bool,
    /// Since when that is so.
    pub quorum_since_ms: u64,
    /// All members.
    pub members: Vec<Member>,
    /// Members that were removed and are still being let go, by number.
    pub leaving: Vec<u64>,
    /// Whether a majority of the voters is connected.
    pub has_majority: bool,
    /// Nodes whose loss, one of them alone, stops new claims.
    pub critical: Vec<String>,
}

/// A member of a group.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Member {
    /// Its name.
    pub node: String,
    /// Its number.
    pub member: u64,
    /// Whether it votes.
    pub votes: bool,
    /// Whether it is connected, or the node itself.
    pub connected: bool,
    /// Whether it shall own nothing.
    pub draining: bool,
    /// Where it is reached, as far as anybody has said.
    pub address: Option<String>,
    /// The pipelines it runs.
    pub pipelines: Vec<String>,
}

/// A node that is connected.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Peer {
    /// Its name.
    pub node: String,
    /// Where it wants to be reached.
    pub address: String,
}

/// A global stage and its owner.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Owned {
    /// `PIPELINE/STAGE`.
    pub name: String,
    /// Who owns it, if anybody.
    pub owner: Option<String>,
    /// In which epoch.
    pub epoch: Option<String>,
    /// Since when.
    pub since_ms: Option<u64>,
}

/// A stage on the node.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Stage {
    /// `PIPELINE/STAGE`.
    pub name: String,
    /// Whether it has one owner in the cluster.
    pub global: bool,
    /// `running`, `draining`, `restarting`, or `idle`: it runs elsewhere, or gave up.
    pub state: String,
    /// Of the run, if it runs.
    pub epoch: Option<String>,
    /// What holds of it that people can change.
    #[serde(flatten)]
    pub holds: Holds,
    /// What it has in hand, if it runs.
    #[serde(flatten)]
    pub in_hand: Option<InHand>,
}

/// Events and messages that a stage has.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct InHand {
    /// Events that nobody has asked for yet, those to be delivered again included.
    pub buffered: u64,
    /// Events sent and not acknowledged.
    pub unacked: u64,
    /// Messages with events received and not begun.
    pub queued: u64,
    /// Instances of its plugin that its events are divided among.
    pub running_instances: u64,
    /// Since it began to run: events that its plugin made or was given.
    pub handled: u64,
    /// Those of them that it could not process.
    pub rejected: u64,
    /// Calls with these events.
    pub calls: u64,
    /// How long those took in all. Unit: microseconds.
    pub busy_us: u64,
}

/// A global stage with all its owners.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Name {
    /// Who owns it now.
    #[serde(flatten)]
    pub now: Owned,
    /// Former owners and the present one, oldest first; empty in islands mode, which keeps none.
    pub history: Vec<Term>,
}

/// One time of ownership.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Term {
    /// Who owned.
    pub node: String,
    /// In which epoch.
    pub epoch: String,
    /// From when.
    pub from_ms: u64,
    /// To when; none while it lasts.
    pub to_ms: Option<u64>,
    /// Why it ended.
    pub why: Option<String>,
}
