//! Who is connected to us, how often, and how many were turned away.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
};

use super::{QuicOptions, connection::var_int};
use crate::transport::{CloseCode, identity::Holder};

/// The connections accepted from each node and operator, oldest first, so that none takes more than its share.
#[derive(Debug)]
pub(super) struct Peers {
    connections: Mutex<HashMap<Holder, Vec<quinn::Connection>>>,
    per_node_max: usize,
    per_operator_max: usize,
    /// Connections that came and were not let in.
    pub(super) refused: AtomicU64,
}

impl Peers {
    pub(super) fn new(options: &QuicOptions) -> Self {
        let (per_node_max, per_operator_max) = (options.connections_per_peer_max, options.connections_per_operator_max);
        Self { connections: Mutex::default(), per_node_max, per_operator_max, refused: AtomicU64::new(0) }
    }

    /// Counts a connection; closes its holder's oldest one if there are too many.
    ///
    /// Not the new one: a node that crashed and came back would be shut out until its former connections time out.
    pub(super) fn admit(&self, holder: &Holder, connection: &quinn::Connection) {
        let mut connections = self.lock();
        let theirs = connections.entry(holder.clone()).or_default();
        theirs.retain(|other| other.close_reason().is_none());
        let max = match holder {
            Holder::Node(_) => self.per_node_max,
            Holder::Operator(_) => self.per_operator_max,
        };
        if theirs.len() >= max {
            let oldest = theirs.remove(0);
            let reason = format!("{holder} opened more than {max} connections");
            oldest.close(var_int(CloseCode::Duplicate), reason.as_bytes());
        }
        theirs.push(connection.clone());
    }

    /// Forgets a connection that is being dropped.
    pub(super) fn forget(&self, holder: &Holder, connection: &quinn::Connection) {
        let mut connections = self.lock();
        if let Some(theirs) = connections.get_mut(holder) {
            theirs.retain(|other| other.stable_id() != connection.stable_id());
            if theirs.is_empty() {
                connections.remove(holder);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Holder, Vec<quinn::Connection>>> {
        // Nothing that can panic leaves the map half changed.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
