//! What a stage puts on record besides its work, each in a task of its own: its checkpoints.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use forebay_proto::{
    checkpoints::{Commit, Committed},
    ids::{Epoch, Seq},
    message::Reason,
    names::GlobalName,
    stage::Input,
};
use tokio::task::JoinError;

use super::StageTask;
use crate::{
    node::directory::StageKey,
    registry::{CheckpointError, Registry},
};

/// Where an instance begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start {
    /// With this number.
    pub(crate) seq: Seq,
    /// In this state; `None`: as its plugin begins.
    pub(crate) snapshot: Option<Bytes>,
}

/// Where a stage puts its checkpoints.
#[derive(Clone, Debug)]
pub(crate) enum Records {
    /// With the name that the nodes agree on.
    Name(Arc<dyn Registry>),
    /// In the memory of this node, for another instance on it.
    Node(NodeRecords),
}

/// The last checkpoints of stages that every node has its own of.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeRecords(Arc<Mutex<BTreeMap<StageKey, (Seq, Bytes)>>>);

impl NodeRecords {
    /// Each is put in whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<StageKey, (Seq, Bytes)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records {
    /// Where an instance begins that was granted this name, or is started on this node.
    pub(crate) fn start(&self, name: &GlobalName) -> Start {
        let found = match self {
            // Of islands the number may be known and the state not.
            Self::Name(registry) => {
                let seq = registry.lookup(name).map(|claim| claim.progress).unwrap_or_default();
                let last = registry.last_checkpoint(name).filter(|(at, _)| *at == seq);
                return Start { seq, snapshot: last.map(|(_, snapshot)| snapshot) };
            }
            Self::Node(records) => records.lock().get(name).cloned(),
        };
        found.map_or_else(Start::default, |(seq, snapshot)| Start { seq, snapshot: Some(snapshot) })
    }

    async fn put(&self, name: &GlobalName, epoch: Epoch, commit: &Commit) -> Result<(), CheckpointError> {
        match self {
            Self::Name(registry) => registry.checkpoint(name, epoch, commit).await,
            Self::Node(records) => {
                records.lock().insert(name.clone(), (commit.seq, commit.snapshot.clone()));
                Ok(())
            }
        }
    }
}

impl StageTask {
    /// Begins to put on record what is due. A stage that waits for the group has nothing to say to it.
    pub(super) fn record(&mut self) {
        while let Some((letters, _)) = self.machine.poll_letters() {
            self.handle(Input::Lettered { letters, kept: true });
        }
        if !self.holds() {
            return;
        }
        while let Some(commit) = self.machine.poll_commit(self.started.elapsed()) {
            if let Some(trace) = &self.trace {
                trace.proposes(&commit);
            }
            let (records, name, epoch) = (self.spec.records.clone(), self.spec.key(), self.spec.epoch);
            let trace = self.trace.as_ref().map(|trace| trace.checkpoints());
            self.recording.spawn(async move {
                match records.put(&name, epoch, &commit).await {
                    Ok(()) => Input::Committed(Committed::Done),
                    Err(CheckpointError::Fenced(fenced)) => {
                        if let Some(trace) = trace {
                            trace.fenced(&fenced);
                        }
                        Input::Stop(Reason::Shutdown(Some(format!("it owns the name no more: {fenced}"))))
                    }
                    Err(CheckpointError::Unknown(why)) => {
                        tracing::debug!(%name, %why, "a checkpoint was not answered; stated again");
                        Input::Committed(Committed::Unknown)
                    }
                }
            });
        }
    }

    pub(super) fn recorded(&mut self, recorded: Result<Input, JoinError>) {
        match recorded {
            Ok(input) => self.handle(input),
            Err(error) => {
                let input = self.failure(format!("a bug of the host: a checkpoint's task has failed: {error}"));
                self.handle(input);
            }
        }
    }
}
