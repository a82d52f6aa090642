//! What a cache may take on disk: entries go that were not used for long, and beyond a size those that were used least
//! recently.
//!
//! When an entry was used stands in its file's time of last access. It is set with each use, since most file systems do
//! not keep it by themselves, or not exactly.

use std::{
    collections::BTreeSet,
    fs::{self, File, FileTimes},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// An entry that nobody used for so long goes, unless it is of this process.
pub(super) const UNUSED_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// What all entries may take. Unit: bytes. 1 GiB: thirty of the largest, Python's with 35 MB each.
pub(super) const BYTES_MAX: u64 = 1 << 30;

/// What is left of an entry whose writer was killed. Writing one takes less than a second.
const TORN_MAX: Duration = Duration::from_secs(3600);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Room {
    folder: PathBuf,
    /// Names of entries that this process uses: it may run for longer than they are kept.
    mine: Mutex<BTreeSet<String>>,
}

struct Entry {
    used: SystemTime,
    bytes: u64,
    name: String,
}

impl Room {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), mine: Mutex::default() }
    }

    /// An entry is used now. That it cannot be noted makes it go earlier, and nothing else.
    pub(super) fn used(&self, name: &str) {
        self.mine.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        let times = FileTimes::new().set_accessed(SystemTime::now());
        let noted = File::options().append(true).open(self.folder.join(name)).and_then(|file| file.set_times(times));
        if let Err(error) = noted {
            tracing::debug!(folder = %self.folder.display(), name, %error, "cannot note that an entry is used");
        }
    }

    /// Removes what may not stay. What cannot be removed is left for the next time.
    pub(super) fn make(&self, now: SystemTime) {
        if let Err(error) = self.make_within(BYTES_MAX, now) {
            tracing::warn!(folder = %self.folder.display(), %error, "compiled plugins that nobody uses cannot be removed");
        }
    }

    /// Removes what is too old, and gives the rest.
    fn sweep(&self, now: SystemTime) -> io::Result<Vec<Entry>> {
        let mine = self.mine.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut kept = Vec::new();
        for found in fs::read_dir(&self.folder)? {
            let found = found?;
            let Ok(name) = found.file_name().into_string() else { continue };
            // Another process may have removed it.
            let Ok(metadata) = found.metadata() else { continue };
            let used = metadata.modified()?.max(metadata.accessed()?);
            let unused = now.duration_since(used).unwrap_or_default();
            let longest = match () {
                () if name.ends_with(".cwasm") => UNUSED_MAX,
                () if name.starts_with(".tmp") => TORN_MAX,
                () => continue,
            };
            if unused > longest && !mine.contains(&name) {
                self.remove(&name)?;
            } else if name.ends_with(".cwasm") {
                kept.push(Entry { used, bytes: metadata.len(), name });
            }
        }
        Ok(kept)
    }

    /// Leaves at most so many bytes, and at least the entry that was used last.
    pub(super) fn make_within(&self, bytes_max: u64, now: SystemTime) -> io::Result<()> {
        let entries = self.sweep(now)?;
        self.evict(entries, bytes_max)
    }

    fn evict(&self, mut entries: Vec<Entry>, bytes_max: u64) -> io::Result<()> {
        entries.sort_by(|one, other| other.used.cmp(&one.used).then_with(|| one.name.cmp(&other.name)));
        let mut bytes = 0;
        for (index, entry) in entries.iter().enumerate() {
            bytes += entry.bytes;
            if bytes > bytes_max && index > 0 {
                self.remove(&entry.name)?;
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => {
                tracing::debug!(folder = %self.folder.display(), name, "a compiled plugin that nobody uses is gone");
                Ok(())
            }
        }
    }
}
