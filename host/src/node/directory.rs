//! Where stages and peers are found, on this node and now.
//!
//! Looked at when a subscription begins, never per message.

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use forebay_proto::{ids::NodeName, names::GlobalName};
use tokio::sync::mpsc;

use super::{calls::StageRequest, line::Caller, tap::Tap};
use crate::transport::Connection;

/// A stage of a pipeline, of whatever scope: every node has its own under this key, and that of a
/// global stage is its name in the cluster.
pub(crate) type StageKey = GlobalName;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Directory {
    node: NodeName,
    entries: Mutex<Entries>,
}

/// A running stage, to those who want something of it.
#[derive(Debug)]
struct Running {
    callers: mpsc::Sender<Box<Caller>>,
    /// If its plugin answers requests.
    requests: Option<mpsc::Sender<StageRequest>>,
    tap: Arc<Tap>,
}

/// A stage that is to be asked something.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// Where it takes requests.
    Found(mpsc::Sender<StageRequest>),
    /// It does not run on this node.
    NotHere,
    /// Its plugin answers none.
    CannotAnswer,
}

#[derive(Debug)]
struct Peer {
    connection: Arc<dyn Connection>,
    addr: SocketAddr,
}

#[derive(Debug, Default)]
struct Entries {
    stages: HashMap<StageKey, Running>,
    peers: BTreeMap<NodeName, Peer>,
    /// How many of them are connected from or to an address: two for a moment, when a node starts anew under another name.
    /// Every address is looked up several times a second, so that asking each connection for its own would cost a large
    /// cluster the square of its nodes. A connection keeps its address, for QUIC's migration is off.
    connected: HashMap<SocketAddr, usize>,
    /// Further addresses of this node and of peers that are connected by another.
    aliases: HashSet<SocketAddr>,
}

impl Directory {
    pub(crate) fn new(node: NodeName) -> Self {
        Self { node, entries: Mutex::default() }
    }

    /// This node.
    pub(crate) fn node(&self) -> &NodeName {
        &self.node
    }

    /// Both maps hold only what can be looked up again, so a panic elsewhere leaves them usable.
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `requests`: if its plugin answers any.
    pub(crate) fn add_stage(
        &self,
        key: StageKey,
        callers: mpsc::Sender<Box<Caller>>,
        requests: Option<mpsc::Sender<StageRequest>>,
        tap: Arc<Tap>,
    ) {
        self.entries().stages.insert(key, Running { callers, requests, tap });
    }

    pub(crate) fn remove_stage(&self, key: &StageKey) {
        self.entries().stages.remove(key);
    }

    pub(crate) fn stage(&self, key: &StageKey) -> Option<mpsc::Sender<Box<Caller>>> {
        self.entries().stages.get(key).map(|running| running.callers.clone())
    }

    /// Where a stage is looked at.
    pub(crate) fn tap(&self, key: &StageKey) -> Option<Arc<Tap>> {
        self.entries().stages.get(key).map(|running| Arc::clone(&running.tap))
    }

    /// Where a stage takes requests.
    pub(crate) fn answering(&self, key: &StageKey) -> Lookup {
        match self.entries().stages.get(key) {
            Some(Running { requests: Some(requests), .. }) => Lookup::Found(requests.clone()),
            Some(_) => Lookup::CannotAnswer,
            None => Lookup::NotHere,
        }
    }

    pub(crate) fn add_peer(&self, peer: NodeName, connection: Arc<dyn Connection>) {
        let addr = connection.remote_addr();
        let mut entries = self.entries();
        entries.leave(&peer);
        *entries.connected.entry(addr).or_default() += 1;
        entries.peers.insert(peer, Peer { connection, addr });
    }

    pub(crate) fn remove_peer(&self, peer: &NodeName) {
        self.entries().leave(peer);
    }

    pub(crate) fn peer(&self, peer: &NodeName) -> Option<Arc<dyn Connection>> {
        self.entries().peers.get(peer).map(|peer| Arc::clone(&peer.connection))
    }

    /// Who is connected.
    pub(crate) fn peers(&self) -> Vec<NodeName> {
        self.entries().peers.keys().cloned().collect()
    }

    /// `addr` leads to this node, or to a peer that is connected by another address.
    pub(crate) fn add_alias(&self, addr: SocketAddr) {
        self.entries().aliases.insert(addr);
    }

    /// Whether `addr` has led to a node that is known now.
    pub(crate) fn is_met(&self, addr: SocketAddr) -> bool {
        self.is_connected_to(addr) || self.entries().aliases.contains(&addr)
    }

    /// Whether a peer is connected from or to this address.
    pub(crate) fn is_connected_to(&self, addr: SocketAddr) -> bool {
        self.entries().connected.contains_key(&addr)
    }
}

impl Entries {
    fn leave(&mut self, peer: &NodeName) {
        let Some(Peer { addr, .. }) = self.peers.remove(peer) else { return };
        if let Entry::Occupied(mut count) = self.connected.entry(addr) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}
