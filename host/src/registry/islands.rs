//! The registry that agrees with whom it can reach: `forebay_proto::names::Islands` behind a lock.
//!
//! Nothing here waits for the network. What peers say comes in through [`IslandsRegistry::on_names`];
//! what they must hear is announced as [`Change::Announce`], upon which the node sends
//! [`IslandsRegistry::own`] to all of them.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use forebay_proto::{
    ids::{BootId, Epoch, NodeName, Seq},
    names::{Change, Claim, GlobalName, Islands},
};
use tokio::{sync::Notify, time::Instant};

use super::{CheckpointError, ClaimError, Registry};

/// See the module's documentation.
#[derive(Debug)]
pub struct IslandsRegistry {
    started: Instant,
    table: Mutex<Islands>,
    changed: Notify,
}

impl IslandsRegistry {
    /// The registry of a node that has met nobody yet.
    pub fn new(node: NodeName, boot: BootId) -> Self {
        // A clock before 1970 makes our claims look old, which only matters between equal claims.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let started_at_ms = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        let table = Mutex::new(Islands::new(node, boot, started_at_ms));
        Self { started: Instant::now(), table, changed: Notify::new() }
    }

    /// A peer has stated all its claims.
    pub fn on_names(&self, peer: &NodeName, claims: Vec<Claim>) {
        self.change(|table| table.on_claims(peer, claims));
    }

    /// A peer is gone, and its claims with it.
    pub fn on_peer_down(&self, peer: &NodeName) {
        self.change(|table| table.on_peer_down(peer));
    }

    /// Our own claims, to be stated to every peer.
    pub fn own(&self) -> Vec<Claim> {
        self.table().own().cloned().collect()
    }

    /// A panic while the lock was held cannot have left the table half changed in a way that matters:
    /// every step of it is made again from what was heard.
    fn table(&self) -> MutexGuard<'_, Islands> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, act: impl FnOnce(&mut Islands) -> R) -> R {
        let result = act(&mut self.table());
        self.changed.notify_one();
        result
    }
}

#[async_trait]
impl Registry for IslandsRegistry {
    async fn claim(&self, name: &GlobalName) -> Result<Claim, ClaimError> {
        let now = self.started.elapsed();
        self.change(|table| table.claim(now, name)).map_err(ClaimError::Held)
    }

    async fn release(&self, name: &GlobalName, epoch: Epoch) {
        self.change(|table| table.release(name, epoch));
    }

    async fn checkpoint(
        &self,
        name: &GlobalName,
        epoch: Epoch,
        previous: Seq,
        seq: Seq,
    ) -> Result<(), CheckpointError> {
        Ok(self.change(|table| table.checkpoint(name, epoch, previous, seq))?)
    }

    fn lookup(&self, name: &GlobalName) -> Option<Claim> {
        self.table().lookup(name).cloned()
    }

    async fn next_change(&self) -> Change {
        loop {
            // Registered before the look, so that a change in between is not missed.
            let changed = self.changed.notified();
            if let Some(change) = self.table().poll_change() {
                return change;
            }
            changed.await;
        }
    }
}
