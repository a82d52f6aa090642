//! Taking events from outside for a stage: which stage is meant, whether it may, and putting them into its inbox.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use forebay_proto::{
    ids::NodeName,
    names::GlobalName,
    orders::{InForce, Ordered},
    pipeline::{Scope, Stage},
    wire::Agreement,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    Desk,
    events::{self, IngestEvent},
};
use crate::{
    inbox::{Inboxes, IngestError},
    node::{core::Core, pipelines::RunningPipeline},
    registry::Registry,
    runtime::Role,
};

/// Events for a stage.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ingest {
    /// `PIPELINE/STAGE`, or `STAGE` where only one pipeline has such a stage.
    pub stage: String,
    /// Who sends them: up to 32 hexadecimal digits, random, chosen once by each client.
    pub client: String,
    /// The client's number of this request, rising. The same number is taken once.
    pub request: u64,
    /// At least one, and 1 MiB at most in all.
    pub events: Vec<IngestEvent>,
}

/// The events will not be lost any more.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ingested {
    /// The position of the first in the stage's inbox.
    pub first: u64,
    /// How many they are.
    pub count: u64,
}

/// The events were not taken, or not surely.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NotIngested {
    /// `full`: nothing was taken, and later there may be room. `unavailable`: nothing was taken, and later there may
    /// be an owner. `refused`: nothing was taken, and nothing will be. `unknown`, `io`: they may have been taken;
    /// sending the same request again tells.
    pub kind: String,
    /// The reason, for people.
    pub why: String,
}

impl NotIngested {
    fn new(kind: &str, why: impl ToString) -> Self {
        Self { kind: kind.to_owned(), why: why.to_string() }
    }
}

impl From<IngestError> for NotIngested {
    fn from(error: IngestError) -> Self {
        match &error {
            IngestError::Full(full) => Self::new("full", full),
            IngestError::Refused(why) => Self::new("refused", why),
            IngestError::Unknown(_) => Self::new("unknown", error),
            IngestError::Io { source, .. } => Self::new("io", format!("{error}: {source}")),
        }
    }
}

/// What can be given to which stages: events, with their inboxes, and requests. Does not keep the node up.
#[derive(Clone, Debug)]
pub(in crate::node) struct Doors {
    node: NodeName,
    stages: watch::Receiver<DoorTable>,
    inboxes: Weak<Inboxes>,
}

/// What can be given to which stages.
pub(in crate::node) type DoorTable = BTreeMap<GlobalName, Door>;

#[derive(Clone, Copy, Debug)]
pub(in crate::node) struct Door {
    pub(super) scope: Scope,
    /// Its plugin exports `ingest`.
    takes_events: bool,
    /// Its plugin exports `call`.
    pub(super) answers: bool,
    /// Its labels are those of this node.
    pub(super) runs_here: bool,
    pub(super) role: Role,
    /// What its file says of what people can change.
    pub(super) file: InForce,
    /// Why it cannot have several instances, if it cannot.
    pub(super) only_one: Option<&'static str>,
}

/// What can be given to the stages of these.
pub(in crate::node) fn door_table(pipelines: &[RunningPipeline]) -> DoorTable {
    let of = |pipeline: &RunningPipeline| {
        let door = |stage: &Stage| {
            let role = pipeline.role(&stage.name)?;
            let file = Ordered::default().in_force(stage);
            let takes_events = pipeline.takes_events(&stage.name);
            let runs_here = pipeline.stages.contains_key(&stage.name);
            let answers = pipeline.answers(&stage.name);
            let only_one = pipeline.only_one(&stage.name);
            let door = Door { scope: stage.scope, takes_events, answers, runs_here, role, file, only_one };
            Some((pipeline.key(&stage.name), door))
        };
        pipeline.in_order().filter_map(door).collect::<Vec<_>>()
    };
    pipelines.iter().flat_map(of).collect()
}

impl Core {
    pub(in crate::node) fn doors(&self) -> Doors {
        Doors { node: self.name.clone(), stages: self.doors.subscribe(), inboxes: Arc::downgrade(&self.durable) }
    }

    /// After the stages have changed.
    pub(in crate::node) fn open_doors(&mut self) {
        self.doors.send_replace(door_table(&self.pipelines));
    }
}

impl Doors {
    /// The stage that is meant.
    pub(super) fn find(&self, stage: &str) -> Result<(GlobalName, Door), String> {
        let stages = self.stages.borrow();
        let is_it = |name: &GlobalName| name.stage.as_str() == stage || name.to_string() == stage;
        let mut found = stages.iter().filter(|(name, _)| is_it(name));
        match (found.next(), found.next()) {
            (Some((name, door)), None) => Ok((name.clone(), *door)),
            (Some((one, _)), Some((other, _))) => {
                Err(format!("`{stage}` may be {one} or {other}; give the pipeline too"))
            }
            (None, _) => {
                let known: Vec<_> = stages.keys().map(GlobalName::to_string).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(format!("{} knows no stage `{}`; its stages are: {known}", self.node, stage.escape_debug()))
            }
        }
    }

    /// Whether events for it may be given to this node.
    fn may_enter(&self, name: &GlobalName, door: &Door, registry: &dyn Registry) -> Result<(), NotIngested> {
        let refused = |why: String| Err(NotIngested::new("refused", why));
        if !door.takes_events {
            return refused(format!("{name} takes no events: its plugin does not export `ingest`"));
        }
        if door.scope == Scope::Node && !door.runs_here {
            return refused(format!(
                "{name} does not run on {}, which lacks its labels; ask a node that has them",
                self.node
            ));
        }
        if door.scope == Scope::Node || registry.agreement() == Agreement::Quorum {
            return Ok(());
        }
        match registry.lookup(name) {
            Some(claim) if claim.node == self.node => Ok(()),
            Some(claim) => refused(format!(
                "{name} is owned by {}, and with `agreement = \"islands\"` only its owner takes events; ask {}",
                claim.node, claim.node
            )),
            None => Err(NotIngested::new("unavailable", format!("nobody owns {name} just now; send again"))),
        }
    }
}

impl Desk {
    /// # Errors
    /// [`NotIngested`].
    pub(crate) async fn ingest(&self, ingest: Ingest) -> Result<Ingested, NotIngested> {
        let refused = |why: String| NotIngested::new("refused", why);
        let ended = |_| NotIngested::new("unknown", "the node has ended");
        let client = parse_client(&ingest.client).map_err(refused)?;
        let (name, door) = self.doors.find(&ingest.stage).map_err(refused)?;
        self.doors.may_enter(&name, &door, &*self.registry().map_err(ended)?)?;
        let events = events::batch(&ingest.events).map_err(refused)?;
        let inboxes = self.doors.inboxes.upgrade().ok_or(()).map_err(|()| ended(String::new()))?;
        let count = events.len() as u64;
        let first = inboxes.of(&name, door.scope).ingest(client, ingest.request, events).await?;
        Ok(Ingested { first, count })
    }
}

fn parse_client(text: &str) -> Result<u128, String> {
    let is_hex = !text.is_empty() && text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parsed = is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten();
    parsed.ok_or_else(|| {
        format!("`client` is {:?}; expected 1 to 32 hexadecimal digits", text.chars().take(64).collect::<String>())
    })
}
