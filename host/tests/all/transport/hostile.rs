//! Strangers, liars and noise on the QUIC port: each gets the documented error, and good peers are served on.

use std::sync::Arc;

use forebay::transport::{
    ChannelError, CloseCode, ConnectError, FRAME_BYTES_MAX, identity::ClusterId, quic::BindError,
};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use rustls::{
    RootCertStore,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::WebPkiClientVerifier,
};

use super::*;

/// What a stranger shows.
pub(crate) type Proof = (CertificateDer<'static>, PrivateKeyDer<'static>);

pub(crate) fn proof(identity: &NodeIdentity) -> Proof {
    (identity.certificate().clone(), identity.key().clone_key())
}

/// A certificate that our own code would not make.
fn forged(issuer: Option<(CertificateParams, KeyPair)>, names: &[String]) -> Proof {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = names
        .iter()
        .map(|name| match name.contains("//") {
            true => SanType::URI(name.as_str().try_into().unwrap()),
            false => SanType::DnsName(name.as_str().try_into().unwrap()),
        })
        .collect();
    let certificate = match issuer {
        Some((ca, ca_key)) => params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

/// A CA in a directory, and what it takes to sign in its name anything at all.
fn stolen_ca() -> (ClusterCa, impl Fn() -> (CertificateParams, KeyPair)) {
    let dir = tempfile::tempdir().unwrap();
    let ca = ClusterCa::create(dir.path()).unwrap();
    let key = std::fs::read_to_string(dir.path().join("ca.key")).unwrap();
    let cluster = ca.cluster().to_string();
    let issuer = move || {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "Forebay cluster");
        params.distinguished_name.push(rcgen::DnType::OrganizationName, cluster.clone());
        (params, KeyPair::from_pem(&key).unwrap())
    };
    (ca, issuer)
}

/// Takes any server: a stranger does not care.
#[derive(Debug)]
struct Careless;

impl ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A QUIC client of a stranger's.
pub(crate) fn raw_client(proof: Option<Proof>, alpn: &[u8]) -> quinn::Endpoint {
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Careless));
    let mut tls = match proof {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![alpn.to_vec()];
    let mut endpoint = quinn::Endpoint::client(loopback()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap())));
    endpoint
}

/// A QUIC server of a stranger's that says no hello; with `clients_of`, it takes only clients of that CA.
pub(super) fn raw_server((certificate, key): Proof, clients_of: Option<&NodeIdentity>, alpn: &[u8]) -> quinn::Endpoint {
    let builder = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap();
    let builder = match clients_of {
        Some(identity) => {
            let mut roots = RootCertStore::empty();
            roots.add(identity.ca().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut tls = builder.with_single_cert(vec![certificate], key).unwrap();
    tls.alpn_protocols = vec![alpn.to_vec()];
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    let endpoint = quinn::Endpoint::server(config, loopback()).unwrap();
    let accepting = endpoint.clone();
    tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Some(incoming) = accepting.accept().await {
            connections.extend(incoming.await);
        }
    });
    endpoint
}

/// Knocks as a stranger; returns the error that ends the attempt, whenever it shows.
pub(super) async fn knock(target: &Quic, proof: Option<Proof>, alpn: &[u8]) -> quinn::ConnectionError {
    let client = raw_client(proof, alpn);
    match client.connect(target.local_addr(), "x.cluster.forebay").unwrap().await {
        Ok(connection) => {
            assert!(connection.accept_uni().await.is_err(), "a stranger got the hello");
            connection.closed().await
        }
        Err(error) => error,
    }
}

/// That a good peer gets in.
pub(super) async fn still_serves(ca: &ClusterCa, target: &Quic) {
    let good = quic(ca, "good");
    let ends = connect(&good, target).await;
    assert_eq!(ends[1].peer().to_string(), "node good");
    ping(&ends).await;
}

#[tokio::test]
async fn strangers_are_refused_and_counted() {
    bounded(async {
        let (ca, issuer) = stolen_ca();
        let target = quic(&ca, "target");
        let other = ClusterCa::generate().unwrap();
        let [own, foreign] = [ca.cluster(), other.cluster()].map(|cluster: ClusterId| cluster.to_string());
        let uri = |rest: &str| vec![format!("forebay://{rest}"), format!("{own}.cluster.forebay")];
        let strangers = [
            ("no certificate", None, "error 116"),
            ("another CA", Some(proof(&identity(&other, "good"))), "error 48"),
            ("self-signed", Some(forged(None, &uri(&format!("{own}/good")))), "error"),
            ("another cluster", Some(forged(Some(issuer()), &uri(&format!("{foreign}/good")))), "is of cluster"),
            ("no name", Some(forged(Some(issuer()), &uri(&own)[1..])), "no URI name"),
            ("two names", Some(forged(Some(issuer()), &[uri("x"), uri("y")].concat())), "several URI names"),
            ("bad name", Some(forged(Some(issuer()), &uri(&format!("{own}/BAD")))), "names no node"),
        ];
        let count = strangers.len() as u64;
        for (what, proof, expected) in strangers {
            let error = knock(&target, proof, b"forebay/1").await.to_string();
            assert!(error.contains(expected), "{what}: {error}");
        }
        let error = knock(&target, Some(proof(&identity(&ca, "good"))), b"forebay/2").await.to_string();
        assert!(error.contains("error 120"), "{error}");
        still_serves(&ca, &target).await;
        assert_eq!(target.refused(), count + 1);
    })
    .await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    bounded(async {
        let ca = ClusterCa::generate().unwrap();
        let target = quic(&ca, "target");
        let expired = ca.issue(&"late".parse().unwrap(), Duration::ZERO).unwrap();
        tokio::time::sleep(Duration::from_millis(1100)).await; // Certificates count in seconds.
        let late = Quic::bind(loopback(), expired, QuicOptions::default()).unwrap();
        let error = late.connect(target.local_addr()).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Stranger { found, .. } if found.contains("expired")), "{error}");
        let error = target.connect(late.local_addr()).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Stranger { found, .. } if found.contains("expired")), "{error}");
        still_serves(&ca, &target).await;
    })
    .await;
}

#[tokio::test]
async fn a_server_of_another_cluster_is_a_stranger() {
    bounded(async {
        let (ca, issuer) = stolen_ca();
        let client = quic(&ca, "client");
        let other = ClusterCa::generate().unwrap();
        let real = quic(&other, "other");
        let names = [format!("forebay://{}/x", other.cluster()), other.cluster().server_name()];
        let same_ca = raw_server(forged(Some(issuer()), &names), None, b"forebay/1");
        for addr in [real.local_addr(), same_ca.local_addr().unwrap()] {
            let error = client.connect(addr).await.unwrap_err();
            assert!(matches!(error, ConnectError::Stranger { .. }), "{error}");
        }
        let error = client.connect(real.local_addr()).await.unwrap_err().to_string();
        assert!(error.contains("use keys made by the same `forebay cluster init`"), "{error}");
    })
    .await;
}

/// In TLS 1.3 the client is done before the server looks at its certificate.
#[tokio::test]
async fn whom_the_server_refuses_has_no_connection() {
    bounded(async {
        let (ca, other) = (ClusterCa::generate().unwrap(), ClusterCa::generate().unwrap());
        let picky = raw_server(proof(&identity(&ca, "picky")), Some(&identity(&other, "whoever")), b"forebay/1");
        let client = quic(&ca, "client");
        let error = client.connect(picky.local_addr().unwrap()).await.unwrap_err();
        let ConnectError::Stranger { found, .. } = &error else { panic!("{error}") };
        assert_eq!(found, "it refused our certificate (unknown authority)");
    })
    .await;
}

#[tokio::test]
async fn a_server_without_hello_or_of_another_version_is_unreachable() {
    bounded(async {
        let ca = ClusterCa::generate().unwrap();
        let options = QuicOptions { connect_timeout: Duration::from_millis(300), ..QuicOptions::default() };
        let client = quic_with(&ca, "client", options);
        for (alpn, expected) in [(b"forebay/1", "no answer within 300ms"), (b"forebay/2", "does not speak `forebay/1`")]
        {
            let server = raw_server(proof(&identity(&ca, "mute")), None, alpn);
            let ConnectError::Unreachable { source, .. } =
                client.connect(server.local_addr().unwrap()).await.unwrap_err()
            else {
                panic!("{expected}")
            };
            assert!(source.to_string().contains(expected), "{source}");
        }
    })
    .await;
}

#[tokio::test]
async fn garbage_datagrams_change_nothing_and_the_probes_byte_gets_no_answer() {
    bounded(async {
        let ca = ClusterCa::generate().unwrap();
        let target = quic(&ca, "target");
        let socket = tokio::net::UdpSocket::bind(loopback()).await.unwrap();
        socket.connect(target.local_addr()).await.unwrap();
        socket.send(&[0]).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(50), socket.recv(&mut [0; 9])).await.is_err());
        for index in 0..2000 {
            let mut datagram = pattern(1 + index * 31 % 1400, index).to_vec();
            datagram[0] = u8::try_from(index % 256).unwrap();
            socket.send(&datagram).await.unwrap();
        }
        still_serves(&ca, &target).await;
    })
    .await;
}

#[tokio::test]
async fn bytes_that_are_no_frames_end_their_stream_and_no_other() {
    bounded(async {
        let ca = ClusterCa::generate().unwrap();
        let target = quic(&ca, "target");
        let member = raw_client(Some(proof(&identity(&ca, "odd"))), b"forebay/1");
        let (raw, served) = tokio::join!(
            async { member.connect(target.local_addr(), "x.cluster.forebay").unwrap().await.unwrap() },
            target.accept()
        );
        let served = served.unwrap();
        let long = |found| ChannelError::TooLong { found, max: FRAME_BYTES_MAX };
        let cases: [(&[u8], ChannelError, bool); 6] = [
            (b"GET / HTTP/1.1\r\n", long(u32::from_le_bytes(*b"GET ")), true),
            (&(FRAME_BYTES_MAX + 1).to_le_bytes(), long(FRAME_BYTES_MAX + 1), true),
            (&u32::MAX.to_le_bytes(), long(u32::MAX), true),
            (&[0; 4], ChannelError::Empty, true),
            (&[0, 0], ChannelError::CutShort, false),
            (&[0, 0, 1, 0, 7, 7], ChannelError::CutShort, false),
        ];
        for (bytes, expected, told) in cases {
            let (mut send, _receive) = raw.open_bi().await.unwrap();
            send.write_all(bytes).await.unwrap();
            let mut channel = served.accept().await.unwrap();
            if !told {
                send.finish().unwrap();
            }
            assert_eq!(channel.receiver.receive().await, Err(expected.clone()));
            assert_eq!(channel.receiver.receive().await, Err(expected));
            if told {
                let code = send.stopped().await.unwrap().unwrap();
                assert_eq!(code.into_inner(), CloseCode::FrameSize as u64);
            }
        }
        still_serves(&ca, &target).await;
    })
    .await;
}

#[tokio::test]
async fn a_member_that_connects_too_often_loses_its_oldest_connection() {
    bounded(async {
        let ca = ClusterCa::generate().unwrap();
        let (target, eager) = (quic(&ca, "target"), quic(&ca, "eager"));
        let mut all = Vec::new();
        for _ in 0..5 {
            all.push(connect(&eager, &target).await);
        }
        let text = all[0][0].closed().await;
        assert_eq!(text, "closed by the peer: node eager opened more than 4 connections (Duplicate)");
        for ends in &all[1..] {
            ping(ends).await;
        }
        still_serves(&ca, &target).await;
    })
    .await;
}

/// The first datagram of a handshake that its maker will not go on with.
async fn first_datagram() -> Vec<u8> {
    let sink = tokio::net::UdpSocket::bind(loopback()).await.unwrap();
    let client = raw_client(None, b"forebay/1");
    let _connecting = client.connect(sink.local_addr().unwrap(), "x.cluster.forebay").unwrap();
    let mut datagram = vec![0; 2000];
    let length = sink.recv(&mut datagram).await.unwrap();
    datagram.truncate(length);
    datagram
}

#[tokio::test]
async fn handshakes_that_stand_still_do_not_keep_good_peers_out() {
    bounded(async {
        let ca = ClusterCa::generate().unwrap();
        let target = quic_with(&ca, "target", QuicOptions { handshakes_max: 4, ..QuicOptions::default() });
        let mut sockets = Vec::new();
        for _ in 0..20 {
            let socket = tokio::net::UdpSocket::bind(loopback()).await.unwrap();
            socket.send_to(&first_datagram().await, target.local_addr()).await.unwrap();
            sockets.push(socket);
        }
        still_serves(&ca, &target).await;
        // Two took a place before addresses had to be proven; they run out of time and are counted then.
        while target.refused() < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        still_serves(&ca, &target).await;
        assert_eq!(target.refused(), 2);
    })
    .await;
}

#[tokio::test]
async fn an_address_that_cannot_be_listened_on_is_named() {
    let ca = ClusterCa::generate().unwrap();
    let first = quic(&ca, "first");
    let addr = first.local_addr();
    let error = Quic::bind(addr, identity(&ca, "second"), QuicOptions::default()).unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }));
    assert_eq!(error.to_string(), format!("UDP {addr} is in use; stop what listens there, or choose another port"));
    let elsewhere = "192.0.2.1:0".parse().unwrap();
    let error = Quic::bind(elsewhere, identity(&ca, "third"), QuicOptions::default()).unwrap_err();
    assert!(matches!(error, BindError::NotHere { addr, .. } if addr == elsewhere), "{error}");
    let jumbo = QuicOptions { mtu_max: 9000, ..QuicOptions::default() };
    let error = Quic::bind(loopback(), identity(&ca, "fourth"), jumbo).unwrap_err();
    assert_eq!(error.to_string(), "mtu_max is 9000, expected 1200 to 6500 bytes");
}
