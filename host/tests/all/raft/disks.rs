//! Disks that are full, broken or changed behind a member's back.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use forebay::registry::raft::{Files, GroupError, MemoryDatabase, MemoryDisk, ProposeError, Storage, Timing};
use redb::StorageBackend;

use super::{
    bounded,
    members::{Town, WITHIN, numbered},
};

/// Fast elections: a member alone has nobody to wait for.
const ALONE: Timing = Timing {
    heartbeat: Duration::from_millis(10),
    election_min: Duration::from_millis(30),
    election_max: Duration::from_millis(60),
};

/// A disk that does so many more operations and then fails.
#[derive(Debug)]
struct Failing {
    disk: MemoryDatabase,
    left: Arc<AtomicI64>,
    kind: io::ErrorKind,
}

impl Failing {
    fn operate<T>(&self, operation: impl FnOnce(&MemoryDatabase) -> io::Result<T>) -> io::Result<T> {
        match self.left.fetch_sub(1, Ordering::Relaxed) > 0 {
            true => operation(&self.disk),
            false => Err(self.kind.into()),
        }
    }
}

impl StorageBackend for Failing {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        StorageBackend::read(&self.disk, offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.operate(|disk| disk.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.operate(StorageBackend::sync_data)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.operate(|disk| StorageBackend::write(disk, offset, data))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_disk_fails_stops_at_once_and_acknowledges_nothing_more() {
    bounded(async {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
            let disk = MemoryDisk::default();
            let left = Arc::new(AtomicI64::new(i64::MAX));
            let failing = Failing { disk: disk.database(), left: left.clone(), kind };
            let town = Town::default();
            let storage = Storage::Custom { backend: Box::new(failing), files: Arc::new(disk.clone()) };
            town.try_start(1, storage, ALONE).await.unwrap();
            town.found_of(&[1]).await;
            let mut acknowledged = town.propose_all(0..10).await;
            left.store(7, Ordering::Relaxed);
            let group = town.group(1);
            let refused = loop {
                match group.propose(numbered(10 + acknowledged.len() as u64), WITHIN).await {
                    Ok((index, _)) => {
                        let number = 10 + acknowledged.len() as u64;
                        acknowledged.push((index, numbered(number).to_vec()));
                    }
                    Err(error) => break error,
                }
            };
            assert!(matches!(refused, ProposeError::Stopped(_)), "{refused}");
            let status = group.watch().until(|status| status.failed.is_some()).await;
            assert!(!status.is_leader);
            let why = status.failed.unwrap();
            assert!(why.contains("the log cannot be written"), "{why}");
            assert!(group.propose(numbered(1000), WITHIN).await.is_err());
            assert!(group.ensure_linearizable(WITHIN).await.is_err());
            town.stop(1).await;
            // What had been acknowledged is there once the disk has room again.
            town.try_start(1, Storage::Memory(disk), ALONE).await.unwrap();
            let last = acknowledged.last().unwrap().0;
            let found = town.journal_with(1, last).await;
            assert_eq!(found[..acknowledged.len()], acknowledged);
            town.stop(1).await;
        }
    })
    .await;
}

/// Snapshots that cannot be written while there is no room, on a disk whose database is well.
#[derive(Debug)]
struct Unwritable {
    disk: MemoryDisk,
    kind: io::ErrorKind,
    has_room: Arc<AtomicBool>,
}

impl Files for Unwritable {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        Files::read(&self.disk, name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        match self.has_room.load(Ordering::Relaxed) {
            true => Files::write(&self.disk, name, bytes),
            false => Err(self.kind.into()),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn place(&self) -> String {
        "a disk".to_owned()
    }
}

/// A member alone that has been given enough commands for a snapshot, which cannot be written.
async fn without_snapshot(kind: io::ErrorKind) -> (Town, Arc<AtomicBool>) {
    let (disk, has_room) = (MemoryDisk::default(), Arc::new(AtomicBool::new(false)));
    let backend = Box::new(disk.database());
    let files = Arc::new(Unwritable { disk, kind, has_room: Arc::clone(&has_room) });
    let town = Town::default();
    town.try_start(1, Storage::Custom { backend, files }, ALONE).await.unwrap();
    town.found_of(&[1]).await;
    for _ in 0..5 {
        // The fifth makes the snapshot, and may be answered before or after.
        let _ = town.group(1).propose(vec![7; 4 << 20].into(), WITHIN).await;
    }
    (town, has_room)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_cannot_write_a_snapshot_stops() {
    bounded(async {
        let (town, _) = without_snapshot(io::ErrorKind::Other).await;
        let status = town.group(1).watch().until(|status| status.failed.is_some()).await;
        let why = status.failed.unwrap();
        assert!(why.contains("other error"), "{why}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_disk_has_no_room_for_a_snapshot_goes_on_without_it_until_there_is() {
    bounded(async {
        let (town, has_room) = without_snapshot(io::ErrorKind::StorageFull).await;
        let group = town.group(1);
        group.propose(b"one more".to_vec().into(), WITHIN).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let status = group.status();
        assert_eq!((status.snapshot, status.failed), (None, None));
        has_room.store(true, Ordering::Relaxed);
        group.watch().until(|status| status.snapshot.is_some()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_does_not_start_on_a_damaged_directory() {
    bounded(async {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("raft");
        let town = Town::default();
        town.start(1, Storage::Directory(path.clone())).await;
        town.found_of(&[1]).await;
        town.group(1).propose(b"a command to be found".to_vec().into(), WITHIN).await.unwrap();
        town.stop(1).await;
        let file = path.join("raft.redb");
        let mut bytes = fs::read(&file).unwrap();
        let places: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"to be found")).collect();
        assert!(!places.is_empty());
        for at in places {
            bytes[at] ^= 1;
        }
        fs::write(&file, bytes).unwrap();
        let error = town.try_start(1, Storage::Directory(path), ALONE).await.unwrap_err();
        let GroupError::Store(error) = error else { panic!("{error}") };
        assert!(error.to_string().contains("raft.redb"), "{error}");
    })
    .await;
}
