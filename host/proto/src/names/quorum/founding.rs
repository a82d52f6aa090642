//! Whether a node without data founds a group, joins one, or waits.
//!
//! Nobody founds a group while somebody it meets belongs to one. Of nodes that start together
//! (`expect`), that with the lowest name founds, once it has met as many as are expected and all of
//! them, too, take it for the founder.

use std::collections::BTreeMap;

use crate::ids::NodeName;

/// A peer without a group, as it describes itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stranger {
    /// How many nodes it was told to expect, itself included.
    pub expect: u16,
    /// Whom it takes for the founder among those it has met.
    pub founder: NodeName,
}

/// What to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Found a group.
    Found,
    /// Wait for others.
    Wait,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Founding {
    node: NodeName,
    expect: u16,
    strangers: BTreeMap<NodeName, Stranger>,
    /// Whether it asks for a place just now: not before it knows that it has none, nor from when it has one
    /// or founds. Only meanwhile others may count on it.
    seeks: bool,
}

impl Founding {
    /// For a node that was told to expect so many nodes, itself included; 0: it only joins.
    pub fn new(node: NodeName, expect: u16) -> Self {
        Self { node, expect, strangers: BTreeMap::new(), seeks: false }
    }

    /// This node has no place, and looks for one; or it has found one.
    pub fn seek(&mut self, seeks: bool) {
        self.seeks = seeks;
    }

    /// A peer asks for a place and describes itself. What it is told: this node is a stranger as well.
    /// `None`: it is not, or not yet known to be.
    pub fn answer(&mut self, peer: &NodeName, stranger: Stranger) -> Option<Stranger> {
        if self.seeks {
            self.on_stranger(peer, stranger);
        }
        self.seeks.then(|| self.own())
    }

    /// What to do, once everybody who is there was asked. `member_met`: somebody has a group. From the
    /// decision to found on, this node is no stranger any more.
    pub fn decide(&mut self, member_met: bool) -> Step {
        let step = if member_met { Step::Wait } else { self.step() };
        self.seeks &= step == Step::Wait;
        step
    }

    /// How this node describes itself to others.
    pub fn own(&self) -> Stranger {
        let founder = self.strangers.keys().chain([&self.node]).min().expect("there is this node at least").clone();
        Stranger { expect: self.expect, founder }
    }

    /// A peer has said that it has no group either. One that only joins has no say in who founds.
    pub fn on_stranger(&mut self, peer: &NodeName, stranger: Stranger) {
        match stranger.expect {
            0 => self.strangers.remove(peer),
            _ => self.strangers.insert(peer.clone(), stranger),
        };
    }

    /// A peer is gone, or has a group now.
    pub fn forget(&mut self, peer: &NodeName) {
        self.strangers.remove(peer);
    }

    /// What to do now.
    fn step(&self) -> Step {
        let agree = |peer: &Stranger| peer.expect == self.expect && peer.founder == self.node;
        let met = self.strangers.len() + 1 >= usize::from(self.expect);
        match self.expect > 0 && met && self.strangers.values().all(agree) {
            true => Step::Found,
            false => Step::Wait,
        }
    }

    /// Why it waits, for a person.
    pub fn waits_for(&self) -> String {
        let met = self.strangers.len() + 1;
        let other = self.strangers.iter().find(|(_, peer)| peer.expect != self.expect);
        match (self.expect, other) {
            (0, _) => {
                "a member of the group to let it in: it was given nodes to join and none expected, so it founds none"
                    .to_owned()
            }
            (own, Some((peer, other))) => {
                format!("an operator: it expects {own} nodes and {peer} expects {}; give both the same", other.expect)
            }
            (own, None) if met < usize::from(own) => format!("{own} nodes to be there, {met} are"),
            _ => format!("{} to found the group", self.own().founder),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> NodeName {
        name.parse().unwrap()
    }

    fn meet(nodes: &mut [Founding], one: usize, other: usize) {
        let (a, b) = (nodes[one].own(), nodes[other].own());
        let (of_a, of_b) = (nodes[one].node.clone(), nodes[other].node.clone());
        nodes[one].on_stranger(&of_b, b);
        nodes[other].on_stranger(&of_a, a);
    }

    fn steps(nodes: &[Founding]) -> Vec<Step> {
        nodes.iter().map(Founding::step).collect()
    }

    #[test]
    fn a_node_alone_founds_and_one_that_only_joins_never_does() {
        assert_eq!(Founding::new(name("a"), 1).step(), Step::Found);
        let joiner = Founding::new(name("a"), 0);
        assert_eq!(joiner.step(), Step::Wait);
        assert!(joiner.waits_for().starts_with("a member of the group to let it in"));
    }

    #[test]
    fn of_three_that_start_together_the_lowest_founds_once_all_have_met() {
        let mut nodes: Vec<_> = ["b", "a", "c"].map(|node| Founding::new(name(node), 3)).into();
        meet(&mut nodes, 0, 1);
        assert_eq!(steps(&nodes), [Step::Wait; 3]);
        assert_eq!(nodes[0].waits_for(), "3 nodes to be there, 2 are");
        meet(&mut nodes, 0, 2);
        meet(&mut nodes, 1, 2);
        // What each says of the founder has changed by then, so they ask again.
        meet(&mut nodes, 0, 1);
        meet(&mut nodes, 1, 2);
        assert_eq!(steps(&nodes), [Step::Wait, Step::Found, Step::Wait]);
        assert_eq!(nodes[0].waits_for(), "a to found the group");
    }

    #[test]
    fn nobody_counts_on_a_node_that_reads_its_data_or_has_a_place() {
        let (a, mut b) = (Founding::new(name("a"), 2), Founding::new(name("b"), 2));
        assert_eq!(b.answer(&name("a"), a.own()), None, "it may find that it has a place");
        b.seek(true);
        assert_eq!(b.answer(&name("a"), a.own()), Some(Stranger { expect: 2, founder: name("a") }));
        b.seek(false);
        assert_eq!(b.answer(&name("a"), a.own()), None);
    }

    #[test]
    fn whoever_has_decided_to_found_is_no_stranger_to_one_that_comes_then() {
        let mut b = Founding::new(name("b"), 2);
        b.seek(true);
        let founder = || Stranger { expect: 2, founder: name("b") };
        b.on_stranger(&name("c"), founder());
        assert_eq!(b.decide(true), Step::Wait, "somebody has a group");
        assert_eq!(b.decide(false), Step::Found);
        assert_eq!(b.answer(&name("a"), Founding::new(name("a"), 2).own()), None);
    }

    #[test]
    fn nodes_that_only_join_are_neither_counted_nor_asked() {
        let mut nodes = vec![Founding::new(name("a"), 0), Founding::new(name("b"), 2), Founding::new(name("c"), 2)];
        for (one, other) in [(0, 1), (0, 2)] {
            meet(&mut nodes, one, other);
        }
        assert_eq!(steps(&nodes), [Step::Wait; 3], "one of two is not there");
        assert_eq!(nodes[1].waits_for(), "2 nodes to be there, 1 are");
        meet(&mut nodes, 1, 2);
        meet(&mut nodes, 1, 2);
        assert_eq!(steps(&nodes), [Step::Wait, Step::Found, Step::Wait]);
    }

    #[test]
    fn nobody_founds_while_two_expect_different_numbers() {
        let mut nodes = vec![Founding::new(name("a"), 2), Founding::new(name("b"), 3)];
        meet(&mut nodes, 0, 1);
        meet(&mut nodes, 0, 1);
        assert_eq!(steps(&nodes), [Step::Wait; 2]);
        assert!(nodes[0].waits_for().contains("it expects 2 nodes and b expects 3"), "{}", nodes[0].waits_for());
    }
}
