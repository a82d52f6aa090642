//! How much room a disk has, and when that is too little to promise to keep anything more.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What must stay free by default. Unit: bytes. Four snapshots of 16 MiB: the log goes on being written below it,
/// for claims and for what is processed, and that is what makes room again.
pub const DISK_RESERVE_DEFAULT: u64 = 64 << 20;

/// Tells how many bytes are free.
type Free = Arc<dyn Fn() -> io::Result<u64> + Send + Sync>;

/// Watches the file system of one directory.
#[derive(Clone)]
pub struct DiskRoom {
    free: Option<Free>,
    reserve: u64,
}

/// Less is free than must be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DiskLow {
    /// Unit: bytes.
    pub free: u64,
    /// Unit: bytes.
    pub reserve: u64,
}

impl fmt::Debug for DiskRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskRoom(reserve {}, watched: {})", self.reserve, self.free.is_some())
    }
}

impl DiskRoom {
    /// Of what is in memory: never low.
    pub fn unlimited() -> Self {
        Self { free: None, reserve: 0 }
    }

    /// Of the file system that holds `directory`, where `reserve` bytes must stay free.
    pub fn of(directory: &Path, reserve: u64) -> Self {
        let directory = directory.to_owned();
        Self::new(move || free_bytes(&directory), reserve)
    }

    /// Of anything that can tell how many bytes are free.
    pub fn new(free: impl Fn() -> io::Result<u64> + Send + Sync + 'static, reserve: u64) -> Self {
        Self { free: Some(Arc::new(free)), reserve }
    }

    /// Looks now; a system call, of about a microsecond.
    ///
    /// # Errors
    /// [`DiskLow`]. Where it cannot be told what is free there is no error: writing will tell.
    pub fn check(&self) -> Result<(), DiskLow> {
        let Some(free) = &self.free else { return Ok(()) };
        match free() {
            Ok(free) if free < self.reserve => Err(DiskLow { free, reserve: self.reserve }),
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "cannot tell how much room the disk has");
                Ok(())
            }
        }
    }
}

/// What this user may still write. The directory may not be there yet: then its parent's counts.
pub(crate) fn free_bytes(directory: &Path) -> io::Result<u64> {
    let mut path: PathBuf = std::path::absolute(directory)?;
    loop {
        match rustix::fs::statvfs(&path) {
            Ok(found) => return Ok(found.f_bavail.saturating_mul(found.f_frsize)),
            Err(rustix::io::Errno::NOENT) if path.pop() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_low_below_its_reserve() {
        let room = |reserve| DiskRoom::new(|| Ok(100), reserve);
        assert_eq!(room(100).check(), Ok(()));
        assert_eq!(room(101).check(), Err(DiskLow { free: 100, reserve: 101 }));
        assert_eq!(DiskRoom::new(|| Err(io::ErrorKind::NotFound.into()), 1).check(), Ok(()));
        assert_eq!(DiskRoom::unlimited().check(), Ok(()));
    }

    #[test]
    fn a_directory_that_is_not_there_yet_has_the_room_of_its_parent() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("below/further");
        assert_eq!(DiskRoom::of(&missing, 1).check(), Ok(()));
        assert!(matches!(DiskRoom::of(&missing, u64::MAX).check(), Err(DiskLow { free: 1.., .. })));
    }
}
