//! Who is a member, and who votes.

use std::collections::BTreeSet;

use forebay::registry::raft::{ChangeError, MemberId, MemoryDisk, Storage};

use super::{bounded, members::Town};

fn ids(members: &[u64]) -> BTreeSet<MemberId> {
    members.iter().copied().map(MemberId).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn voters_become_learners_before_they_leave() {
    bounded(async {
        let town = Town::in_memory(&[1, 2, 3]).await;
        let leader = town.leader().await;
        let group = town.group(leader);
        let gone = [1, 2, 3].into_iter().find(|member| *member != leader).unwrap();
        let refused = group.remove(ids(&[gone])).await.unwrap_err();
        assert!(matches!(refused, ChangeError::Refused(_)), "{refused}");
        group.set_voters(ids(&[leader])).await.unwrap();
        let status = group.status();
        assert_eq!(status.voters.into_keys().collect::<BTreeSet<_>>(), ids(&[leader]));
        assert_eq!(status.learners.len(), 2);
        group.remove(ids(&[gone])).await.unwrap();
        let status = group.status();
        assert!(status.name_of(MemberId(gone)).is_none());
        assert_eq!(status.learners.len(), 1);
        // The last voter needs nobody's consent.
        for member in [1, 2, 3].into_iter().filter(|member| *member != leader) {
            town.stop(member).await;
        }
        town.propose_all(0..3).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_and_what_is_so_already_is_done() {
    bounded(async {
        let town = Town::in_memory(&[1, 2, 3]).await;
        let leader = town.leader().await;
        let group = town.group(leader);
        let names: [forebay_proto::ids::NodeName; 3] = ["n1", "n2", "n3"].map(|name| name.parse().unwrap());
        group.add_learner(MemberId(2), names[1].clone()).await.unwrap();
        for refused in [
            group.add_learner(MemberId(2), names[2].clone()).await,
            group.set_voters(ids(&[1, 9])).await,
            group.set_voters(ids(&[])).await,
        ] {
            assert!(matches!(refused, Err(ChangeError::Refused(_))), "{refused:?}");
        }
        group.set_voters(ids(&[1, 2, 3])).await.unwrap();
        group.remove(ids(&[9])).await.unwrap();
        let other = [1, 2, 3].into_iter().find(|member| *member != leader).unwrap();
        let refused = town.group(other).set_voters(ids(&[1])).await;
        assert!(matches!(refused, Err(ChangeError::NotLeader { .. })), "{refused:?}");
        assert_eq!(group.status().voters.len(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_the_same_time_are_made_one_after_the_other() {
    bounded(async {
        let town = Town::in_memory(&[1]).await;
        for member in [2, 3] {
            town.start(member, Storage::Memory(MemoryDisk::default())).await;
        }
        let group = town.group(1);
        let add = |member: u64| group.add_learner(MemberId(member), format!("n{member}").parse().unwrap());
        let (two, three) = tokio::join!(add(2), add(3));
        two.unwrap();
        three.unwrap();
        let (grow, again) = tokio::join!(group.set_voters(ids(&[1, 2, 3])), group.set_voters(ids(&[1, 2, 3])));
        grow.unwrap();
        again.unwrap();
        let status = group.status();
        assert!(!status.is_joint);
        assert_eq!(status.voters.len(), 3);
        assert_eq!(status.replicated.len(), 3, "{:?}", status.replicated);
    })
    .await;
}

/// A learner that is never reached does not hold up who added it.
#[tokio::test(flavor = "multi_thread")]
async fn a_learner_that_is_not_there_is_added_all_the_same() {
    bounded(async {
        let town = Town::in_memory(&[1]).await;
        town.group(1).add_learner(MemberId(2), "n2".parse().unwrap()).await.unwrap();
        town.propose_all(0..3).await;
        assert_eq!(town.group(1).status().replicated[&MemberId(2)], None);
    })
    .await;
}
