//! One node's inboxes on disks that fail, fill up, and lose power; and what every inbox does.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use redb::{StorageBackend, backends::InMemoryBackend};

use super::*;
use crate::registry::raft::PowerDisk;

const PATIENCE: Duration = Duration::from_secs(20);

fn node() -> NodeName {
    "a".parse().unwrap()
}

fn name(stage: &str) -> GlobalName {
    GlobalName { pipeline: "p".parse().unwrap(), stage: stage.parse().unwrap() }
}

fn batch(events: &[&str]) -> Batch {
    Batch::from_payloads(events)
}

fn epoch(number: u64) -> Epoch {
    Epoch::from_u64(number)
}

fn on(disk: &(impl StorageBackend + Clone)) -> Opener {
    let disk = disk.clone();
    Opener { place: "test.redb".to_owned(), backend: Box::new(move || Ok(Box::new(disk.clone()))) }
}

fn opened(disk: &(impl StorageBackend + Clone)) -> Result<LocalStore, OpenError> {
    LocalStore::open_with(node(), DiskRoom::unlimited(), on(disk))
}

/// Waits until the writer is done with a store, and closes it.
fn close(store: LocalStore) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while Arc::strong_count(&store.0) > 1 {
        assert!(std::time::Instant::now() < deadline, "somebody uses it still");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn texts(events: &InboxEvents) -> Vec<String> {
    events.events.iter().map(|event| String::from_utf8_lossy(event.payload).into_owned()).collect()
}

/// All that is kept of an inbox, from where processing begins; nothing if there is nothing.
async fn kept(inbox: &LocalInbox) -> Vec<String> {
    match tokio::time::timeout(Duration::from_millis(1), inbox.next(0, usize::MAX, usize::MAX)).await {
        Ok(events) => {
            assert_eq!(events.first, inbox.position());
            texts(&events)
        }
        Err(_) => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_confirmed_is_there_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let open = || LocalStore::open(node(), data.path(), DiskRoom::unlimited());
    {
        let store = open().unwrap();
        let mode = std::fs::metadata(data.path().join("inbox.redb")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "events may be secret");
        let (s, t) = (store.inbox(name("s")), store.inbox(name("t")));
        assert_eq!(s.ingest(1, 1, batch(&["a", "b"])).await.unwrap(), 0);
        assert_eq!(s.ingest(1, 2, batch(&["c"])).await.unwrap(), 2);
        assert_eq!(t.ingest(1, 9, batch(&["x"])).await.unwrap(), 0);
        s.processed(epoch(1), 1).await.unwrap();
        let error = open().unwrap_err();
        assert!(matches!(error, OpenError::InUse { .. }), "{error}");
        drop((s, t));
        close(store);
    }
    let store = open().unwrap();
    let (s, t) = (store.inbox(name("s")), store.inbox(name("t")));
    assert_eq!((s.position(), kept(&s).await, kept(&t).await), (1, vec!["b".into(), "c".into()], vec!["x".into()]));
    assert_eq!(s.ingest(1, 2, batch(&["c"])).await.unwrap(), 2, "taken before the restart");
    s.processed(epoch(1), 3).await.unwrap();
    drop((s, t));
    close(store);
    let s = open().unwrap().inbox(name("s"));
    assert_eq!((s.position(), kept(&s).await.len()), (3, 0));
    assert_eq!(s.ingest(1, 3, batch(&["d"])).await.unwrap(), 3, "positions never come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_refused_with_the_file() {
    let data = tempfile::tempdir().unwrap();
    let open = || LocalStore::open(node(), data.path(), DiskRoom::unlimited());
    let store = open().unwrap();
    store.inbox(name("s")).ingest(1, 1, batch(&["a"])).await.unwrap();
    close(store);
    let path = data.path().join("inbox.redb");
    let whole = std::fs::read(&path).unwrap();
    let at = whole.windows(3).position(|bytes| bytes == b"p/s").unwrap();
    let mut damaged = whole.clone();
    damaged[at] = b'q';
    std::fs::write(&path, &damaged).unwrap();
    let error = open().unwrap_err().to_string();
    assert!(error.contains("inbox.redb is damaged") && error.contains("move it away"), "{error}");
    std::fs::write(&path, &whole).unwrap();
    open().unwrap();
    // A first start that was cut off.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(data.path().join("inbox.redb.unfinished"), vec![0; 5000]).unwrap();
    open().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_does_not_know_the_format_says_so() {
    let disk = PowerDisk::new();
    {
        let database = redb::Builder::new().create_with_backend(disk.clone()).unwrap();
        let transaction = database.begin_write().unwrap();
        let format = redb::TableDefinition::<&str, u64>::new("format");
        transaction.open_table(format).unwrap().insert("version", 7).unwrap();
        transaction.commit().unwrap();
    }
    let error = opened(&disk).unwrap_err().to_string();
    assert!(error.contains("of format 7, this release knows format 1"), "{error}");
}

#[tokio::test]
async fn next_waits_and_wakes_and_loses_nothing_when_dropped() {
    let store = LocalStore::in_memory(node());
    let inbox = store.inbox(name("s"));
    for _ in 0..3 {
        assert!(tokio::time::timeout(Duration::from_millis(1), inbox.next(0, 9, 99)).await.is_err());
    }
    let other = store.inbox(name("other"));
    let pushing = async {
        tokio::task::yield_now().await;
        other.ingest(1, 1, batch(&["not yours"])).await.unwrap();
        inbox.ingest(1, 1, batch(&["a", "b"])).await.unwrap();
    };
    let (events, ()) = tokio::join!(tokio::time::timeout(PATIENCE, inbox.next(0, 9, 99)), pushing);
    assert_eq!(texts(&events.unwrap()), ["a", "b"]);
    assert_eq!(texts(&inbox.next(1, 9, 99).await), ["b"], "given again to who asks again");
}

#[tokio::test]
async fn an_owner_whose_epoch_is_over_is_fenced() {
    let inbox = LocalStore::in_memory(node()).inbox(name("s"));
    inbox.ingest(1, 1, batch(&["a", "b"])).await.unwrap();
    inbox.processed(epoch(2), 1).await.unwrap();
    let late = inbox.processed(epoch(1), 2).await.unwrap_err();
    assert!(matches!(late, CheckpointError::Fenced(_)), "{late}");
    assert_eq!(inbox.position(), 1);
    inbox.processed(epoch(2), 0).await.unwrap();
    assert_eq!(inbox.position(), 1, "it never goes back");
    let beyond = inbox.processed(epoch(2), 3).await.unwrap_err();
    assert!(matches!(&beyond, CheckpointError::Fenced(fenced) if fenced.current.unwrap().1.0 == 2), "{beyond}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_low_disk_refuses_and_goes_on_when_there_is_room() {
    let free = Arc::new(AtomicU64::new(100));
    let told = Arc::clone(&free);
    let room = DiskRoom::new(move || Ok(told.load(Ordering::Relaxed)), 100);
    let store = LocalStore::open_with(node(), room, on(&PowerDisk::new())).unwrap();
    let inbox = store.inbox(name("s"));
    inbox.ingest(1, 1, batch(&["a"])).await.unwrap();
    free.store(99, Ordering::Relaxed);
    let low = inbox.ingest(1, 2, batch(&["b"])).await.unwrap_err().to_string();
    assert!(low.contains("99 bytes are free on the disk of a, and 100 are kept in reserve"), "{low}");
    assert_eq!(inbox.ingest(1, 1, batch(&["a"])).await.unwrap(), 0, "it is confirmed, and stays so");
    assert_eq!(kept(&inbox).await, ["a"]);
    inbox.processed(epoch(1), 1).await.unwrap();
    free.store(100, Ordering::Relaxed);
    assert_eq!(inbox.ingest(1, 2, batch(&["b"])).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_inbox_refuses_with_its_figures() {
    let inbox = LocalStore::in_memory(node()).inbox(name("s"));
    let many = Batch::from_payloads(vec![""; 250_000]);
    for request in 0..4 {
        inbox.ingest(1, request, many.clone()).await.unwrap();
    }
    let full = inbox.ingest(1, 4, batch(&["x"])).await.unwrap_err();
    assert!(matches!(full, IngestError::Full(_)) && full.to_string().contains("holds 1000000 events"), "{full}");
    inbox.processed(epoch(1), 250_000).await.unwrap();
    assert_eq!(inbox.ingest(1, 4, batch(&["x"])).await.unwrap(), 1_000_000);
}

/// A disk with a bound, and one whose syncs fail when told to.
#[derive(Clone, Debug)]
struct FullDisk(Arc<FullState>);

#[derive(Debug)]
struct FullState {
    inner: InMemoryBackend,
    full: AtomicBool,
    sync_fails: AtomicBool,
    syncs: AtomicUsize,
}

impl FullDisk {
    fn new() -> Self {
        let (full, sync_fails) = (AtomicBool::new(false), AtomicBool::new(false));
        Self(Arc::new(FullState { inner: InMemoryBackend::new(), full, sync_fails, syncs: AtomicUsize::new(0) }))
    }
}

impl StorageBackend for FullDisk {
    fn len(&self) -> io::Result<u64> {
        self.0.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.syncs.fetch_add(1, Ordering::Relaxed);
        match self.0.sync_fails.load(Ordering::Relaxed) {
            true => Err(io::Error::other("bad sector")),
            false => self.0.inner.sync_data(),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match self.0.full.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => self.0.inner.write(offset, data),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_everything_as_it_was_until_there_is_room() {
    let disk = FullDisk::new();
    let store = opened(&disk).unwrap();
    let inbox = store.inbox(name("s"));
    inbox.ingest(1, 1, batch(&["a", "b"])).await.unwrap();
    disk.0.full.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        let error = inbox.ingest(1, 2, batch(&["c"])).await.unwrap_err();
        assert!(matches!(&error, IngestError::Io { place, .. } if place == "test.redb"), "{error:?}");
        assert!(error.to_string().contains("see to the disk"), "{error}");
        assert_eq!((kept(&inbox).await, inbox.position()), (vec!["a".to_owned(), "b".to_owned()], 0));
        let unknown = inbox.processed(epoch(1), 1).await.unwrap_err();
        assert!(matches!(unknown, CheckpointError::Unknown(_)), "{unknown}");
    }
    disk.0.full.store(false, Ordering::Relaxed);
    // The first that finds room opens the store again.
    let first = loop {
        match inbox.ingest(1, 2, batch(&["c"])).await {
            Err(IngestError::Unknown(_)) => {}
            other => break other.unwrap(),
        }
    };
    assert_eq!((first, kept(&inbox).await), (2, vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]));
    inbox.processed(epoch(1), 3).await.unwrap();
    drop(inbox);
    close(store);
    assert_eq!(opened(&disk).unwrap().inbox(name("s")).position(), 3);
}

/// A sync that failed once may succeed the next time without what was lost.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_sync_nothing_is_confirmed_any_more() {
    let disk = FullDisk::new();
    let inbox = opened(&disk).unwrap().inbox(name("s"));
    inbox.ingest(1, 1, batch(&["a"])).await.unwrap();
    disk.0.sync_fails.store(true, Ordering::Relaxed);
    inbox.ingest(1, 2, batch(&["b"])).await.unwrap_err();
    disk.0.sync_fails.store(false, Ordering::Relaxed);
    let error = inbox.ingest(1, 2, batch(&["b"])).await.unwrap_err();
    let IngestError::Io { source, .. } = error else { panic!("{error:?}") };
    assert!(source.to_string().contains("restart the node"), "{source}");
    assert_eq!(kept(&inbox).await, ["a"], "what was confirmed is given still");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_come_together_share_a_commit() {
    let disk = FullDisk::new();
    let store = opened(&disk).unwrap();
    let before = disk.0.syncs.load(Ordering::Relaxed);
    let inbox = Arc::new(store.inbox(name("s")));
    // Held, so that all of them wait.
    let held = store.0.disk.as_ref().unwrap().lock().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let ingest = |client: u128| {
        let (inbox, asked) = (Arc::clone(&inbox), Arc::clone(&asked));
        tokio::spawn(async move {
            asked.fetch_add(1, Ordering::Relaxed);
            inbox.ingest(client, 1, batch(&["x", "y"])).await.unwrap()
        })
    };
    let all: Vec<_> = (0..100).map(ingest).collect();
    let deadline = std::time::Instant::now() + PATIENCE;
    while asked.load(Ordering::Relaxed) < 100 {
        assert!(std::time::Instant::now() < deadline, "{asked:?} have asked");
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(held);
    let mut firsts = Vec::new();
    for ingested in all {
        firsts.push(ingested.await.unwrap());
    }
    firsts.sort_unstable();
    assert_eq!(firsts, (0..100).map(|number| 2 * number).collect::<Vec<u64>>(), "each has its own place");
    let syncs = disk.0.syncs.load(Ordering::Relaxed) - before;
    assert!(syncs <= 3 * 11, "{syncs} syncs for 100 requests");
}

/// Everything that is done in the test below: each step waits for the one before.
async fn run(store: &LocalStore, confirmed: &mut Vec<String>, processed: &mut (u64, u64)) -> Result<(), ()> {
    let inbox = Arc::new(store.inbox(name("s")));
    for round in 0..6_u64 {
        // Two at once, which share a commit or not.
        let push = |client: u128| {
            let inbox = Arc::clone(&inbox);
            let events: Vec<_> = (0..3).map(|event| format!("{client}-{round}-{event}")).collect();
            tokio::spawn(async move {
                let ingested = inbox.ingest(client, round, Batch::from_payloads(&events)).await;
                ingested.map(|first| (first, events)).map_err(drop)
            })
        };
        let both = [push(1), push(2)];
        let mut results = Vec::new();
        for pushed in both {
            results.push(pushed.await.unwrap());
        }
        let mut taken: Vec<_> = results.iter().flatten().cloned().collect();
        taken.sort();
        for (first, events) in taken {
            // One that was not confirmed may stand before one that was: its place is not known.
            let first = usize::try_from(first).unwrap();
            confirmed.resize(confirmed.len().max(first), String::new());
            confirmed.truncate(first.max(confirmed.len()));
            confirmed.extend(events);
        }
        results.into_iter().collect::<Result<Vec<_>, ()>>()?;
        let upto = 4 * (round + 1);
        processed.1 = upto;
        inbox.processed(epoch(1), upto).await.map_err(drop)?;
        processed.0 = upto;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_confirmed_event_is_there_after_power_is_lost_at_any_operation() {
    let (mut remains, mut operation) = (0, 1);
    loop {
        let disk = PowerDisk::new();
        // A new file gets its name when it is whole; a disk without names cannot show that.
        drop(opened(&disk).unwrap());
        disk.cut_at(operation);
        let (mut confirmed, mut processed) = (Vec::new(), (0, 0));
        if let Ok(store) = opened(&disk) {
            let ended = run(&store, &mut confirmed, &mut processed).await;
            assert!(ended.is_ok() || disk.was_cut(), "it failed with power");
        }
        let was_cut = disk.was_cut();
        for seed in 0..4 {
            let case = format!("cut at operation {operation}, seed {seed}");
            let again = disk.powered_again(seed * 1_000_000 + operation as u64);
            let store = opened(&again).unwrap_or_else(|error| panic!("{case}: {error}"));
            let inbox = store.inbox(name("s"));
            let position = inbox.position();
            assert!((processed.0..=processed.1).contains(&position), "{case}: {position} of {processed:?}");
            let found = kept(&inbox).await;
            let from = usize::try_from(position).unwrap();
            let expected = confirmed.get(from..).unwrap_or_default();
            assert!(found.len() >= expected.len(), "{case}: {found:?}, confirmed {expected:?}");
            for (found, expected) in found.iter().zip(expected).filter(|(_, expected)| !expected.is_empty()) {
                assert_eq!(found, expected, "{case}");
            }
            // It goes on where it was.
            let end = position + found.len() as u64;
            assert_eq!(inbox.ingest(9, 1, batch(&["z"])).await.unwrap(), end, "{case}");
            remains += 1;
        }
        if !was_cut {
            assert_eq!((confirmed.len(), processed.0), (36, 24));
            break;
        }
        operation += 1;
    }
    println!("{remains} remains of {operation} cuts looked at");
    assert!(remains > 400, "{remains} only: this test does not cut any more");
}
