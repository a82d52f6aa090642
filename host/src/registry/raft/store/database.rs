//! The log, the vote and what else must survive, in one redb database.
//!
//! | table | key | record |
//! |---|---|---|
//! | `log` | index | an entry |
//! | `state` | `member`, `vote`, `committed`, `purged` | a number, a vote, a log id, a log id |
//!
//! Everything is read and checked once, at the start; from then on the database is only written.

use std::{
    collections::BTreeMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use redb::{Durability, ReadableDatabase as _, ReadableTable as _, StorageBackend, TableDefinition, WriteTransaction};

use super::{Corrupt, StoreError, record};
use crate::registry::raft::{
    codec::{CodecError, Reader, Writer},
    types::{Entry, LogId, Vote},
};

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");

/// What redb may keep in memory, in bytes. Little: nothing is read twice.
const CACHE_BYTES: usize = 4 << 20;

/// What the database holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Whose it is. `None`: the database is new.
    pub(super) member: Option<u64>,
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    pub(super) purged: Option<LogId>,
    /// By index, without gaps, beginning after `purged`.
    pub(super) entries: BTreeMap<u64, Entry>,
}

/// A change of the database. They are carried out in the order in which they were asked for.
#[derive(Debug)]
pub(super) enum Write {
    /// Whose database it is; once.
    Member(u64),
    Vote(Vote),
    Committed(Option<LogId>),
    Append(Vec<Entry>),
    /// Deletes the entries from this index on.
    Truncate(u64),
    /// Deletes the entries up to this one.
    Purge(LogId),
    /// Nothing: for who wants to know that all before is done.
    Nothing,
}

/// The open database.
#[derive(Debug)]
pub(super) struct Database(redb::Database);

impl Database {
    /// Opens or creates it, and reads and checks all of it. Blocks.
    ///
    /// `place` is for errors.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Disk`], and [`StoreError::Corrupt`] for the smallest
    /// damage: a member must not answer from what it may have said otherwise before.
    pub(super) fn open(backend: impl StorageBackend, place: &str) -> Result<(Self, Contents), StoreError> {
        let corrupt = |found: String| StoreError::from(Corrupt { place: place.to_owned(), found });
        // redb takes some damage for a bug of its own, and panics.
        let opened = catch_unwind(AssertUnwindSafe(|| Self::open_sound(backend, place)));
        opened.unwrap_or_else(|_| Err(corrupt("the database cannot make sense of it".to_owned())))
    }

    fn open_sound(backend: impl StorageBackend, place: &str) -> Result<(Self, Contents), StoreError> {
        let opened = redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend);
        let mut database = opened.map_err(|error| failed(error.into(), place))?;
        // After a crash redb has walked everything already; after an orderly end it trusts its file.
        let intact = database.check_integrity().map_err(|error| failed(error.into(), place))?;
        if !intact {
            return Err(
                Corrupt { place: place.to_owned(), found: "pages do not match their checksums".to_owned() }.into()
            );
        }
        let contents = read(&database).map_err(|error| match error {
            ReadError::Redb(error) => failed(error, place),
            ReadError::Corrupt(corrupt) => corrupt.within(place).into(),
        })?;
        Ok((Self(database), contents))
    }

    /// Carries out all of these, or none. They survive the loss of power once this returns. Blocks.
    ///
    /// # Errors
    /// What the disk says. Nothing may be written any more then: what is on disk is not known.
    pub(super) fn commit(&self, writes: &[&Write]) -> io::Result<()> {
        self.try_commit(writes).map_err(|error| match error {
            redb::Error::Io(error) => error,
            error => io::Error::other(error.to_string()),
        })
    }

    fn try_commit(&self, writes: &[&Write]) -> Result<(), redb::Error> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        for write in writes {
            carry_out(&transaction, write)?;
        }
        Ok(transaction.commit()?)
    }
}

fn carry_out(transaction: &WriteTransaction, write: &Write) -> Result<(), redb::Error> {
    let mut writer = Writer::default();
    match write {
        Write::Member(member) => {
            writer.u64(*member);
            put(transaction, "member", writer)?;
        }
        Write::Vote(vote) => {
            writer.vote(vote);
            put(transaction, "vote", writer)?;
        }
        Write::Committed(committed) => {
            writer.optional_log_id(committed.as_ref());
            put(transaction, "committed", writer)?;
        }
        Write::Append(entries) => {
            let mut log = transaction.open_table(LOG)?;
            for entry in entries {
                let (index, mut writer) = (entry.log_id.index, Writer::default());
                writer.entry(entry);
                let record = record::seal(&index.to_le_bytes(), &writer.finish());
                log.insert(index, record.as_slice())?;
            }
        }
        Write::Truncate(from) => transaction.open_table(LOG)?.retain_in(*from.., |_, _| false)?,
        Write::Purge(upto) => {
            writer.optional_log_id(Some(upto));
            put(transaction, "purged", writer)?;
            transaction.open_table(LOG)?.retain_in(..=upto.index, |_, _| false)?;
        }
        Write::Nothing => {}
    }
    Ok(())
}

fn put(transaction: &WriteTransaction, key: &'static str, content: Writer) -> Result<(), redb::Error> {
    let record = record::seal(key.as_bytes(), &content.finish());
    transaction.open_table(STATE)?.insert(key, record.as_slice())?;
    Ok(())
}

enum ReadError {
    Redb(redb::Error),
    Corrupt(Corrupt),
}

impl<E: Into<redb::Error>> From<E> for ReadError {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

fn read(database: &redb::Database) -> Result<Contents, ReadError> {
    let transaction = database.begin_read()?;
    let mut contents = Contents::default();
    let (state, log) = match (transaction.open_table(STATE), transaction.open_table(LOG)) {
        (Err(redb::TableError::TableDoesNotExist(_)), Err(redb::TableError::TableDoesNotExist(_))) => {
            return Ok(contents);
        }
        (state, log) => (state?, log),
    };
    for pair in state.iter()? {
        let (key, record) = pair?;
        read_state(&mut contents, key.value(), record.value()).map_err(ReadError::Corrupt)?;
    }
    // A database that has a member but no entry yet has no table of entries.
    match log {
        Err(redb::TableError::TableDoesNotExist(_)) => {}
        log => {
            for pair in log?.iter()? {
                let (index, record) = pair?;
                read_entry(&mut contents, index.value(), record.value()).map_err(ReadError::Corrupt)?;
            }
        }
    }
    without_gaps(&contents).map_err(ReadError::Corrupt)?;
    Ok(contents)
}

fn decode<T>(
    name: &str,
    key: &[u8],
    record: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, CodecError>,
) -> Result<T, Corrupt> {
    let mut reader = Reader::new(record::open(name, key, record)?);
    let content = read(&mut reader).and_then(|content| reader.finish().map(|()| content));
    content.map_err(|error| Corrupt { place: name.to_owned(), found: error.to_string() })
}

fn read_state(contents: &mut Contents, key: &str, record: &[u8]) -> Result<(), Corrupt> {
    let name = format!("record `{}`", key.escape_debug());
    let bytes = key.as_bytes();
    match key {
        "member" => contents.member = Some(decode(&name, bytes, record, |reader| reader.u64("member"))?),
        "vote" => contents.vote = Some(decode(&name, bytes, record, |reader| reader.vote("vote"))?),
        "committed" => contents.committed = decode(&name, bytes, record, |reader| reader.optional_log_id("committed"))?,
        "purged" => contents.purged = decode(&name, bytes, record, |reader| reader.optional_log_id("purged"))?,
        _ => return Err(Corrupt { place: name, found: "of no known kind".to_owned() }),
    }
    Ok(())
}

fn read_entry(contents: &mut Contents, index: u64, record: &[u8]) -> Result<(), Corrupt> {
    let name = format!("log entry {index}");
    let entry = decode(&name, &index.to_le_bytes(), record, |reader| reader.entry())?;
    if entry.log_id.index != index {
        return Err(Corrupt { place: name, found: format!("entry {}", entry.log_id.index) });
    }
    contents.entries.insert(index, entry);
    Ok(())
}

fn without_gaps(contents: &Contents) -> Result<(), Corrupt> {
    if contents.member.is_none() {
        return Err(Corrupt { place: "record `member`".to_owned(), found: "missing".to_owned() });
    }
    let expected = contents.purged.map_or(0, |purged| purged.index + 1)..;
    for (expected, index) in expected.zip(contents.entries.keys()) {
        if *index != expected {
            let found = format!("missing, {index} is there");
            return Err(Corrupt { place: format!("log entry {expected}"), found });
        }
    }
    Ok(())
}

fn failed(error: redb::Error, place: &str) -> StoreError {
    let place = place.to_owned();
    match error {
        redb::Error::DatabaseAlreadyOpen => StoreError::InUse { place },
        redb::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => StoreError::Disk { place, source },
        error => Corrupt { place, found: error.to_string() }.into(),
    }
}
