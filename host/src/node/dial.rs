//! Connecting to the nodes named in `join`, and to those they know.
//!
//! One task per address, for as long as the node lives: a node that went away is found again when it
//! comes back. An address to whose node there is a connection is left alone.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use forebay_proto::backoff::Backoff;
use tokio::{sync::mpsc, task::JoinSet};

use super::link::{self, LinkShared};
use crate::{config::PeerAddr, transport::Transport};

/// How often names are resolved again, and connected addresses looked at: new machines behind a name
/// are found within this time.
const REVIEW: Duration = Duration::from_secs(2);

/// How often it is looked whether there is a connection that somebody else made.
const CONNECTED_REVIEW: Duration = Duration::from_millis(200);

/// Addresses to connect to that were not taken up yet. When full, the sender waits.
const QUEUE_LEN: usize = 64;

/// Which entry of `join`.
pub(crate) type TargetIndex = usize;

/// Dials until dropped.
#[derive(Debug)]
pub(crate) struct Dialler {
    addresses: mpsc::Sender<(SocketAddr, Option<TargetIndex>)>,
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

    /// Connects to one more address, unless that is done already.
    pub(crate) fn add(&self, addr: SocketAddr) {
        // A full queue drops it: the peer that named it will name it again.
        let _ = self.addresses.try_send((addr, None));
    }
}

/// Resolves one entry of `join`, again and again.
async fn resolve(target: PeerAddr, index: TargetIndex, addresses: mpsc::Sender<(SocketAddr, Option<TargetIndex>)>) {
    let mut warned = false;
    loop {
        match tokio::net::lookup_host(target.to_string()).await {
            Ok(found) => {
                for addr in found {
                    if addresses.send((addr, Some(index))).await.is_err() {
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
    mut queue: mpsc::Receiver<(SocketAddr, Option<TargetIndex>)>,
    met: mpsc::Sender<TargetIndex>,
) {
    let mut known = HashMap::<_, HashSet<_>>::new();
    let mut tasks = JoinSet::new();
    while let Some((addr, target)) = queue.recv().await {
        let is_new = !known.contains_key(&addr);
        let is_new_target = known.entry(addr).or_default().insert(target);
        match target {
            _ if is_new => {
                tasks.spawn(dial(addr, target, Arc::clone(&transport), Arc::clone(&shared), met.clone()));
            }
            // A peer may have told of an address of `join` before it was resolved.
            Some(target) if is_new_target => {
                tasks.spawn(await_connection(addr, target, Arc::clone(&shared), met.clone()));
            }
            _ => {}
        }
    }
}

/// Reports a target whose address is dialled already, once there is a connection.
async fn await_connection(
    addr: SocketAddr,
    target: TargetIndex,
    shared: Arc<LinkShared>,
    met: mpsc::Sender<TargetIndex>,
) {
    while !shared.directory.is_connected_to(addr) {
        tokio::time::sleep(CONNECTED_REVIEW).await;
    }
    let _ = met.send(target).await;
}

async fn dial(
    addr: SocketAddr,
    target: Option<TargetIndex>,
    transport: Arc<dyn Transport>,
    shared: Arc<LinkShared>,
    met: mpsc::Sender<TargetIndex>,
) {
    let mut backoff = Backoff::LINK;
    let mut failures = 0u32;
    let report_met = async |target: Option<TargetIndex>| {
        if let Some(target) = target {
            let _ = met.send(target).await;
        }
    };
    loop {
        if shared.directory.is_connected_to(addr) {
            report_met(target).await;
            tokio::time::sleep(CONNECTED_REVIEW).await;
            continue;
        }
        match transport.connect(addr).await {
            Ok(connection) if connection.peer() == shared.directory.node() => {
                connection.close(crate::transport::CloseCode::Duplicate, "this is the node itself");
                return report_met(target).await;
            }
            // The same node under another address: what serves is left alone, else the two addresses
            // would take turns in replacing each other's connection.
            Ok(connection) if shared.directory.peer(connection.peer()).is_some() => {
                connection.close(crate::transport::CloseCode::Duplicate, "another connection serves already");
                report_met(target).await;
                tokio::time::sleep(REVIEW).await;
                continue;
            }
            Ok(connection) => {
                backoff.reset();
                failures = 0;
                // A task of its own: the link outlives the dialling when the node shuts down.
                let met = met.clone();
                let once_up = async move {
                    if let Some(target) = target {
                        let _ = met.send(target).await;
                    }
                };
                let link = tokio::spawn(link::run(connection, true, Arc::clone(&shared), once_up));
                let reason = link.await.unwrap_or_else(|error| error.to_string());
                tracing::debug!(%addr, %reason, "link ended");
            }
            Err(error) => {
                if failures == 0 {
                    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                    tracing::warn!("{error}{cause}; will try on");
                }
                failures += 1;
            }
        }
        tokio::time::sleep(backoff.fail()).await;
    }
}
