//! A group of one out of what one member of a lost group has.

use std::fs;

use forebay::registry::raft::{MemberId, RecoverError, Storage, StoreError, recover};

use super::{
    bounded,
    members::{Journal, Town, numbered},
};

#[tokio::test(flavor = "multi_thread")]
async fn one_member_of_a_lost_group_becomes_a_group_of_its_own() {
    bounded(async {
        let home = tempfile::tempdir().unwrap();
        let directory = |member: u64| home.path().join(format!("raft{member}"));
        let town = Town::default();
        for member in [1, 2, 3] {
            town.start(member, Storage::Directory(directory(member))).await;
        }
        town.found_of(&[1, 2, 3]).await;
        let before = town.propose_all(0..10).await;
        town.journal_with(2, before.last().unwrap().0).await;
        let term = town.group(2).status().term;
        for member in [1, 2, 3] {
            town.stop(member).await;
        }
        let mut journal = Journal::default();
        let edit = |journal: &mut Journal| journal.0.lock().unwrap().push((0, b"edited".to_vec()));
        let done = recover(&directory(2), MemberId(7), &"n7".parse().unwrap(), &mut journal, edit).unwrap();
        assert_eq!(done.last_index, town_last(&before));
        assert_eq!(done.members.len(), 3);
        assert_eq!(done.old, home.path().join("raft2.before-recovery-1"));
        let mut expected = before;
        expected.push((0, b"edited".to_vec()));

        let refused = town.try_start(2, Storage::Directory(directory(2)), super::members::TIMING).await;
        assert!(refused.is_err(), "the number of before");
        town.start(7, Storage::Directory(directory(2))).await;
        expected.extend(town.propose_all(10..12).await);
        assert_eq!(town.journal(7), expected);
        let status = town.group(7).status();
        assert!(status.term > term, "{status:?}");
        assert_eq!(status.voters.into_keys().collect::<Vec<_>>(), [MemberId(7)]);
        town.start(8, Storage::Directory(directory(8))).await;
        town.group(7).add_learner(MemberId(8), "n8".parse().unwrap()).await.unwrap();
        assert_eq!(town.journal_with(8, expected.last().unwrap().0).await, expected);
        town.stop(7).await;
        // Again, from what the first made.
        let done =
            recover(&directory(2), MemberId(9), &"n9".parse().unwrap(), &mut Journal::default(), |_| {}).unwrap();
        assert_eq!(done.old, home.path().join("raft2.before-recovery-2"));
    })
    .await;
}

fn town_last(commands: &[(u64, Vec<u8>)]) -> u64 {
    commands.last().unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_stopped_half_way_is_noticed_and_ended() {
    bounded(async {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("raft");
        let town = Town::default();
        town.start(1, Storage::Directory(directory.clone())).await;
        town.found_of(&[1]).await;
        let before = town.propose_all(0..3).await;
        town.stop(1).await;
        let node = "n1".parse().unwrap();
        let again = || recover(&directory, MemberId(1), &node, &mut Journal::default(), |_| {});
        again().unwrap();
        // As if power had been lost between the two renames.
        fs::rename(&directory, home.path().join("raft.recovering")).unwrap();
        let refused = town.try_start(1, Storage::Directory(directory.clone()), super::members::TIMING).await;
        let half = |error: &forebay::registry::raft::GroupError| {
            matches!(error, forebay::registry::raft::GroupError::Store(StoreError::HalfRecovered { .. }))
        };
        assert!(refused.as_ref().is_err_and(half), "{refused:?}");
        again().unwrap();
        town.start(1, Storage::Directory(directory.clone())).await;
        let after = town.propose_all(3..4).await;
        let numbers: Vec<_> = town.journal(1).into_iter().map(|(_, command)| command).collect();
        assert_eq!(numbers, (0..4).map(|number| numbered(number).to_vec()).collect::<Vec<_>>());
        assert!(after[0].0 > before[2].0);
    })
    .await;
}

#[test]
fn nothing_is_no_state_to_recover() {
    let home = tempfile::tempdir().unwrap();
    let node = "n1".parse().unwrap();
    let missing = recover(&home.path().join("raft"), MemberId(1), &node, &mut Journal::default(), |_| {});
    assert!(matches!(missing, Err(RecoverError::Empty(_))), "{missing:?}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}
