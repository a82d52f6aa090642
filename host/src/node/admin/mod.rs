//! What operators ask a running node, over a socket in its data directory or over the network.
//!
//! - `wire.rs`: the questions and answers, one JSON object a line.
//! - `socket.rs`: the socket, and where it is.
//! - `serve.rs`: the task that answers.
//! - `channel.rs`: the same questions and answers over the network, from operators elsewhere.
//! - `report.rs`: what the core and the registry say of themselves.
//! - `letters.rs`: dead letters of this node and of others, listed, shown, resent and dropped.
//! - `calls.rs`: requests to stages.
//! - `taps.rs`: the events of stages, for who looks.
//! - `ingest.rs`, `events.rs`: taking events from outside, as they stand in a question.
//! - `deploy.rs`: what is to run.
//! - `orders.rs`: draining and removing nodes.
//! - `stages.rs`: what people order of stages.

mod calls;
pub mod channel;
mod deploy;
mod events;
mod ingest;
mod letters;
mod orders;
mod report;
mod serve;
mod socket;
mod stages;
mod taps;
pub mod wire;

use std::sync::{Arc, Weak};

use forebay_proto::ids::OperatorName;
use tokio::sync::{mpsc, oneshot};

pub use self::{
    calls::{Call, Called},
    deploy::PART_BYTES_MAX,
    events::{IngestEvent, IngestKey},
    ingest::{Ingest, Ingested, NotIngested},
    serve::{AdminSocket, BoundAdmin, INGEST_LINE_BYTES_MAX, LINE_BYTES_MAX, bind},
    socket::{connect, socket_path},
    stages::{Holds, Mode, Order, OrderedBy, Set, Setting, StageHolds},
    taps::{Tap, Tapped},
};
use crate::{
    dlq::{Letter, LetterId},
    node::{
        core::Core,
        directory::Directory,
        letters::{LetterDesk, Resent},
    },
    registry::Registry,
};
pub(super) use deploy::DeployDesk;
pub(crate) use events::batch as batch_of;
use ingest::Doors;
pub(super) use ingest::{DoorTable, door_table};
use report::CoreReport;

/// Questions the core has not taken. When full, who asks waits.
pub(super) const QUESTIONS_LEN: usize = 8;

/// A question to the core.
#[derive(Debug)]
pub(super) enum Question {
    /// What it knows.
    Report(oneshot::Sender<CoreReport>),
    /// Have letters processed once more.
    Resend {
        /// Which.
        letters: Vec<(LetterId, Letter)>,
        /// What became of each.
        answer: oneshot::Sender<Vec<Resent>>,
    },
}

/// Where a node's insides are asked for. Does not keep the node up.
#[derive(Clone, Debug)]
pub struct Desk {
    core: mpsc::Sender<Question>,
    registry: Weak<dyn Registry>,
    letters: LetterDesk,
    doors: Doors,
    deploys: Option<DeployDesk>,
    /// Who asks; `None`: somebody on this machine.
    operator: Option<OperatorName>,
    /// Weak: else it would hold the connections of a node that has ended.
    directory: Weak<Directory>,
}

impl Desk {
    pub(super) fn new(
        questions: mpsc::Sender<Question>,
        letters: LetterDesk,
        deploys: Option<DeployDesk>,
        core: &Core,
    ) -> Self {
        let (registry, directory) = (Arc::downgrade(&core.registry), Arc::downgrade(&core.directory));
        Self { core: questions, registry, letters, doors: core.doors(), deploys, operator: None, directory }
    }

    /// The same for this operator.
    pub(super) fn of_operator(&self, operator: OperatorName) -> Self {
        Self { operator: Some(operator), ..self.clone() }
    }

    /// What only the core knows.
    ///
    /// # Errors
    /// If the node has ended.
    async fn core(&self) -> Result<CoreReport, String> {
        ask_core(&self.core, Question::Report).await
    }

    /// Waits until the node has ended. Cancel safe.
    pub(super) async fn ended(&self) {
        self.core.closed().await;
    }

    fn registry(&self) -> Result<Arc<dyn Registry>, String> {
        self.registry.upgrade().ok_or_else(|| "the node has ended".to_owned())
    }
}

/// Asks the core, and waits for its answer.
///
/// # Errors
/// If the node has ended.
pub(super) async fn ask_core<T>(
    core: &mpsc::Sender<Question>,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> Result<T, String> {
    let (asking, answer) = oneshot::channel();
    let ended = || "the node has ended".to_owned();
    core.send(question(asking)).await.map_err(|_| ended())?;
    answer.await.map_err(|_| ended())
}
