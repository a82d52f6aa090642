//! Peers of this node: links that come and go, what is heard on them, and who is known by hearsay.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use forebay_proto::{
    ids::{BootId, NodeName},
    wire::{Checkpoint, Frame, Member, Names},
};
use tokio::time::Instant;

use super::{
    core::{Core, HEARSAY_WAIT},
    dial::TargetIndex,
    event::NodeEvent,
    link::{Link, LinkEvent, LinkId},
};
use crate::{runtime::SNAPSHOT_BYTES_MAX, transport::CloseCode};

/// How long a newcomer may wait for others to be told of in the same frame, for each peer there is. Where n nodes start
/// together each would tell each of each: n^2 frames, which are n.
const GATHER_PER_PEER: Duration = Duration::from_millis(1);

/// However many peers there are, one hears of another within this and what the network takes.
const GATHER_MAX: Duration = Duration::from_millis(100);

/// Peers that the others have not been told of yet.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    peers: BTreeSet<NodeName>,
    due: Option<Instant>,
}

impl Newcomers {
    /// `others`: how many there are to tell.
    fn add(&mut self, peer: &NodeName, others: usize) {
        if others == 0 {
            return;
        }
        let wait = GATHER_PER_PEER.saturating_mul(u32::try_from(others).unwrap_or(u32::MAX)).min(GATHER_MAX);
        self.due.get_or_insert_with(|| Instant::now() + wait);
        self.peers.insert(peer.clone());
    }

    fn take(&mut self) -> BTreeSet<NodeName> {
        self.due = None;
        std::mem::take(&mut self.peers)
    }

    /// When they are to be told of.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
}

fn member(link: &Link) -> Member {
    Member { node: link.peer.clone(), addr: link.addr }
}

impl Core {
    pub(super) fn on_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up(link) => self.on_up(link),
            LinkEvent::Names { id, names } => self.on_names(id, names),
            LinkEvent::Members { members } => self.on_members(members),
            LinkEvent::Checkpoint { id, checkpoint } => self.on_checkpoint(id, checkpoint),
            LinkEvent::Down { id, peer, reason, ended } => self.on_down(id, &peer, reason, ended),
        }
    }

    fn on_up(&mut self, link: Link) {
        let peer = link.peer.clone();
        match self.links.remove(&peer) {
            Some(old) if old.boot != link.boot => {
                // The peer has started anew; what it said before is void.
                old.connection.close(CloseCode::Duplicate, "the node has connected anew");
                self.forget(&peer, old.boot, true);
                self.tracer.peer_up(&link);
                self.serve(link);
            }
            Some(old) if self.goes_before(&old, &link) => {
                link.send(Frame::Names(self.names()));
                self.spare.push(link);
                self.links.insert(peer, old);
            }
            Some(old) => {
                self.spare.push(old);
                self.serve(link);
            }
            None => {
                self.tracer.peer_up(&link);
                self.serve(link);
                // Whoever hears of it may ask for it at once.
                self.report(NodeEvent::PeerUp(peer));
            }
        }
    }

    /// Of two connections made at the same time that serves which the node with the lower name
    /// opened; in any other case the newer.
    fn goes_before(&self, old: &Link, new: &Link) -> bool {
        let opener = |link: &Link| if link.ours { self.name.clone() } else { link.peer.clone() };
        opener(old) < opener(new)
    }

    /// New subscriptions go over this link, and the peer hears on it what there is to hear.
    fn serve(&mut self, link: Link) {
        self.registry.on_peer_up(&link.peer, link.boot);
        self.directory.add_peer(link.peer.clone(), Arc::clone(&link.connection));
        link.send(Frame::Names(self.names()));
        // In quorum mode there are none to be told.
        for checkpoint in self.registry.own().iter().filter_map(|claim| self.registry.shared_checkpoint(&claim.name)) {
            link.offer(Frame::Checkpoint(checkpoint));
        }
        link.send(Frame::Members(self.links.values().map(member).collect()));
        let peer = link.peer.clone();
        self.newcomers.add(&peer, self.links.len());
        self.links.insert(peer.clone(), link);
        self.review_owners(&peer);
    }

    /// Tells all peers of those that have come since the last time. Who has come last has heard of the others.
    pub(super) fn tell_newcomers(&mut self) {
        let newcomers = self.newcomers.take();
        let newcomers: Vec<_> = newcomers.iter().filter_map(|peer| self.links.get(peer)).map(member).collect();
        if newcomers.is_empty() {
            return;
        }
        let told = Frame::Members(newcomers);
        self.links.values().for_each(|link| link.send(told.clone()));
    }

    /// Who is at the other end of a link, of a spare one, too: the peer may take that for the one that serves, for a
    /// moment.
    fn peer_on(&self, id: LinkId) -> Option<NodeName> {
        let link = self.links.values().chain(&self.spare).find(|link| link.id == id)?;
        Some(link.peer.clone())
    }

    fn on_names(&mut self, id: LinkId, names: Names) {
        let Some(peer) = self.peer_on(id) else { return };
        self.placement.on_peer(&peer, names.candidates);
        self.registry.on_names(&peer, names.claims);
        self.strangers.remove(&peer);
        self.heard.insert(peer);
        self.look_settled();
    }

    /// Of a stage that does not run here nothing is kept.
    fn on_checkpoint(&mut self, id: LinkId, checkpoint: Checkpoint) {
        let Some(peer) = self.peer_on(id) else { return };
        let is_ours = self.stage_mut(&checkpoint.name).is_some_and(|state| state.is_global());
        if is_ours && checkpoint.snapshot.len() <= SNAPSHOT_BYTES_MAX {
            self.registry.on_checkpoint(&peer, checkpoint);
        }
    }

    /// A node that is heard of is usually about to connect by itself.
    pub(super) fn dial_hearsay(&self, addr: SocketAddr) {
        self.dialler.add(addr, 6 * HEARSAY_WAIT);
    }

    /// Nodes that a peer knows and we do not: one of them may own a name that looks vacant from here.
    fn on_members(&mut self, members: Vec<Member>) {
        let until = self.now() + self.settle;
        for Member { node, addr } in members {
            if node == self.name || self.links.contains_key(&node) {
                continue;
            }
            // One of the two does; the other only if that fails.
            let wait = if self.name < node { HEARSAY_WAIT } else { 6 * HEARSAY_WAIT };
            self.dialler.add(addr, wait);
            if self.strangers.insert(node) {
                self.placement.hold(until);
            }
        }
    }

    fn on_down(&mut self, id: LinkId, peer: &NodeName, reason: String, ended: bool) {
        self.spare.retain(|link| link.id != id);
        if self.links.get(peer).is_none_or(|link| link.id != id) {
            return;
        }
        let Some(Link { boot, .. }) = self.links.remove(peer) else { return };
        if let Some(at) = self.spare.iter().position(|link| link.peer == *peer) {
            let spare = self.spare.swap_remove(at);
            return self.serve(spare);
        }
        self.directory.remove_peer(peer);
        self.forget(peer, boot, ended);
        self.review_owners(peer);
        self.tracer.peer_down(peer, &reason);
        self.report(NodeEvent::PeerDown { peer: peer.clone(), reason });
    }

    fn forget(&mut self, peer: &NodeName, boot: BootId, ended: bool) {
        self.heard.remove(peer);
        self.placement.on_peer_down(peer);
        self.registry.on_peer_down(peer, boot, ended);
    }

    pub(super) fn on_met(&mut self, target: TargetIndex) {
        self.unmet.remove(&target);
        self.look_settled();
    }

    /// Once everybody in `join` has told its names, waiting longer gains nothing.
    fn look_settled(&mut self) {
        let all_met = self.unmet.is_empty() && self.strangers.is_empty();
        if all_met && self.links.keys().all(|peer| self.heard.contains(peer)) {
            let now = self.now();
            self.placement.settle(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newcomers_are_told_of_together_soon_after_the_first() {
        let mut newcomers = Newcomers::default();
        let peer = |name: &str| name.parse::<NodeName>().unwrap();
        newcomers.add(&peer("a"), 0);
        assert_eq!((newcomers.due(), newcomers.take()), (None, BTreeSet::new()), "there is nobody to tell");
        let began = Instant::now();
        newcomers.add(&peer("b"), 2);
        let due = newcomers.due().unwrap();
        assert!(due >= began + 2 * GATHER_PER_PEER && due <= Instant::now() + 2 * GATHER_PER_PEER);
        for name in ["c", "d", "c"] {
            newcomers.add(&peer(name), 200);
        }
        assert_eq!(newcomers.due(), Some(due), "who comes later does not put it off");
        assert_eq!(newcomers.take(), ["b", "c", "d"].map(peer).into());
        assert_eq!((newcomers.due(), newcomers.take()), (None, BTreeSet::new()), "once");
        newcomers.add(&peer("e"), usize::MAX);
        assert!(newcomers.due().unwrap() <= Instant::now() + GATHER_MAX);
    }
}
