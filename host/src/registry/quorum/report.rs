//! The group as this node sees it, for people.

use std::{collections::BTreeSet, net::SocketAddr, sync::atomic::Ordering, time::Duration};

use forebay_proto::{
    ids::{NodeName, PipelineName},
    names::{
        GlobalName,
        quorum::{GroupId, NodeRecord, Record},
    },
};

use super::{Phase, QuorumRegistry};

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct QuorumReport {
    /// The group, once this node belongs to one.
    pub group: Option<GroupId>,
    /// What a node without a group waits for, or why it takes part no more.
    pub waits_for: Option<String>,
    /// Who leads, as far as this node knows.
    pub leader: Option<NodeName>,
    /// The term of the consensus protocol.
    pub term: u64,
    /// The last entry of the log that this node has applied: what is shown here is as of then.
    pub applied: u64,
    /// Whether owners on this node may go on.
    pub holds: bool,
    /// All members.
    pub members: Vec<MemberReport>,
    /// Whether who votes is being changed: the former voters and the new ones are listed then.
    pub changing: bool,
    /// Numbers of members that were removed and still stand in the consensus protocol's list.
    pub leaving: Vec<u64>,
    /// How often a quorum was given up for good.
    pub generation: u16,
    /// Requests of others that were refused: of another group, or of members that are none any more.
    pub refused_requests: u64,
}

/// One member.
#[derive(Clone, Debug)]
pub struct MemberReport {
    /// Its name.
    pub node: NodeName,
    /// Its number.
    pub member: u64,
    /// Whether it votes.
    pub votes: bool,
    /// Whether this node is connected to it, or is it.
    pub connected: bool,
    /// Whether it shall own nothing.
    pub draining: bool,
    /// Where it is reached, as far as anybody has said.
    pub addr: Option<SocketAddr>,
    /// The pipelines it runs.
    pub pipelines: Vec<PipelineName>,
}

impl QuorumReport {
    /// The voters whose loss, one of them alone, would stop new claims: none while a majority would be
    /// left. Of two nodes only one votes, and it is this.
    pub fn critical(&self) -> Vec<&NodeName> {
        let voters: Vec<_> = self.members.iter().filter(|member| member.votes).collect();
        let connected: Vec<_> = voters.iter().filter(|member| member.connected).map(|member| &member.node).collect();
        let majority = voters.len() / 2 + 1;
        if connected.len() > majority { Vec::new() } else { connected }
    }

    /// Whether a majority of the voters is connected.
    pub fn has_majority(&self) -> bool {
        let voters: Vec<_> = self.members.iter().filter(|member| member.votes).collect();
        2 * voters.iter().filter(|member| member.connected).count() > voters.len()
    }
}

impl QuorumRegistry {
    /// The group as this node sees it now.
    pub fn report(&self) -> QuorumReport {
        let inner = &self.inner;
        let connected: BTreeSet<_> = inner.peers.connected().into_iter().chain([inner.me.node.clone()]).collect();
        let waits_for = match &*inner.phase.borrow() {
            Phase::Joining(why) | Phase::Ended(why) => Some(why.clone()),
            Phase::Member(_) => None,
        };
        let membership = inner.membership();
        let status = membership.as_ref().map(|membership| membership.raft.status());
        let votes = |number: u64| status.as_ref().is_some_and(|status| status.voters.keys().any(|id| id.0 == number));
        let members: Vec<_> = inner.agreed.read(|ledger| {
            let member = |(node, record): (&NodeName, &NodeRecord)| MemberReport {
                node: node.clone(),
                member: record.member.0,
                votes: votes(record.member.0),
                connected: connected.contains(node),
                draining: record.draining,
                addr: record.addr,
                pipelines: record.pipelines.iter().map(|pipeline| pipeline.name.clone()).collect(),
            };
            ledger.nodes().map(member).collect()
        });
        let in_protocol = status.iter().flat_map(|status| status.voters.keys().chain(status.learners.keys()));
        let is_member = |number: &u64| members.iter().any(|member: &MemberReport| member.member == *number);
        QuorumReport {
            changing: status.as_ref().is_some_and(|status| status.is_joint || !status.is_settled),
            leaving: in_protocol.map(|id| id.0).filter(|number| !is_member(number)).collect(),
            refused_requests: inner.refused.load(Ordering::Relaxed),
            group: membership.as_ref().map(|membership| membership.group),
            waits_for,
            leader: status.as_ref().and_then(|status| status.leader_name().cloned()),
            term: status.as_ref().map_or(0, |status| status.term),
            applied: status.as_ref().and_then(|status| status.last_applied).unwrap_or_default(),
            holds: inner.cell.watch().holds(),
            members,
            generation: inner.agreed.read(|ledger| ledger.generation()),
        }
    }

    /// Every name ever claimed, with who owned it and why that changed.
    pub fn names(&self) -> Vec<(GlobalName, Record)> {
        self.inner.agreed.read(|ledger| ledger.names().map(|(name, record)| (name.clone(), record.clone())).collect())
    }

    /// How long an owner that is not heard is waited for.
    pub fn lease(&self) -> Duration {
        self.inner.options.lease
    }
}
