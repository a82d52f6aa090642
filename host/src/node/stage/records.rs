//! What a stage puts on record besides its work, each in a task of its own: its checkpoints
//! and the events it could not process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use forebay_proto::{
    checkpoints::{Commit, Committed},
    ids::{Epoch, Seq, StageName},
    intake::Fetch,
    message::{Reason, SeqRun},
    names::GlobalName,
    stage::{self, Input, LettersNo},
};
use tokio::task::JoinError;

use super::StageTask;
use crate::{
    dlq::{Letter, LetterId},
    inbox::InboxEvents,
    node::{counters::Count, directory::StageKey, trace::DeadTrace},
    registry::{CheckpointError, Registry},
    wall::now_ms,
};

/// How long a stage that ends waits for its last record.
const LAST_RECORD_WITHIN: Duration = Duration::from_secs(2);

/// Where an instance begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start {
    /// With this number.
    pub(crate) seq: Seq,
    /// In this state; `None`: as its plugin begins.
    pub(crate) snapshot: Option<Bytes>,
}

/// A dead letter that is to be tried again.
#[derive(Debug)]
pub(crate) struct Resend {
    pub(crate) id: LetterId,
    pub(crate) letter: Letter,
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
        while let Some((no, letters)) = self.machine.poll_letters() {
            self.keep(no, letters);
        }
        if !self.holds() {
            return;
        }
        self.take_in();
        while let Some(commit) = self.machine.poll_commit(self.started.elapsed()) {
            if let Some(trace) = &self.trace {
                trace.proposes(&commit);
            }
            let (records, name, epoch) = (self.spec.records.clone(), self.spec.key(), self.spec.epoch);
            let trace = self.trace.as_ref().map(|trace| trace.checkpoints());
            let patience = self.patience();
            self.recording.spawn(async move {
                let put = in_time(patience, records.put(&name, epoch, &commit)).await;
                if let (Err(CheckpointError::Fenced(fenced)), Some(trace)) = (&put, trace) {
                    trace.fenced(fenced);
                }
                committed(&name, put).map_or_else(Input::Stop, Input::Committed)
            });
        }
    }

    /// How long an answer is waited for: less by a stage that ends, for others may have ended before it.
    fn patience(&self) -> Duration {
        if self.draining.is_some() { LAST_RECORD_WITHIN } else { Duration::MAX }
    }

    /// Reads the inbox when somebody waits for what is made of it, and tells it what is processed.
    fn take_in(&mut self) {
        let Some(inbox) = self.spec.inbox.clone() else { return };
        if let Some(Fetch { from, events_max }) = self.machine.poll_fetch() {
            let (inbox, bytes_max) = (Arc::clone(&inbox), self.spec.settings.limits.batch.bytes_max as usize);
            self.recording.spawn(async move {
                let InboxEvents { first, events } = inbox.next(from, events_max as usize, bytes_max).await;
                Input::Arrived { first, events }
            });
        }
        if let Some(upto) = self.machine.poll_processed(self.started.elapsed()) {
            let (epoch, name, patience) = (self.spec.epoch, self.spec.key(), self.patience());
            self.recording.spawn(async move {
                let recorded = in_time(patience, inbox.processed(epoch, upto)).await;
                let committed = committed(&name, recorded);
                committed.map_or_else(Input::Stop, Input::ProcessedRecorded)
            });
        }
    }

    /// Keeps events that could not be processed. If they cannot be kept they stay with their source.
    fn keep(&mut self, no: LettersNo, letters: Vec<stage::Letter>) {
        let name = self.spec.key();
        let trace = self.trace.as_ref().map(|trace| trace.dead(&letters));
        let kept = letters.into_iter().map(|letter| Letter {
            pipeline: name.pipeline.clone(),
            stage: name.stage.clone(),
            source: letter.source,
            epoch: letter.epoch,
            seq: letter.seq,
            attempts: letter.attempts,
            at_ms: now_ms(),
            reason: letter.reason.into(),
            event: letter.event,
        });
        let (kept, store): (Vec<_>, _) = (kept.collect(), self.spec.letters.clone());
        let counters = self.spec.counters.clone();
        self.recording.spawn(async move {
            let count = kept.len() as u64;
            let put = store.put(kept).await;
            match &put {
                Ok(_) => {
                    counters.many(Count::DeadLetters, count);
                    trace.into_iter().for_each(DeadTrace::write);
                }
                Err(error) => {
                    counters.many(Count::UnkeptLetters, count);
                    tracing::error!(%name, %error, count, "dead letters cannot be kept; their events are tried again");
                }
            }
            Input::Lettered { letters: no, kept: put.is_ok() }
        });
    }

    /// A person wants a letter tried again.
    pub(super) fn resend(&mut self, Resend { id, letter }: Resend) {
        let Letter { source, epoch, seq, attempts, reason, event, .. } = letter;
        self.resent.insert((source.clone(), epoch, seq), id);
        let reason = reason.as_str().to_owned();
        self.handle(Input::Resend(stage::Letter { source, epoch, seq, attempts, reason, event }));
    }

    /// Letters are processed.
    pub(super) fn forget_letters(&mut self, source: &StageName, epoch: Epoch, runs: &[SeqRun]) {
        let numbers = runs.iter().flat_map(|run| run.first.0..run.end().0).map(Seq);
        let ids: Vec<_> = numbers.filter_map(|seq| self.resent.remove(&(source.clone(), epoch, seq))).collect();
        let (store, name) = (self.spec.letters.clone(), self.spec.key());
        tokio::spawn(async move {
            if let Err(error) = store.remove(ids).await {
                tracing::error!(%name, %error, "letters that were processed stay; drop them with `forebay dlq drop`");
            }
        });
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

async fn in_time(
    patience: Duration,
    recorded: impl Future<Output = Result<(), CheckpointError>>,
) -> Result<(), CheckpointError> {
    let unknown = |_| Err(CheckpointError::Unknown("no answer in time".to_owned()));
    tokio::time::timeout(patience, recorded).await.unwrap_or_else(unknown)
}

/// What a stage makes of the answer to a record of it: `Err` says that it must stop.
fn committed(name: &GlobalName, recorded: Result<(), CheckpointError>) -> Result<Committed, Reason> {
    match recorded {
        Ok(()) => Ok(Committed::Done),
        Err(CheckpointError::Fenced(fenced)) => {
            Err(Reason::Shutdown(Some(format!("it owns the name no more: {fenced}"))))
        }
        Err(CheckpointError::Unknown(why)) => {
            tracing::debug!(%name, %why, "a record was not answered; stated again");
            Ok(Committed::Unknown)
        }
    }
}
