//! Snapshots of the machine's state, on disk as whole files.
//!
//! A file is called `TERM-INDEX.snapshot` after the last entry that is in it, and holds a version, what
//! openraft wants to know of it, the state, and a SHA-256 over all of that.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use super::{Corrupt, Files, Runner, StoreError};
use crate::registry::raft::{
    codec::{Reader, Writer},
    types::{Snapshot, SnapshotMeta},
};

/// The version of the file's layout.
const VERSION: u8 = 1;

/// How many are kept: the last, and the one before for a human to look at.
const KEPT: usize = 2;

const EXTENSION: &str = ".snapshot";

/// The snapshots of one member. Clones are handles on the same.
#[derive(Clone, Debug)]
pub(in crate::registry::raft) struct Snapshots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    files: Arc<dyn Files>,
    /// In memory too: the state is small, and a new member wants it at once.
    last: Mutex<Option<Snapshot>>,
    /// Locked while one is saved, so that an older one cannot come second.
    saving: Mutex<()>,
    runner: Runner,
}

impl Snapshots {
    /// Reads and checks the last one. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Disk`]; [`StoreError::Corrupt`] if the last one is damaged: the one before may be
    /// older than what was purged from the log.
    pub(super) fn open(files: Arc<dyn Files>, runner: Runner) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Disk { place: files.place(), source };
        let last = match by_age(&*files).map_err(failed)?.pop() {
            None => None,
            Some((_, name)) => {
                let bytes = files.read(&name).map_err(failed)?;
                let place = format!("{}/{name}", files.place());
                Some(decode(&bytes).map_err(|found| Corrupt { place, found })?)
            }
        };
        Ok(Self(Arc::new(Shared { files, last: Mutex::new(last), saving: Mutex::new(()), runner })))
    }

    /// The last one.
    pub(in crate::registry::raft) fn last(&self) -> Option<Snapshot> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes this the last one, unless there is a later one already.
    ///
    /// # Errors
    /// What the disk says. The former stays the last one.
    ///
    /// # Cancel safety
    /// It may be saved or not.
    pub(super) async fn save(&self, snapshot: Snapshot) -> io::Result<()> {
        let shared = self.0.clone();
        self.0.runner.run(move || shared.save(snapshot)).await?
    }

    /// As [`Snapshots::save`], blocking.
    pub(super) fn save_now(&self, snapshot: Snapshot) -> io::Result<()> {
        self.0.save(snapshot)
    }
}

impl Shared {
    fn save(&self, snapshot: Snapshot) -> io::Result<()> {
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let last = |shared: &Self| shared.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if last(self).is_some_and(|last| last.meta.last_log_id >= snapshot.meta.last_log_id) {
            return Ok(());
        }
        self.files.write(&name(&snapshot.meta), &encode(&snapshot))?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
        let mut kept = by_age(&*self.files)?;
        kept.truncate(kept.len().saturating_sub(KEPT));
        kept.iter().try_for_each(|(_, name)| self.files.remove(name))
    }
}

fn name(meta: &SnapshotMeta) -> String {
    let (term, index) = meta.last_log_id.map_or((0, 0), |last| (last.leader_id.term, last.index));
    format!("{term}-{index}{EXTENSION}")
}

/// Snapshots by (term, index), the last one last. By number: as text, 10 comes before 9.
fn by_age(files: &dyn Files) -> io::Result<Vec<((u64, u64), String)>> {
    let mut found: Vec<_> = files.list()?.into_iter().filter_map(|name| Some((age(&name)?, name))).collect();
    found.sort();
    Ok(found)
}

fn age(name: &str) -> Option<(u64, u64)> {
    let (term, index) = name.strip_suffix(EXTENSION)?.split_once('-')?;
    Some((term.parse().ok()?, index.parse().ok()?))
}

fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.raw(&[VERSION]);
    writer.snapshot_meta(&snapshot.meta);
    writer.u64(snapshot.snapshot.len() as u64);
    writer.raw(&snapshot.snapshot);
    let mut bytes = writer.finish();
    let sum = digest(&SHA256, &bytes);
    bytes.extend_from_slice(sum.as_ref());
    bytes
}

fn decode(bytes: &[u8]) -> Result<Snapshot, String> {
    let (content, sum) =
        bytes.split_last_chunk::<SHA256_OUTPUT_LEN>().ok_or_else(|| format!("{} bytes long", bytes.len()))?;
    if digest(&SHA256, content).as_ref() != sum {
        return Err("its checksum is wrong".to_owned());
    }
    let mut reader = Reader::new(content);
    let version = reader.raw("version", 1).map_err(|error| error.to_string())?;
    if version != [VERSION] {
        return Err(format!("version {version:?}, this build knows {VERSION}"));
    }
    let read = || {
        let meta = reader.snapshot_meta()?;
        let len = reader.u64("length")?;
        let state = reader.raw("state", usize::try_from(len).unwrap_or(usize::MAX))?;
        reader.finish()?;
        Ok(Snapshot { meta, snapshot: Bytes::copy_from_slice(state) })
    };
    read().map_err(|error: crate::registry::raft::codec::CodecError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::raft::{
        store::MemoryDisk,
        types::{LeaderId, LogId},
    };

    fn snapshot(term: u64, index: u64) -> Snapshot {
        let last_log_id = Some(LogId { leader_id: LeaderId { term, node_id: 7 }, index });
        let meta = SnapshotMeta { last_log_id, ..SnapshotMeta::default() };
        Snapshot { meta, snapshot: Bytes::from(format!("{term} {index}")) }
    }

    fn open(disk: &MemoryDisk) -> Result<Snapshots, StoreError> {
        Snapshots::open(Arc::new(disk.clone()), Runner::Inline)
    }

    #[test]
    fn the_last_two_are_kept_by_number() {
        let disk = MemoryDisk::default();
        let snapshots = open(&disk).unwrap();
        for (term, index) in [(1, 9), (1, 10), (9, 11), (10, 12)] {
            snapshots.save_now(snapshot(term, index)).unwrap();
        }
        let mut names = disk.list().unwrap();
        names.sort();
        assert_eq!(names, ["10-12.snapshot", "9-11.snapshot"]);
        assert_eq!(open(&disk).unwrap().last().unwrap().snapshot, "10 12");
    }

    #[test]
    fn an_older_one_that_comes_late_changes_nothing() {
        let disk = MemoryDisk::default();
        let snapshots = open(&disk).unwrap();
        snapshots.save_now(snapshot(2, 20)).unwrap();
        snapshots.save_now(snapshot(1, 10)).unwrap();
        assert_eq!(disk.list().unwrap(), ["2-20.snapshot"]);
        assert_eq!(snapshots.last().unwrap().snapshot, "2 20");
    }

    #[test]
    fn every_changed_bit_and_every_length_is_refused() {
        let whole = encode(&snapshot(3, 4));
        assert_eq!(decode(&whole).unwrap().snapshot, "3 4");
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(decode(&changed).is_err(), "byte {at}");
            assert!(decode(&whole[..at]).is_err(), "{at} bytes");
        }
        let disk = MemoryDisk::default();
        disk.write("3-4.snapshot", &whole[..whole.len() - 1]).unwrap();
        disk.write("3-3.snapshot", &encode(&snapshot(3, 3))).unwrap();
        let error = open(&disk).unwrap_err().to_string();
        assert!(error.contains("3-4.snapshot"), "{error}");
    }
}
