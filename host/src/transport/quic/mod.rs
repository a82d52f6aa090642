//! The transport over QUIC: one UDP socket per node, mutual TLS 1.3 under the cluster's CA.
//!
//! ```text
//! client                               server
//!   | -- QUIC and TLS 1.3, ALPN forebay/1, both show a certificate --> |
//!   |                                    checks it, then opens a one-way stream
//!   | <------------------------------------------- hello: one byte 1 --|
//!   | == bidirectional streams: channels, opened by either side ====== |
//! ```
//!
//! In TLS 1.3 a client is done before the server has looked at its certificate. So `connect` waits for the
//! hello: whoever has a connection was accepted.
//!
//! On a channel, in each direction, a frame is its length as 4 bytes, least significant first, and then that many
//! bytes: 1 to [`super::FRAME_BYTES_MAX`].
//!
//! Tasks: [`Quic::bind`] spawns one that accepts (`endpoint`), which spawns one per handshake and joins them;
//! quinn has one per endpoint and connection.

mod carrier;
mod channel;
mod client;
mod connection;
mod endpoint;
mod peers;
pub mod raw;
mod refusals;
#[cfg(feature = "simulated")]
pub mod simulated;
mod tls;

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use forebay_proto::ids::OperatorName;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
    time,
};

pub use self::client::OperatorClient;
use self::{
    carrier::Carrier,
    connection::{QuicConnection, Terms},
    endpoint::Acceptor,
    peers::Peers,
    refusals::Refusals,
};
use super::{CloseCode, ConnectError, Connection, Transport, identity::NodeIdentity};

/// What sending datagrams logs as: that the machine of a dead peer refuses them, which the node tells by itself.
pub const LOG_TARGET: &str = "quinn_udp";

/// How long [`Transport::close`] waits for the peers to hear of it.
const CLOSE_WAIT: Duration = Duration::from_millis(200);

/// How this node's QUIC endpoint behaves.
#[derive(Clone, Debug)]
pub struct QuicOptions {
    /// How long [`Transport::connect`] tries, and how long a peer's handshake may take. Default 2 s: a lost
    /// first packet is sent again after 1 s, see RFC 9002 section 6.2.2.
    pub connect_timeout: Duration,
    /// A connection on which nothing is heard for so long is lost. Default 10 s; the node's own pings notice far
    /// earlier, and keep an idle connection from ending this way.
    pub idle_timeout: Duration,
    /// The largest UDP payload that is tried for, in bytes, 1200 to 6500. Default 1452, what fits Ethernet over
    /// IPv6. Larger ones cost less processor time where the network carries them; above about 6550 quinn's sends
    /// of ten packets at once exceed 64 KiB and are dropped without a word.
    pub mtu_max: u16,
    /// Kernel buffers of the socket, in bytes, in each direction. Default 4 MiB, as far as `net.core.rmem_max`
    /// and `wmem_max` allow; the usual 208 KiB lose packets when a sender bursts.
    pub socket_buffer_bytes: usize,
    /// Handshakes of peers under way at a time. Default 64. From half of it on a peer must first show that it
    /// receives at its address; beyond it, it is not answered, and tries again on its own.
    pub handshakes_max: usize,
    /// Connections accepted from one node at a time. Default 4: one serves, another may replace it, and two may
    /// be dead and not noticed yet. Beyond it the oldest is closed, so that a node that restarts often gets in.
    pub connections_per_peer_max: usize,
    /// The same of one operator, each of whose commands has one. Default 16.
    pub connections_per_operator_max: usize,
    /// Operators that are not let in any more, though their certificates are still valid. Default: none.
    pub revoked_operators: Arc<BTreeSet<OperatorName>>,
}

impl Default for QuicOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(10),
            mtu_max: crate::config::MTU_DEFAULT,
            socket_buffer_bytes: 4 << 20,
            handshakes_max: 64,
            connections_per_peer_max: 4,
            connections_per_operator_max: 16,
            revoked_operators: Arc::default(),
        }
    }
}

/// The endpoint could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another socket has the address.
    #[error("UDP {addr} is in use; stop what listens there, or choose another port")]
    InUse {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// This user may not listen there.
    #[error("not allowed to listen on UDP {addr}; choose a port from 1024 on")]
    NotAllowed {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No interface of this machine has the address.
    #[error("no interface of this machine has the address of {addr}; choose one it has, or 0.0.0.0 or [::] for all")]
    NotHere {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The socket cannot be used for another reason.
    #[error("cannot listen on UDP {addr}")]
    Io {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An option has a value that cannot be.
    #[error("{name} is {found}, expected {expected}")]
    Option {
        /// Which one.
        name: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The keys cannot be used.
    #[error("the keys of {who} cannot be used for TLS; make new ones with `forebay cluster {command}`")]
    Identity {
        /// Whose.
        who: String,
        /// What makes such keys.
        command: &'static str,
        /// What is wrong with them.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A node's QUIC endpoint. Dropping it ends no connection, but none is accepted any more.
#[derive(Debug)]
pub struct Quic {
    endpoint: quinn::Endpoint,
    carrier: Carrier,
    local_addr: SocketAddr,
    identity: Arc<NodeIdentity>,
    options: QuicOptions,
    peers: Arc<Peers>,
    /// Taken by whoever accepts. A lock of tokio's, because it is held while waiting.
    accepted: Mutex<mpsc::Receiver<QuicConnection>>,
    acceptor: JoinHandle<()>,
}

impl Quic {
    /// Listens on `listen` as the node of `identity`. Port 0 lets the system choose.
    ///
    /// # Errors
    /// [`BindError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(listen: SocketAddr, identity: NodeIdentity, options: QuicOptions) -> Result<Self, BindError> {
        Self::open(Carrier::System(listen, Refusals::default()), identity, options)
    }

    /// Opens the port of `machine`, as the node of `identity`.
    ///
    /// # Errors
    /// [`BindError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime; it must be that of the machine.
    #[cfg(feature = "simulated")]
    pub fn on_machine(
        machine: &simulated::SimulatedMachine,
        identity: NodeIdentity,
        options: QuicOptions,
    ) -> Result<Self, BindError> {
        Self::open(Carrier::Simulated(machine.clone()), identity, options)
    }

    fn open(carrier: Carrier, identity: NodeIdentity, options: QuicOptions) -> Result<Self, BindError> {
        let endpoint = endpoint::bind(&carrier, &identity, &options)?;
        let io_error = |source| BindError::Io { addr: carrier.listen(), source };
        let local_addr = endpoint.local_addr().map_err(io_error)?;
        let (identity, peers) = (Arc::new(identity), Arc::new(Peers::new(&options)));
        // Proven connections that nobody has taken yet. When it is full, handshakes wait, then time out.
        let (sender, accepted) = mpsc::channel(16);
        let acceptor =
            Acceptor::new(endpoint.clone(), carrier.clone(), identity.clone(), options.clone(), peers.clone(), sender);
        let acceptor = tokio::spawn(acceptor.run());
        Ok(Self { endpoint, carrier, local_addr, identity, options, peers, accepted: Mutex::new(accepted), acceptor })
    }

    /// How many were not let in: connections that did not prove membership in time, or came when too many
    /// handshakes were under way.
    pub fn refused(&self) -> u64 {
        self.peers.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Quic {
    fn drop(&mut self) {
        self.acceptor.abort();
        self.carrier.stop();
    }
}

#[async_trait]
impl Transport for Quic {
    fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    async fn connect(&self, addr: SocketAddr) -> Result<Box<dyn Connection>, ConnectError> {
        let terms = Terms { carrier: self.carrier.clone(), idle_timeout: self.options.idle_timeout };
        let attempt = connection::connect(&self.endpoint, addr, self.identity.credentials(), terms);
        match time::timeout(self.options.connect_timeout, attempt).await {
            Ok(outcome) => Ok(Box::new(outcome?)),
            Err(_) => {
                let source = format!("no answer within {:?}", self.options.connect_timeout).into();
                Err(ConnectError::Unreachable { addr, source })
            }
        }
    }

    async fn accept(&self) -> Option<Box<dyn Connection>> {
        let connection = self.accepted.lock().await.recv().await?;
        Some(Box::new(connection))
    }

    async fn close(&self, reason: &str) {
        let code = connection::var_int(CloseCode::ShuttingDown);
        self.endpoint.close(code, super::cut_reason(reason).as_bytes());
        // Quinn drains for three round trips, so that a lost close is sent again, and as long as a
        // second for peers that never answered: those need no goodbye.
        let _ = time::timeout(CLOSE_WAIT, self.endpoint.wait_idle()).await;
        self.carrier.stop();
    }
}
