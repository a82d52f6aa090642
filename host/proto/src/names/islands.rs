//! Agreement with whom one can reach, and with nobody else.
//!
//! A node asserts its own claims and hears those of the nodes it is connected to. Of all claims of a
//! name that it hears, one stands ([`merge`](super::merge()), a maximum, so that every node of a
//! fully connected group comes to the same). An owner that hears a claim that beats its own has
//! lost. A peer that is gone takes its claims with it.
//!
//! This is what Erlang's `:global` gives, repaired: nobody is stopped but the loser, who wins does
//! not depend on who meets whom first, and events carry the epoch.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use super::{Change, Claim, GlobalName, merge};
use crate::ids::{BootId, Epoch, NodeName, Seq};

/// A checkpoint came from an owner that is none any more, or out of order.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("checkpoint of {name} refused: made in epoch {epoch} after {previous}, the record says {current:?}")]
pub struct Fenced {
    /// The name.
    pub name: GlobalName,
    /// The epoch it was made in.
    pub epoch: Epoch,
    /// The checkpoint it was made after.
    pub previous: u64,
    /// Epoch and checkpoint as they stand; `None` if the name is not ours.
    pub current: Option<(Epoch, Seq)>,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Islands {
    node: NodeName,
    boot: BootId,
    tag: u32,
    started_at_ms: u64,
    own: BTreeMap<GlobalName, Claim>,
    peers: BTreeMap<NodeName, BTreeMap<GlobalName, Claim>>,
    /// The claim that stands, as last reported.
    standing: BTreeMap<GlobalName, Claim>,
    /// The highest epoch ever heard of; never forgotten, so that epochs only rise.
    heights: BTreeMap<GlobalName, u32>,
    /// Losers already reported.
    reported: BTreeSet<(NodeName, BootId, Epoch)>,
    /// How far each name was when its owner last said so, as a state of that moment is known here.
    progress: BTreeMap<GlobalName, Seq>,
    changes: VecDeque<Change>,
}

impl Islands {
    /// The table of a node that has just started and met nobody.
    ///
    /// `started_at_ms`: the clock at the moment from which `now` is counted.
    pub fn new(node: NodeName, boot: BootId, started_at_ms: u64) -> Self {
        let mixed = boot.0 ^ (boot.0 >> 32);
        let tag = u32::try_from(mixed & u64::from(u32::MAX)).expect("masked to 32 bits");
        Self {
            node,
            boot,
            tag,
            started_at_ms,
            own: BTreeMap::new(),
            peers: BTreeMap::new(),
            standing: BTreeMap::new(),
            heights: BTreeMap::new(),
            reported: BTreeSet::new(),
            progress: BTreeMap::new(),
            changes: VecDeque::new(),
        }
    }

    /// Claims a name that nobody reachable owns, or takes a new epoch for one that is ours: every
    /// new instance of a producer needs one.
    ///
    /// # Errors
    /// The claim of the other owner.
    pub fn claim(&mut self, now: Duration, name: &GlobalName) -> Result<Claim, Claim> {
        if let Some(claim) = self.lookup(name).filter(|claim| claim.node != self.node) {
            return Err(claim.clone());
        }
        let height = self.heights.entry(name.clone()).or_default();
        // A peer that lies can have claimed the last epoch there is. Then epochs do not rise any more,
        // and an old instance is told from a new one by its end alone; the node goes on.
        *height = height.saturating_add(1);
        let epoch = Epoch { lamport: *height, tag: self.tag };
        let progress = self.progress.get(name).copied().unwrap_or_default();
        let elapsed = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let claimed_at_ms = self.started_at_ms.saturating_add(elapsed);
        let (name, node) = (name.clone(), self.node.clone());
        let claim = Claim { name: name.clone(), node, boot: self.boot, epoch, claimed_at_ms, progress };
        self.own.insert(name.clone(), claim.clone());
        self.changes.push_back(Change::Announce);
        self.review(&name);
        Ok(claim)
    }

    /// Gives a name of ours up. Harmless if it is not ours, or ours in another epoch.
    pub fn release(&mut self, name: &GlobalName, epoch: Epoch) {
        if self.own.get(name).is_some_and(|claim| claim.epoch == epoch) {
            self.own.remove(name);
            self.changes.push_back(Change::Announce);
            self.review(name);
        }
    }

    /// Records how far a stage of ours has come.
    ///
    /// # Errors
    /// [`Fenced`] if `epoch` is not that of our claim, if `previous` is not the checkpoint on record,
    /// or if `seq` does not rise.
    pub fn checkpoint(&mut self, name: &GlobalName, epoch: Epoch, previous: Seq, seq: Seq) -> Result<(), Fenced> {
        let own = self.own.get_mut(name);
        let current = own.as_ref().map(|claim| (claim.epoch, claim.progress));
        match own {
            Some(claim) if current == Some((epoch, previous)) && seq > previous => {
                claim.progress = seq;
                self.progress.insert(name.clone(), seq);
                self.changes.push_back(Change::Announce);
                self.changes.push_back(Change::Share(name.clone()));
                Ok(())
            }
            _ => Err(Fenced { name: name.clone(), epoch, previous: previous.0, current }),
        }
    }

    /// All claims of a peer, as it has just stated them. They replace what it said before.
    ///
    /// Claims in another's name are ignored: a node speaks for itself only.
    pub fn on_claims(&mut self, peer: &NodeName, claims: impl IntoIterator<Item = Claim>) {
        let claims = claims.into_iter().filter(|claim| claim.node == *peer);
        let claims: BTreeMap<_, _> = claims.map(|claim| (claim.name.clone(), claim)).collect();
        for (name, claim) in &claims {
            let height = self.heights.entry(name.clone()).or_default();
            *height = (*height).max(claim.epoch.lamport);
        }
        let before = self.peers.insert(peer.clone(), claims.clone()).unwrap_or_default();
        let touched: BTreeSet<_> = before.into_keys().chain(claims.into_keys()).collect();
        for name in &touched {
            self.review(name);
        }
    }

    /// A peer tells of a checkpoint. Whether it counts: only that of the owner of a name does. A claim
    /// of ours goes on from there, should the peer be gone.
    pub fn on_checkpoint(&mut self, peer: &NodeName, name: &GlobalName, epoch: Epoch, seq: Seq) -> bool {
        let counts = self.lookup(name).is_some_and(|claim| claim.node == *peer && claim.epoch == epoch);
        if counts {
            self.progress.insert(name.clone(), seq);
        }
        counts
    }

    /// A peer is gone, and its claims with it.
    pub fn on_peer_down(&mut self, peer: &NodeName) {
        self.reported.retain(|(node, ..)| node != peer);
        for name in self.peers.remove(peer).unwrap_or_default().keys() {
            self.review(name);
        }
    }

    /// Our own claims, to be stated to peers.
    pub fn own(&self) -> impl Iterator<Item = &Claim> {
        self.own.values()
    }

    /// The claim that stands.
    pub fn lookup(&self, name: &GlobalName) -> Option<&Claim> {
        merge(self.heard(name))
    }

    /// The next thing that others must know.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    fn heard(&self, name: &GlobalName) -> impl Iterator<Item = &Claim> {
        let peers = self.peers.values().filter_map(|claims| claims.get(name));
        self.own.get(name).into_iter().chain(peers)
    }

    /// Decides anew who owns `name`, and reports what that changes.
    fn review(&mut self, name: &GlobalName) {
        let winner = self.lookup(name).cloned();
        if let Some(winner) = &winner {
            let losers: Vec<_> = self.heard(name).filter(|claim| *claim != winner).cloned().collect();
            for loser in losers {
                self.report_conflict(winner, loser);
            }
            let beaten = self.own.get(name).filter(|own| *own != winner).cloned();
            if let Some(claim) = beaten {
                self.own.remove(name);
                self.changes.push_back(Change::Lost { claim, to: Some(winner.clone()) });
                self.changes.push_back(Change::Announce);
            }
        }
        // Progress is no change of owner.
        let key = |claim: &Claim| (claim.node.clone(), claim.boot, claim.epoch);
        if self.standing.get(name).map(key) != winner.as_ref().map(key) {
            self.changes.push_back(Change::Owner { name: name.clone(), claim: winner.clone() });
        }
        match winner {
            Some(claim) => self.standing.insert(name.clone(), claim),
            None => self.standing.remove(name),
        };
    }

    fn report_conflict(&mut self, winner: &Claim, loser: Claim) {
        if self.reported.insert((loser.node.clone(), loser.boot, loser.epoch)) {
            self.changes.push_back(Change::Conflict { winner: winner.clone(), loser });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> GlobalName {
        GlobalName { pipeline: "p".parse().unwrap(), stage: "counter".parse().unwrap() }
    }

    fn node(name: &str, started_at_ms: u64) -> Islands {
        let boot = name.bytes().map(u64::from).sum();
        Islands::new(name.parse().unwrap(), BootId(boot), started_at_ms)
    }

    fn tell(from: &Islands, to: &mut Islands) {
        to.on_claims(&from.node, from.own().cloned().collect::<Vec<_>>());
    }

    fn changes(islands: &mut Islands) -> Vec<Change> {
        std::iter::from_fn(|| islands.poll_change()).collect()
    }

    #[test]
    fn when_islands_meet_the_older_claim_stands_on_both_sides() {
        let (mut a, mut b) = (node("a", 500), node("b", 400));
        let lost = a.claim(Duration::ZERO, &name()).unwrap();
        let won = b.claim(Duration::ZERO, &name()).unwrap();
        changes(&mut a);
        changes(&mut b);
        let claims: Vec<_> = a.own().cloned().collect();
        tell(&b, &mut a);
        b.on_claims(&"a".parse().unwrap(), claims);
        let conflict = Change::Conflict { winner: won.clone(), loser: lost.clone() };
        let owner = Change::Owner { name: name(), claim: Some(won.clone()) };
        let lost = Change::Lost { claim: lost, to: Some(won) };
        assert_eq!(changes(&mut a), [conflict.clone(), lost, Change::Announce, owner]);
        assert_eq!(changes(&mut b), [conflict]);
        tell(&a, &mut b);
        assert_eq!(changes(&mut b), []);
    }

    #[test]
    fn a_successor_stands_against_the_owner_that_was_thought_dead() {
        let (mut a, mut b) = (node("a", 0), node("b", 0));
        a.claim(Duration::ZERO, &name()).unwrap();
        tell(&a, &mut b);
        assert_eq!(b.claim(Duration::ZERO, &name()).unwrap_err().node, a.node);
        b.on_peer_down(&"a".parse().unwrap());
        let successor = b.claim(Duration::from_secs(9), &name()).unwrap();
        assert_eq!(successor.epoch.lamport, 2);
        tell(&b, &mut a);
        assert!(a.own().next().is_none(), "the old owner has lost");
        assert_eq!(a.lookup(&name()), Some(&successor));
    }

    #[test]
    fn a_peer_speaks_for_itself_only() {
        let (mut a, mut b) = (node("a", 0), node("b", 0));
        let mut forged = b.claim(Duration::ZERO, &name()).unwrap();
        forged.node = "c".parse().unwrap();
        a.on_claims(&"b".parse().unwrap(), [forged]);
        assert_eq!(a.lookup(&name()), None);
    }

    #[test]
    fn a_new_claim_of_ours_takes_a_new_epoch() {
        let mut a = node("a", 0);
        let first = a.claim(Duration::ZERO, &name()).unwrap();
        let second = a.claim(Duration::ZERO, &name()).unwrap();
        assert!(second.epoch > first.epoch);
        a.release(&name(), first.epoch);
        assert_eq!(a.lookup(&name()), Some(&second), "the old epoch cannot release the new claim");
        a.release(&name(), second.epoch);
        assert_eq!(a.lookup(&name()), None);
    }

    #[test]
    fn a_checkpoint_counts_only_in_its_epoch_and_in_order() {
        let mut a = node("a", 0);
        let old = a.claim(Duration::ZERO, &name()).unwrap();
        let new = a.claim(Duration::ZERO, &name()).unwrap();
        assert!(a.checkpoint(&name(), old.epoch, Seq(0), Seq(5)).is_err());
        assert_eq!(a.checkpoint(&name(), new.epoch, Seq(0), Seq(5)), Ok(()));
        assert!(a.checkpoint(&name(), new.epoch, Seq(0), Seq(9)).is_err(), "made after another checkpoint");
        assert!(a.checkpoint(&name(), new.epoch, Seq(5), Seq(5)).is_err(), "goes nowhere");
    }

    #[test]
    fn a_claim_goes_on_from_the_last_checkpoint_of_the_owner_before() {
        let (mut a, mut b) = (node("a", 1), node("b", 2));
        let owned = a.claim(Duration::ZERO, &name()).unwrap();
        b.on_claims(&owned.node, [owned.clone()]);
        assert_eq!(a.checkpoint(&name(), owned.epoch, Seq(0), Seq(7)), Ok(()));
        assert!(b.on_checkpoint(&owned.node, &name(), owned.epoch, Seq(7)));
        let stranger = "c".parse().unwrap();
        assert!(!b.on_checkpoint(&stranger, &name(), owned.epoch, Seq(9)), "not the owner");
        assert!(!b.on_checkpoint(&owned.node, &name(), Epoch { lamport: 9, tag: 9 }, Seq(9)), "not its epoch");
        b.on_peer_down(&owned.node);
        assert_eq!(b.claim(Duration::ZERO, &name()).unwrap().progress, Seq(7));
    }
}
