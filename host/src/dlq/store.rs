//! The store: what is asked for waits in one queue, and one writer at a time takes all of it in one commit.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::{
    Bounds, Count, DiskError, Filter, Letter, LetterId, OpenError, PutError, Summary,
    backend::Place,
    codec,
    database::{Database, Failed, Write},
    index::{Before, Index},
};
use crate::watched::Lost;

/// A node's dead letters. Clones are handles on the same store.
///
/// What is asked of it is written in the order in which it was asked, all that waits in one commit. As long
/// as a store is open, no other process can open it.
#[derive(Clone, Debug)]
pub struct DeadLetters(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    place: Place,
    bounds: Bounds,
    queue: Mutex<Queue>,
    /// Locked for as long as a commit takes.
    disk: Mutex<Disk>,
    /// As of the last commit; never locked for long.
    count: Mutex<Count>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Without a bound of its own: who asks waits for the answer, and each stage asks for one thing at a time.
    waiting: Vec<Asked>,
    /// Somebody is emptying it.
    writing: bool,
}

#[derive(Debug)]
struct Disk {
    /// `None` after a failure: to be opened again.
    database: Option<Database>,
    /// Of the open database.
    lost: Lost,
    index: Index,
    /// A letter was refused, and none was removed since.
    refused: bool,
    /// Nothing is read or written any more.
    closed: bool,
}

/// Who waits for the numbers of letters.
type TellPut = oneshot::Sender<Result<Vec<LetterId>, PutError>>;

/// Who waits for the numbers that were not there.
type TellRemoved = oneshot::Sender<Result<Vec<LetterId>, DiskError>>;

#[derive(Debug)]
enum Asked {
    Put(Vec<(Letter, Vec<u8>)>, TellPut),
    Remove(Vec<LetterId>, TellRemoved),
}

/// Who is told what once it is on disk.
enum Done {
    Put(Vec<LetterId>, TellPut),
    Removed(Vec<LetterId>, TellRemoved),
}

/// What one commit holds.
#[derive(Default)]
struct Group {
    writes: Vec<Write>,
    undo: Vec<Before>,
    done: Vec<Done>,
    refused: Vec<(TellPut, PutError)>,
}

impl DeadLetters {
    /// Opens or creates the store in a node's data directory, and checks all of it. Blocks.
    ///
    /// Letters that are there are kept even if they are more than `bounds` says.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(data: &Path, bounds: Bounds) -> Result<Self, OpenError> {
        Self::at(Place::Data(data.to_owned()), bounds)
    }

    /// A store that is lost with its last handle. Nothing in it blocks.
    pub fn in_memory(bounds: Bounds) -> Self {
        Self::at(Place::Memory, bounds).expect("memory is neither damaged nor full of letters")
    }

    pub(super) fn at(place: Place, bounds: Bounds) -> Result<Self, OpenError> {
        let (database, index) = Database::open(&place).map_err(|failed| cannot_open(&place, failed))?;
        let lost = database.lost();
        let disk = Disk { database: Some(database), lost, index, refused: false, closed: false };
        let count = Mutex::new(disk.count(bounds));
        Ok(Self(Arc::new(Shared { place, bounds, queue: Mutex::default(), disk: Mutex::new(disk), count })))
    }

    /// Keeps letters: all of them, or none. Once this returns they survive the loss of power. Gives their
    /// numbers in the same order. A letter of an event that has one already replaces that, and keeps its
    /// number: a node may die between keeping a letter and acknowledging its event, and then both happen again.
    ///
    /// # Errors
    /// [`PutError::Full`] and [`PutError::Io`]. None of the letters is kept then, and the events must stay
    /// unacknowledged. After an error of flushing a letter may yet be found at the next start.
    ///
    /// # Panics
    /// If a letter does not hold exactly one event; and outside of a tokio runtime.
    ///
    /// # Cancel safety
    /// Once it is polled the letters are kept or refused, whether or not that is waited for.
    pub async fn put(&self, letters: Vec<Letter>) -> Result<Vec<LetterId>, PutError> {
        // Here, so that the writer only writes.
        let encoded = letters.into_iter().map(|letter| {
            let bytes = codec::encode(&letter);
            (letter, bytes)
        });
        let (told, answer) = oneshot::channel();
        self.ask(Asked::Put(encoded.collect(), told));
        answer.await.unwrap_or_else(|_| Err(self.0.writer_gone().into()))
    }

    /// Removes letters for good. Gives those of `ids` that are not there.
    ///
    /// # Errors
    /// If the disk says no. They are there as before then.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    /// Once it is polled they are removed or not, whether or not that is waited for.
    pub async fn remove(&self, ids: Vec<LetterId>) -> Result<Vec<LetterId>, DiskError> {
        let (told, answer) = oneshot::channel();
        self.ask(Asked::Remove(ids, told));
        answer.await.unwrap_or_else(|_| Err(self.0.writer_gone()))
    }

    /// Up to `max` letters above `after`, by number.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn list(&self, filter: &Filter, after: Option<LetterId>, max: usize) -> Vec<Summary> {
        let (shared, filter) = (Arc::clone(&self.0), filter.clone());
        self.read(move || shared.disk().index.page(&filter, after, max)).await.unwrap_or_default()
    }

    /// One letter with all that is kept of it. `None`: there is none of that number.
    ///
    /// # Errors
    /// [`OpenError`] if it cannot be read.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn get(&self, id: LetterId) -> Result<Option<Letter>, OpenError> {
        let shared = Arc::clone(&self.0);
        let read = self.read(move || {
            let mut disk = shared.disk();
            let found = disk.open(&shared.place).and_then(|database| database.get(id));
            found.map_err(|failed| cannot_open(&shared.place, failed))
        });
        read.await.unwrap_or_else(|error| Err(self.0.disk_error(io::Error::other(error)).into()))
    }

    /// Closes the file, so that it can be opened again at once. What was not answered before fails, and whatever is
    /// asked for later.
    ///
    /// A store that is not closed is so some time after its last handle was dropped, or with the process.
    ///
    /// # Cancel safety
    /// It may stay open for a moment.
    pub async fn close(&self) {
        let shared = Arc::clone(&self.0);
        let close = move || {
            // Whoever waits in the queue is told that it is closed.
            let mut disk = shared.disk();
            disk.closed = true;
            disk.database = None;
        };
        // A runtime that ends runs nothing any more; the process ends with it.
        let _ = self.read(close).await;
    }

    /// How much is kept, as of the last commit.
    pub fn count(&self) -> Count {
        *lock(&self.0.count)
    }

    async fn read<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        match self.0.place.blocks() {
            true => tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string()),
            false => Ok(read()),
        }
    }

    fn ask(&self, asked: Asked) {
        {
            let mut queue = lock(&self.0.queue);
            queue.waiting.push(asked);
            if std::mem::replace(&mut queue.writing, true) {
                return;
            }
        }
        let shared = Arc::clone(&self.0);
        match self.0.place.blocks() {
            // It ends by itself, and whoever waits for what it does is told by it.
            true => drop(tokio::task::spawn_blocking(move || shared.write_all())),
            false => shared.write_all(),
        }
    }
}

/// A panic while a lock was held is told to who waited; what is behind it is whole between calls.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cannot_open(place: &Place, failed: Failed) -> OpenError {
    let place = place.name();
    match failed {
        Failed::Disk(source) => DiskError { place, source: Arc::new(source) }.into(),
        Failed::Damaged(source) => OpenError::Damaged { place, source },
    }
}

impl Shared {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        lock(&self.disk)
    }

    fn disk_error(&self, source: io::Error) -> DiskError {
        DiskError { place: self.place.name(), source: Arc::new(source) }
    }

    fn writer_gone(&self) -> DiskError {
        self.disk_error(io::Error::other("the writer is gone: the node is ending, or has a bug"))
    }

    /// Empties the queue. Blocks.
    fn write_all(&self) {
        loop {
            let waiting = {
                let mut queue = lock(&self.queue);
                if queue.waiting.is_empty() {
                    queue.writing = false;
                    return;
                }
                std::mem::take(&mut queue.waiting)
            };
            // A bug of ours or of redb must not leave others waiting for ever.
            if catch_unwind(AssertUnwindSafe(|| self.write_group(waiting))).is_err() {
                self.disk().database = None;
            }
        }
    }

    /// One commit for all that was asked for.
    fn write_group(&self, waiting: Vec<Asked>) {
        let mut disk = self.disk();
        if let Err(failed) = disk.open(&self.place) {
            let error = self.disk_error(as_io(failed));
            drop(disk);
            return waiting.into_iter().for_each(|asked| asked.fail(&error));
        }
        let mut group = Group::default();
        for asked in waiting {
            match asked {
                Asked::Put(letters, told) => disk.put(letters, told, &mut group, &self.bounds),
                Asked::Remove(ids, told) => disk.remove(ids, told, &mut group),
            }
        }
        let committed = disk.commit(std::mem::take(&mut group.writes), std::mem::take(&mut group.undo));
        *lock(&self.count) = disk.count(self.bounds);
        drop(disk);
        for (told, refusal) in group.refused {
            // Who waited may have been dropped, here and below.
            let _ = told.send(Err(refusal));
        }
        let error = committed.err().map(|error| self.disk_error(error));
        group.done.into_iter().for_each(|done| done.tell(error.as_ref()));
    }
}

impl Disk {
    fn count(&self, bounds: Bounds) -> Count {
        let (letters, bytes) = (self.index.len(), self.index.bytes());
        let is_full = self.refused || letters >= bounds.letters_max || bytes >= bounds.bytes_max;
        Count { letters, bytes, bounds, is_full }
    }

    /// The database, opened again if need be. What it holds then is what counts.
    fn open(&mut self, place: &Place) -> Result<&Database, Failed> {
        if self.closed {
            return Err(Failed::Disk(io::Error::other("the store is closed")));
        }
        if self.lost.is_so() {
            let text = "data could not be flushed, and what is on disk is not known; see to the disk, and start the node again";
            return Err(Failed::Disk(io::Error::other(text)));
        }
        if self.database.is_none() {
            let (database, index) = Database::open(place)?;
            (self.lost, self.index) = (database.lost(), index);
            self.database = Some(database);
        }
        Ok(self.database.as_ref().expect("it was just opened"))
    }

    fn put(&mut self, letters: Vec<(Letter, Vec<u8>)>, told: TellPut, group: &mut Group, bounds: &Bounds) {
        let begin = (group.writes.len(), group.undo.len());
        let mut ids = Vec::with_capacity(letters.len());
        for (letter, bytes) in letters {
            let mut summary = Summary::new(self.index.next(), &letter, codec::sealed_len(&bytes));
            let replaced = self.index.same_event(&summary);
            if !self.index.has_room(summary.stored_bytes, replaced, bounds) {
                // None of them, so that who asked knows where it stands.
                group.writes.truncate(begin.0);
                self.undo(group.undo.split_off(begin.1));
                self.refused = true;
                return group.refused.push((told, self.full(bounds)));
            }
            summary.id = replaced.unwrap_or(summary.id);
            ids.push(summary.id);
            group.writes.push(Write::Put(summary.id, codec::seal(summary.id, bytes)));
            group.undo.push(self.index.insert(summary));
        }
        group.done.push(Done::Put(ids, told));
    }

    fn full(&self, bounds: &Bounds) -> PutError {
        PutError::Full {
            letters: self.index.len(),
            bytes: self.index.bytes(),
            letters_max: bounds.letters_max,
            bytes_max: bounds.bytes_max,
        }
    }

    fn remove(&mut self, ids: Vec<LetterId>, told: TellRemoved, group: &mut Group) {
        let mut missing = Vec::new();
        for id in ids {
            if self.index.contains(id) {
                group.writes.push(Write::Remove(id));
                group.undo.push(self.index.remove(id));
                self.refused = false;
            } else {
                missing.push(id);
            }
        }
        group.done.push(Done::Removed(missing, told));
    }

    fn commit(&mut self, writes: Vec<Write>, undo: Vec<Before>) -> io::Result<()> {
        if writes.is_empty() {
            return Ok(());
        }
        let Some(database) = &self.database else { return Err(io::Error::other("the database is closed")) };
        if let Err(error) = database.commit(&writes, self.index.next()) {
            self.undo(undo);
            self.database = None;
            return Err(error);
        }
        Ok(())
    }

    fn undo(&mut self, undo: Vec<Before>) {
        undo.into_iter().rev().for_each(|before| self.index.undo(before));
    }
}

impl Asked {
    fn fail(self, error: &DiskError) {
        match self {
            Self::Put(_, told) => drop(told.send(Err(error.clone().into()))),
            Self::Remove(_, told) => drop(told.send(Err(error.clone()))),
        }
    }
}

impl Done {
    fn tell(self, error: Option<&DiskError>) {
        match self {
            Self::Put(ids, told) => drop(told.send(error.cloned().map_or(Ok(ids), |error| Err(error.into())))),
            Self::Removed(missing, told) => drop(told.send(error.cloned().map_or(Ok(missing), Err))),
        }
    }
}

fn as_io(failed: Failed) -> io::Error {
    match failed {
        Failed::Disk(error) => error,
        Failed::Damaged(damaged) => io::Error::new(io::ErrorKind::InvalidData, damaged),
    }
}
