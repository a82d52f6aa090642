//! The store: what it keeps, what it refuses, and what it makes of disks that are full, damaged or gone.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use forebay_proto::{
    batch::{Batch, BatchLimits, Columns},
    ids::{Epoch, Seq},
};
use redb::{StorageBackend, backends::InMemoryBackend};

mod power;

use super::{
    backend::{Place, TestDisk},
    *,
};

pub(super) fn letter(stage: &str, seq: u64) -> Letter {
    Letter {
        pipeline: "p".parse().unwrap(),
        stage: stage.parse().unwrap(),
        source: "source".parse().unwrap(),
        epoch: Epoch { lamport: 3, tag: 4 },
        seq: Seq(seq),
        attempts: 5,
        at_ms: 12_345,
        reason: "not a thing".into(),
        event: Batch::from_payloads([format!("event {seq}")]),
    }
}

/// The middle one of three events, with key, topic and headers.
pub(super) fn with_everything() -> Letter {
    let columns = Columns {
        payloads: b"other\0\xffthis\x1bother".to_vec(),
        ends: vec![5, 12, 17],
        topics: vec!["other".to_owned(), "topic".to_owned()],
        topic_of: vec![0, 1, 0],
        keys: b"otherkeyother".to_vec(),
        key_ends: vec![5, 8, 13],
        headers: vec![
            (0, "other".to_owned(), "other".to_owned()),
            (1, "name".to_owned(), "välue".to_owned()),
            (1, "name".to_owned(), String::new()),
        ],
    };
    let event = Batch::new(columns, &BatchLimits::default()).unwrap().slice(1..2);
    Letter { reason: "a trap\n  at f\u{1b}[31m".into(), event, ..letter("stage", 1) }
}

pub(super) fn same(one: &Letter, other: &Letter) -> bool {
    let parts = |letter: &Letter| {
        let headers: Vec<_> =
            letter.event.headers().map(|(event, name, value)| (event, name.to_owned(), value.to_owned())).collect();
        let numbers = (letter.epoch, letter.seq, letter.attempts, letter.at_ms);
        let names = (letter.pipeline.clone(), letter.stage.clone(), letter.source.clone());
        (names, numbers, letter.reason.clone(), headers)
    };
    parts(one) == parts(other) && one.event.event(0) == other.event.event(0) && one.event.len() == other.event.len()
}

fn bounds(letters_max: u64, bytes_max: u64) -> Bounds {
    Bounds { letters_max, bytes_max }
}

async fn ids(store: &DeadLetters) -> Vec<u64> {
    store.list(&Filter::default(), None, usize::MAX).await.iter().map(|letter| letter.id.0).collect()
}

async fn put_one(store: &DeadLetters, letter: Letter) -> Result<u64, PutError> {
    store.put(vec![letter]).await.map(|ids| ids[0].0)
}

#[tokio::test]
async fn letters_survive_a_start_and_numbers_are_never_given_twice() {
    let data = tempfile::tempdir().unwrap();
    let store = DeadLetters::open(data.path(), Bounds::default()).unwrap();
    let mode = fs::metadata(data.path().join("dead-letters.redb")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let given = store.put(vec![letter("a", 1), with_everything(), letter("b", 1)]).await.unwrap();
    assert_eq!(given, [LetterId(1), LetterId(2), LetterId(3)]);
    assert_eq!(store.remove(vec![LetterId(3), LetterId(7)]).await.unwrap(), [LetterId(7)]);
    assert!(matches!(DeadLetters::open(data.path(), Bounds::default()), Err(OpenError::Disk(_))), "it is open");
    let before = store.count();
    store.close().await;
    assert!(put_one(&store, letter("a", 2)).await.is_err(), "it is closed");

    let store = DeadLetters::open(data.path(), Bounds::default()).unwrap();
    assert_eq!(store.count(), before);
    assert_eq!(ids(&store).await, [1, 2]);
    assert!(same(&store.get(LetterId(2)).await.unwrap().unwrap(), &with_everything()));
    assert!(store.get(LetterId(3)).await.unwrap().is_none());
    assert_eq!(put_one(&store, letter("b", 1)).await.unwrap(), 4);
}

#[tokio::test]
async fn the_same_event_is_one_letter() {
    let store = DeadLetters::in_memory(Bounds::default());
    assert_eq!(put_one(&store, letter("a", 1)).await.unwrap(), 1);
    let bytes = store.count().bytes;
    let later = Letter { attempts: 9, reason: "another reason".into(), ..letter("a", 1) };
    assert_eq!(put_one(&store, later.clone()).await.unwrap(), 1);
    assert!(same(&store.get(LetterId(1)).await.unwrap().unwrap(), &later));
    assert_eq!((store.count().letters, store.count().bytes), (1, bytes + 3));
    let others = [
        Letter { stage: "b".parse().unwrap(), ..letter("a", 1) },
        Letter { source: "b".parse().unwrap(), ..letter("a", 1) },
        Letter { pipeline: "b".parse().unwrap(), ..letter("a", 1) },
        Letter { epoch: Epoch { lamport: 3, tag: 5 }, ..letter("a", 1) },
        letter("a", 2),
    ];
    store.put(others.to_vec()).await.unwrap();
    assert_eq!(ids(&store).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(store.put(vec![letter("c", 1), letter("c", 1)]).await.unwrap(), [LetterId(7), LetterId(7)]);
    store.remove((1..=7).map(LetterId).collect()).await.unwrap();
    assert_eq!((store.count().letters, store.count().bytes), (0, 0), "nothing is counted twice");
}

#[tokio::test]
async fn a_list_is_cut_into_pages_and_filtered() {
    let store = DeadLetters::in_memory(Bounds::default());
    store.put((0..10).map(|seq| letter(if seq % 2 == 0 { "even" } else { "odd" }, seq)).collect()).await.unwrap();
    let odd = Filter { stage: Some("odd".to_owned()), ..Filter::default() };
    let first = store.list(&odd, None, 3).await;
    assert_eq!(first.iter().map(|letter| letter.id.0).collect::<Vec<_>>(), [2, 4, 6]);
    let rest = store.list(&odd, Some(first[2].id), 3).await;
    assert_eq!(rest.iter().map(|letter| letter.id.0).collect::<Vec<_>>(), [8, 10]);
    assert_eq!((first[0].payload_bytes, &*first[0].first_line), (7, "not a thing"));
    let elsewhere = Filter { pipeline: Some("q".to_owned()), ..Filter::default() };
    assert!(store.list(&elsewhere, None, 3).await.is_empty());
}

#[tokio::test]
async fn a_full_store_refuses_and_throws_nothing_away() {
    let store = DeadLetters::in_memory(bounds(2, 1 << 20));
    put_one(&store, letter("a", 1)).await.unwrap();
    assert!(!store.count().is_full);
    let refused = store.put(vec![letter("a", 2), letter("a", 3)]).await.unwrap_err();
    assert!(matches!(refused, PutError::Full { letters: 1, letters_max: 2, .. }), "{refused}");
    assert_eq!(ids(&store).await, [1], "all of them, or none");
    assert!(store.count().is_full);
    put_one(&store, letter("a", 2)).await.unwrap();
    put_one(&store, letter("a", 2)).await.expect("what is there already needs no room");
    let refused = put_one(&store, letter("a", 3)).await.unwrap_err().to_string();
    assert!(refused.starts_with("the dead letters are full: 2 of 2 letters, "), "{refused}");
    store.remove(vec![LetterId(1)]).await.unwrap();
    assert!(!store.count().is_full);
    put_one(&store, letter("a", 3)).await.unwrap();

    let one = store.count().bytes / 2;
    let store = DeadLetters::in_memory(bounds(100, 2 * one));
    put_one(&store, letter("a", 1)).await.unwrap();
    let long = Letter { reason: "x".repeat(1000).into(), ..letter("a", 2) };
    let refused = put_one(&store, long).await.unwrap_err();
    assert!(matches!(refused, PutError::Full { bytes, bytes_max, .. } if bytes == one && bytes_max == 2 * one));
    put_one(&store, letter("a", 2)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_many_put_at_once_is_kept_under_numbers_of_its_own() {
    let data = tempfile::tempdir().unwrap();
    let store = DeadLetters::open(data.path(), Bounds::default()).unwrap();
    let puts = (0..200).map(|seq| {
        let store = store.clone();
        tokio::spawn(async move { put_one(&store, letter("a", seq)).await.unwrap() })
    });
    let mut given = Vec::new();
    for put in puts.collect::<Vec<_>>() {
        given.push(put.await.unwrap());
    }
    for (seq, id) in given.iter().enumerate() {
        assert!(same(&store.get(LetterId(*id)).await.unwrap().unwrap(), &letter("a", seq as u64)));
    }
    given.sort_unstable();
    assert_eq!(given, (1..=200).collect::<Vec<_>>());
}

/// A disk in memory that can be full, and that can fail to flush.
#[derive(Clone, Debug, Default)]
struct BadDisk(Arc<Faults>);

#[derive(Debug, Default)]
struct Faults {
    bytes: InMemoryBackend,
    full: AtomicBool,
    flushes_fail: AtomicBool,
}

impl BadDisk {
    fn room(&self) -> io::Result<()> {
        match self.0.full.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn place(&self) -> Place {
        let disk = self.clone();
        Place::Test(TestDisk(Box::new(move || Box::new(disk.clone()))))
    }
}

impl StorageBackend for BadDisk {
    fn len(&self) -> io::Result<u64> {
        self.0.bytes.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.bytes.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.room()?;
        self.0.bytes.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.0.flushes_fail.load(Ordering::Relaxed) {
            true => Err(io::Error::other("no answer from the disk")),
            false => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.room()?;
        self.0.bytes.write(offset, data)
    }
}

#[tokio::test]
async fn a_full_disk_leaves_the_store_as_it_was_until_there_is_room() {
    let disk = BadDisk::default();
    let store = DeadLetters::at(disk.place(), Bounds::default()).unwrap();
    put_one(&store, letter("a", 1)).await.unwrap();
    disk.0.full.store(true, Ordering::Relaxed);
    let before = store.count();
    for _ in 0..3 {
        let error = put_one(&store, letter("a", 2)).await.unwrap_err();
        assert!(matches!(&error, PutError::Io(error) if error.place == "test disk"), "{error}");
        assert!(store.remove(vec![LetterId(1)]).await.is_err());
        assert_eq!((store.count(), ids(&store).await), (before, vec![1]));
    }
    disk.0.full.store(false, Ordering::Relaxed);
    assert!(same(&store.get(LetterId(1)).await.unwrap().unwrap(), &letter("a", 1)));
    assert_eq!(put_one(&store, letter("a", 2)).await.unwrap(), 2);
    store.close().await;
    let again = DeadLetters::at(disk.place(), Bounds::default()).unwrap();
    assert_eq!(ids(&again).await, [1, 2]);
}

#[tokio::test]
async fn after_a_flush_that_failed_nothing_is_acknowledged_any_more() {
    let disk = BadDisk::default();
    let store = DeadLetters::at(disk.place(), Bounds::default()).unwrap();
    put_one(&store, letter("a", 1)).await.unwrap();
    disk.0.flushes_fail.store(true, Ordering::Relaxed);
    assert!(put_one(&store, letter("a", 2)).await.is_err());
    disk.0.flushes_fail.store(false, Ordering::Relaxed);
    let PutError::Io(error) = put_one(&store, letter("a", 3)).await.unwrap_err() else { panic!("not of the disk") };
    assert!(error.source.to_string().contains("could not be flushed"), "{}", error.source);
}

#[tokio::test]
async fn damage_of_the_file_is_an_error_with_its_place() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("dead-letters.redb");
    let store = DeadLetters::open(data.path(), Bounds::default()).unwrap();
    store.put((0..20).map(|seq| letter("a", seq)).collect()).await.unwrap();
    store.close().await;
    let sound = fs::read(&path).unwrap();
    let used: Vec<_> = (0..sound.len()).filter(|at| sound[*at] != 0).collect();
    let mut refused = 0;
    for at in used.iter().step_by(used.len() / 150 + 1) {
        let mut changed = sound.clone();
        changed[*at] ^= 0x55;
        fs::write(&path, &changed).unwrap();
        match DeadLetters::open(data.path(), Bounds::default()) {
            Ok(store) => assert_eq!(store.count().letters, 20, "byte {at} does not matter, or is an error"),
            Err(error) => {
                assert!(error.to_string().contains("dead-letters.redb"), "{error}");
                refused += 1;
            }
        }
    }
    // Most of a file is pages that were replaced; those may hold anything.
    assert!(refused > 10, "{refused} refusals only: this test damages nothing any more");
    for nonsense in [&b"nonsense"[..], b"", &[7; 5000]] {
        fs::write(&path, nonsense).unwrap();
        let opened = DeadLetters::open(data.path(), Bounds::default());
        assert!(opened.is_err() || nonsense.is_empty(), "{nonsense:?}");
    }
}
