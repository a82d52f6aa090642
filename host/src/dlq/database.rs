//! All letters in one redb database.
//!
//! | table | key | value |
//! |---|---|---|
//! | `letters` | number | a letter, see `codec.rs` |
//! | `state` | `next` | the number of the next letter |
//!
//! Everything is read and checked when it is opened, and later a letter when it is looked at.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use redb::{Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::{
    LetterId,
    backend::Place,
    codec::{self, Damaged},
    index::{Index, Summary},
    letter::Letter,
};
use crate::watched::{Lost, Watched};

const LETTERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("letters");
const STATE: TableDefinition<'_, &str, u64> = TableDefinition::new("state");
const NEXT: &str = "next";

/// What redb may keep in memory, in bytes. Little: letters are looked at by people.
const CACHE_BYTES: usize = 4 << 20;

/// A change of the database.
#[derive(Debug)]
pub(super) enum Write {
    /// Adds or replaces a letter, sealed.
    Put(LetterId, Vec<u8>),
    Remove(LetterId),
}

/// Why the database cannot be opened or read.
#[derive(Debug)]
pub(super) enum Failed {
    Disk(io::Error),
    Damaged(Damaged),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<Damaged> for Failed {
    fn from(damaged: Damaged) -> Self {
        Self::Damaged(damaged)
    }
}

/// The open database.
#[derive(Debug)]
pub(super) struct Database {
    redb: redb::Database,
    lost: Lost,
}

impl Database {
    /// Opens or creates it, and reads and checks all of it. Blocks.
    pub(super) fn open(place: &Place) -> Result<(Self, Index), Failed> {
        // redb takes some damage for a bug of its own, and panics.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let backend = place.open(|backend| Self::open_sound(backend).map(drop))?;
            Self::open_sound(backend)
        }));
        opened.unwrap_or_else(|_| Err(damaged("the database cannot make sense of it")))
    }

    fn open_sound(backend: Watched) -> Result<(Self, Index), Failed> {
        let lost = backend.lost();
        let opened = redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend);
        let mut redb = opened.map_err(|error| failed(error.into()))?;
        // After a crash redb has walked everything already; after an orderly end it trusts its file.
        if !redb.check_integrity().map_err(|error| failed(error.into()))? {
            return Err(damaged("pages do not match their checksums"));
        }
        let index = read_all(&redb)?;
        Ok((Self { redb, lost }, index))
    }

    /// Whether data could not be flushed, so that nothing may be built on what this shows.
    pub(super) fn lost(&self) -> Lost {
        self.lost.clone()
    }

    /// Carries out all of these, or none. They survive the loss of power once this returns. Blocks.
    ///
    /// # Errors
    /// What the disk says. The database is to be opened again then.
    pub(super) fn commit(&self, writes: &[Write], next: LetterId) -> io::Result<()> {
        let committed = catch_unwind(AssertUnwindSafe(|| self.try_commit(writes, next)));
        let committed = committed.map_err(|_| io::Error::other("the database cannot make sense of its file"))?;
        committed.map_err(as_io)
    }

    fn try_commit(&self, writes: &[Write], next: LetterId) -> Result<(), redb::Error> {
        let mut transaction = self.redb.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut letters = transaction.open_table(LETTERS)?;
            for write in writes {
                match write {
                    Write::Put(id, bytes) => drop(letters.insert(id.0, bytes.as_slice())?),
                    Write::Remove(id) => drop(letters.remove(id.0)?),
                }
            }
            transaction.open_table(STATE)?.insert(NEXT, next.0)?;
        }
        Ok(transaction.commit()?)
    }

    /// One letter. Blocks.
    pub(super) fn get(&self, id: LetterId) -> Result<Option<Letter>, Failed> {
        let read = catch_unwind(AssertUnwindSafe(|| {
            let transaction = self.redb.begin_read().map_err(|error| failed(error.into()))?;
            let Some(letters) = some_table(transaction.open_table(LETTERS))? else { return Ok(None) };
            let found = letters.get(id.0).map_err(|error| failed(error.into()))?;
            found.map(|bytes| Ok(codec::decode(id, bytes.value())?)).transpose()
        }));
        read.unwrap_or_else(|_| Err(damaged("the database cannot make sense of it")))
    }
}

/// A new database has no tables.
fn some_table<T>(opened: Result<T, redb::TableError>) -> Result<Option<T>, Failed> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(failed(error.into())),
    }
}

fn read_all(redb: &redb::Database) -> Result<Index, Failed> {
    let transaction = redb.begin_read().map_err(|error| failed(error.into()))?;
    let (letters, state) =
        match (some_table(transaction.open_table(LETTERS))?, some_table(transaction.open_table(STATE))?) {
            (Some(letters), Some(state)) => (letters, state),
            (None, None) => return Ok(Index::new(LetterId(1))),
            _ => return Err(damaged("one of its two tables is missing")),
        };
    let next = state.get(NEXT).map_err(|error| failed(error.into()))?;
    let next = LetterId(next.ok_or_else(|| damaged("the number of the next letter is missing"))?.value());
    let mut index = Index::new(next);
    for pair in letters.iter().map_err(|error| failed(error.into()))? {
        let (id, bytes) = pair.map_err(|error| failed(error.into()))?;
        let (id, bytes) = (LetterId(id.value()), bytes.value());
        if id >= next {
            return Err(damaged(&format!("letter {id} is there, and the next one is to be {next}")));
        }
        let summary = Summary::new(id, &codec::decode(id, bytes)?, bytes.len() as u64);
        if let Some(other) = index.same_event(&summary) {
            return Err(damaged(&format!("letters {other} and {id} hold the same event")));
        }
        index.insert(summary);
    }
    Ok(index)
}

fn damaged(found: &str) -> Failed {
    Failed::Damaged(Damaged { what: "the database".to_owned(), found: found.to_owned() })
}

fn failed(error: redb::Error) -> Failed {
    match error {
        redb::Error::Io(error) if error.kind() != io::ErrorKind::InvalidData => Failed::Disk(error),
        redb::Error::DatabaseAlreadyOpen => {
            let text = "another process has it open; one node runs on a data directory at a time";
            Failed::Disk(io::Error::new(io::ErrorKind::ResourceBusy, text))
        }
        error => damaged(&error.to_string()),
    }
}

fn as_io(error: redb::Error) -> io::Error {
    match error {
        redb::Error::Io(error) => error,
        error => io::Error::other(error.to_string()),
    }
}
