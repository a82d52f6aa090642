//! The endpoint's socket, and the task that lets peers in.

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use forebay_proto::ids::OperatorName;
use quinn::{Endpoint, Incoming};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{self, Instant},
};

use super::{
    BindError, QuicOptions,
    carrier::Carrier,
    connection::{self, QuicConnection, Terms},
    peers::Peers,
    tls,
};
use crate::transport::{CloseCode, identity::NodeIdentity};

/// Opens the socket and sets up TLS on it.
pub(super) fn bind(carrier: &Carrier, identity: &NodeIdentity, options: &QuicOptions) -> Result<Endpoint, BindError> {
    tls::check(options)?;
    let unusable =
        |source| BindError::Identity { who: format!("node `{}`", identity.node()), command: "add-node", source };
    let own = identity.credentials();
    let server = tls::server(own, options).map_err(unusable)?;
    let client = tls::client(own, options, None).map_err(unusable)?;
    let config = tls::endpoint(own, options).map_err(unusable)?;
    let opened = carrier.open(config, Some(server), options);
    let mut endpoint = opened.map_err(|source| bind_error(carrier.listen(), source))?;
    endpoint.set_default_client_config(client);
    Ok(endpoint)
}

pub(super) fn bind_error(addr: SocketAddr, source: io::Error) -> BindError {
    match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { addr, source },
        io::ErrorKind::PermissionDenied => BindError::NotAllowed { addr, source },
        io::ErrorKind::AddrNotAvailable => BindError::NotHere { addr, source },
        _ => BindError::Io { addr, source },
    }
}

/// Lets peers in: one task that takes connections, and one per handshake.
#[derive(Debug)]
pub(super) struct Acceptor {
    endpoint: Endpoint,
    carrier: Carrier,
    identity: Arc<NodeIdentity>,
    options: QuicOptions,
    peers: Arc<Peers>,
    accepted: mpsc::Sender<QuicConnection>,
    log: RefusalLog,
}

impl Acceptor {
    pub(super) fn new(
        endpoint: Endpoint,
        carrier: Carrier,
        identity: Arc<NodeIdentity>,
        options: QuicOptions,
        peers: Arc<Peers>,
        accepted: mpsc::Sender<QuicConnection>,
    ) -> Self {
        Self { endpoint, carrier, identity, options, peers, accepted, log: RefusalLog::default() }
    }

    /// Ends when the endpoint is closed. Dropping it drops the handshakes under way.
    pub(super) async fn run(mut self) {
        let mut handshakes: JoinSet<Result<(), (SocketAddr, String)>> = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                Some(ended) = handshakes.join_next() => {
                    if let Ok(Err((from, why))) = ended {
                        self.refuse(from, &why);
                    }
                }
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.take(incoming, &mut handshakes),
                    None => return,
                },
            }
        }
    }

    /// Begins a handshake, unless too many are under way.
    fn take(&mut self, incoming: Incoming, handshakes: &mut JoinSet<Result<(), (SocketAddr, String)>>) {
        let (from, under_way) = (incoming.remote_address(), handshakes.len());
        if under_way >= self.options.handshakes_max {
            // No answer: a forged address is not bothered, and a good peer sends its first packet again.
            incoming.ignore();
            self.refuse(from, "too many handshakes under way");
        } else if under_way >= self.options.handshakes_max / 2 && !incoming.remote_address_validated() {
            // The peer must first show that it receives at its address: forged ones take no places.
            let _ = incoming.retry();
        } else {
            let Self { identity, peers, accepted, options, carrier, .. } = self;
            let terms = Terms { carrier: carrier.clone(), idle_timeout: options.idle_timeout };
            let revoked = Arc::clone(&options.revoked_operators);
            let admission = admit(incoming, (identity.clone(), revoked), peers.clone(), accepted.clone(), terms);
            let limit = options.connect_timeout;
            handshakes.spawn(async move {
                let outcome = time::timeout(limit, admission).await;
                outcome.unwrap_or_else(|_| Err(format!("not done within {limit:?}"))).map_err(|why| (from, why))
            });
        }
    }

    fn refuse(&mut self, from: SocketAddr, why: &str) {
        self.peers.refused.fetch_add(1, Ordering::Relaxed);
        self.log.note(from, why);
    }
}

/// One handshake, from the first packet until the connection can be taken.
async fn admit(
    incoming: Incoming,
    (identity, revoked): (Arc<NodeIdentity>, Arc<BTreeSet<OperatorName>>),
    peers: Arc<Peers>,
    accepted: mpsc::Sender<QuicConnection>,
    terms: Terms,
) -> Result<(), String> {
    let connection = incoming.await.map_err(|error| error.to_string())?;
    let peer = connection::check_client(&connection, identity.credentials())
        .inspect_err(|why| connection::reject(&connection, CloseCode::Incompatible, why))?;
    if let Some(operator) = peer.operator().filter(|operator| revoked.contains(operator)) {
        let why = format!("operator `{operator}` is revoked on node {}", identity.node());
        connection::reject(&connection, CloseCode::Revoked, &why);
        return Err(why);
    }
    // A place first, then the hello: what the client takes for accepted must not be dropped.
    let place = accepted.reserve().await.map_err(|_| "closing".to_owned())?;
    connection::say_hello(&connection).await?;
    peers.admit(&peer, &connection);
    place.send(QuicConnection::new(connection, peer, terms, Some(peers)));
    Ok(())
}

/// Logs refusals, at most one a second; the others are counted into the next.
#[derive(Debug, Default)]
struct RefusalLog {
    last: Option<Instant>,
    silent: u64,
}

impl RefusalLog {
    const PAUSE: Duration = Duration::from_secs(1);

    fn note(&mut self, from: SocketAddr, why: &str) {
        let now = Instant::now();
        if self.last.is_some_and(|last| now < last + Self::PAUSE) {
            self.silent += 1;
            return;
        }
        // The text may hold words of the stranger's.
        let why: String = why.escape_debug().take(300).collect();
        tracing::warn!(%from, why, since_last = self.silent, "connection refused");
        (self.last, self.silent) = (Some(now), 0);
    }
}
