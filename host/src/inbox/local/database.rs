//! Inboxes in a redb database.
//!
//! | table | key | value |
//! |---|---|---|
//! | `format` | `version` | 1 |
//! | `inboxes` | `PIPELINE/STAGE` | position u64, end u64 |
//! | `entries` | (`PIPELINE/STAGE`, position of the first event u64) | number of events u32, encoded batch |
//! | `clients` | (`PIPELINE/STAGE`, client u128) | request u64, position u64, number of events u32 |
//!
//! Everything is read and checked once, at the start; redb has a checksum over each of its pages. From then on the
//! database is only written.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::OpenOptionsExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use forebay_proto::{
    inbox::{Entry, InboxQueue, Parcel, Placed, Taken},
    names::GlobalName,
};
use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase as _, ReadableTable as _, StorageBackend, TableDefinition,
    WriteTransaction, backends::FileBackend,
};

use crate::watched::{Lost, Watched};

const FORMAT: TableDefinition<'_, &str, u64> = TableDefinition::new("format");
const INBOXES: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("inboxes");
const ENTRIES: TableDefinition<'_, (&str, u64), (u32, &[u8])> = TableDefinition::new("entries");
const CLIENTS: TableDefinition<'_, (&str, u128), (u64, u64, u32)> = TableDefinition::new("clients");

/// Of the tables above.
const VERSION: u64 = 1;

/// The database's file in a node's data directory.
const FILE: &str = "inbox.redb";

/// What redb may keep in memory, in bytes. Little: nothing is read twice.
const CACHE_BYTES: usize = 4 << 20;

/// The inboxes of a node cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has them open.
    #[error("{place} is in use by another process; one node runs on a data directory at a time")]
    InUse {
        /// Which file.
        place: String,
    },
    /// The disk says no.
    #[error("{place} cannot be used")]
    Disk {
        /// Which file.
        place: String,
        /// What the disk says.
        #[source]
        source: io::Error,
    },
    /// It is not what was written there.
    #[error(
        "{place} is damaged: {found}; it holds events that were confirmed and not processed yet: restore it, or move it \
         away to go on without them"
    )]
    Damaged {
        /// Which file.
        place: String,
        /// What is wrong.
        found: String,
    },
    /// Another release has written it.
    #[error(
        "{place} is of format {found}, this release knows format {VERSION}; use the release that wrote it, or a later one"
    )]
    Version {
        /// Which file.
        place: String,
        /// What was found.
        found: u64,
    },
}

/// Where a database is, and how it is opened.
pub(super) struct Opener {
    pub(super) place: String,
    pub(super) backend: Box<dyn Fn() -> Result<Box<dyn StorageBackend>, OpenError> + Send + Sync>,
}

/// The database in a node's data directory. A new one gets its name once it is whole: one that was left half made
/// could not be told from one that is damaged.
pub(super) fn in_directory(data: &Path) -> Opener {
    let (data, path) = (data.to_owned(), data.join(FILE));
    let place = path.display().to_string();
    let backend = move || open_file(&data, &path);
    Opener { place, backend: Box::new(backend) }
}

fn open_file(data: &Path, path: &PathBuf) -> Result<Box<dyn StorageBackend>, OpenError> {
    let place = path.display().to_string();
    let disk = |source| OpenError::Disk { place: place.clone(), source };
    // Events may be secret: only this user may read them.
    let file = |options: &mut fs::OpenOptions, path: &Path| {
        options.read(true).write(true).mode(0o600).open(path).map_err(disk)
    };
    let backend = |file| {
        FileBackend::new(file).map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { place: place.clone() },
            error => disk(io::Error::other(error.to_string())),
        })
    };
    if !path.exists() {
        let unfinished = data.join(format!("{FILE}.unfinished"));
        let new = file(fs::File::options().create(true).truncate(true), &unfinished)?;
        drop(open_database(backend(new)?, &place)?);
        let named = fs::rename(&unfinished, path).and_then(|()| fs::File::open(data)?.sync_all());
        named.map_err(disk)?;
    }
    Ok(Box::new(backend(file(&mut fs::File::options(), path)?)?))
}

/// A change of the database.
#[derive(Debug)]
pub(super) enum Write {
    Ingest {
        name: GlobalName,
        client: u128,
        request: u64,
        parcel: Parcel,
        placed: Placed,
    },
    /// Entries before `kept` go.
    Processed {
        name: GlobalName,
        upto: u64,
        kept: u64,
    },
}

/// The open database, or why it is not.
pub(super) struct Store {
    opener: Opener,
    database: Option<Database>,
    /// A sync has failed: what is on the disk is not known from then on, whatever it says later.
    lost: Lost,
}

impl Store {
    /// Opens or creates it, and reads and checks all of it. Blocks.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(super) fn open(opener: Opener) -> Result<(Self, BTreeMap<GlobalName, InboxQueue>), OpenError> {
        let mut store = Self { opener, database: None, lost: Lost::default() };
        let queues = store.open_now()?;
        Ok((store, queues))
    }

    pub(super) fn place(&self) -> String {
        self.opener.place.clone()
    }

    /// Opens it again, if it failed; gives what it holds then. After a full disk it may hold what was not confirmed.
    ///
    /// # Errors
    /// What the disk says, as long as it does.
    pub(super) fn reopen(&mut self) -> io::Result<Option<BTreeMap<GlobalName, InboxQueue>>> {
        if self.database.is_some() {
            return Ok(None);
        }
        if self.lost.is_so() {
            return Err(io::Error::other(
                "the disk failed to sync, and what it holds is not known any more; look after it and restart the node",
            ));
        }
        self.open_now().map(Some).map_err(|error| match error {
            OpenError::Disk { source, .. } => source,
            error => io::Error::other(error),
        })
    }

    /// Carries out all of these, or none. They survive the loss of power once this returns. Blocks.
    ///
    /// # Errors
    /// What the disk says. The database is closed then, and opened again by [`Store::reopen`].
    pub(super) fn commit(&mut self, writes: &[Write]) -> io::Result<()> {
        let Some(database) = self.database.as_ref().filter(|_| !writes.is_empty()) else { return Ok(()) };
        // redb takes some failures of a disk for a bug of its own, and panics.
        let committed = catch_unwind(AssertUnwindSafe(|| try_commit(database, writes)));
        let error = match committed {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(redb::Error::Io(error))) => error,
            Ok(Err(error)) => io::Error::other(error.to_string()),
            Err(_) => io::Error::other("the database cannot make sense of what the disk did"),
        };
        let database = self.database.take();
        // It tries to write once more.
        drop(catch_unwind(AssertUnwindSafe(|| drop(database))));
        Err(error)
    }

    fn open_now(&mut self) -> Result<BTreeMap<GlobalName, InboxQueue>, OpenError> {
        let place = self.place();
        let backend = Watched::new((self.opener.backend)()?, self.lost.clone());
        let database = open_database(backend, &place)?;
        let queues = read(&database).map_err(|error| error.at(&place))?;
        self.database = Some(database);
        Ok(queues)
    }
}

fn open_database(backend: impl StorageBackend, place: &str) -> Result<Database, OpenError> {
    let opened = catch_unwind(AssertUnwindSafe(|| -> Result<Database, redb::Error> {
        let mut database = redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend)?;
        // After a crash redb has walked everything already; after an orderly end it trusts its file.
        match database.check_integrity()? {
            true => Ok(database),
            false => Err(redb::Error::Corrupted("pages do not match their checksums".to_owned())),
        }
    }));
    match opened {
        Ok(opened) => opened.map_err(|error| Unread::from(error).at(place)),
        Err(_) => Err(Unread::Damaged("the database cannot make sense of it".to_owned()).at(place)),
    }
}

fn try_commit(database: &Database, writes: &[Write]) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.open_table(FORMAT)?.insert("version", VERSION)?;
    for write in writes {
        carry_out(&transaction, write)?;
    }
    Ok(transaction.commit()?)
}

fn carry_out(transaction: &WriteTransaction, write: &Write) -> Result<(), redb::Error> {
    let mut inboxes = transaction.open_table(INBOXES)?;
    let mut entries = transaction.open_table(ENTRIES)?;
    match write {
        Write::Ingest { name, client, request, parcel, placed } => {
            let (name, count, first) = (name.to_string(), parcel.count(), placed.first);
            entries.insert((&*name, first), (count, &**parcel.events()))?;
            let mut clients = transaction.open_table(CLIENTS)?;
            clients.insert((&*name, *client), (*request, first, count))?;
            if let Some(forgotten) = placed.forgotten {
                clients.remove((&*name, forgotten))?;
            }
            let position = inboxes.get(&*name)?.map_or(0, |found| found.value().0);
            inboxes.insert(&*name, (position, first + u64::from(count)))?;
        }
        Write::Processed { name, upto, kept } => {
            let name = name.to_string();
            entries.retain_in((&*name, 0)..(&*name, *kept), |_, _| false)?;
            let (position, end) = inboxes.get(&*name)?.map_or((0, *upto), |found| found.value());
            inboxes.insert(&*name, (position.max(*upto), end))?;
        }
    }
    Ok(())
}

/// What was found is of no use.
enum Unread {
    Redb(redb::Error),
    Damaged(String),
    Version(u64),
}

impl<E: Into<redb::Error>> From<E> for Unread {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

impl Unread {
    fn at(self, place: &str) -> OpenError {
        let place = place.to_owned();
        match self {
            Self::Redb(redb::Error::DatabaseAlreadyOpen) => OpenError::InUse { place },
            Self::Redb(redb::Error::Io(source)) if source.kind() != io::ErrorKind::InvalidData => {
                OpenError::Disk { place, source }
            }
            Self::Redb(error) => OpenError::Damaged { place, found: error.to_string() },
            Self::Damaged(found) => OpenError::Damaged { place, found },
            Self::Version(found) => OpenError::Version { place, found },
        }
    }
}

fn read(database: &Database) -> Result<BTreeMap<GlobalName, InboxQueue>, Unread> {
    let transaction = database.begin_read()?;
    match transaction.open_table(FORMAT) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.into()),
        Ok(format) => match format.get("version")?.map(|found| found.value()) {
            Some(VERSION) => {}
            Some(other) => return Err(Unread::Version(other)),
            None => return Err(Unread::Damaged("it has no version".to_owned())),
        },
    }
    let inboxes = match transaction.open_table(INBOXES) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(BTreeMap::new()),
        inboxes => inboxes?,
    };
    let mut queues = BTreeMap::new();
    for found in inboxes.iter()? {
        let (name, ends) = found?;
        let (key, (position, end)) = (name.value(), ends.value());
        queues.insert(parse_name(key)?, read_inbox(&transaction, key, position, end)?);
    }
    Ok(queues)
}

fn parse_name(key: &str) -> Result<GlobalName, Unread> {
    let parsed = key.split_once('/').and_then(|(pipeline, stage)| {
        Some(GlobalName { pipeline: pipeline.parse().ok()?, stage: stage.parse().ok()? })
    });
    parsed.ok_or_else(|| Unread::Damaged(format!("an inbox of `{}`, expected PIPELINE/STAGE", key.escape_debug())))
}

fn read_inbox(transaction: &ReadTransaction, key: &str, position: u64, end: u64) -> Result<InboxQueue, Unread> {
    let damaged = |what: String| Unread::Damaged(format!("inbox `{key}`: {what}"));
    let mut entries = Vec::new();
    for found in transaction.open_table(ENTRIES)?.range((key, 0)..=(key, u64::MAX))? {
        let (at, entry) = found?;
        let (first, (count, events)) = (at.value().1, entry.value());
        // Whoever reads an inbox relies on that they can be read.
        let parcel = Parcel::check(count, Bytes::copy_from_slice(events));
        let parcel = parcel.map_err(|error| damaged(format!("events at {first}: {error}")))?;
        entries.push(Entry { first, count, events: parcel.events().clone() });
    }
    let mut clients = BTreeMap::new();
    for found in transaction.open_table(CLIENTS)?.range((key, 0)..=(key, u128::MAX))? {
        let (client, taken) = found?;
        let (request, first, count) = taken.value();
        clients.insert(client.value().1, Taken { request, first, count });
    }
    InboxQueue::restore(position, end, entries, clients).map_err(damaged)
}
