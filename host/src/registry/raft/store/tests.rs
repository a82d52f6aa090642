//! openraft's own suite, what is found after a start, and damage of every record.

use std::sync::Mutex;

use openraft::{
    RaftLogReader as _, StorageError,
    storage::{IOFlushed, RaftLogStorage as _},
    testing::log::{StoreBuilder, Suite},
    type_config::TypeConfigExt as _,
};
use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition};

pub(in crate::registry::raft) mod disk;
mod power;

pub(crate) use disk::PowerDisk;

use super::*;
use crate::registry::raft::types::{
    COMMAND_BYTES_MAX, Command, Entry, LeaderId, LogId, Payload, Snapshot, SnapshotMeta, Types, Vote,
};

/// Remembers every command.
#[derive(Clone, Debug, Default)]
struct Journal(Arc<Mutex<Vec<u8>>>);

impl Machine for Journal {
    fn apply(&mut self, _: u64, command: &[u8]) -> Vec<u8> {
        self.0.lock().unwrap().extend_from_slice(command);
        Vec::new()
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        *self.0.lock().unwrap() = snapshot.to_vec();
        Ok(())
    }
}

const MEMBER: MemberId = MemberId(0);

fn journal() -> Box<dyn Machine> {
    Box::new(Journal::default())
}

struct Fresh(fn() -> (Option<tempfile::TempDir>, Storage));

impl StoreBuilder<Types, Log, MachineStore, Option<tempfile::TempDir>> for Fresh {
    async fn build(&self) -> Result<(Option<tempfile::TempDir>, Log, MachineStore), StorageError<Types>> {
        let (guard, storage) = self.0();
        let opened = storage.open(MEMBER, journal()).await.unwrap();
        Ok((guard, opened.log, opened.machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_own_suite_passes_in_memory() {
    Suite::test_all(Fresh(|| (None, Storage::Memory(MemoryDisk::default())))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_own_suite_passes_in_a_directory() {
    Suite::test_all(Fresh(|| {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::Directory(directory.path().join("raft"));
        (Some(directory), storage)
    }))
    .await
    .unwrap();
}

fn log_id(index: u64) -> LogId {
    LogId { leader_id: LeaderId { term: 3, node_id: 0 }, index }
}

fn entry(index: u64) -> Entry {
    Entry { log_id: log_id(index), payload: Payload::Normal(Command(format!("command {index}").into())) }
}

fn vote(term: u64) -> Vote {
    Vote { leader_id: LeaderId { term, node_id: 0 }, committed: true }
}

async fn append(log: &mut Log, indices: std::ops::RangeInclusive<u64>) -> io::Result<()> {
    let (sender, receiver) = Types::oneshot();
    log.append(indices.map(entry).collect::<Vec<_>>(), IOFlushed::signal(sender)).await?;
    receiver.await.unwrap()
}

/// A store with an entry, a vote, what was committed, and what was purged with its snapshot.
async fn filled() -> MemoryDisk {
    let disk = MemoryDisk::default();
    let mut opened = Storage::Memory(disk.clone()).open(MEMBER, journal()).await.unwrap();
    opened.log.save_vote(&vote(3)).await.unwrap();
    append(&mut opened.log, 0..=9).await.unwrap();
    let meta = SnapshotMeta { last_log_id: Some(log_id(4)), ..SnapshotMeta::default() };
    let snapshots = Snapshots::open(Arc::new(disk.clone()), Runner::Inline).unwrap();
    snapshots.save_now(Snapshot { meta, snapshot: "state".into() }).unwrap();
    opened.log.purge(log_id(4)).await.unwrap();
    opened.log.save_committed(Some(log_id(7))).await.unwrap();
    opened.log.close().await;
    disk
}

async fn opened(disk: MemoryDisk, member: MemberId) -> Result<Opened, StoreError> {
    Storage::Memory(disk).open(member, journal()).await
}

#[tokio::test]
async fn everything_is_found_again() {
    let mut log = opened(filled().await, MEMBER).await.unwrap().log;
    assert_eq!(log.read_vote().await.unwrap(), Some(vote(3)));
    assert_eq!(log.read_committed().await.unwrap(), Some(log_id(7)));
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(log_id(4)), Some(log_id(9))));
    assert_eq!(log.try_get_log_entries(..).await.unwrap(), (5..=9).map(entry).collect::<Vec<_>>());
}

/// On one thread nothing is written before all four are asked for: they share a commit.
#[tokio::test]
async fn writes_that_share_a_commit_keep_their_order() {
    let disk = MemoryDisk::default();
    let mut log = opened(disk.clone(), MEMBER).await.unwrap().log;
    append(&mut log, 0..=9).await.unwrap();
    let newer = LogId { leader_id: LeaderId { term: 4, node_id: 0 }, index: 5 };
    let blank = Entry { log_id: newer, payload: Payload::Blank };
    let (mut one, mut two, mut three, mut four) = (log.clone(), log.clone(), log.clone(), log.clone());
    let (before, after) = (vote(4), vote(5));
    let (truncated, appended, voted, voted_again) = tokio::join!(
        one.truncate_after(Some(log_id(4))),
        two.append([blank.clone()], IOFlushed::noop()),
        three.save_vote(&before),
        four.save_vote(&after),
    );
    for written in [truncated, appended, voted, voted_again] {
        written.unwrap();
    }
    log.close().await;
    let mut log = opened(disk, MEMBER).await.unwrap().log;
    assert_eq!(log.read_vote().await.unwrap(), Some(vote(5)));
    let expected: Vec<_> = (0..=4).map(entry).chain([blank]).collect();
    assert_eq!(log.try_get_log_entries(..).await.unwrap(), expected);
}

/// A crashed member's last threads may outlive it for a moment; on a real disk its lock keeps them apart.
#[tokio::test]
async fn what_is_left_of_a_member_changes_nothing_once_another_has_started_on_its_disk() {
    let disk = filled().await;
    let mut old = opened(disk.clone(), MEMBER).await.unwrap().log;
    let mut log = opened(disk, MEMBER).await.unwrap().log;
    assert!(append(&mut old, 10..=19).await.is_err());
    old.close().await;
    append(&mut log, 10..=10).await.unwrap();
    assert_eq!(log.try_get_log_entries(..).await.unwrap(), (5..=10).map(entry).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_closed_store_acknowledges_nothing() {
    let mut log = opened(MemoryDisk::default(), MEMBER).await.unwrap().log;
    log.close().await;
    assert!(append(&mut log, 0..=0).await.is_err());
    assert!(log.save_vote(&vote(1)).await.is_err());
    log.close().await;
}

#[tokio::test]
async fn a_store_of_another_member_is_refused() {
    let error = opened(filled().await, MemberId(7)).await.err().unwrap();
    assert!(matches!(error, StoreError::OtherMember { found: MEMBER, expected: MemberId(7), .. }), "{error}");
}

#[tokio::test]
async fn a_directory_is_used_by_one_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let storage = || Storage::Directory(directory.path().to_owned());
    let first = storage().open(MEMBER, journal()).await.unwrap();
    let error = storage().open(MEMBER, journal()).await.err().unwrap();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    first.log.close().await;
    storage().open(MEMBER, journal()).await.unwrap().log.close().await;
}

#[tokio::test]
async fn a_database_that_was_left_half_made_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("raft.redb.unfinished"), vec![0; 5000]).unwrap();
    let opened = Storage::Directory(directory.path().to_owned()).open(MEMBER, journal()).await.unwrap();
    opened.log.close().await;
    // One that has its name is never made again.
    fs::write(directory.path().join(DATABASE), vec![0; 5000]).unwrap();
    let error = Storage::Directory(directory.path().to_owned()).open(MEMBER, journal()).await.err().unwrap();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
}

#[tokio::test]
async fn a_request_takes_few_bytes_or_one_command() {
    let mut log = opened(MemoryDisk::default(), MEMBER).await.unwrap().log;
    let command =
        |index, bytes| Entry { log_id: log_id(index), payload: Payload::Normal(Command(vec![0; bytes].into())) };
    let sizes = [COMMAND_BYTES_MAX, 10, 10, COMMAND_BYTES_MAX - 20, 1];
    let entries: Vec<_> = (0..).zip(sizes).map(|(index, bytes)| command(index, bytes)).collect();
    log.append(entries, IOFlushed::noop()).await.unwrap();
    for (from, taken) in [(0, 1), (1, 3), (4, 1), (5, 0)] {
        assert_eq!(log.limited_get_log_entries(from, 5).await.unwrap().len(), taken, "from {from}");
    }
}

/// Every bit of every record. Written through redb, which then has nothing to complain of.
#[tokio::test]
async fn a_changed_byte_of_any_record_is_refused_by_name() {
    const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
    const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");
    let disk = filled().await;
    let database = || redb::Builder::new().create_with_backend(disk.database()).unwrap();
    let records = {
        let database = database();
        let transaction = database.begin_read().unwrap();
        let state = transaction.open_table(STATE).unwrap();
        let log = transaction.open_table(LOG).unwrap();
        let state: Vec<_> = state
            .iter()
            .unwrap()
            .map(|pair| pair.map(|(key, record)| (key.value().to_owned(), record.value().to_vec())).unwrap())
            .collect();
        let log: Vec<_> = log
            .iter()
            .unwrap()
            .map(|pair| pair.map(|(key, record)| (key.value(), record.value().to_vec())).unwrap())
            .collect();
        (state, log)
    };
    let put_state = |key: &str, record: &[u8]| {
        let database = database();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(STATE).unwrap().insert(key, record).unwrap();
        transaction.commit().unwrap();
    };
    let put_log = |index: u64, record: &[u8]| {
        let database = database();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(LOG).unwrap().insert(index, record).unwrap();
        transaction.commit().unwrap();
    };
    assert_eq!(records.0.iter().map(|(key, _)| &**key).collect::<Vec<_>>(), ["committed", "member", "purged", "vote"]);
    for (key, record) in &records.0 {
        for at in 0..record.len() {
            let mut changed = record.clone();
            changed[at] ^= 0x40;
            put_state(key, &changed);
            let error = opened(disk.clone(), MEMBER).await.err().unwrap().to_string();
            assert!(error.contains(&format!("memory: record `{key}`")), "byte {at}: {error}");
        }
        put_state(key, record);
    }
    assert_eq!(records.1.len(), 5);
    for (index, record) in &records.1 {
        for at in 0..record.len() {
            let mut changed = record.clone();
            changed[at] ^= 0x40;
            put_log(*index, &changed);
            let error = opened(disk.clone(), MEMBER).await.err().unwrap().to_string();
            assert!(error.contains(&format!("memory: log entry {index} ")), "byte {at}: {error}");
        }
        // A good record in another's place.
        put_log(*index, &records.1[usize::from(*index == 5)].1);
        assert!(opened(disk.clone(), MEMBER).await.is_err(), "entry {index}");
        put_log(*index, record);
    }
    opened(disk, MEMBER).await.unwrap();
}

#[tokio::test]
async fn a_missing_snapshot_is_refused() {
    let disk = filled().await;
    Files::remove(&disk, "3-4.snapshot").unwrap();
    let error = opened(disk, MEMBER).await.err().unwrap().to_string();
    assert!(error.contains("the log begins after"), "{error}");
}

/// What redb's own pages look like is its own affair; no damage of them may change what is read.
#[tokio::test]
async fn a_changed_byte_in_any_block_of_the_file_is_refused_or_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("raft");
    let mut log = Storage::Directory(path.clone()).open(MEMBER, journal()).await.unwrap().log;
    log.save_vote(&vote(3)).await.unwrap();
    append(&mut log, 0..=200).await.unwrap();
    log.close().await;
    let file = path.join(DATABASE);
    let whole = fs::read(&file).unwrap();
    let (mut refused, mut harmless) = (0, 0);
    // Where bytes are other than zero something is stored; a few of the others are tried too.
    let used =
        (0..whole.len()).step_by(64).filter(|at| whole[*at..whole.len().min(at + 64)].iter().any(|byte| *byte != 0));
    let unused = (0..whole.len()).step_by(101 * 512);
    for at in used.chain(unused).collect::<Vec<_>>() {
        let mut changed = whole.clone();
        let at = (at..whole.len().min(at + 64)).find(|at| whole[*at] != 0).unwrap_or(at);
        changed[at] ^= 0x10;
        fs::write(&file, &changed).unwrap();
        match Storage::Directory(path.clone()).open(MEMBER, journal()).await {
            Err(StoreError::Corrupt(_) | StoreError::Disk { .. }) => refused += 1,
            Err(error) => panic!("byte {at}: {error}"),
            Ok(mut opened) => {
                assert_eq!(opened.log.read_vote().await.unwrap(), Some(vote(3)), "byte {at}");
                let entries = opened.log.try_get_log_entries(..).await.unwrap();
                assert_eq!(entries, (0..=200).map(entry).collect::<Vec<_>>(), "byte {at}");
                opened.log.close().await;
                harmless += 1;
            }
        }
    }
    println!("{refused} refused, {harmless} harmless, of {} bytes", whole.len());
    assert!(refused > 200, "{refused} refused");
}
