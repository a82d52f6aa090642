//! What a member knows of its group.

use std::collections::BTreeMap;

use forebay_proto::ids::NodeName;
use futures_util::FutureExt as _;
use openraft::{
    Instant as _, RaftMetrics, ServerState,
    type_config::{alias::WatchReceiverOf, async_runtime::watch::WatchReceiver as _},
};
use tokio::time::Instant;

use super::Group;
use crate::registry::raft::{
    store::Log,
    types::{MemberId, Types},
};

/// What a member knows of its group at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupStatus {
    /// Whose status this is.
    pub member: MemberId,
    /// Who leads, as far as this member knows.
    pub leader: Option<MemberId>,
    /// The term it is in. It never falls.
    pub term: u64,
    /// This member leads, or does not know yet that it does so no more: see `quorum_acknowledged`.
    pub is_leader: bool,
    /// Who votes. While `is_joint`, those of before and those of after.
    pub voters: BTreeMap<MemberId, NodeName>,
    /// Who is a member and does not vote.
    pub learners: BTreeMap<MemberId, NodeName>,
    /// A change of voters is under way.
    pub is_joint: bool,
    /// The group has agreed on these members, and this member has carried that out; they count before that already.
    pub is_settled: bool,
    /// Index of the last entry of the log.
    pub last_log: Option<u64>,
    /// Index of the last entry that the group agreed on, as far as this member knows.
    pub committed: Option<u64>,
    /// Index of the last entry that the machine carried out.
    pub last_applied: Option<u64>,
    /// Index of the last entry in the last snapshot.
    pub snapshot: Option<u64>,
    /// On the leader: when it sent the last heartbeat that a quorum has answered.
    pub quorum_acknowledged: Option<Instant>,
    /// On the leader: up to which index each member is known to have the log.
    pub replicated: BTreeMap<MemberId, Option<u64>>,
    /// Why this member takes no part any more. The process should end.
    pub failed: Option<String>,
}

impl GroupStatus {
    /// What a member is called.
    pub fn name_of(&self, member: MemberId) -> Option<&NodeName> {
        self.voters.get(&member).or_else(|| self.learners.get(&member))
    }

    /// What the leader is called.
    pub fn leader_name(&self) -> Option<&NodeName> {
        self.leader.and_then(|leader| self.name_of(leader))
    }

    fn of(metrics: &RaftMetrics<Types>, log: &Log) -> Self {
        let membership = metrics.membership_config.membership();
        let voters: Vec<_> = membership.voter_ids().collect();
        let named = |votes: bool| {
            let nodes = membership.nodes().filter(|(member, _)| voters.contains(member) == votes);
            nodes.map(|(member, node)| (MemberId(*member), node.0.clone())).collect()
        };
        let replication = metrics.replication.iter().flatten();
        // openraft shows its own kind of instant only by how long ago it was.
        let ago = metrics.last_quorum_acked.map(|instant| instant.elapsed());
        let acknowledged = ago.and_then(|ago| Instant::now().checked_sub(ago));
        let failed = metrics.running_state.as_ref().err();
        Self {
            member: MemberId(metrics.id),
            leader: metrics.current_leader.map(MemberId),
            term: metrics.current_term,
            is_leader: metrics.state == ServerState::Leader && failed.is_none(),
            voters: named(true),
            learners: named(false),
            is_joint: membership.get_joint_config().len() > 1,
            is_settled: *metrics.membership_config.log_id() <= metrics.last_applied,
            last_log: metrics.last_log_index,
            committed: metrics.cluster_committed.map(|log_id| log_id.index),
            last_applied: metrics.last_applied.map(|log_id| log_id.index),
            snapshot: metrics.snapshot.map(|log_id| log_id.index),
            quorum_acknowledged: acknowledged,
            replicated: replication.map(|(member, upto)| (MemberId(*member), upto.map(|upto| upto.index))).collect(),
            failed: failed.map(|fatal| log.failed().unwrap_or_else(|| fatal.to_string())),
        }
    }
}

/// Tells when the status changes.
pub struct StatusWatch {
    metrics: WatchReceiverOf<Types, RaftMetrics<Types>>,
    log: Log,
}

impl std::fmt::Debug for StatusWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StatusWatch({:?})", self.status())
    }
}

impl StatusWatch {
    /// What is known now.
    pub fn status(&self) -> GroupStatus {
        // Copied at once: openraft waits for whoever holds the original.
        GroupStatus::of(&self.metrics.borrow_watched(), &self.log)
    }

    /// Waits until something changed since the last call, or since this watch was made, and gives what
    /// is known then. A leader's status changes with every heartbeat. Never returns once the group has
    /// stopped: nothing changes any more.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn changed(&mut self) -> GroupStatus {
        if self.metrics.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.status()
    }

    /// Waits until the status is such, now or later, and gives it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn until(&mut self, wanted: impl Fn(&GroupStatus) -> bool) -> GroupStatus {
        let mut status = self.status();
        while !wanted(&status) {
            status = self.changed().await;
        }
        status
    }
}

impl Group {
    /// What is known now.
    pub fn status(&self) -> GroupStatus {
        self.watch().status()
    }

    /// A watch that sees all changes from now on.
    pub fn watch(&self) -> StatusWatch {
        let mut metrics = self.raft.metrics();
        // A copy of openraft's own receiver, which has never looked: what was there before it is no change.
        let _ = metrics.changed().now_or_never();
        StatusWatch { metrics, log: self.log.clone() }
    }
}
