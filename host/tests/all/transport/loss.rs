//! Peers that vanish from the network without a word, and how soon that shows.

use std::{thread, time::Instant};

use forebay::transport::{ChannelError, ConnectError, probe::is_port_closed};

use super::*;

/// A node that can be killed: its sockets and tasks go with its runtime, and nothing is said.
struct Victim {
    addr: SocketAddr,
    kill: std::sync::mpsc::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Victim {
    /// Accepts connections and keeps them.
    fn start(listen: SocketAddr, identity: NodeIdentity) -> Self {
        let (kill, killed) = std::sync::mpsc::channel::<()>();
        let (bound, addr) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.spawn(async move {
                let node = Quic::bind(listen, identity, QuicOptions::default()).unwrap();
                bound.send(node.local_addr()).unwrap();
                let mut connections = Vec::new();
                while let Some(connection) = node.accept().await {
                    connections.push(connection);
                }
            });
            let _ = killed.recv();
            // Tasks are dropped where they stand; quinn's driver, which would send the close, is one of them.
            runtime.shutdown_timeout(Duration::from_secs(5));
        });
        Self { addr: addr.recv().unwrap(), kill, thread }
    }

    fn kill(self) {
        drop(self.kill);
        self.thread.join().unwrap();
    }
}

#[tokio::test]
async fn a_killed_peer_is_noticed_after_the_idle_timeout() {
    bounded(async {
        let ca = ClusterCa::generate().unwrap();
        let options = QuicOptions { idle_timeout: Duration::from_millis(700), ..QuicOptions::default() };
        let node = quic_with(&ca, "node", options);
        let victim = Victim::start(loopback(), identity(&ca, "victim"));
        let connection = node.connect(victim.addr).await.unwrap();
        let mut channel = connection.open().await.unwrap();
        victim.kill();
        assert_eq!(channel.receiver.receive().await, Err(ChannelError::Lost("nothing heard for 700ms".to_owned())));
        assert_eq!(connection.closed().await, "nothing heard for 700ms");
    })
    .await;
}

/// With a reset key made anew at every start this took the idle timeout.
#[tokio::test]
async fn a_restarted_peer_says_that_it_knows_no_connection() {
    bounded(async {
        let ca = ClusterCa::generate().unwrap();
        let node = quic(&ca, "node");
        let keys = identity(&ca, "victim");
        let victim = Victim::start(loopback(), keys.clone());
        let connection = node.connect(victim.addr).await.unwrap();
        let addr = victim.addr;
        victim.kill();
        let reborn = Victim::start(addr, keys);
        let since = Instant::now();
        let mut channel = connection.open().await.unwrap();
        channel.sender.send(pattern(100, 0)).await.unwrap();
        assert_eq!(connection.closed().await, "the peer has restarted");
        assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
        reborn.kill();
    })
    .await;
}

#[tokio::test]
async fn a_probe_tells_a_closed_port_from_a_live_node() {
    bounded(async {
        let ca = ClusterCa::generate().unwrap();
        let node = quic(&ca, "node");
        assert!(!is_port_closed(node.local_addr()).await);
        let victim = Victim::start(loopback(), identity(&ca, "victim"));
        let addr = victim.addr;
        assert!(!is_port_closed(addr).await);
        victim.kill();
        while !is_port_closed(addr).await {} // A hint: on a busy machine the first may come too late.
    })
    .await;
}

#[tokio::test]
async fn connecting_ends_in_time() {
    bounded(async {
        let ca = ClusterCa::generate().unwrap();
        let options = QuicOptions { connect_timeout: Duration::from_millis(300), ..QuicOptions::default() };
        let node = quic_with(&ca, "node", options);
        // It takes datagrams and never answers.
        let mute = tokio::net::UdpSocket::bind(loopback()).await.unwrap();
        let since = Instant::now();
        let error = node.connect(mute.local_addr().unwrap()).await.unwrap_err();
        assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
        assert!((300..1000).contains(&since.elapsed().as_millis()), "{:?}", since.elapsed());
        let error = node.connect("[::1]:1".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
    })
    .await;
}
