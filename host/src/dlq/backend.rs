//! Where the database lies, and whether what was read from there can still be trusted.

use std::{
    fs, io,
    ops::Bound,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{
    BackendError, StorageBackend,
    backends::{FileBackend, InMemoryBackend},
};

/// The database's file in a data directory.
const FILE: &str = "dead-letters.redb";

/// What it is called until it is whole.
const UNFINISHED: &str = "dead-letters.redb.unfinished";

/// Where the database lies. Can be opened again after a failure.
#[derive(Debug)]
pub(super) enum Place {
    /// In this data directory.
    Data(PathBuf),
    /// In memory, once.
    Memory,
    /// Anywhere, for tests of what disks do.
    #[cfg(test)]
    Test(TestDisk),
}

/// Opens a disk that misbehaves.
#[cfg(test)]
pub(super) struct TestDisk(pub(super) Box<dyn Fn() -> Box<dyn StorageBackend> + Send + Sync>);

#[cfg(test)]
impl std::fmt::Debug for TestDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestDisk")
    }
}

impl Place {
    /// How errors call it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Data(data) => data.join(FILE).display().to_string(),
            Self::Memory => "memory".to_owned(),
            #[cfg(test)]
            Self::Test(_) => "test disk".to_owned(),
        }
    }

    /// Whether writing there takes time.
    pub(super) fn blocks(&self) -> bool {
        !matches!(self, Self::Memory)
    }

    /// Opens it. `make` brings a new file into the form of a database: it gets its name once it is whole,
    /// as one that was left half made could not be told from one that is damaged.
    pub(super) fn open<E: From<io::Error>>(&self, make: impl Fn(Watched) -> Result<(), E>) -> Result<Watched, E> {
        match self {
            Self::Memory => Ok(Watched::new(Box::new(InMemoryBackend::new()))),
            #[cfg(test)]
            Self::Test(disk) => Ok(Watched::new(disk.0())),
            Self::Data(data) => {
                let path = data.join(FILE);
                if !path.try_exists()? {
                    fs::create_dir_all(data)?;
                    let unfinished = data.join(UNFINISHED);
                    make(file(fs::File::options().create(true).truncate(true), &unfinished)?)?;
                    fs::rename(&unfinished, &path)?;
                    fs::File::open(data)?.sync_all()?;
                }
                Ok(file(&mut fs::File::options(), &path)?)
            }
        }
    }
}

/// Events may be secret: only this user may read them.
fn file(options: &mut fs::OpenOptions, path: &Path) -> io::Result<Watched> {
    let file = options.read(true).write(true).mode(0o600).open(path)?;
    Ok(Watched::new(Box::new(FileBackend::new(file).map_err(io::Error::other)?)))
}

/// A backend that remembers whether data could not be flushed.
///
/// After that the system may show what never reaches the disk, so that nothing may be built on it.
#[derive(Debug)]
pub(super) struct Watched {
    backend: Box<dyn StorageBackend>,
    lost: Lost,
}

/// Whether data could not be flushed.
#[derive(Clone, Debug, Default)]
pub(super) struct Lost(Arc<AtomicBool>);

impl Lost {
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Watched {
    fn new(backend: Box<dyn StorageBackend>) -> Self {
        Self { backend, lost: Lost::default() }
    }

    pub(super) fn lost(&self) -> Lost {
        self.lost.clone()
    }
}

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.backend.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.backend.sync_data().inspect_err(|_| self.lost.0.store(true, Ordering::Release))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.backend.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    // By its locks redb notices that a file is open already. What is not passed on counts as not there.

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.query_lock_range(start, end)
    }
}
