//! One connection: proving who is at the other end, opening and taking channels, and how it ended.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use quinn::{ConnectionError, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

use super::{
    carrier::Carrier,
    channel::{QuicReceiver, QuicSender},
    peers::Peers,
};
use crate::transport::{
    self, CLOSED_BY_US, Channel, ChannelError, CloseCode, ConnectError, Connection,
    identity::{ClusterId, Credentials, Holder, holder_named_by, member_named_by},
};

/// What the server says once it has accepted the client; also the version of this way of saying it.
const HELLO: [u8; 1] = [1];

/// TLS alerts, see RFC 8446 section 6, as QUIC error codes, see RFC 9001 section 4.8.
const ALERTS: std::ops::Range<u64> = 0x100..0x200;
const NO_COMMON_PROTOCOL: u64 = 0x100 + 120;

/// What connections of one endpoint have in common.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) carrier: Carrier,
    pub(super) idle_timeout: Duration,
}

/// A connection whose other side has shown a certificate of our cluster.
#[derive(Debug)]
pub(super) struct QuicConnection {
    connection: quinn::Connection,
    peer: Holder,
    terms: Terms,
    /// Where it is counted, if the peer opened it.
    peers: Option<Arc<Peers>>,
    since: Instant,
}

impl QuicConnection {
    pub(super) fn new(connection: quinn::Connection, peer: Holder, terms: Terms, peers: Option<Arc<Peers>>) -> Self {
        Self { connection, peer, terms, peers, since: Instant::now() }
    }

    fn lost(&self, error: &ConnectionError) -> ChannelError {
        ChannelError::Lost(describe(error, self.terms.idle_timeout))
    }

    fn channel(&self, (send, receive): (quinn::SendStream, quinn::RecvStream)) -> Channel {
        let sender = Box::new(QuicSender::new(send, self.terms.idle_timeout));
        Channel { sender, receiver: Box::new(QuicReceiver::new(receive, self.terms.idle_timeout)) }
    }
}

impl Drop for QuicConnection {
    fn drop(&mut self) {
        self.connection.close(var_int(CloseCode::Done), b"");
        if let Some(peers) = &self.peers {
            peers.forget(&self.peer, &self.connection);
        }
    }
}

#[async_trait]
impl Connection for QuicConnection {
    fn peer(&self) -> &Holder {
        &self.peer
    }

    fn remote_addr(&self) -> SocketAddr {
        let addr = self.connection.remote_address();
        // A socket for IPv6 and IPv4 shows the latter mapped into the former.
        SocketAddr::new(addr.ip().to_canonical(), addr.port())
    }

    async fn open(&self) -> Result<Channel, ChannelError> {
        self.connection.open_bi().await.map(|streams| self.channel(streams)).map_err(|error| self.lost(&error))
    }

    async fn accept(&self) -> Result<Channel, ChannelError> {
        self.connection.accept_bi().await.map(|streams| self.channel(streams)).map_err(|error| self.lost(&error))
    }

    async fn is_port_closed(&self) -> bool {
        self.terms.carrier.is_port_closed(self.remote_addr(), self.since).await
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.connection.close(var_int(code), transport::cut_reason(reason).as_bytes());
    }

    async fn closed(&self) -> String {
        describe(&self.connection.closed().await, self.terms.idle_timeout)
    }
}

/// Connects, checks who answers, and waits until it has accepted us. Not bounded in time.
pub(super) async fn connect(
    endpoint: &quinn::Endpoint,
    addr: SocketAddr,
    own: &Credentials,
    terms: Terms,
) -> Result<QuicConnection, ConnectError> {
    let name = own.cluster().server_name();
    let connecting = endpoint.connect(addr, &name).map_err(|error| unreachable(addr, error))?;
    let connection = connecting.await.map_err(|error| connect_error(addr, &error))?;
    let peer = check_server(&connection, own).map_err(|found| {
        reject(&connection, CloseCode::Incompatible, &found);
        ConnectError::Stranger { addr, found }
    })?;
    // From here on a cancelled or failed attempt must close: the server may have accepted.
    let connection = QuicConnection::new(connection, peer, terms, None);
    hear_hello(&connection.connection).await.map_err(|error| match error {
        Some(error) => connect_error(addr, &error),
        None => unreachable(addr, "its first word was not the hello of `forebay/1`"),
    })?;
    Ok(connection)
}

/// The server's first word: from now on the client knows that it is in.
pub(super) async fn say_hello(connection: &quinn::Connection) -> Result<(), String> {
    let mut stream = connection.open_uni().await.map_err(|error| error.to_string())?;
    stream.write_all(&HELLO).await.map_err(|error| error.to_string())?;
    stream.finish().map_err(|error| error.to_string())
}

/// Waits for the hello. Fails with the connection's error, or with none if something else was said.
async fn hear_hello(connection: &quinn::Connection) -> Result<(), Option<ConnectionError>> {
    let mut stream = connection.accept_uni().await.map_err(Some)?;
    match stream.read_to_end(HELLO.len()).await {
        Ok(said) if said == HELLO => Ok(()),
        Err(quinn::ReadToEndError::Read(quinn::ReadError::ConnectionLost(error))) => Err(Some(error)),
        _ => Err(None),
    }
}

/// Who has connected: the name in the certificate, whose signature the handshake has checked, if it is of our cluster.
pub(super) fn check_client(connection: &quinn::Connection, own: &Credentials) -> Result<Holder, String> {
    let (cluster, holder) = holder_named_by(&certificate(connection)?).map_err(|error| error.to_string())?;
    same_cluster(cluster, own).map(|()| holder)
}

/// Who has answered, as [`check_client`]: only nodes do.
pub(super) fn check_server(connection: &quinn::Connection, own: &Credentials) -> Result<Holder, String> {
    let (cluster, node) = member_named_by(&certificate(connection)?).map_err(|error| error.to_string())?;
    same_cluster(cluster, own).map(|()| Holder::Node(node))
}

fn certificate(connection: &quinn::Connection) -> Result<CertificateDer<'static>, String> {
    let chain = connection.peer_identity().and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
    let first = chain.and_then(|chain| chain.into_iter().next());
    first.ok_or_else(|| "it showed no certificate".to_owned())
}

fn same_cluster(cluster: ClusterId, own: &Credentials) -> Result<(), String> {
    if cluster != own.cluster() {
        return Err(format!("its certificate is of cluster {cluster}, ours of {}", own.cluster()));
    }
    Ok(())
}

/// Sends away whoever has a certificate of our CA and yet has no business here.
pub(super) fn reject(connection: &quinn::Connection, code: CloseCode, why: &str) {
    connection.close(var_int(code), transport::cut_reason(why).as_bytes());
}

/// A code as QUIC carries it.
pub(super) fn var_int(code: CloseCode) -> VarInt {
    VarInt::from_u32(code as u32)
}

/// Why a connection ended, in words; the same ones as those of the other transports.
pub(super) fn describe(error: &ConnectionError, idle_timeout: Duration) -> String {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            transport::closed_by_peer(close.error_code.into_inner(), &String::from_utf8_lossy(&close.reason))
        }
        ConnectionError::LocallyClosed => CLOSED_BY_US.to_owned(),
        ConnectionError::TimedOut => format!("nothing heard for {idle_timeout:?}"),
        ConnectionError::Reset => "the peer has restarted".to_owned(),
        // The text may hold words of the peer's.
        other => other.to_string().escape_debug().take(300).collect(),
    }
}

fn unreachable(addr: SocketAddr, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ConnectError {
    ConnectError::Unreachable { addr, source: source.into() }
}

/// Tells a stranger from one that cannot be reached.
fn connect_error(addr: SocketAddr, error: &ConnectionError) -> ConnectError {
    use ConnectionError::*;
    let found = match error {
        TransportError(ours) if ALERTS.contains(&ours.code.into()) => {
            format!("its certificate was refused: {}", ours.reason.escape_debug())
        }
        ConnectionClosed(theirs) if u64::from(theirs.error_code) == NO_COMMON_PROTOCOL => {
            return unreachable(addr, "it does not speak `forebay/1`; run the same version of Forebay on all nodes");
        }
        ConnectionClosed(theirs) if ALERTS.contains(&theirs.error_code.into()) => {
            format!("it refused our certificate ({})", alert(theirs.error_code.into()))
        }
        ApplicationClosed(close) if close.error_code == var_int(CloseCode::Incompatible) => {
            transport::closed_by_peer(close.error_code.into_inner(), &String::from_utf8_lossy(&close.reason))
        }
        ApplicationClosed(close) if close.error_code == var_int(CloseCode::Revoked) => {
            let why = transport::harmless_reason(&String::from_utf8_lossy(&close.reason));
            return ConnectError::Revoked { addr, why };
        }
        other => return unreachable(addr, other.clone()),
    };
    ConnectError::Stranger { addr, found }
}

/// A TLS alert in words, see RFC 8446 section 6.2.
fn alert(code: u64) -> String {
    match code - ALERTS.start {
        42 => "bad certificate".to_owned(),
        44 => "certificate revoked".to_owned(),
        45 => "certificate expired, or not yet valid by its clock".to_owned(),
        48 => "unknown authority".to_owned(),
        51 => "bad signature".to_owned(),
        116 => "certificate required".to_owned(),
        other => format!("TLS alert {other}"),
    }
}
