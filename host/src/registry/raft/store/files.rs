//! Where snapshots lie: whole files by name, each there entirely or not at all.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use redb::StorageBackend;

use super::spare::Spare;

/// Files that are written whole.
///
/// What must hold of every implementation: once `write` returns, the file survives the loss of power;
/// until then, the former file of that name does, if there was one. A half written file is never seen.
pub trait Files: fmt::Debug + Send + Sync + 'static {
    /// The names of all files, in any order.
    ///
    /// # Errors
    /// What the disk says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// A whole file.
    ///
    /// # Errors
    /// What the disk says; [`io::ErrorKind::NotFound`] if there is none.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Creates or replaces a file.
    ///
    /// # Errors
    /// What the disk says. Nothing is changed then.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Deletes a file. It may come back when power is lost.
    ///
    /// # Errors
    /// What the disk says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// How errors call the place.
    fn place(&self) -> String;
}

/// What a file is called until it is whole.
const UNFINISHED: &str = ".unfinished";

/// A directory of a file system.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    spare: Option<Arc<Spare>>,
}

impl Directory {
    /// Creates the directory if it is missing, and deletes what was left unfinished in it.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(path: &Path) -> io::Result<Self> {
        create_directory(path)?;
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { path: path.to_owned(), spare: None })
    }

    /// The same, of a member that keeps some room.
    pub(super) fn with_spare(self, spare: Arc<Spare>) -> Self {
        Self { spare: Some(spare), ..self }
    }

    fn write_whole(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.path.join(format!("{name}{UNFINISHED}"));
        let written = write_synced(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, self.path.join(name)));
        if let Err(error) = written {
            // The disk may be full: give back what was taken. The first error is the one to tell.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        sync_directory(&self.path)
    }
}

impl Files for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path.join(name))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        match &self.spare {
            Some(spare) => spare.with_room(|| self.write_whole(name, bytes)),
            None => self.write_whole(name, bytes),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes what was created, renamed or deleted in a directory survive the loss of power.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Creates a directory that survives the loss of power.
pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => sync_directory(Path::new(".")),
    }
}

/// A disk in memory, for simulations: who keeps a clone of it can stop a member and start it again.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    /// How often a member has started on it.
    starts: u64,
    database: Vec<u8>,
    files: BTreeMap<String, Vec<u8>>,
}

impl MemoryDisk {
    /// Runs `access` on what the disk holds. A panic elsewhere leaves it as a crash would.
    fn with<T>(&self, access: impl FnOnce(&mut Contents) -> T) -> T {
        access(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The disk as the database of a member that starts now finds it. What is left of one before changes it no more.
    pub fn database(&self) -> MemoryDatabase {
        let start = self.with(|disk| {
            disk.starts += 1;
            disk.starts
        });
        MemoryDatabase { disk: self.clone(), start }
    }
}

/// See [`MemoryDisk::database`].
#[derive(Debug)]
pub struct MemoryDatabase {
    disk: MemoryDisk,
    start: u64,
}

impl MemoryDatabase {
    fn change(&self, change: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        self.disk.with(|disk| match disk.starts == self.start {
            true => change(&mut disk.database),
            false => Err(io::Error::other("another member runs on this disk by now")),
        })
    }
}

impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, files) = self.with(|disk| (disk.database.len(), disk.files.len()));
        write!(f, "MemoryDisk({bytes} bytes of database, {files} files)")
    }
}

fn range(offset: u64, len: usize, all: usize) -> io::Result<std::ops::Range<usize>> {
    let start = usize::try_from(offset).ok();
    let range = start.and_then(|start| Some(start..start.checked_add(len)?)).filter(|range| range.end <= all);
    range.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, format!("{len} bytes at {offset} of {all}")))
}

impl StorageBackend for MemoryDatabase {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.with(|disk| disk.database.len()) as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.with(|disk| {
            let range = range(offset, out.len(), disk.database.len())?;
            out.copy_from_slice(&disk.database[range]);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.change(|database| {
            database.resize(len, 0);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(|database| {
            let range = range(offset, data.len(), database.len())?;
            database[range].copy_from_slice(data);
            Ok(())
        })
    }
}

impl Files for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.with(|disk| disk.files.keys().cloned().collect()))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.with(|disk| disk.files.get(name).cloned()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.with(|disk| disk.files.insert(name.to_owned(), bytes.to_vec()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.with(|disk| disk.files.remove(name)).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps_whole_files(files: &dyn Files) {
        files.write("a", b"one").unwrap();
        files.write("b", b"two").unwrap();
        files.write("a", b"three").unwrap();
        assert_eq!(files.read("a").unwrap(), b"three");
        files.remove("b").unwrap();
        assert_eq!(files.list().unwrap(), ["a"]);
        assert_eq!(files.read("b").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn both_keep_whole_files() {
        let directory = tempfile::tempdir().unwrap();
        keeps_whole_files(&Directory::open(&directory.path().join("below")).unwrap());
        keeps_whole_files(&MemoryDisk::default());
    }

    #[test]
    fn what_was_left_unfinished_is_deleted() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.unfinished"), b"half").unwrap();
        fs::write(directory.path().join("b"), b"whole").unwrap();
        assert_eq!(Directory::open(directory.path()).unwrap().list().unwrap(), ["b"]);
    }
}
