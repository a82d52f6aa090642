//! The log, as openraft sees it: read from memory, written to the database in order.
//!
//! Log entries are few (they are purged after a snapshot), so all of them are in memory too, and nothing
//! is read from disk after the start. What is to be written waits in one queue; whoever finds nobody
//! writing starts a writer, which takes all that waits in one commit (group commit) until the queue is
//! empty. So votes and entries reach the disk in the order in which openraft asked for them.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use openraft::{
    LogState, OptionalSend, RaftLogReader,
    storage::{IOFlushed, RaftLogStorage},
};
use tokio::sync::oneshot;

use super::{
    Runner,
    database::{Contents, Database, Write},
};
use crate::registry::raft::types::{COMMAND_BYTES_MAX, Entry, LogId, Payload, Types, Vote};

/// How many bytes of commands one request to another member takes, if it has more than one command.
///
/// With the longest command allowed, and what stands around commands, below the frame limit of 8 MiB.
const REQUEST_BYTES_MAX: usize = COMMAND_BYTES_MAX;

/// The log of one member. Clones are handles on the same log.
#[derive(Clone, Debug)]
pub(in crate::registry::raft) struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// `None` once closed. Locked for as long as a commit takes.
    database: Mutex<Option<Database>>,
    runner: Runner,
}

#[derive(Debug)]
struct State {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    entries: BTreeMap<u64, Entry>,
    /// What is not on disk yet. As long as openraft lets it grow: it waits for each of its own steps.
    queue: Vec<Pending>,
    /// Somebody is emptying the queue.
    writing: bool,
    /// Why nothing is written any more.
    failed: Option<String>,
}

#[derive(Debug)]
struct Pending {
    write: Write,
    done: Done,
}

/// Who is to be told that a write is on disk.
enum Done {
    Nobody,
    Openraft(IOFlushed<Types>),
    Waiting(oneshot::Sender<io::Result<()>>),
}

impl Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nobody => "Nobody",
            Self::Openraft(_) => "Openraft",
            Self::Waiting(_) => "Waiting",
        })
    }
}

impl Done {
    fn tell(self, result: io::Result<()>) {
        match self {
            Self::Nobody => {}
            Self::Openraft(flushed) => flushed.io_completed(result),
            // Who waited may have been dropped.
            Self::Waiting(sender) => drop(sender.send(result)),
        }
    }
}

impl Log {
    pub(super) fn new(database: Database, contents: Contents, runner: Runner) -> Self {
        let state = State {
            vote: contents.vote,
            committed: contents.committed,
            purged: contents.purged,
            entries: contents.entries,
            queue: Vec::new(),
            writing: false,
            failed: None,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), database: Mutex::new(Some(database)), runner }))
    }

    /// Writes what waits and closes the database. Everything asked for later fails.
    ///
    /// # Cancel safety
    /// The database may stay open.
    pub(in crate::registry::raft) async fn close(&self) {
        // A failed disk has told whom it concerns.
        let _ = self.write_and_wait(Write::Nothing, |_| {}).await;
        self.0.state().failed.get_or_insert_with(|| "the store is closed".to_owned());
        let shared = self.0.clone();
        self.0.runner.run(move || drop(lock(&shared.database).take())).await.ok();
    }

    /// Why nothing is written any more, if so.
    pub(in crate::registry::raft) fn failed(&self) -> Option<String> {
        self.0.state().failed.clone()
    }

    /// Changes the memory now, and the disk when it is this change's turn.
    fn write(&self, write: Write, done: Done, change: impl FnOnce(&mut State)) {
        let mut state = self.0.state();
        if let Some(why) = &state.failed {
            let error = io::Error::other(why.clone());
            drop(state);
            return done.tell(Err(error));
        }
        change(&mut state);
        // What nobody waits for goes along with the next that somebody does.
        let wakes = !matches!(done, Done::Nobody);
        state.queue.push(Pending { write, done });
        if wakes && !state.writing {
            state.writing = true;
            let shared = self.0.clone();
            self.0.runner.start(move || shared.write_all());
        }
    }

    async fn write_and_wait(&self, write: Write, change: impl FnOnce(&mut State)) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        self.write(write, Done::Waiting(sender), change);
        receiver.await.unwrap_or_else(|_| Err(io::Error::other("the writer of the log is gone")))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Empties the queue. Blocks.
    fn write_all(&self) {
        loop {
            let batch = {
                let mut state = self.state();
                if state.queue.is_empty() {
                    state.writing = false;
                    return;
                }
                std::mem::take(&mut state.queue)
            };
            let writes: Vec<_> = batch.iter().map(|pending| &pending.write).collect();
            let result = match &*lock(&self.database) {
                Some(database) => database.commit(&writes),
                None => Err(io::Error::other("the store is closed")),
            };
            match result {
                Ok(()) => batch.into_iter().for_each(|pending| pending.done.tell(Ok(()))),
                Err(error) => return self.fail(batch, &error),
            }
        }
    }

    /// After a failed write what is on disk is not known: nothing is acknowledged from here on.
    fn fail(&self, batch: Vec<Pending>, error: &io::Error) {
        let late = {
            let mut state = self.state();
            state.failed = Some(format!("the log cannot be written: {error}"));
            state.writing = false;
            std::mem::take(&mut state.queue)
        };
        for pending in batch.into_iter().chain(late) {
            pending.done.tell(Err(io::Error::new(error.kind(), error.to_string())));
        }
    }
}

/// A panic while the lock was held ends the member elsewhere; what is behind it is whole between calls.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn command_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        Payload::Normal(command) => command.0.len(),
        Payload::Blank | Payload::Membership(_) => 0,
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<R>(&mut self, range: R) -> io::Result<Vec<Entry>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        // A map panics on a range that ends before it begins.
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let state = self.0.state();
        let from = state.entries.range(start..).map(|(_, entry)| entry);
        Ok(from.take_while(|entry| range.contains(&entry.log_id.index)).cloned().collect())
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.0.state().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let state = self.0.state();
        let (mut bytes, mut entries) = (0, Vec::new());
        for (_, entry) in state.entries.range(start..end.max(start)) {
            bytes += command_bytes(entry);
            if !entries.is_empty() && bytes > REQUEST_BYTES_MAX {
                break;
            }
            entries.push(entry.clone());
        }
        Ok(entries)
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let state = self.0.state();
        let last = state.entries.last_key_value().map(|(_, entry)| entry.log_id);
        Ok(LogState { last_purged_log_id: state.purged, last_log_id: last.or(state.purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let vote = *vote;
        self.write_and_wait(Write::Vote(vote), |state| state.vote = Some(vote)).await
    }

    /// Not waited for: it is a hint that spares the next start some waiting, and a disk write for each
    /// commit would double what a command costs. openraft's `enable_leader_restore` stays off for that.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.write(Write::Committed(committed), Done::Nobody, |state| state.committed = committed);
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.0.state().committed)
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<_> = entries.into_iter().collect();
        let copies: Vec<_> = entries.iter().map(|entry| (entry.log_id.index, entry.clone())).collect();
        self.write(Write::Append(entries), Done::Openraft(flushed), |state| state.entries.extend(copies));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(0, |last| last.index + 1);
        self.write_and_wait(Write::Truncate(from), |state| drop(state.entries.split_off(&from))).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.write_and_wait(Write::Purge(upto), |state| {
            state.entries = state.entries.split_off(&(upto.index + 1));
            state.purged = Some(upto);
        })
        .await
    }
}
