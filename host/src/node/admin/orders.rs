//! Draining and removing nodes: whether it may be, and having it agreed on.

use forebay_proto::{ids::NodeName, names::quorum::Command};

use super::Desk;
use crate::registry::quorum::QuorumReport;

impl Desk {
    /// # Errors
    /// With the reason: nobody knows the node, or the group cannot be reached.
    pub(super) async fn drain(&self, node: &str, drain: bool) -> Result<(), String> {
        let node = self.member(node)?;
        self.order(Command::Drain { node, drain }).await
    }

    /// # Errors
    /// With the reason: nobody knows the node, the others could not go on without it, or the group
    /// cannot be reached.
    pub(super) async fn remove(&self, node: &str, only_check: bool) -> Result<(), String> {
        let node = self.member(node)?;
        may_remove(&self.report()?, &node)?;
        if only_check {
            return Ok(());
        }
        self.order(Command::Remove { node }).await
    }

    fn member(&self, node: &str) -> Result<NodeName, String> {
        let report = self.report()?;
        if let (None, Some(waits_for)) = (report.group, &report.waits_for) {
            return Err(format!("this node belongs to no group yet; it waits for {waits_for}"));
        }
        member(&report, node)
    }

    fn report(&self) -> Result<QuorumReport, String> {
        let registry = self.registry()?;
        let report = registry.as_quorum().map(|quorum| quorum.report());
        report.ok_or_else(|| "this node runs with `agreement = \"islands\"`, where nothing is agreed on".to_owned())
    }

    async fn order(&self, command: Command) -> Result<(), String> {
        let registry = self.registry()?;
        match registry.as_quorum() {
            Some(quorum) => quorum.order(command).await.map_err(|why| unreached(&quorum.report(), why)),
            None => Err("this node runs in islands mode".to_owned()),
        }
    }
}

fn member(report: &QuorumReport, node: &str) -> Result<NodeName, String> {
    if let Some(found) = report.members.iter().find(|member| member.node.as_str() == node) {
        return Ok(found.node.clone());
    }
    let known: Vec<_> = report.members.iter().map(|member| member.node.as_str()).collect();
    Err(match known.is_empty() {
        true => {
            "this node has only just come to its group and does not know the members yet; ask again in a second".into()
        }
        false => format!("there is no node `{node}` in this group; its members are {}", known.join(", ")),
    })
}

/// Why an order came to nothing, in terms of the group if that is why.
pub(super) fn unreached(report: &QuorumReport, why: String) -> String {
    let voters: Vec<_> = report.members.iter().filter(|member| member.votes).collect();
    let (connected, needed) = (voters.iter().filter(|member| member.connected).count(), voters.len() / 2 + 1);
    match connected < needed {
        true => format!(
            "the group cannot be reached: {connected} of {} voters are connected, and {needed} are needed to agree on anything",
            voters.len()
        ),
        false => why,
    }
}

/// The members that stay must be able to change who votes, by a majority of those who vote now: the one
/// that is removed takes no part in that.
fn may_remove(report: &QuorumReport, node: &NodeName) -> Result<(), String> {
    if report.members.iter().all(|member| member.node == *node) {
        return Err(format!("{node} is the only member of the group; stop it and remove its data instead"));
    }
    let voters: Vec<_> = report.members.iter().filter(|member| member.votes).collect();
    let left = voters.iter().filter(|member| member.connected && member.node != *node).count();
    let needed = voters.len() / 2 + 1;
    if left >= needed {
        return Ok(());
    }
    let votes = voters.iter().any(|member| member.node == *node);
    Err(match votes {
        true => format!(
            "without {node} only {left} of {} voters would be there, and {needed} are needed to agree on anything; \
             start or add another node first",
            voters.len()
        ),
        false => format!("only {left} of {} voters can be reached, and {needed} are needed", voters.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::quorum::MemberReport;

    fn report(members: &[(&str, bool, bool)]) -> QuorumReport {
        let member = |(number, (node, votes, connected)): (usize, &(&str, bool, bool))| MemberReport {
            node: node.parse().unwrap(),
            member: number as u64,
            votes: *votes,
            connected: *connected,
            draining: false,
            addr: None,
            pipelines: Vec::new(),
        };
        QuorumReport {
            changing: false,
            group: None,
            waits_for: None,
            leader: None,
            term: 1,
            applied: 1,
            holds: true,
            members: members.iter().enumerate().map(member).collect(),
            leaving: Vec::new(),
            generation: 0,
            refused_requests: 0,
        }
    }

    #[test]
    fn an_order_that_reaches_nobody_says_who_is_missing() {
        let why = || "this member does not lead the group".to_owned();
        let cut_off = report(&[("a", true, true), ("b", true, false), ("c", true, false), ("d", false, true)]);
        let told = unreached(&cut_off, why());
        assert!(told.ends_with("1 of 3 voters are connected, and 2 are needed to agree on anything"), "{told}");
        assert_eq!(unreached(&report(&[("a", true, true)]), why()), why());
    }

    #[test]
    fn a_node_that_is_not_found_is_told_with_those_that_are() {
        let none = member(&report(&[]), "a").unwrap_err();
        assert!(none.ends_with("does not know the members yet; ask again in a second"), "{none}");
        let two = report(&[("a", true, true), ("b", true, true)]);
        assert_eq!(member(&two, "c"), Err("there is no node `c` in this group; its members are a, b".to_owned()));
        assert_eq!(member(&two, "b"), Ok("b".parse().unwrap()));
    }

    #[test]
    fn a_removal_never_costs_the_majority() {
        let check = |members: &[(&str, bool, bool)], node: &str| may_remove(&report(members), &node.parse().unwrap());
        let three = [("a", true, true), ("b", true, true), ("c", true, true)];
        assert_eq!(check(&three, "a"), Ok(()));
        let one_dead = [("a", true, true), ("b", true, true), ("c", true, false)];
        assert_eq!(check(&one_dead, "c"), Ok(()), "it is dead, and a majority is there");
        let told = check(&one_dead, "a").unwrap_err();
        assert!(told.contains("only 1 of 3 voters would be there, and 2 are needed"), "{told}");
        let two = [("a", true, true), ("b", false, true)];
        assert_eq!(check(&two, "b"), Ok(()), "a learner takes no vote away");
        assert!(check(&two, "a").is_err());
        assert!(check(&two[..1], "a").unwrap_err().contains("only member"));
        let no_quorum = [("a", true, true), ("b", true, false), ("c", true, false), ("d", false, true)];
        assert!(check(&no_quorum, "d").unwrap_err().contains("only 1 of 3 voters can be reached"));
    }
}
