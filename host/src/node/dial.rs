//! Connecting to the nodes named in `join`, and to those they know.
//!
//! One task per address, for as long as the node lives: a node that went away is found again when it
//! comes back. An address to whose node there is a connection is left alone.

use std::{collections::HashSet, net::SocketAddr, sync::Arc, time::Duration};

use forebay_proto::backoff::Backoff;
use tokio::{sync::mpsc, task::JoinSet};

use super::link::{self, Ended, LinkShared};
use crate::{
    config::PeerAddr,
    transport::{CloseCode, Transport},
};

/// How often names are resolved again, and connected addresses looked at: new machines behind a name
/// are found within this time.
const REVIEW: Duration = Duration::from_secs(2);

/// How often it is looked whether there is a connection that somebody else made.
const CONNECTED_REVIEW: Duration = Duration::from_millis(200);

/// How often it is looked whether a node of `join` is met: what a starting node waits for.
const MET_REVIEW: Duration = Duration::from_millis(20);

/// Addresses to connect to that were not taken up yet. When full, the sender waits.
const QUEUE_LEN: usize = 64;

/// Addresses that are dialled, each by a task that costs a few KiB.
const ADDRESSES_MAX: usize = 1024;

/// Which entry of `join`.
pub(crate) type TargetIndex = usize;

/// Somewhere to connect to.
#[derive(Debug)]
struct Address {
    addr: SocketAddr,
    wait: Duration,
    target: Option<TargetIndex>,
}

/// Dials until dropped.
#[derive(Debug)]
pub(crate) struct Dialler {
    addresses: mpsc::Sender<Address>,
    /// Dropping them ends them.
    tasks: JoinSet<()>,
}

impl Dialler {
    /// `met` hears of every entry of `join` to which there is a connection; perhaps more than once.
    pub(crate) fn start(
        transport: Arc<dyn Transport>,
        shared: Arc<LinkShared>,
        join: &[PeerAddr],
        join_after: Duration,
        met: mpsc::Sender<TargetIndex>,
    ) -> Self {
        let (addresses, queue) = mpsc::channel(QUEUE_LEN);
        let mut tasks = JoinSet::new();
        tasks.spawn(dial_all(transport, shared, queue, met));
        for (index, target) in join.iter().cloned().enumerate() {
            let addresses = addresses.clone();
            tasks.spawn(async move {
                tokio::time::sleep(join_after).await;
                resolve(target, index, addresses).await;
            });
        }
        Self { addresses, tasks }
    }

    /// Connects to nobody any more. Links that are up stay.
    pub(crate) fn stop(&mut self) {
        self.tasks.abort_all();
    }

    /// Connects to one more address after `wait`, unless that is done already.
    pub(crate) fn add(&self, addr: SocketAddr, wait: Duration) {
        // A full queue drops it: the peer that named it will name it again.
        let _ = self.addresses.try_send(Address { addr, wait, target: None });
    }
}

/// Resolves one entry of `join`, again and again.
async fn resolve(target: PeerAddr, index: TargetIndex, addresses: mpsc::Sender<Address>) {
    let mut warned = false;
    loop {
        match tokio::net::lookup_host(target.to_string()).await {
            Ok(found) => {
                for addr in found {
                    if addresses.send(Address { addr, wait: Duration::ZERO, target: Some(index) }).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) if !warned => {
                tracing::warn!(%target, %error, "cannot resolve a node to join; will try on");
                warned = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(REVIEW).await;
    }
}

async fn dial_all(
    transport: Arc<dyn Transport>,
    shared: Arc<LinkShared>,
    mut queue: mpsc::Receiver<Address>,
    met: mpsc::Sender<TargetIndex>,
) {
    let mut dialled = HashSet::new();
    let mut awaited = HashSet::new();
    let mut tasks = JoinSet::new();
    while let Some(Address { addr, wait, target }) = queue.recv().await {
        // Peers name addresses, too; a cluster with more than these is not one of ours.
        if dialled.len() < ADDRESSES_MAX && dialled.insert(addr) {
            tasks.spawn(dial(addr, wait, Arc::clone(&transport), Arc::clone(&shared)));
        }
        if let Some(target) = target.filter(|target| awaited.insert((addr, *target))) {
            tasks.spawn(await_met(addr, target, Arc::clone(&shared), met.clone()));
        }
    }
}

/// Reports an entry of `join` once one of its addresses leads to a node that is connected.
async fn await_met(addr: SocketAddr, target: TargetIndex, shared: Arc<LinkShared>, met: mpsc::Sender<TargetIndex>) {
    while !shared.directory.is_met(addr) {
        tokio::time::sleep(MET_REVIEW).await;
    }
    let _ = met.send(target).await;
}

async fn dial(addr: SocketAddr, wait: Duration, transport: Arc<dyn Transport>, shared: Arc<LinkShared>) {
    tokio::time::sleep(wait).await;
    let mut backoff = Backoff::LINK;
    let mut trouble = Trouble::default();
    loop {
        if shared.directory.is_connected_to(addr) {
            tokio::time::sleep(CONNECTED_REVIEW).await;
            continue;
        }
        match transport.connect(addr).await {
            Ok(connection) if connection.peer().node() == Some(shared.directory.node()) => {
                connection.close(CloseCode::Duplicate, "this is the node itself");
                return shared.directory.add_alias(addr);
            }
            // The same node under another address: what serves is left alone, else the two addresses
            // would take turns in replacing each other's connection.
            Ok(connection) if connection.peer().node().is_some_and(|peer| shared.directory.peer(peer).is_some()) => {
                connection.close(CloseCode::Duplicate, "another connection serves already");
                shared.directory.add_alias(addr);
                tokio::time::sleep(REVIEW).await;
                continue;
            }
            Ok(connection) => {
                // A task of its own: the link outlives the dialling when the node shuts down.
                match tokio::spawn(link::run(connection, true, Arc::clone(&shared))).await {
                    Ok(Ended::Refused(reason)) => trouble.tell(&format!("{addr} refused: {reason}")),
                    Ok(Ended::Lost(reason)) => {
                        tracing::debug!(%addr, %reason, "link ended");
                        trouble = Trouble::default();
                        backoff.reset();
                    }
                    Err(error) => tracing::error!(%addr, %error, "a bug of the host ended a link"),
                }
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                trouble.tell(&format!("{error}{cause}"));
            }
        }
        tokio::time::sleep(backoff.fail()).await;
    }
}

/// Says what keeps an address from being connected, when it changes; the dialling goes on.
#[derive(Debug, Default)]
struct Trouble {
    told: Option<String>,
}

impl Trouble {
    fn tell(&mut self, trouble: &str) {
        if self.told.as_deref() != Some(trouble) {
            tracing::warn!("{trouble}; will try on");
            self.told = Some(trouble.to_owned());
        }
    }
}
