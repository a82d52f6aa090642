//! The registry that agrees with whom it can reach: `forebay_proto::names::Islands` behind a lock.
//!
//! Nothing here waits for the network. What peers say comes in through [`Registry::on_names`]; what they
//! must hear is announced as [`Change::Announce`], upon which the node sends [`Registry::own`] to all
//! of them.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_proto::{
    checkpoints::Commit,
    ids::{BootId, Epoch, NodeName, Seq},
    names::{
        Change, Claim, GlobalName, Islands,
        quorum::{Answer, GroupId},
    },
    orders::{By, OrderBook, Ordered, StageOrder},
    wire::{Agreement, Checkpoint},
};
use tokio::{sync::Notify, time::Instant};

use super::{CheckpointError, ClaimError, Registry, TenureWatch};
use crate::wall::now_ms;

/// See the module's documentation.
#[derive(Debug)]
pub struct IslandsRegistry {
    started: Instant,
    table: Mutex<Islands>,
    /// The last of each name, of this process or heard of.
    snapshots: Mutex<BTreeMap<GlobalName, (Seq, Bytes)>>,
    orders: Mutex<Orders>,
    changed: Notify,
}

/// What people have ordered of stages of this process, and of which the node was not told yet.
#[derive(Debug, Default)]
struct Orders {
    book: OrderBook,
    untold: VecDeque<GlobalName>,
}

impl IslandsRegistry {
    /// The registry of a node that has met nobody yet.
    pub fn new(node: NodeName, boot: BootId) -> Self {
        // A clock before 1970 makes our claims look old, which only matters between equal claims.
        let table = Mutex::new(Islands::new(node, boot, now_ms()));
        let (snapshots, orders) = (Mutex::default(), Mutex::default());
        Self { started: Instant::now(), table, snapshots, orders, changed: Notify::new() }
    }

    /// A panic while the lock was held cannot have left the table half changed in a way that matters:
    /// every step of it is made again from what was heard.
    fn table(&self) -> MutexGuard<'_, Islands> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each is put in whole.
    fn snapshots(&self) -> MutexGuard<'_, BTreeMap<GlobalName, (Seq, Bytes)>> {
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each order is carried out whole.
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
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

    async fn release(&self, name: &GlobalName, epoch: Epoch, _why: &str) -> bool {
        self.change(|table| table.release(name, epoch));
        true
    }

    async fn checkpoint(&self, name: &GlobalName, epoch: Epoch, commit: &Commit) -> Result<(), CheckpointError> {
        // Held over both, so that nobody is told of a checkpoint without its state.
        let mut snapshots = self.snapshots();
        self.change(|table| table.checkpoint(name, epoch, commit.previous, commit.seq))?;
        snapshots.insert(name.clone(), (commit.seq, commit.snapshot.clone()));
        Ok(())
    }

    fn shared_checkpoint(&self, name: &GlobalName) -> Option<Checkpoint> {
        let snapshots = self.snapshots();
        let epoch = self.table().own().find(|claim| claim.name == *name)?.epoch;
        let (seq, snapshot) = snapshots.get(name).cloned()?;
        Some(Checkpoint { name: name.clone(), epoch, seq, snapshot })
    }

    fn on_checkpoint(&self, peer: &NodeName, Checkpoint { name, epoch, seq, snapshot }: Checkpoint) {
        let mut snapshots = self.snapshots();
        if self.change(|table| table.on_checkpoint(peer, &name, epoch, seq)) {
            snapshots.insert(name, (seq, snapshot));
        }
    }

    fn last_checkpoint(&self, name: &GlobalName) -> Option<(Seq, Bytes)> {
        self.snapshots().get(name).cloned()
    }

    fn ordered(&self, name: &GlobalName) -> Ordered {
        self.orders().book.of(name)
    }

    async fn order_stage(&self, name: &GlobalName, by: By, order: StageOrder) -> Result<(), String> {
        let mut orders = self.orders();
        orders.book.obey(name.clone(), now_ms(), by, order)?;
        orders.untold.push_back(name.clone());
        drop(orders);
        self.changed.notify_one();
        Ok(())
    }

    fn lookup(&self, name: &GlobalName) -> Option<Claim> {
        self.table().lookup(name).cloned()
    }

    fn own(&self) -> Vec<Claim> {
        self.table().own().cloned().collect()
    }

    fn agreement(&self) -> Agreement {
        Agreement::Islands
    }

    fn tenure(&self, _: &GlobalName, _: Epoch) -> TenureWatch {
        TenureWatch::unlimited()
    }

    fn group(&self) -> Option<GroupId> {
        None
    }

    fn on_peer_up(&self, _: &NodeName, _: BootId) {}

    fn on_names(&self, peer: &NodeName, claims: Vec<Claim>) {
        self.change(|table| table.on_claims(peer, claims));
    }

    fn on_peer_down(&self, peer: &NodeName, _: BootId, _: bool) {
        self.change(|table| table.on_peer_down(peer));
    }

    async fn answer(&self, _: &NodeName, _: SocketAddr, _: Bytes) -> Bytes {
        Answer::Refused("this node agrees by islands and has no group".to_owned()).encode()
    }

    async fn leave(&self) {}

    async fn stop(&self) {}

    async fn next_change(&self) -> Change {
        loop {
            // Registered before the look, so that a change in between is not missed.
            let changed = self.changed.notified();
            if let Some(change) = self.table().poll_change() {
                return change;
            }
            if let Some(name) = self.orders().untold.pop_front() {
                return Change::Ordered(name);
            }
            changed.await;
        }
    }
}
