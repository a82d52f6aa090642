//! Who is connected to us, how often, and how many were turned away.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
};

use forebay_proto::ids::NodeName;

use super::connection::var_int;
use crate::transport::CloseCode;

/// The connections accepted from each node, oldest first, so that none takes more than its share.
#[derive(Debug)]
pub(super) struct Peers {
    connections: Mutex<HashMap<NodeName, Vec<quinn::Connection>>>,
    per_peer_max: usize,
    /// Connections that came and were not let in.
    pub(super) refused: AtomicU64,
}

impl Peers {
    pub(super) fn new(per_peer_max: usize) -> Self {
        Self { connections: Mutex::default(), per_peer_max, refused: AtomicU64::new(0) }
    }

    /// Counts a connection; closes the node's oldest one if it has too many.
    ///
    /// Not the new one: a node that crashed and came back would be shut out until its former connections time out.
    pub(super) fn admit(&self, node: &NodeName, connection: &quinn::Connection) {
        let mut connections = self.lock();
        let of_node = connections.entry(node.clone()).or_default();
        of_node.retain(|other| other.close_reason().is_none());
        if of_node.len() >= self.per_peer_max {
            let oldest = of_node.remove(0);
            let reason = format!("node {node} opened more than {} connections", self.per_peer_max);
            oldest.close(var_int(CloseCode::Duplicate), reason.as_bytes());
        }
        of_node.push(connection.clone());
    }

    /// Forgets a connection that is being dropped.
    pub(super) fn forget(&self, node: &NodeName, connection: &quinn::Connection) {
        let mut connections = self.lock();
        if let Some(of_node) = connections.get_mut(node) {
            of_node.retain(|other| other.stable_id() != connection.stable_id());
            if of_node.is_empty() {
                connections.remove(node);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeName, Vec<quinn::Connection>>> {
        // Nothing that can panic leaves the map half changed.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
