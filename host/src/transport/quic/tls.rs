//! TLS and QUIC settings: who is let in, and how much may be in flight.

use std::{sync::Arc, time::Duration};

use quinn::{
    ClientConfig, ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig,
    TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use ring::{hmac, rand::SystemRandom};
use rustls::{RootCertStore, client::WebPkiServerVerifier, server::WebPkiClientVerifier, version::TLS13};

use super::{BindError, QuicOptions};
use crate::config::MTU;
use crate::transport::{
    CHANNELS_MAX,
    identity::{Credentials, crypto_provider},
};

/// The protocol's name and major version, see RFC 7301. A node of another one is refused in the handshake.
const ALPN: &[u8] = b"forebay/1";

/// Bytes a peer may send on one channel beyond what was read. One frame of the greatest length; measured, with the
/// send window: 490-508 MB/s on one connection, 313 with quinn's defaults.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;

/// Bytes a peer may send on all channels together beyond what was read: 32 channels may stand still at their
/// limit before others feel it. Demand keeps far below it; it bounds what a hostile member can make us hold.
const CONNECTION_WINDOW_BYTES: u32 = 256 << 20;

/// Bytes of ours that are written and not acknowledged, all channels of a connection together: as many as a peer of ours
/// takes. What does not fit waits in the channels' own queues, so that less would save nothing; and of channels that
/// wait for room in the window quinn wakes the last first, so that of 1,000 consumers on one node some starved.
const SEND_WINDOW_BYTES: u64 = CONNECTION_WINDOW_BYTES as u64;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The server's side: only with a certificate of our CA. Which cluster and whom it names is read later.
pub(super) fn server(own: &Credentials, options: &QuicOptions) -> Result<ServerConfig, AnyError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(own)?, crypto_provider()).build()?;
    let mut tls = rustls::ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![own.certificate().clone()], own.key().clone_key())?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.ignore_client_order = true;
    // No resumption: it would let in who showed a certificate once, though it has expired since.
    tls.send_tls13_tickets = 0;
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.migration(false);
    config.transport_config(Arc::new(transport(options, 0)?));
    Ok(config)
}

/// The client's side: only to a server with a certificate of our CA for our cluster's name. `keep_alive`: how often it
/// says that it is there; for those who have no pings of their own.
pub(super) fn client(
    own: &Credentials,
    options: &QuicOptions,
    keep_alive: Option<Duration>,
) -> Result<ClientConfig, AnyError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(own)?, crypto_provider()).build()?;
    let mut tls = rustls::ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&TLS13])?
        .with_webpki_verifier(verifier)
        .with_client_auth_cert(vec![own.certificate().clone()], own.key().clone_key())?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.resumption = rustls::client::Resumption::disabled();
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    // The one-way stream is the server's hello.
    let mut transport = transport(options, 1)?;
    transport.keep_alive_interval(keep_alive);
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// What concerns the socket. The key of resets is derived from the node's own, so that after a restart it can tell
/// peers that their connections are gone; with a random one these would wait for their idle timeout.
pub(super) fn endpoint(own: &Credentials, options: &QuicOptions) -> Result<EndpointConfig, AnyError> {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, own.key().secret_der());
    let reset = hmac::sign(&secret, b"forebay stateless reset");
    let ids = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(|_| "no randomness")?;
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, reset.as_ref())));
    config.cid_generator(move || Box::new(ConnectionIds { key: ids.clone(), count: 0 }));
    config.max_udp_payload_size(options.mtu_max.max(1472))?;
    Ok(config)
}

/// Ids of connections: 64 bits nobody can foretell.
///
/// Quinn's own generator knows its ids again, by a key it makes at every start; so after a restart it would drop
/// packets of older connections, instead of answering them with a reset.
struct ConnectionIds {
    key: hmac::Key,
    count: u64,
}

impl ConnectionIdGenerator for ConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        self.count += 1;
        ConnectionId::new(&hmac::sign(&self.key, &self.count.to_be_bytes()).as_ref()[..self.cid_len()])
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

fn roots(own: &Credentials) -> Result<Arc<RootCertStore>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(own.ca().clone())?;
    Ok(Arc::new(roots))
}

fn transport(options: &QuicOptions, one_way_streams_max: u32) -> Result<TransportConfig, AnyError> {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(options.mtu_max);
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(CHANNELS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(one_way_streams_max))
        .max_idle_timeout(Some(IdleTimeout::try_from(options.idle_timeout)?))
        .keep_alive_interval(None)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .mtu_discovery_config(Some(mtu))
        // Datagrams are not used; nobody shall fill a buffer with them.
        .datagram_receive_buffer_size(None);
    Ok(config)
}

/// That the options can be.
pub(super) fn check(options: &QuicOptions) -> Result<(), BindError> {
    let fail = |name, found: String, expected| Err(BindError::Option { name, found, expected });
    if !MTU.contains(&options.mtu_max) {
        return fail("mtu_max", options.mtu_max.to_string(), "1200 to 6500 bytes");
    }
    if options.handshakes_max == 0 {
        return fail("handshakes_max", "0".to_owned(), "at least 1");
    }
    if options.connections_per_peer_max == 0 {
        return fail("connections_per_peer_max", "0".to_owned(), "at least 1");
    }
    if options.connections_per_operator_max == 0 {
        return fail("connections_per_operator_max", "0".to_owned(), "at least 1");
    }
    if options.idle_timeout.is_zero() || IdleTimeout::try_from(options.idle_timeout).is_err() {
        return fail("idle_timeout", format!("{:?}", options.idle_timeout), "more than nothing and less than 2^62 ms");
    }
    Ok(())
}
