//! Groups of members in one process: how they grow, agree, lose their leader and come back.

mod changes;
mod disks;
mod members;
mod recovery;
mod snapshots;

use std::time::Duration;

use forebay::registry::raft::{MemberId, ProposeError, ReadError, Storage};
use futures_util::FutureExt as _;
use tokio::time::timeout;

use self::members::{Town, WITHIN, numbered};

/// How long a test may take on a slow machine.
const BOUND: Duration = Duration::from_secs(120);

async fn bounded(test: impl Future<Output = ()>) {
    timeout(BOUND, test).await.expect("the test hangs");
}

const MEMBERS: [u64; 3] = [1, 2, 3];

#[tokio::test(flavor = "multi_thread")]
async fn a_group_grows_outlives_its_leader_and_comes_back_from_its_directories() {
    bounded(async {
        let home = tempfile::tempdir().unwrap();
        let directory = |member: u64| Storage::Directory(home.path().join(member.to_string()));
        let town = Town::default();
        for member in MEMBERS {
            town.start(member, directory(member)).await;
        }
        town.found_of(&MEMBERS).await;
        let first = town.propose_all(0..20).await;
        let leader = town.leader().await;
        town.stop(leader).await;
        let second = town.propose_all(20..40).await;
        assert_ne!(town.leader().await, leader);
        for member in MEMBERS.into_iter().filter(|member| *member != leader) {
            town.stop(member).await;
        }
        for member in MEMBERS {
            town.start(member, directory(member)).await;
        }
        let third = town.propose_all(40..50).await;
        let all: Vec<_> = first.into_iter().chain(second).chain(third).collect();
        assert!(all.is_sorted_by(|(one, _), (next, _)| one < next), "an index was given twice");
        for member in MEMBERS {
            assert_eq!(town.journal_with(member, all.last().unwrap().0).await, all, "member {member}");
            town.stop(member).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_acknowledges_nothing() {
    bounded(async {
        let town = Town::in_memory(&MEMBERS).await;
        let before = town.propose_all(0..5).await;
        let old = town.leader().await;
        town.cut(old);
        let group = town.group(old);
        let refused = group.propose(numbered(99), Duration::from_secs(2)).await.unwrap_err();
        assert!(matches!(refused, ProposeError::Unknown | ProposeError::NotLeader { .. }), "{refused}");
        let read = group.ensure_linearizable(Duration::from_secs(2)).await.unwrap_err();
        assert!(matches!(read, ReadError::NoQuorum | ReadError::NotLeader { .. }), "{read}");
        let after = town.propose_all(5..10).await;
        town.heal();
        let group = town.group(old);
        let status = group.watch().until(|status| status.leader.is_some_and(|leader| leader.0 != old)).await;
        assert!(!status.is_leader);
        let last = after.last().unwrap().0;
        let mut expected = before;
        expected.extend(after);
        for member in MEMBERS {
            assert_eq!(town.journal_with(member, last).await, expected, "member {member}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_lead_says_who_does() {
    bounded(async {
        let town = Town::in_memory(&MEMBERS).await;
        let leader = town.leader().await;
        let other = MEMBERS.into_iter().find(|member| *member != leader).unwrap();
        let status = town.group(other).watch().until(|status| status.leader.is_some()).await;
        assert_eq!(status.leader_name().unwrap().as_str(), format!("n{leader}"));
        let refused = town.group(other).propose(numbered(1), WITHIN).await.unwrap_err();
        let known = Some((MemberId(leader), format!("n{leader}").parse().unwrap()));
        assert_eq!(refused, ProposeError::NotLeader { leader: known });
        town.group(leader).ensure_linearizable(WITHIN).await.unwrap();
        assert!(town.group(leader).status().quorum_acknowledged.is_some());
        let read = town.group(other).ensure_linearizable(WITHIN).await.unwrap_err();
        assert!(matches!(read, ReadError::NotLeader { .. }), "{read}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_can_be_handed_over() {
    bounded(async {
        let town = Town::in_memory(&MEMBERS).await;
        let leader = town.leader().await;
        let other = MEMBERS.into_iter().find(|member| *member != leader).unwrap();
        town.group(leader).transfer_leadership(MemberId(other)).await;
        town.group(other).watch().until(|status| status.is_leader).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_too_long_is_refused() {
    bounded(async {
        let town = Town::in_memory(&[1]).await;
        let command = vec![0; forebay::registry::raft::COMMAND_BYTES_MAX + 1];
        let refused = town.group(1).propose(command.into(), WITHIN).await.unwrap_err();
        assert!(matches!(refused, ProposeError::TooLarge { .. }), "{refused}");
        let longest = vec![0; forebay::registry::raft::COMMAND_BYTES_MAX];
        town.group(1).propose(longest.into(), WITHIN).await.unwrap();
    })
    .await;
}

/// An answer of version 1 that says no.
fn is_failure(answer: &[u8]) -> bool {
    answer.starts_with(&[1, 0])
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_make_no_sense_get_an_answer_that_says_so() {
    bounded(async {
        let town = Town::in_memory(&[1]).await;
        let group = town.group(1);
        for malformed in [&b""[..], &[1], &[2, 1], &[1, 9], &[1, 1, 0xff], &[0xff; 100]] {
            assert!(is_failure(&group.answer(MemberId(2), malformed.to_vec().into()).await), "{malformed:?}");
        }
        // A vote request of member 2, in term 99, without a log.
        let mut vote = vec![1, 2];
        vote.extend(99_u64.to_le_bytes());
        vote.extend(2_u64.to_le_bytes());
        vote.extend([0, 0, 0]);
        let answer = group.answer(MemberId(3), vote.clone().into()).await;
        assert!(is_failure(&answer), "member 3 asked in the name of member 2");
        let answer = group.answer(MemberId(2), vote.into()).await;
        assert!(answer.starts_with(&[1, 2]), "{answer:?}");
        town.propose_all(0..1).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_founded_once() {
    bounded(async {
        let disk = forebay::registry::raft::MemoryDisk::default();
        let town = Town::default();
        town.start(1, Storage::Memory(disk.clone())).await;
        town.found_of(&[1]).await;
        assert!(town.group(1).found().await.is_err());
        town.stop(1).await;
        town.start(1, Storage::Memory(disk)).await;
        assert!(town.group(1).found().await.is_err());
    })
    .await;
}

/// Each new watch told of a change at once, so whoever waited for news of a leader in a loop span.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_watch_tells_only_of_what_changes_from_then_on() {
    bounded(async {
        let town = Town::default();
        town.start(1, Storage::Memory(forebay::registry::raft::MemoryDisk::default())).await;
        let group = town.group(1);
        // Something may have changed just between the two, but not each time.
        let told = (0..20).filter(|_| group.watch().changed().now_or_never().is_some()).count();
        assert!(told <= 2, "{told} of 20 new watches told at once");
        let (mut watch, _) = (group.watch(), group.found().await.unwrap());
        watch.until(|status| status.is_leader).await;
    })
    .await;
}
