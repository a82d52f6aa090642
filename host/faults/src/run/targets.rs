//! Which nodes and links a fault strikes.

use std::collections::BTreeSet;

use super::kind::Kind;
use crate::{
    cluster::{Cluster, ClusterError},
    net::Link,
};

/// Who is what when a fault begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Roles {
    pub(crate) nodes: usize,
    pub(crate) owner: Option<usize>,
    pub(crate) leader: Option<usize>,
}

impl Roles {
    /// As far as the cluster's nodes have said.
    pub(crate) fn of(cluster: &mut Cluster) -> Result<Self, ClusterError> {
        Ok(Self { nodes: cluster.len(), owner: cluster.watch.owner(), leader: cluster.leader()? })
    }

    /// The node that a fault of one node strikes. None if nobody is in that role.
    pub(crate) fn victim(&self, kind: Kind, pick: u64) -> Option<usize> {
        match kind {
            Kind::KillOwner | Kind::StopOwner | Kind::CutOwner | Kind::PowerOwner | Kind::FullOwner => self.owner,
            Kind::KillLeader | Kind::StopLeader | Kind::FullLeader => self.leader,
            // In a cluster of two the leader may be the only other.
            Kind::KillOther | Kind::StopOther => self
                .choose(pick, |node| Some(node) != self.owner && Some(node) != self.leader)
                .or_else(|| self.choose(pick, |node| Some(node) != self.owner)),
            Kind::CutOther => self.choose(pick, |node| Some(node) != self.owner),
            _ => self.choose(pick, |_| true),
        }
    }

    fn choose(&self, pick: u64, is_meant: impl Fn(usize) -> bool) -> Option<usize> {
        let nodes: Vec<_> = (0..self.nodes).filter(|node| is_meant(*node)).collect();
        let count = u64::try_from(nodes.len()).ok().filter(|count| *count > 0)?;
        usize::try_from(pick % count).ok().map(|index| nodes[index])
    }

    /// The directed links that a fault of the network strikes, given its victim.
    pub(crate) fn links(&self, kind: Kind, victim: usize, pick: u64) -> BTreeSet<Link> {
        let others = |node: usize| (0..self.nodes).filter(move |other| *other != node);
        match kind {
            Kind::CutOwner | Kind::CutOther => {
                let minority = self.minority(victim, kind == Kind::CutOther, pick);
                self.between(&minority)
            }
            Kind::PowerOwner => self.between(&BTreeSet::from([victim])),
            Kind::Mute => others(victim).map(|other| (victim, other)).collect(),
            Kind::Deaf => others(victim).map(|other| (other, victim)).collect(),
            Kind::NonTransitive => {
                let peer = others(victim).nth(remainder(pick / 7, self.nodes - 1)).unwrap_or(victim);
                BTreeSet::from([(victim, peer), (peer, victim)])
            }
            _ => (0..self.nodes).flat_map(|node| others(node).map(move |other| (node, other))).collect(),
        }
    }

    /// The largest group that is less than half of all, with the victim, and without the owner if so.
    fn minority(&self, victim: usize, without_owner: bool, pick: u64) -> BTreeSet<usize> {
        let size = (self.nodes - 1) / 2;
        let start = remainder(pick / 7, self.nodes);
        let is_meant = |node: &usize| !(without_owner && Some(*node) == self.owner) && *node != victim;
        let rest = (0..self.nodes).map(|step| (start + step) % self.nodes).filter(is_meant);
        std::iter::once(victim).chain(rest.take(size.saturating_sub(1))).collect()
    }

    /// All links between a group and the rest, both ways.
    fn between(&self, group: &BTreeSet<usize>) -> BTreeSet<Link> {
        let pairs = (0..self.nodes).flat_map(|one| (0..self.nodes).map(move |other| (one, other)));
        pairs.filter(|(one, other)| group.contains(one) != group.contains(other)).collect()
    }
}

fn remainder(pick: u64, of: usize) -> usize {
    usize::try_from(pick % of as u64).expect("less than a usize")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(nodes: usize) -> Roles {
        Roles { nodes, owner: Some(0), leader: Some(1) }
    }

    #[test]
    fn a_victim_is_in_its_role() {
        for pick in 0..20 {
            assert_eq!(roles(3).victim(Kind::KillOwner, pick), Some(0));
            assert_eq!(roles(3).victim(Kind::StopLeader, pick), Some(1));
            assert_eq!(roles(3).victim(Kind::KillOther, pick), Some(2));
            assert_ne!(roles(3).victim(Kind::CutOther, pick), Some(0));
            assert_eq!(roles(2).victim(Kind::KillOther, pick), Some(1));
        }
        let nobody = Roles { owner: None, leader: None, nodes: 3 };
        assert_eq!(nobody.victim(Kind::KillOwner, 1), None);
        assert_eq!(nobody.victim(Kind::KillLeader, 1), None);
    }

    #[test]
    fn a_minority_is_cut_off_both_ways() {
        let cut = roles(3).links(Kind::CutOwner, 0, 5);
        assert_eq!(cut, BTreeSet::from([(0, 1), (0, 2), (1, 0), (2, 0)]));
        for pick in 0..50 {
            let links = roles(5).links(Kind::CutOther, 3, pick);
            assert_eq!(links.len(), 2 * 2 * 3, "two nodes and three, both ways: {links:?}");
            assert!(links.contains(&(0, 3)), "the owner is with the three");
            assert!(roles(5).links(Kind::CutOwner, 0, pick).len() == 12);
        }
    }

    #[test]
    fn one_way_is_one_way() {
        assert_eq!(roles(3).links(Kind::Mute, 1, 0), BTreeSet::from([(1, 0), (1, 2)]));
        assert_eq!(roles(3).links(Kind::Deaf, 1, 0), BTreeSet::from([(0, 1), (2, 1)]));
    }

    #[test]
    fn non_transitive_leaves_a_way_round() {
        for pick in 0..50 {
            let links = roles(3).links(Kind::NonTransitive, 1, pick);
            let one = links.first().unwrap();
            assert_eq!(links, BTreeSet::from([*one, (one.1, one.0)]));
            assert!(one.0 == 1 || one.1 == 1);
        }
    }

    #[test]
    fn all_links_are_all_but_loops() {
        let links = roles(3).links(Kind::Shatter, 0, 0);
        assert_eq!(links.len(), 6);
        assert!(links.iter().all(|(from, to)| from != to));
    }
}
