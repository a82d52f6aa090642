//! Power is lost at every single operation of the disk, and what was acknowledged is there again.

use std::{ops::RangeInclusive, sync::Arc};

use bytes::Bytes;
use openraft::{
    storage::{IOFlushed, RaftLogStorage as _},
    type_config::TypeConfigExt as _,
};

use super::{MEMBER, disk::PowerDisk, entry, journal, log_id, vote};
use crate::registry::raft::{
    store::{Contents, Log, Storage, StoreError, database::Database, snapshot::Snapshots},
    types::{LogId, Snapshot, SnapshotMeta, Types, Vote},
};

/// What must be found again.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    vote: Option<Vote>,
    purged: Option<LogId>,
    entries: Vec<u64>,
}

impl Model {
    fn of(contents: &Contents) -> Self {
        for (index, found) in &contents.entries {
            assert_eq!(*found, entry(*index));
        }
        let entries = contents.entries.keys().copied().collect();
        Self { vote: contents.vote, purged: contents.purged, entries }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Vote(u64),
    /// Several appends that do not wait for one another.
    Append(Vec<RangeInclusive<u64>>),
    Truncate(u64),
    /// A snapshot, and what it makes superfluous.
    Purge(u64),
}

fn steps() -> Vec<Step> {
    vec![
        Step::Vote(1),
        Step::Append(vec![0..=0]),
        Step::Append(vec![1..=3, 4..=4, 5..=9]),
        Step::Vote(2),
        Step::Truncate(6),
        Step::Append(vec![6..=6, 7..=7]),
        Step::Purge(4),
        Step::Append(vec![8..=40]),
        Step::Vote(3),
        Step::Purge(30),
        Step::Append(vec![41..=41, 42..=42, 43..=43]),
        Step::Truncate(42),
    ]
}

fn custom(disk: &PowerDisk) -> Storage {
    Storage::Custom { backend: Box::new(disk.clone()), files: Arc::new(disk.clone()) }
}

/// Carries out all steps until the power is lost. Gives the states that may be found, oldest first, of
/// which the first is acknowledged.
async fn run(disk: &PowerDisk) -> Vec<Model> {
    let Ok(opened) = custom(disk).open(MEMBER, journal()).await else { return vec![Model::default()] };
    let (mut log, snapshots) = (opened.log, Snapshots::open(Arc::new(disk.clone()), super::Runner::Inline).unwrap());
    let mut model = Model::default();
    for step in steps() {
        let (mut possible, acknowledged) = carry_out(&mut log, &snapshots, model, &step).await;
        if !acknowledged {
            log.close().await;
            return possible;
        }
        model = possible.pop().unwrap();
    }
    log.close().await;
    vec![model]
}

async fn carry_out(log: &mut Log, snapshots: &Snapshots, model: Model, step: &Step) -> (Vec<Model>, bool) {
    let mut after = model.clone();
    match step {
        Step::Vote(term) => {
            after.vote = Some(vote(*term));
            (vec![model, after], log.save_vote(&vote(*term)).await.is_ok())
        }
        Step::Append(parts) => append(log, model, parts).await,
        Step::Truncate(from) => {
            after.entries.retain(|index| index < from);
            (vec![model, after], log.truncate_after(Some(log_id(from - 1))).await.is_ok())
        }
        Step::Purge(upto) => {
            let meta = SnapshotMeta { last_log_id: Some(log_id(*upto)), ..SnapshotMeta::default() };
            if snapshots.save_now(Snapshot { meta, snapshot: Bytes::from_static(b"state") }).is_err() {
                return (vec![model], false);
            }
            after.entries.retain(|index| index > upto);
            after.purged = Some(log_id(*upto));
            (vec![model, after], log.purge(log_id(*upto)).await.is_ok())
        }
    }
}

async fn append(log: &mut Log, mut model: Model, parts: &[RangeInclusive<u64>]) -> (Vec<Model>, bool) {
    let mut waiting = Vec::new();
    for part in parts {
        let (sender, receiver) = Types::oneshot();
        log.append(part.clone().map(entry).collect::<Vec<_>>(), IOFlushed::signal(sender)).await.unwrap();
        waiting.push((part.clone(), receiver));
    }
    let (mut possible, mut all) = (vec![model.clone()], true);
    for (part, receiver) in waiting {
        let acknowledged = receiver.await.unwrap().is_ok();
        assert!(all || !acknowledged, "acknowledged after one that was not");
        all = acknowledged;
        model.entries.extend(part);
        if acknowledged {
            possible.clear();
        }
        possible.push(model.clone());
    }
    (possible, all)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_power_is_lost_at_any_operation() {
    let (mut cuts, mut operation) = (0, 1);
    loop {
        let disk = PowerDisk::new();
        // A new file gets its name when it is whole; a disk without names cannot show that.
        custom(&disk).open(MEMBER, journal()).await.unwrap().log.close().await;
        disk.cut_at(operation);
        let possible = run(&disk).await;
        let ended = !disk.was_cut();
        // The same cut leaves different remains.
        for seed in 0..4 {
            let again = disk.powered_again(seed * 1_000_000 + operation as u64);
            let case = format!("cut at operation {operation}, seed {seed}");
            let found = match Database::open(again.clone(), "test") {
                Ok((_, contents)) => Model::of(&contents),
                Err(error) => panic!("{case}: {error}, expected one of {possible:?}"),
            };
            assert!(possible.contains(&found), "{case}: found {found:?}, expected one of {possible:?}");
            let opened: Result<_, StoreError> = custom(&again).open(MEMBER, journal()).await;
            opened.unwrap_or_else(|error| panic!("{case}: {error}")).log.close().await;
            cuts += 1;
        }
        if ended {
            break;
        }
        operation += 1;
    }
    println!("{cuts} remains of {operation} cuts looked at");
    assert!(cuts > 400, "{cuts} cuts only: this test does not cut any more");
}
