//! Who is in the group, and who votes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use forebay_proto::ids::NodeName;
use openraft::ChangeMembers;
use tokio::time::{Instant, timeout_at};

use super::{ChangeError, Group, GroupStatus, error::Attempt};
use crate::registry::raft::types::{MemberId, Membership, Named};

/// How long a change may take. Two rounds of agreement, and waiting for one that is under way.
const CHANGE_WITHIN: Duration = Duration::from_secs(10);

/// The pause before it is asked for again.
const TRY_AGAIN: Duration = Duration::from_millis(10);

type Change = ChangeMembers<u64, Named>;

impl Group {
    /// Adds a member that hears everything and does not vote. Does not wait until it has caught up: see
    /// [`GroupStatus::replicated`]. Nothing happens if it is a member already.
    ///
    /// # Errors
    /// [`ChangeError::Refused`] if the number belongs to another node.
    ///
    /// # Cancel safety
    /// As if it had ended with [`ChangeError::Unknown`].
    pub async fn add_learner(&self, member: MemberId, node: NodeName) -> Result<(), ChangeError> {
        let named = |status: &GroupStatus| status.name_of(member).cloned();
        match named(&self.status()) {
            Some(known) if known != node => {
                let why = format!("{member} is {known}, not {node}; a number is given once");
                return Err(ChangeError::Refused(why));
            }
            _ => {}
        }
        let change = || Change::AddNodes(BTreeMap::from([(member.0, Named(node.clone()))]));
        self.change(change, |members| members.get_node(&member.0).is_some()).await
    }

    /// Makes these members the voters, all of which have to be members. Those that voted until now stay
    /// members. When this returns, the former voters' consent is not needed any more.
    ///
    /// # Errors
    /// [`ChangeError::Refused`] if one is no member, or there are none. After [`ChangeError::Unknown`]
    /// both old and new voters may have to agree to everything: ask again.
    ///
    /// # Cancel safety
    /// As if it had ended with [`ChangeError::Unknown`].
    pub async fn set_voters(&self, voters: BTreeSet<MemberId>) -> Result<(), ChangeError> {
        let ids: BTreeSet<u64> = voters.iter().map(|member| member.0).collect();
        let reached = |members: &Membership| members.get_joint_config() == std::slice::from_ref(&ids);
        self.change(|| Change::ReplaceAllVoters(ids.clone()), reached).await
    }

    /// Removes members that do not vote. Their numbers must never be given again.
    ///
    /// # Errors
    /// [`ChangeError::Refused`] if one of them votes: see [`Group::set_voters`].
    ///
    /// # Cancel safety
    /// As if it had ended with [`ChangeError::Unknown`].
    pub async fn remove(&self, members: BTreeSet<MemberId>) -> Result<(), ChangeError> {
        let status = self.status();
        if let Some((voter, name)) = status.voters.iter().find(|(voter, _)| members.contains(voter)) {
            return Err(ChangeError::Refused(format!("{name} ({voter}) votes")));
        }
        let ids: BTreeSet<u64> = members.iter().map(|member| member.0).collect();
        let gone = |members: &Membership| ids.iter().all(|member| members.get_node(member).is_none());
        self.change(|| Change::RemoveNodes(ids.clone()), gone).await
    }

    /// Asks for a change until the members are as they should be and no joint configuration is left.
    async fn change(
        &self,
        change: impl Fn() -> Change,
        reached: impl Fn(&Membership) -> bool,
    ) -> Result<(), ChangeError> {
        let deadline = Instant::now() + CHANGE_WITHIN;
        let attempts = async {
            let _changing = self.changing.lock().await;
            let mut watch = self.watch();
            loop {
                // openraft says yes to what is so already, too, once this member leads.
                match self.raft.change_membership(change(), true).await {
                    Ok(written) => {
                        if written.membership.is_some_and(|now| now.get_joint_config().len() == 1 && reached(&now)) {
                            return Ok(());
                        }
                    }
                    Err(error) => match self.not_changed(error) {
                        Attempt::Again => {}
                        Attempt::Failed(error) => return Err(error),
                    },
                }
                // Another change has to be agreed on first, or this one only went half way. A try alone is news, too:
                // waiting for nothing else would never let a processor go.
                tokio::time::sleep(TRY_AGAIN).await;
                watch.changed().await;
            }
        };
        timeout_at(deadline, attempts).await.unwrap_or(Err(ChangeError::Unknown))
    }
}
