//! The transport within one process: connections are queues. For tests, and for `forebay run`.
//!
//! All nodes and operators on a [`Network`] are those of one cluster; their addresses are made up. Both ends of a connection
//! share a `Link`, which knows whether and how it ended; a channel is two `pipe`s.

mod link;
mod pipe;

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use forebay_proto::ids::{NodeName, OperatorName};
use tokio::sync::mpsc;

use self::link::{Link, MemoryConnection};
use super::{CloseCode, ConnectError, Connection, Transport, identity::Holder};

/// Connections that came and were not taken yet, per node. Beyond it, connecting fails.
const BACKLOG_MAX: usize = 16;

/// What joins the nodes of one process. Clones are the same network.
#[derive(Clone, Debug, Default)]
pub struct Network(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    nodes: HashMap<SocketAddr, Bound>,
    links: Vec<Weak<Link>>,
    /// Pairs that cannot talk, in both orders.
    cuts: HashSet<(SocketAddr, SocketAddr)>,
}

#[derive(Debug)]
struct Bound {
    node: NodeName,
    incoming: mpsc::Sender<MemoryConnection>,
}

/// An address is taken on this network.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{addr} is in use by node `{by}`; choose another address")]
pub struct InUse {
    /// The address.
    pub addr: SocketAddr,
    /// Who has it.
    pub by: NodeName,
}

impl Network {
    /// A network without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node at `addr`.
    ///
    /// # Errors
    /// [`InUse`] if another is there.
    pub fn bind(&self, addr: SocketAddr, node: NodeName) -> Result<Memory, InUse> {
        let mut state = self.lock();
        if let Some(other) = state.nodes.get(&addr) {
            return Err(InUse { addr, by: other.node.clone() });
        }
        let (incoming, accepted) = mpsc::channel(BACKLOG_MAX);
        state.nodes.insert(addr, Bound { node: node.clone(), incoming });
        let accepted = tokio::sync::Mutex::new(accepted);
        Ok(Memory { network: self.clone(), addr, node, accepted, unbound: AtomicBool::new(false) })
    }

    /// Ends the connections between two nodes, and lets none be made until [`Network::heal`].
    ///
    /// Both sides notice at once, unlike in a real network.
    pub fn cut(&self, a: SocketAddr, b: SocketAddr) {
        let mut state = self.lock();
        state.cuts.extend([(a, b), (b, a)]);
        for link in state.links() {
            if link.joins(a, b) {
                link.cut();
            }
        }
    }

    /// Undoes [`Network::cut`] for connections made from now on.
    pub fn heal(&self, a: SocketAddr, b: SocketAddr) {
        let mut state = self.lock();
        state.cuts.remove(&(a, b));
        state.cuts.remove(&(b, a));
    }

    /// Connects to the node at `to` as an operator at `from`, where nobody is reached.
    ///
    /// # Errors
    /// As of [`Transport::connect`].
    pub fn connect_as(
        &self,
        operator: &OperatorName,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Result<Box<dyn Connection>, ConnectError> {
        match self.connect((from, Holder::Operator(operator.clone())), to) {
            Ok(connection) => Ok(Box::new(connection)),
            Err(source) => Err(ConnectError::Unreachable { addr: to, source: source.into() }),
        }
    }

    fn connect(&self, from: (SocketAddr, Holder), to: SocketAddr) -> Result<MemoryConnection, &'static str> {
        let mut state = self.lock();
        if state.cuts.contains(&(from.0, to)) {
            return Err("the network between is cut");
        }
        let bound = state.nodes.get(&to).ok_or("nobody listens there")?;
        let link = Link::new(self.clone(), [from.0, to], [from.1, Holder::Node(bound.node.clone())]);
        let [ours, theirs] = MemoryConnection::pair(&link);
        bound.incoming.try_send(theirs).map_err(|_| "it does not accept connections")?;
        state.links.retain(|link| link.strong_count() > 0);
        state.links.push(Arc::downgrade(&link));
        Ok(ours)
    }

    /// Whether a node is at this address and accepts connections.
    fn is_bound(&self, addr: SocketAddr) -> bool {
        self.lock().nodes.contains_key(&addr)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic leaves the state half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn links(&self) -> impl Iterator<Item = Arc<Link>> {
        self.links.iter().filter_map(Weak::upgrade)
    }
}

/// One node's door to the others of its [`Network`].
#[derive(Debug)]
pub struct Memory {
    network: Network,
    addr: SocketAddr,
    node: NodeName,
    /// Taken by whoever accepts. A lock of tokio's, because it is held while waiting.
    accepted: tokio::sync::Mutex<mpsc::Receiver<MemoryConnection>>,
    /// From then on the address may be another's.
    unbound: AtomicBool,
}

impl Memory {
    fn unbind(&self) {
        let mut state = self.network.lock();
        if !self.unbound.swap(true, Ordering::Relaxed) {
            state.nodes.remove(&self.addr);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.unbind();
    }
}

#[async_trait]
impl Transport for Memory {
    fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    async fn connect(&self, addr: SocketAddr) -> Result<Box<dyn Connection>, ConnectError> {
        match self.network.connect((self.addr, Holder::Node(self.node.clone())), addr) {
            Ok(connection) => Ok(Box::new(connection)),
            Err(source) => Err(ConnectError::Unreachable { addr, source: source.into() }),
        }
    }

    async fn accept(&self) -> Option<Box<dyn Connection>> {
        let connection = self.accepted.lock().await.recv().await?;
        Some(Box::new(connection))
    }

    async fn close(&self, reason: &str) {
        self.unbind();
        let links: Vec<_> = self.network.lock().links().collect();
        for link in links {
            link.close_by(self.addr, CloseCode::ShuttingDown, reason);
        }
    }
}
