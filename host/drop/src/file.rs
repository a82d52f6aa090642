//! Looks at one file, and reads it such that a change while it is read is noticed.

use std::{
    fs::{self, File, Metadata},
    io::{self, ErrorKind, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};

/// Bytes that are read at once: a stop is noticed between two of these.
const PIECE_BYTES: u64 = 1 << 20;

/// What changes when a file does. Nobody can set `status` (ctime) back, unlike `modified`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) bytes: u64,
    pub(crate) regular: bool,
    /// Seconds and nanoseconds of the system's clock.
    pub(crate) modified: (i64, i64),
    pub(crate) status: (i64, i64),
}

impl From<&Metadata> for Identity {
    fn from(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
            regular: found.is_file(),
            modified: (found.mtime(), found.mtime_nsec()),
            status: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// A file as it was at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// `None`: there is none.
    pub(crate) identity: Option<Identity>,
    /// Since it last changed in any way. 0 when that is in the future, by a clock that was set.
    pub(crate) age: Duration,
}

impl Look {
    pub(crate) const MISSING: Self = Self { identity: None, age: Duration::MAX };

    /// What is not to be seen counts as not there.
    pub(crate) fn at(path: &Path) -> Self {
        let Ok(found) = fs::symlink_metadata(path) else { return Self::MISSING };
        let seconds = u64::try_from(found.ctime()).unwrap_or(0);
        let nanos = u32::try_from(found.ctime_nsec()).unwrap_or(0);
        let changed = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
        let age = SystemTime::now().duration_since(changed).unwrap_or_default();
        Self { identity: Some(Identity::from(&found)), age }
    }
}

/// A file was not read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReadError {
    /// It is not what was seen, or changed while it was read.
    Changed,
    /// `go_on` was false.
    Stopped,
    Unreadable(ErrorKind),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Changed,
            kind => Self::Unreadable(kind),
        }
    }
}

/// All bytes of the file that was `seen`, which it still is afterwards.
///
/// `go_on` is asked before each piece is read.
pub(crate) fn read_whole(path: &Path, seen: &Identity, mut go_on: impl FnMut() -> bool) -> Result<Bytes, ReadError> {
    unchanged(&fs::symlink_metadata(path)?, seen)?;
    // Should it have become a pipe or a link just now, opening neither blocks nor leads elsewhere.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?);
    unchanged(&file.metadata()?, seen)?;
    let bytes = read_pieces(&mut file, seen.bytes, &mut go_on)?;
    unchanged(&file.metadata()?, seen)?;
    unchanged(&fs::symlink_metadata(path)?, seen)?;
    Ok(bytes)
}

fn unchanged(found: &Metadata, seen: &Identity) -> Result<(), ReadError> {
    if Identity::from(found) == *seen { Ok(()) } else { Err(ReadError::Changed) }
}

fn read_pieces(file: &mut File, length: u64, go_on: &mut impl FnMut() -> bool) -> Result<Bytes, ReadError> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(|_| ReadError::Changed)?);
    loop {
        if !go_on() {
            return Err(ReadError::Stopped);
        }
        if file.take(PIECE_BYTES).read_to_end(&mut bytes)? == 0 {
            break;
        }
        // Somebody appends: not to be read without end.
        if bytes.len() as u64 > length {
            return Err(ReadError::Changed);
        }
    }
    if bytes.len() as u64 == length { Ok(bytes.into()) } else { Err(ReadError::Changed) }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::fs::FileExt as _};

    use super::*;

    /// 3 MiB of zeros of which a second piece is not read before `meanwhile` was done.
    fn read_while(meanwhile: impl Fn(&Path, &File)) -> Result<Bytes, ReadError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let file = File::create(&path).unwrap();
        (&file).write_all(&[0; 3 << 20]).unwrap();
        let seen = Look::at(&path).identity.unwrap();
        // Time stamps of older kernels advance by up to 10 ms; a file is read after `SETTLE_MIN` only.
        std::thread::sleep(Duration::from_millis(20));
        let mut pieces = 0;
        read_whole(&path, &seen, || {
            pieces += 1;
            if pieces == 2 {
                meanwhile(&path, &file);
            }
            true
        })
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_not_given() {
        assert_eq!(read_while(|_, _| {}).unwrap(), vec![0; 3 << 20]);
        let changed = Err(ReadError::Changed);
        assert_eq!(read_while(|_, file| file.write_all_at(&[1], 5).unwrap()), changed);
        assert_eq!(read_while(|_, file| file.write_all_at(&[1], 2 << 20).unwrap()), changed);
        assert_eq!(read_while(|_, file| file.set_len(2 << 20).unwrap()), changed);
        assert_eq!(read_while(|_, file| file.set_len(9 << 20).unwrap()), changed);
        assert_eq!(read_while(|path, _| fs::remove_file(path).unwrap()), changed);
        assert_eq!(read_while(|path, _| fs::rename(path, path.with_extension("y")).unwrap()), changed);
        let set_back = |_: &Path, file: &File| {
            let modified = file.metadata().unwrap().modified().unwrap();
            file.write_all_at(&[1], 5).unwrap();
            file.set_modified(modified).unwrap();
        };
        assert_eq!(read_while(set_back), changed);
    }

    #[test]
    fn reading_stops_when_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "abc").unwrap();
        let seen = Look::at(&path).identity.unwrap();
        assert_eq!(read_whole(&path, &seen, || false), Err(ReadError::Stopped));
    }

    #[test]
    fn what_may_not_be_read_says_so() {
        // Not even root may read this one.
        let path = Path::new("/sys/bus/platform/uevent");
        let seen = Look::at(path).identity.unwrap();
        let error = read_whole(path, &seen, || true).unwrap_err();
        assert_eq!(error, ReadError::Unreadable(ErrorKind::PermissionDenied));
    }
}
