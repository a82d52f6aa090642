//! What of a member survives: its log, its votes and its snapshots.
//!
//! In a directory there are `raft.redb` (log and votes) and `snapshots/`. Everything has a checksum and is
//! checked at the start. A member that finds damage does not start: it might deny what it said before.

mod database;
mod files;
mod log;
mod machine;
mod occupied;
mod record;
mod recover;
mod snapshot;
mod spare;
#[cfg(test)]
pub(super) mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::StorageBackend;

pub use files::{Directory, Files, MemoryDatabase, MemoryDisk};
pub use recover::{RecoverError, Recovered, Survey, recover, recover_with, survey};

#[cfg(test)]
pub(crate) use tests::PowerDisk;

pub(super) use {
    log::Log,
    machine::{Appetite, MachineStore},
};

use self::{
    database::{Contents, Database, Write},
    occupied::Occupied,
    snapshot::Snapshots,
    spare::Spare,
};
use super::types::{Machine, MemberId};

/// The database's file in a directory.
const DATABASE: &str = "raft.redb";
/// The snapshots' directory in a directory.
const SNAPSHOTS: &str = "snapshots";

/// Where a member keeps what must survive.
#[derive(Debug)]
pub enum Storage {
    /// A directory that nothing else is in. Created if missing.
    Directory(PathBuf),
    /// Memory, for simulations. What runs on it blocks nothing, so that paused clocks stay exact.
    Memory(MemoryDisk),
    /// Anything else, for tests of what disks do.
    Custom {
        /// Holds the database.
        backend: Box<dyn StorageBackend>,
        /// Hold the snapshots.
        files: Arc<dyn Files>,
    },
}

/// Something on disk is not what was written there.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{place} is damaged: {found}; remove the node's whole `raft` directory, and it joins as a new member; an older copy of it must not be used, as it could vote twice"
)]
pub struct Corrupt {
    /// The file, and the record in it.
    pub place: String,
    /// What is wrong.
    pub found: String,
}

impl Corrupt {
    fn within(self, file: &str) -> Self {
        Self { place: format!("{file}: {}", self.place), ..self }
    }
}

/// A store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is damaged.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The disk says no.
    #[error("{place} cannot be used")]
    Disk {
        /// Which file or directory.
        place: String,
        /// What the disk says.
        #[source]
        source: io::Error,
    },
    /// Another process has it open.
    #[error("{place} is in use by another process; one node runs on a data directory at a time")]
    InUse {
        /// Which file.
        place: String,
    },
    /// It belongs to another member.
    #[error("{place} belongs to member {found}, this is member {expected}; a member's data cannot be given to another")]
    OtherMember {
        /// Which file.
        place: String,
        /// Whose it is.
        found: MemberId,
        /// Whose it should be.
        expected: MemberId,
    },
    /// A recovery stopped half way.
    #[error("{place} is left from a recovery that did not end; run `forebay recover` again")]
    HalfRecovered {
        /// What was found.
        place: String,
    },
}

impl From<redb::DatabaseError> for StoreError {
    fn from(error: redb::DatabaseError) -> Self {
        Self::Disk { place: DATABASE.to_owned(), source: io::Error::other(error.to_string()) }
    }
}

/// How blocking work is run.
#[derive(Clone, Copy, Debug)]
enum Runner {
    /// On tokio's threads for it: a paused clock waits for them, and the runtime is never blocked.
    Blocking,
    /// At once: memory blocks nobody, and the order of things stays the same in every run.
    Inline,
}

impl Runner {
    /// Lets it run beside the caller.
    fn start(self, work: impl FnOnce() + Send + 'static) {
        match self {
            // Both end by themselves, and whoever waits for what they do is told by them.
            Self::Blocking => drop(tokio::task::spawn_blocking(work)),
            Self::Inline => drop(tokio::spawn(async { work() })),
        }
    }

    /// Waits for it.
    async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        match self {
            Self::Blocking => tokio::task::spawn_blocking(work).await.map_err(io::Error::other),
            Self::Inline => Ok(work()),
        }
    }
}

/// The two halves of an open store.
pub(super) struct Opened {
    pub(super) log: Log,
    pub(super) machine: MachineStore,
}

impl Storage {
    fn runner(&self) -> Runner {
        match self {
            Self::Memory(_) => Runner::Inline,
            Self::Directory(_) | Self::Custom { .. } => Runner::Blocking,
        }
    }

    /// Opens or creates it, checks all of it, and brings `machine` to the state of the last snapshot.
    ///
    /// # Errors
    /// See [`StoreError`].
    ///
    /// # Cancel safety
    /// It may stay open for a moment.
    pub(super) async fn open(self, member: MemberId, machine: Box<dyn Machine>) -> Result<Opened, StoreError> {
        let runner = self.runner();
        let place = self.place();
        let opened = runner.run(move || self.open_now(member, machine)).await;
        // A panic of the database on what it reads is damage too.
        opened.unwrap_or_else(|error| Err(Corrupt { place, found: error.to_string() }.into()))
    }

    fn open_now(self, member: MemberId, machine: Box<dyn Machine>) -> Result<Opened, StoreError> {
        let (place, runner) = (self.place(), self.runner());
        let (database, contents, files) = self.parts()?;
        match contents.member {
            None => {
                let written = database.commit(&[&Write::Member(member.0)]);
                written.map_err(|source| StoreError::Disk { place: place.clone(), source })?;
            }
            Some(found) if found == member.0 => {}
            Some(found) => {
                return Err(StoreError::OtherMember { place, found: MemberId(found), expected: member });
            }
        }
        let snapshots = Snapshots::open(files.clone(), runner)?;
        covers(&snapshots, &contents, &*files)?;
        let machine = MachineStore::new(machine, snapshots)
            .map_err(|found| Corrupt { place: format!("{}: last snapshot", files.place()), found })?;
        Ok(Opened { log: Log::new(database, contents, runner), machine })
    }

    /// Whether a member has kept something there. What is not a directory always counts as such.
    pub fn exists(&self) -> bool {
        match self {
            Self::Directory(path) => path.join(DATABASE).exists(),
            Self::Memory(_) | Self::Custom { .. } => true,
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Directory(path) => path.join(DATABASE).display().to_string(),
            Self::Memory(_) => "memory".to_owned(),
            Self::Custom { .. } => DATABASE.to_owned(),
        }
    }

    fn parts(self) -> Result<(Database, Contents, Arc<dyn Files>), StoreError> {
        let place = self.place();
        let (opened, files): (_, Arc<dyn Files>) = match self {
            Self::Directory(path) => {
                recover::refuse_half(&path)?;
                let disk = |source| StoreError::Disk { place: path.display().to_string(), source };
                files::create_directory(&path).map_err(disk)?;
                let spare = Arc::new(Spare::take(&path));
                let files = Directory::open(&path.join(SNAPSHOTS)).map_err(disk)?.with_spare(Arc::clone(&spare));
                (open_database(&path, &spare)?, Arc::new(files))
            }
            Self::Memory(disk) => (Database::open(disk.database(), &place)?, Arc::new(disk)),
            Self::Custom { backend, files } => (Database::open(Boxed(backend), &place)?, files),
        };
        let (database, contents) = opened;
        Ok((database, contents, files))
    }
}

/// Opens the database of a directory. A new one gets its name once it is whole: one that was left half made
/// could not be told from one that is damaged.
fn open_database(directory: &Path, spare: &Arc<Spare>) -> Result<(Database, Contents), StoreError> {
    let path = directory.join(DATABASE);
    let place = path.display().to_string();
    let disk = |source| StoreError::Disk { place: place.clone(), source };
    if !path.exists() {
        let unfinished = directory.join(format!("{DATABASE}.unfinished"));
        let file = open_file(fs::File::options().create(true).truncate(true), &unfinished).map_err(disk)?;
        drop(Database::open(Occupied::new(file, Arc::clone(spare))?, &place)?);
        fs::rename(&unfinished, &path).and_then(|()| files::sync_directory(directory)).map_err(disk)?;
    }
    let file = open_file(&mut fs::File::options(), &path).map_err(disk)?;
    Database::open(Occupied::new(file, Arc::clone(spare))?, &place)
}

fn open_file(options: &mut fs::OpenOptions, path: &Path) -> io::Result<fs::File> {
    options.read(true).write(true).open(path)
}

/// What was purged from the log must be in the last snapshot.
fn covers(snapshots: &Snapshots, contents: &Contents, files: &dyn Files) -> Result<(), Corrupt> {
    let reaches = snapshots.last().and_then(|last| last.meta.last_log_id);
    match contents.purged {
        Some(purged) if reaches.is_none_or(|reaches| reaches < purged) => {
            let reaches = reaches.map_or("there is none".to_owned(), |reaches| format!("the last ends at {reaches}"));
            let found = format!("the log begins after {purged}, {reaches}");
            Err(Corrupt { place: format!("{}: a snapshot", files.place()), found })
        }
        _ => Ok(()),
    }
}

/// A backend chosen at run time.
#[derive(Debug)]
struct Boxed(Box<dyn StorageBackend>);

impl StorageBackend for Boxed {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}
