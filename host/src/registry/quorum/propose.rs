//! Having something agreed on, wherever the leader is; and answering those who want that of us.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use forebay_proto::{
    ids::{Epoch, NodeName},
    names::quorum::{Answer, Command, GroupId, MemberNo, Outcome, Proposal, Request, Stranger, WHY_BYTES_MAX},
};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Inner, Membership, Phase, lock};
use crate::{
    registry::raft::{MemberId, ProposeError, ReadError},
    wall::now_ms,
};

/// How long something is tried to be agreed on: longer than a new leader takes to be elected.
const PROPOSE_WITHIN: Duration = Duration::from_secs(3);

/// How long one try may take.
pub(super) const TRY_WITHIN: Duration = Duration::from_secs(1);

/// The pause between two tries, unless the leader changes before.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// A try came to nothing, with the reason.
enum Failed {
    /// Another may help.
    Now(String),
    /// None will.
    Always(String),
}

impl Inner {
    /// Has a command agreed on.
    ///
    /// # Errors
    /// With the reason. Whether it was agreed on is not known then.
    pub(super) async fn propose(&self, mut command: Command) -> Result<Outcome, String> {
        if let Command::Release { why, .. } = &mut command {
            why.truncate(why.floor_char_boundary(WHY_BYTES_MAX));
        }
        let proposal = Proposal { at_ms: now_ms(), command }.encode();
        let deadline = Instant::now() + PROPOSE_WITHIN;
        loop {
            let tried = timeout_at(deadline, self.try_to_propose(&proposal)).await;
            let why = match tried {
                Ok(Ok(outcome)) => {
                    return Outcome::decode(&outcome).map_err(|error| format!("the outcome cannot be read: {error}"));
                }
                Ok(Err(Failed::Always(why))) => return Ok(Outcome::Refused(why)),
                Ok(Err(Failed::Now(why))) => why,
                Err(_) => "no answer in time".to_owned(),
            };
            if Instant::now() + TRY_AGAIN >= deadline {
                return Err(why);
            }
            self.await_leader().await;
        }
    }

    /// Waits a moment, less if there is news of a leader.
    async fn await_leader(&self) {
        let news = async {
            match self.membership() {
                Some(membership) => drop(membership.raft.watch().changed().await),
                None => drop(self.phase.subscribe().changed().await),
            }
        };
        // Either way it is tried again.
        let _ = tokio::time::timeout(TRY_AGAIN, news).await;
    }

    async fn try_to_propose(&self, proposal: &Bytes) -> Result<Bytes, Failed> {
        let Some(membership) = self.membership() else {
            return Err(Failed::Now(match &*self.phase.borrow() {
                Phase::Joining(waits) => format!("this node belongs to no group yet; it waits for {waits}"),
                Phase::Ended(why) => return Err(Failed::Always(why.clone())),
                Phase::Member(_) => return Err(Failed::Now("it has just become a member".to_owned())),
            }));
        };
        let status = membership.raft.status();
        if status.is_leader {
            let agreed = membership.raft.propose(proposal.clone(), TRY_WITHIN).await;
            return agreed.map(|(_, reply)| reply).map_err(|error| Failed::Now(error.to_string()));
        }
        match status.leader_name() {
            Some(leader) => self.ask_leader(&membership, leader, proposal).await,
            None => Err(Failed::Now("the group has no leader just now".to_owned())),
        }
    }

    async fn ask_leader(&self, membership: &Membership, leader: &NodeName, proposal: &Bytes) -> Result<Bytes, Failed> {
        let request = Request::Propose { group: membership.group, proposal: proposal.clone() };
        let answer = self.peers.ask(leader, request.encode(), TRY_WITHIN).await.map_err(Failed::Now)?;
        match Answer::decode(&answer) {
            Ok(Answer::Agreed(outcome)) => Ok(outcome),
            Ok(Answer::NotLeader(_)) => Err(Failed::Now(format!("{leader} does not lead any more"))),
            Ok(Answer::NotNow(why)) => Err(Failed::Now(why)),
            Ok(Answer::Refused(why) | Answer::Retired(why)) => Err(Failed::Always(format!("{leader} refused: {why}"))),
            Ok(other) => Err(Failed::Always(format!("{leader} answered something else: {other:?}"))),
            Err(error) => Err(Failed::Always(format!("{leader}'s answer cannot be read: {error}"))),
        }
    }

    /// Waits until this member has carried out what was agreed on up to the claim of this epoch.
    pub(super) async fn hears_of(&self, epoch: Epoch) -> Result<(), String> {
        let index = epoch.to_u64() & ((1 << 48) - 1);
        let Some(membership) = self.membership() else { return Err("this node is no member any more".to_owned()) };
        let mut watch = membership.raft.watch();
        let hears = watch.until(|status| status.last_applied >= Some(index));
        match timeout(TRY_WITHIN, hears).await {
            Ok(_) => Ok(()),
            Err(_) => Err("granted, but this node does not hear of it".to_owned()),
        }
    }

    /// Answers a request of a peer.
    pub(super) async fn answer(&self, peer: &NodeName, addr: SocketAddr, request: Request) -> Answer {
        let Some(membership) = self.membership() else {
            return match request {
                Request::Admit { stranger, .. } => self.answer_stranger(peer, stranger),
                _ => Answer::NotNow("this node belongs to no group yet".to_owned()),
            };
        };
        match request {
            Request::Admit { store, addr: told, .. } => {
                self.admit(&membership, peer, store, told.unwrap_or(addr)).await
            }
            Request::Propose { group, .. } | Request::Renew { group, .. } | Request::Raft { group, .. }
                if group != membership.group =>
            {
                other_group(group, membership.group)
            }
            Request::Propose { proposal, .. } => self.answer_proposal(&membership, peer, proposal).await,
            Request::Renew { boot, .. } => self.answer_renewal(&membership, peer, boot).await,
            Request::Raft { from, to, call, .. } => {
                match check_asked(&membership, to).and_then(|()| self.check_member(&membership, peer, from)) {
                    Ok(()) => Answer::Raft(membership.raft.answer(MemberId(from.0), call).await),
                    Err(why) => Answer::Refused(why),
                }
            }
        }
    }

    fn answer_stranger(&self, peer: &NodeName, stranger: Stranger) -> Answer {
        let answer = lock(&self.founding).answer(peer, stranger);
        answer.map_or_else(|| Answer::NotNow("this node is about to take its place".to_owned()), Answer::Stranger)
    }

    async fn admit(&self, membership: &Membership, peer: &NodeName, store: u64, addr: SocketAddr) -> Answer {
        // The founder is the first: who came before it would take its number.
        if self.agreed.read(|ledger| ledger.nodes().next().is_none()) {
            return Answer::NotNow("this group has no member yet".to_owned());
        }
        match self.propose(Command::Admit { node: peer.clone(), store, addr: Some(addr) }).await {
            Ok(Outcome::Admitted(member)) => Answer::Admitted { group: membership.group, member },
            Ok(Outcome::Refused(why)) => Answer::Refused(why),
            Ok(other) => Answer::NotNow(format!("an outcome of something else: {other:?}")),
            Err(why) => Answer::NotNow(why),
        }
    }

    async fn answer_proposal(&self, membership: &Membership, peer: &NodeName, proposal: Bytes) -> Answer {
        if let Err(answer) = self.check_node(membership, peer).await {
            return answer;
        }
        let command = match Proposal::decode(&proposal) {
            Ok(Proposal { command, .. }) => command,
            Err(error) => return Answer::Refused(format!("the proposal cannot be read: {error}")),
        };
        if let Err(why) = self.agreed.read(|ledger| ledger.allows(peer, &command)) {
            return Answer::Refused(why);
        }
        if let Some(outcome) = self.without_proposing(&command) {
            return Answer::Agreed(outcome.encode());
        }
        if !self.is_heard(&membership.raft.status()) {
            return Answer::NotNow("this node has not heard a majority lately".to_owned());
        }
        match membership.raft.propose(proposal, TRY_WITHIN).await {
            Ok((_, outcome)) => {
                // Who asked waits to hear of it, and so do the consumers of whoever owns a name now.
                membership.raft.spread().await;
                Answer::Agreed(outcome)
            }
            Err(error @ ProposeError::TooLarge { .. }) => Answer::Refused(error.to_string()),
            Err(ProposeError::NotLeader { leader }) => Answer::NotLeader(leader.map(|(_, node)| node)),
            Err(error) => Answer::NotNow(error.to_string()),
        }
    }

    /// A member that was removed, or whose data another has replaced, has nothing to say any more, once
    /// the consensus can do without it.
    fn check_member(&self, membership: &Membership, peer: &NodeName, member: MemberNo) -> Result<(), String> {
        let status = membership.raft.status();
        let recorded = self
            .agreed
            .read(|ledger| ledger.nodes().find(|(_, record)| record.member == member).map(|(node, _)| node.clone()));
        if let Some(name) = recorded.as_ref().or(status.name_of(MemberId(member.0))).filter(|name| *name != peer) {
            return Err(format!("member {} is {name}, not {peer}: {peer} runs with a copy of its data", member.0));
        }
        let retired = self.agreed.read(|ledger| ledger.retired().contains(&member));
        match retired && membership.raft.status().name_of(MemberId(member.0)).is_none() {
            true => Err(format!(
                "{peer} is no member with number {} any more: it was removed, or its place was taken by other data of the same name",
                member.0
            )),
            false => Ok(()),
        }
    }

    /// Whether a peer is a member. Only a leader can say no, and only once it has carried out all that
    /// was agreed on before it was elected: whoever is told no ends.
    pub(super) async fn check_node(&self, membership: &Membership, peer: &NodeName) -> Result<(), Answer> {
        let is_known = || self.agreed.read(|ledger| ledger.node(peer).is_some());
        if is_known() {
            return Ok(());
        }
        match membership.raft.ensure_linearizable(TRY_WITHIN).await {
            Ok(()) if is_known() => Ok(()),
            Ok(()) => Err(Answer::Retired(format!("{peer} is no member of this group"))),
            Err(ReadError::NotLeader { leader }) => Err(Answer::NotLeader(leader.map(|(_, node)| node))),
            Err(error) => Err(Answer::NotNow(error.to_string())),
        }
    }
}

/// A node that lost its data answers as another member, and must not answer, or vote, for the former.
fn check_asked(membership: &Membership, asked: MemberNo) -> Result<(), String> {
    match membership.member == asked {
        true => Ok(()),
        false => Err(format!("this is member {}, not {}", membership.member.0, asked.0)),
    }
}

fn other_group(asked: GroupId, own: GroupId) -> Answer {
    Answer::Refused(format!("this node belongs to group {own}, not to {asked}"))
}
