//! Where the database lies.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

#[cfg(test)]
use redb::StorageBackend;
use redb::backends::{FileBackend, InMemoryBackend};

use crate::watched::{Lost, Watched};

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
            Self::Memory => Ok(Watched::new(Box::new(InMemoryBackend::new()), Lost::default())),
            #[cfg(test)]
            Self::Test(disk) => Ok(Watched::new(disk.0(), Lost::default())),
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
    Ok(Watched::new(Box::new(FileBackend::new(file).map_err(io::Error::other)?), Lost::default()))
}
