//! When this node should claim a name that has no owner.
//!
//! The preferred of the live nodes that could run the stage claims at once, the next after one grace
//! period, and so on: so a name without an owner costs one claim, and a preferred node that does not
//! act is not waited for for ever. Claims are sticky: a node that joins moves nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{GlobalName, prefer::is_preferred};
use crate::ids::NodeName;

/// How long each further node in the order of preference waits. 250 ms: more than nodes differ in
/// when they notice a death (one ping interval, 100 ms by default) and a claim takes to spread.
const GRACE: Duration = Duration::from_millis(250);

/// See the module's documentation.
#[derive(Debug)]
pub struct Placement {
    node: NodeName,
    /// No claim before: the nodes named in `join` may own the names already.
    settled_at: Duration,
    names: BTreeMap<GlobalName, Vacancy>,
    /// What each live peer could run.
    peers: BTreeMap<NodeName, BTreeSet<GlobalName>>,
}

#[derive(Debug)]
struct Vacancy {
    /// Without an owner since; `None` while it has one.
    since: Option<Duration>,
    /// It failed here: not before.
    barred_until: Duration,
    /// How many peers could run it and go before this node. Kept, not counted anew: it is looked at with everything that
    /// happens on a node, and in a cluster that starts as many things happen as there are pairs of nodes.
    rank: u32,
}

impl Placement {
    /// Placement for a node that could run `names` and waits until `settled_at` before its first claim.
    pub fn new(node: NodeName, names: impl IntoIterator<Item = GlobalName>, settled_at: Duration) -> Self {
        let vacancy = |name| (name, Vacancy { since: Some(Duration::ZERO), barred_until: Duration::ZERO, rank: 0 });
        Self { node, settled_at, names: names.into_iter().map(vacancy).collect(), peers: BTreeMap::new() }
    }

    /// What this node could run.
    pub fn names(&self) -> impl Iterator<Item = &GlobalName> {
        self.names.keys()
    }

    /// This node could run one more, which has no owner as far as is known.
    pub fn add(&mut self, now: Duration, name: GlobalName) {
        let able = self.peers.iter().filter(|(_, names)| names.contains(&name)).map(|(peer, _)| peer);
        let before = able.filter(|peer| is_preferred(&name, peer, &self.node)).count();
        let rank = u32::try_from(before).unwrap_or(u32::MAX);
        let vacancy = Vacancy { since: Some(now), barred_until: Duration::ZERO, rank };
        self.names.entry(name).or_insert(vacancy);
    }

    /// This node can run that no more.
    pub fn remove(&mut self, name: &GlobalName) {
        self.names.remove(name);
    }

    /// Everybody this node set out to join has been met: no need to wait longer.
    pub fn settle(&mut self, now: Duration) {
        self.settled_at = self.settled_at.min(now);
    }

    /// There is somebody who was not met yet and may own a name: wait for them until then.
    pub fn hold(&mut self, until: Duration) {
        self.settled_at = self.settled_at.max(until);
    }

    /// A peer is there, and could run `names`.
    pub fn on_peer(&mut self, peer: &NodeName, names: impl IntoIterator<Item = GlobalName>) {
        self.on_peer_down(peer);
        let names: BTreeSet<_> = names.into_iter().collect();
        self.count(peer, &names, |rank| rank + 1);
        self.peers.insert(peer.clone(), names);
    }

    /// A peer is gone.
    pub fn on_peer_down(&mut self, peer: &NodeName) {
        if let Some(names) = self.peers.remove(peer) {
            self.count(peer, &names, |rank| rank - 1);
        }
    }

    /// A peer that could run `names` comes or goes.
    fn count(&mut self, peer: &NodeName, names: &BTreeSet<GlobalName>, change: impl Fn(u32) -> u32) {
        for name in names.iter().filter(|name| is_preferred(name, peer, &self.node)) {
            if let Some(vacancy) = self.names.get_mut(name) {
                vacancy.rank = change(vacancy.rank);
            }
        }
    }

    /// A name has an owner, or has lost it.
    pub fn on_owner(&mut self, now: Duration, name: &GlobalName, is_owned: bool) {
        if let Some(vacancy) = self.names.get_mut(name) {
            vacancy.since = (!is_owned).then_some(vacancy.since.unwrap_or(now));
        }
    }

    /// The stage failed here for good: leave the name to others for a while. `Duration::MAX` stands
    /// for until this is called again.
    pub fn bar(&mut self, name: &GlobalName, until: Duration) {
        if let Some(vacancy) = self.names.get_mut(name) {
            vacancy.barred_until = until;
        }
    }

    /// A name to claim now. The caller tells the outcome by [`Placement::on_owner`], before it polls
    /// again.
    pub fn poll(&self, now: Duration) -> Option<&GlobalName> {
        self.names.keys().find(|name| self.due(name).is_some_and(|due| due <= now))
    }

    /// When the next name is to be claimed, if nothing happens before.
    pub fn timeout(&self) -> Option<Duration> {
        self.names.keys().filter_map(|name| self.due(name)).min()
    }

    fn due(&self, name: &GlobalName) -> Option<Duration> {
        let vacancy = self.names.get(name)?;
        let since = vacancy.since?.max(self.settled_at);
        // For ever is no time that could be added to another.
        Some((since + GRACE.saturating_mul(vacancy.rank)).max(vacancy.barred_until)).filter(|due| *due < Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::preference;

    fn name() -> GlobalName {
        GlobalName { pipeline: "p".parse().unwrap(), stage: "s".parse().unwrap() }
    }

    fn nodes() -> Vec<NodeName> {
        ["a", "b", "c"].map(|name| name.parse().unwrap()).to_vec()
    }

    fn ranked() -> Vec<NodeName> {
        preference(&name(), &nodes()).into_iter().cloned().collect()
    }

    fn placement_of(node: &NodeName) -> Placement {
        let mut placement = Placement::new(node.clone(), [name()], Duration::ZERO);
        for peer in nodes().iter().filter(|peer| *peer != node) {
            placement.on_peer(peer, [name()]);
        }
        placement
    }

    #[test]
    fn the_preferred_node_claims_at_once_and_the_others_in_turn() {
        let due: Vec<_> = ranked().iter().map(|node| placement_of(node).timeout().unwrap()).collect();
        assert_eq!(due, [Duration::ZERO, GRACE, 2 * GRACE]);
    }

    #[test]
    fn when_the_preferred_node_is_gone_the_next_claims_at_once() {
        let ranked = ranked();
        let mut placement = placement_of(&ranked[1]);
        placement.on_owner(Duration::ZERO, &name(), true);
        assert_eq!(placement.timeout(), None);
        let now = Duration::from_secs(5);
        placement.on_peer_down(&ranked[0]);
        placement.on_owner(now, &name(), false);
        assert_eq!(placement.poll(now), Some(&name()));
    }

    #[test]
    fn nothing_is_claimed_before_the_node_has_settled() {
        let mut placement = Placement::new(nodes()[0].clone(), [name()], Duration::from_secs(1));
        assert_eq!(placement.poll(Duration::from_millis(999)), None);
        placement.settle(Duration::from_millis(300));
        assert_eq!(placement.poll(Duration::from_millis(300)), Some(&name()));
    }

    #[test]
    fn a_vacant_name_is_left_alone_while_somebody_is_still_to_be_met() {
        let mut placement = placement_of(&ranked()[0]);
        placement.hold(Duration::from_secs(7));
        assert_eq!(placement.timeout(), Some(Duration::from_secs(7)));
        placement.settle(Duration::from_secs(5));
        assert_eq!(placement.poll(Duration::from_secs(5)), Some(&name()));
    }

    #[test]
    fn a_peer_that_cannot_run_the_stage_is_no_candidate() {
        let ranked = ranked();
        let mut placement = placement_of(&ranked[2]);
        placement.on_peer(&ranked[0], []);
        assert_eq!(placement.timeout(), Some(GRACE));
    }

    /// It is kept, and changed by one with each peer that comes, changes what it runs, or goes.
    #[test]
    fn the_place_that_is_kept_is_that_in_the_order_of_preference() {
        let me: NodeName = "me".parse().unwrap();
        let names: Vec<_> = ["s", "t", "u"]
            .map(|stage| GlobalName { pipeline: "p".parse().unwrap(), stage: stage.parse().unwrap() })
            .to_vec();
        let mut placement = Placement::new(me.clone(), [names[0].clone(), names[1].clone()], Duration::ZERO);
        let mut peers: BTreeMap<NodeName, Vec<GlobalName>> = BTreeMap::new();
        for step in 0..200_usize {
            let peer: NodeName = format!("n{}", step * 7 % 11).parse().unwrap();
            match step % 5 {
                0 => {
                    peers.remove(&peer);
                    placement.on_peer_down(&peer);
                }
                kind => {
                    let able = names.iter().enumerate().filter(|(at, _)| (step + kind) >> at & 1 == 1);
                    let able: Vec<_> = able.map(|(_, name)| name.clone()).collect();
                    placement.on_peer(&peer, able.clone());
                    peers.insert(peer, able);
                }
            }
            match step % 9 {
                3 => placement.remove(&names[1]),
                6 => placement.add(Duration::ZERO, names[1].clone()),
                _ => {}
            }
            for name in placement.names() {
                let able = peers.iter().filter(|(_, names)| names.contains(name)).map(|(peer, _)| peer);
                let order = preference(name, able.chain([&me]));
                let place = order.iter().position(|node| **node == me).unwrap();
                assert_eq!(placement.due(name), Some(GRACE * u32::try_from(place).unwrap()), "after step {step}");
            }
        }
    }

    #[test]
    fn a_name_that_failed_here_is_left_to_others_for_a_while() {
        let mut placement = placement_of(&ranked()[0]);
        placement.bar(&name(), Duration::from_secs(30));
        assert_eq!(placement.timeout(), Some(Duration::from_secs(30)));
    }

    /// A node that had lost a name and was still draining its stage panicked when the winner died, too:
    /// it waited until `Duration::MAX` after its start.
    #[test]
    fn a_name_that_is_barred_for_ever_is_never_due() {
        let mut placement = placement_of(&ranked()[0]);
        placement.bar(&name(), Duration::MAX);
        assert_eq!((placement.timeout(), placement.poll(Duration::from_secs(1 << 40))), (None, None));
        placement.bar(&name(), Duration::ZERO);
        assert_eq!(placement.poll(Duration::ZERO), Some(&name()));
    }
}
