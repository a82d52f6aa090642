//! The writer: what waits, decided in order, on disk in one commit, then in memory.

use std::{
    collections::{BTreeMap, btree_map::Entry as Place},
    sync::{Arc, PoisonError},
};

use forebay_proto::{
    ids::Epoch,
    inbox::{InboxQueue, NotTaken, Parcel, Placed},
    names::GlobalName,
};
use tokio::sync::oneshot;

use super::{CheckpointError, IngestError, Shared, State, database::Write, fenced};

/// Work that waits for its turn.
pub(super) struct Pending {
    pub(super) name: GlobalName,
    pub(super) job: Job,
}

/// What is to be done, and who is to be told.
pub(super) enum Job {
    Ingest { client: u128, request: u64, parcel: Parcel, done: oneshot::Sender<Result<u64, IngestError>> },
    Processed { epoch: Epoch, upto: u64, done: oneshot::Sender<Result<(), CheckpointError>> },
}

impl Job {
    /// Who waited may have left.
    fn fail(self, error: &IngestError) {
        match self {
            Self::Ingest { done, .. } => drop(done.send(Err(error.clone()))),
            Self::Processed { done, .. } => drop(done.send(Err(CheckpointError::Unknown(error.to_string())))),
        }
    }
}

/// What comes of one job, once the commit has succeeded.
enum Decided {
    Taken(Placed),
    NotTaken(NotTaken),
    Processed,
    /// There are no such events: the inbox ends here.
    Beyond(u64),
}

/// The state as it will be, as far as deciding needs it.
struct Plan<'a> {
    state: &'a State,
    forks: BTreeMap<GlobalName, InboxQueue>,
    writes: Vec<Write>,
}

impl Plan<'_> {
    fn decide(&mut self, pending: &Pending) -> Decided {
        let name = &pending.name;
        let fork = match self.forks.entry(name.clone()) {
            Place::Occupied(fork) => fork.into_mut(),
            Place::Vacant(place) => place.insert(self.state.queues.get(name).map(InboxQueue::fork).unwrap_or_default()),
        };
        match &pending.job {
            Job::Ingest { client, request, parcel, .. } => match fork.ingest(*client, *request, parcel) {
                Ok(placed) => {
                    let (client, request, parcel) = (*client, *request, parcel.clone());
                    self.writes.extend(placed.is_new.then(|| Write::Ingest {
                        name: name.clone(),
                        client,
                        request,
                        parcel,
                        placed,
                    }));
                    Decided::Taken(placed)
                }
                Err(why) => Decided::NotTaken(why),
            },
            Job::Processed { upto, .. } => {
                let end = fork.end();
                if *upto > end {
                    return Decided::Beyond(end);
                }
                self.writes.extend(self.processed(name, *upto));
                Decided::Processed
            }
        }
    }

    /// What is to be written when events of an inbox are processed; nothing if that was known.
    fn processed(&self, name: &GlobalName, upto: u64) -> Option<Write> {
        let queue = self.state.queues.get(name).filter(|queue| queue.position() < upto)?;
        let kept = queue.entries_from(upto).next().map_or(queue.end(), |entry| entry.first);
        Some(Write::Processed { name: name.clone(), upto, kept })
    }
}

impl Shared {
    /// Empties what waits. Blocks, if there is a disk.
    pub(super) fn write_all(&self) {
        loop {
            let (batch, decided, writes) = {
                let mut state = self.state();
                if state.pending.is_empty() {
                    state.writing = false;
                    return;
                }
                let batch = std::mem::take(&mut state.pending);
                let mut plan = Plan { state: &state, forks: BTreeMap::new(), writes: Vec::new() };
                let decided: Vec<_> = batch.iter().map(|pending| plan.decide(pending)).collect();
                (batch, decided, plan.writes)
            };
            match self.commit(&writes) {
                Ok(()) => self.settle(batch, decided),
                Err(error) => batch.into_iter().for_each(|pending| pending.job.fail(&error)),
            }
        }
    }

    /// On disk, if there is one. A store that failed before is opened again first: what it holds then is taken over.
    fn commit(&self, writes: &[Write]) -> Result<(), IngestError> {
        let Some(disk) = &self.disk else { return Ok(()) };
        let mut store = disk.lock().unwrap_or_else(PoisonError::into_inner);
        let place = store.place();
        let failed = |error| IngestError::Io { place: place.clone(), source: Arc::new(error) };
        if let Some(found) = store.reopen().map_err(failed)? {
            // Decided on what was known before; who waits asks again, and is decided on what was found.
            self.take_over(found);
            return Err(IngestError::Unknown("the store was opened again after it had failed".to_owned()));
        }
        store.commit(writes).map_err(failed)
    }

    fn take_over(&self, found: BTreeMap<GlobalName, InboxQueue>) {
        self.state().queues = found;
        self.news.send_replace(());
    }

    /// In memory, and tells those who wait.
    fn settle(&self, batch: Vec<Pending>, decided: Vec<Decided>) {
        let mut state = self.state();
        for (pending, decided) in batch.iter().zip(&decided) {
            let queue = match decided {
                Decided::Taken(Placed { is_new: true, .. }) => state.queues.entry(pending.name.clone()).or_default(),
                Decided::Processed => match state.queues.get_mut(&pending.name) {
                    Some(queue) => queue,
                    None => continue,
                },
                _ => continue,
            };
            match &pending.job {
                Job::Ingest { client, request, parcel, .. } => {
                    let placed = queue.ingest(*client, *request, parcel).map(|placed| placed.first);
                    let expected = matches!(decided, Decided::Taken(expected) if placed == Ok(expected.first));
                    assert!(expected, "a fork decides as its inbox does, and is no less full: {placed:?}");
                }
                Job::Processed { upto, .. } => {
                    queue.processed(*upto).expect("looked at when it was decided");
                }
            }
        }
        drop(state);
        self.news.send_replace(());
        batch.into_iter().zip(decided).for_each(|(pending, decided)| tell(pending, decided));
    }
}

/// Who waited may have left.
fn tell(pending: Pending, decided: Decided) {
    match (pending.job, decided) {
        (Job::Ingest { done, .. }, Decided::Taken(placed)) => drop(done.send(Ok(placed.first))),
        (Job::Ingest { done, .. }, Decided::NotTaken(why)) => drop(done.send(Err(why.into()))),
        (Job::Processed { epoch, upto, done }, Decided::Beyond(end)) => {
            drop(done.send(Err(fenced(&pending.name, epoch, upto, epoch, end))));
        }
        (Job::Processed { done, .. }, _) => drop(done.send(Ok(()))),
        (Job::Ingest { .. }, _) => unreachable!("what comes of events is that they were taken, or not"),
    }
}
