//! Both transports, QUIC and memory, behave as the traits say: one suite for the two, and what only a real
//! network brings.

#![allow(clippy::unwrap_used, reason = "clippy knows test functions, not their helpers")]

#[path = "transport/hostile.rs"]
pub(crate) mod hostile;
#[path = "transport/loss.rs"]
mod loss;
#[path = "transport/operators.rs"]
mod operators;
#[path = "transport/suite.rs"]
mod suite;

use std::{future::Future, net::SocketAddr, time::Duration};

use bytes::Bytes;
use forebay::transport::{
    Channel, Connection, Transport,
    identity::{ClusterCa, Holder, NODE_VALIDITY, NodeIdentity, OperatorIdentity},
    memory::Network,
    quic::{OperatorClient, Quic, QuicOptions},
};
use forebay_proto::ids::OperatorName;

/// No test takes longer; one that does hangs.
async fn bounded<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), test).await.expect("the test hangs")
}

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn identity(ca: &ClusterCa, node: &str) -> NodeIdentity {
    ca.issue(&node.parse().unwrap(), NODE_VALIDITY).unwrap()
}

fn quic(ca: &ClusterCa, node: &str) -> Quic {
    quic_with(ca, node, QuicOptions::default())
}

fn quic_with(ca: &ClusterCa, node: &str, options: QuicOptions) -> Quic {
    Quic::bind(loopback(), identity(ca, node), options).unwrap()
}

fn operator(ca: &ClusterCa, name: &str) -> OperatorIdentity {
    ca.issue_operator(&name.parse().unwrap(), NODE_VALIDITY).unwrap()
}

fn operator_client(identity: OperatorIdentity) -> OperatorClient {
    OperatorClient::bind(loopback(), identity, QuicOptions::default()).unwrap()
}

/// Two nodes that can reach each other.
struct Pair {
    a: Box<dyn Transport>,
    b: Box<dyn Transport>,
    operators: Operators,
}

/// What lets operators in.
enum Operators {
    Keys(Box<ClusterCa>),
    Network(Network),
}

impl Pair {
    fn quic() -> Self {
        let ca = ClusterCa::generate().unwrap();
        Self { a: Box::new(quic(&ca, "a")), b: Box::new(quic(&ca, "b")), operators: Operators::Keys(Box::new(ca)) }
    }

    fn memory() -> Self {
        let network = Network::new();
        let bind = |port, node: &str| {
            Box::new(network.bind(SocketAddr::from(([10, 0, 0, 1], port)), node.parse().unwrap()).unwrap())
        };
        Self { a: bind(1, "a"), b: bind(2, "b"), operators: Operators::Network(network.clone()) }
    }

    /// A connection that an operator makes to `b`, as both see it; and what it needs to stay.
    async fn connect_operator(&self, name: &OperatorName) -> (Option<OperatorClient>, [Box<dyn Connection>; 2]) {
        let to = self.b.local_addr();
        match &self.operators {
            Operators::Keys(ca) => {
                let client = operator_client(operator(ca, name.as_str()));
                let (ours, theirs) = tokio::join!(client.connect(to), self.b.accept());
                (Some(client), [ours.unwrap(), theirs.unwrap()])
            }
            Operators::Network(network) => {
                let ours = network.connect_as(name, SocketAddr::from(([10, 0, 0, 1], 3)), to).unwrap();
                (None, [ours, self.b.accept().await.unwrap()])
            }
        }
    }

    /// A connection that `a` makes, as `a` and `b` see it.
    async fn connect(&self) -> [Box<dyn Connection>; 2] {
        connect(&*self.a, &*self.b).await
    }
}

async fn connect(a: &dyn Transport, b: &dyn Transport) -> [Box<dyn Connection>; 2] {
    let (ours, theirs) = tokio::join!(a.connect(b.local_addr()), b.accept());
    [ours.unwrap(), theirs.unwrap()]
}

/// A channel that the first end opens, as both ends see it, after one frame.
async fn channel(ends: &[Box<dyn Connection>; 2]) -> [Channel; 2] {
    let mut ours = ends[0].open().await.unwrap();
    ours.sender.send(Bytes::from_static(b"first")).await.unwrap();
    let mut theirs = ends[1].accept().await.unwrap();
    assert_eq!(theirs.receiver.receive().await.unwrap().unwrap(), "first");
    [ours, theirs]
}

/// One frame there and back.
async fn ping(ends: &[Box<dyn Connection>; 2]) {
    let [mut ours, mut theirs] = channel(ends).await;
    theirs.sender.send(Bytes::from_static(b"back")).await.unwrap();
    assert_eq!(ours.receiver.receive().await.unwrap().unwrap(), "back");
}

/// `length` bytes that differ from place to place and with `seed`.
fn pattern(length: usize, seed: usize) -> Bytes {
    (0..length).map(|index| u8::try_from((index * 7 + index / 251 + seed) % 251).unwrap()).collect()
}
