//! Room on the disk that a member keeps for itself, to give it up when others have filled the disk.
//!
//! A member whose log cannot be written ends, and with `disk_reserve` it takes no events long before its own would fill
//! the disk. What others write is not in its hands: so a file of [`SPARE_BYTES`] takes room that the log or a snapshot
//! gets when there is no other. It is taken again when the disk has room.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::fs::{FallocateFlags, fallocate};

use crate::disk::free_bytes;

/// Unit: bytes. The log's file grows to double its length, from 1 MiB, and holds 8 MiB of commands before a snapshot lets
/// go of them; without events pushed in a snapshot has some kilobytes.
pub(super) const SPARE_BYTES: u64 = 16 << 20;

/// The file's name in the member's directory.
const FILE: &str = "spare";

/// How often to look whether there is room for it again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Spare {
    path: PathBuf,
    is_there: AtomicBool,
    looked: Mutex<Instant>,
}

impl Spare {
    /// Takes the room in this directory, if there is some.
    pub(super) fn take(directory: &Path) -> Self {
        let path = directory.join(FILE);
        let spare = Self { path, is_there: AtomicBool::new(false), looked: Mutex::new(Instant::now()) };
        spare.try_take();
        spare
    }

    /// Does something that needs room, and once more with the room that was kept if there is none.
    ///
    /// # Errors
    /// Those of `action`.
    pub(super) fn with_room<T>(&self, mut action: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        match action() {
            Err(error) if error.kind() == io::ErrorKind::StorageFull && self.give_up() => action(),
            done => done,
        }
    }

    /// Takes it again when it was given up and the disk has room for it twice. A load of a flag while it is there.
    pub(super) fn retake(&self) {
        if self.is_there.load(Ordering::Relaxed) {
            return;
        }
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.elapsed() >= LOOK_EVERY {
            *looked = Instant::now();
            self.try_take();
        }
    }

    fn give_up(&self) -> bool {
        let given = self.is_there.swap(false, Ordering::Relaxed) && std::fs::remove_file(&self.path).is_ok();
        if given {
            tracing::warn!(bytes = SPARE_BYTES, "the disk is full: the log goes on in the room that was kept for it");
        }
        given
    }

    fn try_take(&self) {
        let taken = self.has_room().and_then(|has_room| if has_room { self.occupy() } else { Ok(false) });
        match taken {
            Ok(taken) => self.is_there.store(taken, Ordering::Relaxed),
            Err(error) => tracing::debug!(%error, "no room can be kept on the disk"),
        }
    }

    fn has_room(&self) -> io::Result<bool> {
        if std::fs::metadata(&self.path).is_ok_and(|found| found.len() == SPARE_BYTES) {
            return Ok(true);
        }
        Ok(free_bytes(self.path.parent().unwrap_or(&self.path))? >= 2 * SPARE_BYTES)
    }

    /// A file system that cannot take room in advance has none to keep.
    fn occupy(&self) -> io::Result<bool> {
        let file = File::options().create(true).truncate(false).write(true).open(&self.path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, SPARE_BYTES) {
            Ok(()) => Ok(true),
            Err(error) => {
                drop(file);
                std::fs::remove_file(&self.path)?;
                Err(error.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> io::Error {
        io::ErrorKind::StorageFull.into()
    }

    #[test]
    fn what_finds_no_room_gets_the_spare_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE);
        let spare = Spare::take(directory.path());
        assert_eq!(std::fs::metadata(&file).unwrap().len(), SPARE_BYTES);
        let mut tries = 0;
        let done = spare.with_room(|| {
            tries += 1;
            if file.exists() { Err(full()) } else { Ok(tries) }
        });
        assert_eq!(done.unwrap(), 2, "the second finds the room");
        let mut tries = 0;
        let failed = spare.with_room(|| {
            tries += 1;
            Err::<(), _>(full())
        });
        assert_eq!((failed.unwrap_err().kind(), tries), (io::ErrorKind::StorageFull, 1));
    }

    #[test]
    fn it_is_taken_again_and_kept_for_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let spare = Spare::take(directory.path());
        assert!(spare.give_up() && !directory.path().join(FILE).exists());
        *spare.looked.lock().unwrap() -= LOOK_EVERY;
        spare.retake();
        assert!(directory.path().join(FILE).exists());
        assert!(Spare::take(directory.path()).give_up(), "it was there already");
    }

    #[test]
    fn another_failure_does_not_cost_it() {
        let directory = tempfile::tempdir().unwrap();
        let spare = Spare::take(directory.path());
        let failed = spare.with_room(|| Err::<(), _>(io::Error::other("broken")));
        assert_eq!(failed.unwrap_err().to_string(), "broken");
        assert!(directory.path().join(FILE).exists());
    }
}
