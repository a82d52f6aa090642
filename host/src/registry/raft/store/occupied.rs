//! A database's file whose room on the disk is taken before it is needed.
//!
//! redb makes its file longer in large steps and fills it bit by bit. Of a file that was only made longer the disk has
//! no room until it is written: when others fill the disk, a write into the middle of the file fails, and a member
//! whose log cannot be written ends. With the room taken when the file grows, a member whose disk is full goes on in the
//! room that its log had: claims and what is processed need little more than they free. When the file has to grow
//! nevertheless, it gets the [`Spare`].

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{DatabaseError, StorageBackend, backends::FileBackend};
use rustix::fs::{FallocateFlags, fallocate};

use super::spare::Spare;
use crate::watched::pass_on;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Occupied {
    file: File,
    backend: FileBackend,
    spare: Arc<Spare>,
    /// The file system cannot take room in advance, as some over a network.
    is_unable: AtomicBool,
}

impl Occupied {
    /// # Errors
    /// Another process has it open; or the system's, as `Io`.
    pub(super) fn new(file: File, spare: Arc<Spare>) -> Result<Self, DatabaseError> {
        let again = file.try_clone()?;
        Ok(Self { file: again, backend: FileBackend::new(file)?, spare, is_unable: AtomicBool::new(false) })
    }

    /// Takes the room between two lengths, and makes the file that long.
    fn grow(&self, from: u64, to: u64) -> io::Result<()> {
        if !self.is_unable.load(Ordering::Relaxed) {
            match fallocate(&self.file, FallocateFlags::empty(), from, to - from) {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                    self.is_unable.store(true, Ordering::Relaxed);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.backend.set_len(to)
    }
}

impl StorageBackend for Occupied {
    pass_on!(backend);

    fn set_len(&self, len: u64) -> io::Result<()> {
        match self.backend.len()? {
            now if now < len => self.spare.with_room(|| self.grow(now, len)),
            _ => self.backend.set_len(len),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.spare.retake();
        self.backend.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_file_that_grows_has_its_room_on_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let spare = Arc::new(Spare::take(directory.path()));
        let file = File::options().create_new(true).read(true).write(true).open(&path).unwrap();
        let occupied = Occupied::new(file, spare).unwrap();
        let room = || std::fs::metadata(&path).unwrap().blocks() * 512;
        for (len, least) in [(1 << 20, 1 << 20), (4 << 20, 4 << 20), (4096, 0)] {
            occupied.set_len(len).unwrap();
            assert_eq!(occupied.len().unwrap(), len);
            assert!(room() >= least, "{} of {len} bytes are on the disk", room());
        }
        assert!(room() < 1 << 20, "what is cut off is free again: {}", room());
    }
}
