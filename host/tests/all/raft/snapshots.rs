//! Snapshots: when they are taken, and how a new member gets one.

use forebay::registry::raft::{MemberId, MemoryDisk, Storage};

use super::{
    bounded,
    members::{Town, WITHIN},
};

/// Kind of the request that carries a piece of a snapshot.
const PIECE: u8 = 4;

/// So that the state is longer than one request may be: 5,600 times this is 10.9 MiB.
const COMMAND_BYTES: usize = 2048;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_member_gets_the_snapshot_in_pieces_and_then_the_log() {
    bounded(async {
        let disk = MemoryDisk::default();
        let town = Town::default();
        town.start(1, Storage::Memory(disk.clone())).await;
        town.found_of(&[1]).await;
        let group = town.group(1);
        let mut last = 0;
        for _ in 0..56 {
            let proposals = (0..100_u8).map(|number| group.propose(vec![number; COMMAND_BYTES].into(), WITHIN));
            for proposed in futures_util::future::join_all(proposals).await {
                last = proposed.unwrap().0.max(last);
            }
        }
        group.watch().until(|status| status.snapshot >= Some(5000)).await;
        town.start(2, Storage::Memory(MemoryDisk::default())).await;
        group.add_learner(MemberId(2), "n2".parse().unwrap()).await.unwrap();
        let journal = town.journal_with(2, last).await;
        assert!(journal == town.journal(1), "the journals differ");
        assert!(town.carried(PIECE) >= 2, "{} pieces", town.carried(PIECE));
        assert!(town.group(2).status().snapshot >= Some(5000));
        // The first starts again from its snapshot and the rest of its log.
        town.stop(1).await;
        town.start(1, Storage::Memory(disk)).await;
        assert!(town.journal_with(1, last).await == journal, "the journal is another after a start");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn few_commands_of_many_bytes_make_a_snapshot_too() {
    bounded(async {
        let town = Town::in_memory(&[1]).await;
        let group = town.group(1);
        for _ in 0..5 {
            assert_eq!(group.status().snapshot, None);
            group.propose(vec![7; 4 << 20].into(), WITHIN).await.unwrap();
        }
        group.watch().until(|status| status.snapshot.is_some()).await;
    })
    .await;
}
