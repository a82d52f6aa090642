//! The leader's part in roll-outs: it says what comes next, by what it sees of the nodes that are there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use forebay_proto::{
    deploy::{self, Order, Patience, Phase, Rollout},
    ids::{NodeName, PipelineName},
    names::{GlobalName, quorum::Command},
};
use tokio::time::Instant;

use super::{
    Inner, Membership,
    member::{Books, decree},
};

/// Since when this leader has seen each roll-out take the step that it is taking.
#[derive(Default)]
pub(super) struct Rollouts(BTreeMap<PipelineName, (Seen, Instant)>);

/// What makes a step of a roll-out that step.
type Seen = (u64, u32, Phase);

impl Rollouts {
    fn waited(&mut self, pipeline: &PipelineName, rollout: &Rollout) -> std::time::Duration {
        let seen = (rollout.revision, rollout.at, rollout.phase.clone());
        match self.0.get(pipeline) {
            Some((before, since)) if *before == seen => since.elapsed(),
            _ => {
                self.0.insert(pipeline.clone(), (seen, Instant::now()));
                std::time::Duration::ZERO
            }
        }
    }
}

impl Inner {
    /// Has the next move of each roll-out agreed on that is due.
    pub(super) fn conduct(self: &Arc<Self>, membership: &Membership, books: &mut Books) {
        let under_way: Vec<(PipelineName, Rollout)> = self.agreed.read(|ledger| {
            let rollouts = ledger.deployments().filter_map(|(name, found)| Some((name, found.rollout()?)));
            rollouts.map(|(name, rollout)| (name.clone(), rollout.clone())).collect()
        });
        books.rollouts.0.retain(|pipeline, _| under_way.iter().any(|(name, _)| name == pipeline));
        if under_way.is_empty() {
            return;
        }
        let present = self.present();
        for (pipeline, rollout) in under_way {
            let waited = books.rollouts.waited(&pipeline, &rollout);
            let owner = |stage: &_| {
                let name = GlobalName { pipeline: pipeline.clone(), stage: Clone::clone(stage) };
                self.agreed.lookup(&name).map(|claim| claim.node)
            };
            let Some(to) = deploy::next_move(&rollout, &present, owner, waited, Patience::default()) else { continue };
            tracing::info!(%pipeline, revision = rollout.revision, step = rollout.at, next = ?to, "conducting a roll-out");
            let order = Order::Advance { revision: rollout.revision, at: rollout.at, to };
            let (raft, command) = (Arc::clone(&membership.raft), Command::Deployment { pipeline, order });
            // By this leader or by the next.
            books.conducting.spawn(async move { decree(&raft, command).await });
        }
    }

    /// Members that have started and are connected.
    fn present(&self) -> BTreeSet<NodeName> {
        let connected = self.peers.connected();
        let is_there = |node: &NodeName| *node == self.me.node || connected.contains(node);
        self.agreed.read(|ledger| {
            let booted = ledger.nodes().filter(|(node, record)| record.boot.is_some() && is_there(node));
            booted.map(|(node, _)| node.clone()).collect()
        })
    }
}
