//! The leader's part in roll-outs: it says what comes next, by what it sees of the nodes that are there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
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
pub(super) struct Rollouts(BTreeMap<PipelineName, Watched>);

struct Watched {
    /// What makes a step of a roll-out that step.
    step: (u64, u32, Phase),
    since: Instant,
    /// Since when its first node is not there.
    gone: Option<Instant>,
}

impl Rollouts {
    /// For how long it is as it is, and its first node is gone.
    fn waited(
        &mut self,
        pipeline: &PipelineName,
        rollout: &Rollout,
        present: &BTreeSet<NodeName>,
    ) -> (Duration, Option<Duration>) {
        let step = (rollout.revision, rollout.at, rollout.phase.clone());
        let now = Instant::now();
        let watched =
            self.0.entry(pipeline.clone()).or_insert_with(|| Watched { step: step.clone(), since: now, gone: None });
        if watched.step != step {
            *watched = Watched { step, since: now, gone: None };
        }
        let is_gone = matches!(&rollout.phase, Phase::Canary(canary) if !present.contains(canary));
        watched.gone = is_gone.then_some(watched.gone.unwrap_or(now));
        (watched.since.elapsed(), watched.gone.map(|gone| gone.elapsed()))
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
            let waited = books.rollouts.waited(&pipeline, &rollout, &present);
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
