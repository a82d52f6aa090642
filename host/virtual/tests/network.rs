//! The simulated network does to real QUIC what it is told to.

#![allow(clippy::unwrap_used, reason = "clippy knows test functions, not their helpers")]

use std::{net::SocketAddr, time::Duration};

use forebay::transport::{
    Connection, Transport,
    identity::{ClusterCa, NODE_VALIDITY},
    quic::{
        Quic, QuicOptions,
        simulated::{Path, SimulatedMachine, SimulatedNetwork},
    },
};
use tokio::time::Instant;

/// Two nodes and the way between them.
struct Pair {
    network: SimulatedNetwork,
    nodes: [Quic; 2],
}

impl Pair {
    fn new(path: Path) -> Self {
        let (network, ca) = (SimulatedNetwork::new(7, path), ClusterCa::generate().unwrap());
        let node = |number: u8| {
            let machine = SimulatedMachine::new(&network, addr(number), Duration::ZERO);
            let identity = ca.issue(&format!("n{number}").parse().unwrap(), NODE_VALIDITY).unwrap();
            Quic::on_machine(&machine, identity, QuicOptions::default()).unwrap()
        };
        let nodes = [node(1), node(2)];
        Self { network, nodes }
    }

    async fn connect(&self) -> [Box<dyn Connection>; 2] {
        let [one, other] = &self.nodes;
        let (ours, theirs) = tokio::join!(one.connect(other.local_addr()), other.accept());
        [ours.unwrap(), theirs.unwrap()]
    }
}

fn addr(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 7440))
}

fn path(delay_ms: u64) -> Path {
    Path { delay: Duration::from_millis(delay_ms), jitter: Duration::ZERO, ..Path::default() }
}

/// Sends 200 frames of 5 kB; they must arrive whole and in order. How long it took.
async fn transfer([ours, theirs]: &[Box<dyn Connection>; 2]) -> Duration {
    let began = Instant::now();
    let mut channel = ours.open().await.unwrap();
    let sending = async {
        for number in 0..200 {
            channel.sender.send(vec![number; 5000].into()).await.unwrap();
        }
        channel.sender.finish().await;
    };
    let receiving = async {
        let mut channel = theirs.accept().await.unwrap();
        for number in 0..200 {
            assert_eq!(channel.receiver.receive().await.unwrap().unwrap(), vec![number; 5000]);
        }
        assert_eq!(channel.receiver.receive().await.unwrap(), None);
    };
    tokio::join!(sending, receiving);
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_datagram_takes_as_long_as_its_path() {
    let pair = Pair::new(path(40));
    let began = Instant::now();
    pair.connect().await;
    // There and back for the handshake, then the client's certificate and the server's hello.
    assert_eq!(began.elapsed(), Duration::from_millis(160));
}

#[tokio::test(start_paused = true)]
async fn loss_and_duplication_cost_time_but_no_frame() {
    let clean = Pair::new(path(5));
    let took = transfer(&clean.connect().await).await;
    let bad = Pair::new(Path { loss: 0.1, duplication: 0.3, jitter: Duration::from_millis(9), ..path(5) });
    let took_longer = transfer(&bad.connect().await).await;
    assert!(took_longer > took, "{took_longer:?}, and {took:?} without loss");
    let traffic = bad.network.traffic();
    assert!(traffic.lost * 20 > traffic.sent && traffic.doubled * 5 > traffic.sent, "{traffic:?}");
    assert_eq!((clean.network.traffic().lost, clean.network.traffic().doubled), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_one_way_is_lost_both_ways_after_the_idle_timeout() {
    let pair = Pair::new(path(1));
    let [ours, theirs] = pair.connect().await;
    pair.network.set_path(addr(1), addr(2), Path { cut: true, ..path(1) });
    let idle = QuicOptions::default().idle_timeout;
    assert_eq!(theirs.closed().await, format!("nothing heard for {idle:?}"));
    ours.closed().await;
    assert!(pair.nodes[0].connect(addr(2)).await.is_err());
    pair.network.heal();
    transfer(&pair.connect().await).await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_port_is_refused_a_dark_machine_and_a_live_node_say_nothing() {
    let pair = Pair::new(path(1));
    let [ours, _theirs] = pair.connect().await;
    assert!(!ours.is_port_closed().await);
    pair.network.darken(addr(2));
    assert!(!ours.is_port_closed().await);
    pair.network.close(addr(2));
    assert!(ours.is_port_closed().await);
    pair.network.set_path(addr(2), addr(1), Path { cut: true, ..path(1) });
    assert!(!ours.is_port_closed().await, "the refusal does not get back");
}
