//! Who is connected to whom, and how a peer is taken for lost.

use async_trait::async_trait;
use forebay::transport::{
    Channel, ChannelError, CloseCode, ConnectError, Connection, Transport, identity::Holder, memory::Memory,
};
use forebay_proto::wire::{self, Agreement, Frame, Hello, VERSION};

use super::*;

/// Connects to `node` under the name of `stranger` and says hello.
async fn greet(world: &World, node: &str, version: u16) -> (Memory, Box<dyn Connection>, Channel) {
    let stranger = world.network.bind(world.addr("stranger"), "stranger".parse().unwrap()).unwrap();
    let connection = stranger.connect(world.addr(node)).await.unwrap();
    let mut control = connection.open().await.unwrap();
    let hello = Hello { version, boot: BootId(9), agreement: Agreement::Islands, advertise: None, group: None };
    control.sender.send(wire::encode(&Frame::Hello(hello))).await.unwrap();
    (stranger, connection, control)
}

async fn lost(world: &World, peer_name: &str) -> String {
    let down = |_: &str, event: &NodeEvent| match event {
        NodeEvent::PeerDown { peer, reason } if peer.as_str() == peer_name => Some(reason.clone()),
        _ => None,
    };
    world.log.event(0, "the peer is lost", down).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_join_each_other_keep_one_connection() {
    let (world, gate) = (World::new(), Gate::open());
    let _nodes = ABC.map(|name| Node::start(world.options(name, world.numbers(&gate))));
    let (_, epoch) = world.log.owner(0).await;
    world.log.taken_by(0, &ABC, epoch).await;
    let up = |entries: &[Entry]| events(entries).filter(|(_, event)| matches!(event, NodeEvent::PeerUp(_))).count();
    world.log.until("all are connected", |entries| up(entries) >= 6).await;
    let entries = world.log.entries();
    assert_eq!(up(&entries), 6, "each of three with two others\n{}", world.log.told());
    assert!(!events(&entries).any(|(_, event)| matches!(event, NodeEvent::PeerDown { .. })), "{}", world.log.told());
}

/// Whoever opened the connection: a node that still waited would be found waiting for an hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_has_met_those_it_joins_waits_no_longer() {
    let (world, gate) = (World::new(), Gate::open());
    let member = world.options("a", world.numbers(&gate));
    let _a = Node::start(NodeOptions { join: Vec::new(), pipelines: Vec::new(), ..member });
    let options = world.options("b", world.numbers(&gate));
    let join = options.join[..1].to_vec();
    assert_eq!(join[0].to_string(), world.addr("a").to_string());
    let _b = Node::start(NodeOptions { join, settle: Duration::from_secs(3600), ..options });
    assert_eq!(world.log.owner(0).await.0, "b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_tell_each_other_of_the_rest() {
    let (world, gate) = (World::new(), Gate::open());
    let _a = world.start("a", &[], world.numbers(&gate));
    let _b = world.start("b", &["a"], world.numbers(&gate));
    let _c = world.start("c", &["b"], world.numbers(&gate));
    for (one, other) in [("a", "c"), ("c", "a")] {
        let up = |node: &str, event: &NodeEvent| {
            matches!(event, NodeEvent::PeerUp(peer) if node == one && peer.as_str() == other).then_some(())
        };
        world.log.event(0, "a and c are connected", up).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_peer_of_another_protocol_version_is_refused_with_both_versions() {
    let (world, gate) = (World::new(), Gate::open());
    let _a = world.start("a", &[], world.numbers(&gate));
    let (_stranger, connection, _control) = greet(&world, "a", VERSION + 1).await;
    let reason = connection.closed().await;
    let newer = VERSION + 1;
    let expected =
        format!("this node speaks protocol version {VERSION}, the peer {newer}; update the older one (Incompatible)");
    assert!(reason.contains(&expected), "{reason}");
    let (_, epoch) = world.log.owner(0).await;
    let _b = world.start("b", &["a"], world.numbers(&gate));
    world.log.taken_by(0, &["a", "b"], epoch).await;
    let met = |(_, event): (&str, &NodeEvent)| matches!(event, NodeEvent::PeerUp(peer) if peer.as_str() == "stranger");
    assert!(!events(&world.log.entries()).any(met), "it was never a peer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_peer_that_falls_silent_is_lost() {
    let (world, gate) = (World::new(), Gate::open());
    let options = world.options("a", world.numbers(&gate));
    let _a = Node::start(NodeOptions { join: Vec::new(), ping_misses: 5, ..options });
    let (_stranger, connection, _control) = greet(&world, "a", VERSION).await;
    assert!(lost(&world, "stranger").await.starts_with("nothing heard for "));
    let reason = connection.closed().await;
    assert!(reason.contains("nothing heard for ") && reason.contains("(Silent)"), "{reason}");
}

/// As when its process was killed: the kernel says so long before the time is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_silent_peer_at_whose_port_nobody_listens_is_lost_earlier() {
    let (world, gate) = (World::new(), Gate::open());
    let options = world.options("a", world.numbers(&gate));
    let _a = Node::start(NodeOptions { join: Vec::new(), ping_misses: 1000, ..options });
    let (stranger, _connection, _control) = greet(&world, "a", VERSION).await;
    let freed = stranger.local_addr();
    drop(stranger);
    assert_eq!(lost(&world, "stranger").await, format!("nobody listens at {freed} any more"));
}

/// A network in which every node has a second address, by which it is dialled and seen.
#[derive(Debug)]
struct TwoAddresses {
    inner: Memory,
    /// The second address and the real one behind it.
    alias: (SocketAddr, SocketAddr),
    connections: Log,
}

#[derive(Debug)]
struct Seen {
    inner: Box<dyn Connection>,
    at: SocketAddr,
}

#[async_trait]
impl Transport for TwoAddresses {
    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    async fn connect(&self, at: SocketAddr) -> Result<Box<dyn Connection>, ConnectError> {
        let real = if at == self.alias.0 { self.alias.1 } else { at };
        let inner = self.inner.connect(real).await?;
        self.connections.push(Entry::Emitted { node: at.to_string(), number: 0 });
        Ok(Box::new(Seen { inner, at }))
    }

    async fn accept(&self) -> Option<Box<dyn Connection>> {
        self.inner.accept().await
    }

    async fn close(&self, reason: &str) {
        self.inner.close(reason).await;
    }
}

#[async_trait]
impl Connection for Seen {
    fn peer(&self) -> &Holder {
        self.inner.peer()
    }

    fn remote_addr(&self) -> SocketAddr {
        self.at
    }

    async fn open(&self) -> Result<Channel, ChannelError> {
        self.inner.open().await
    }

    async fn accept(&self) -> Result<Channel, ChannelError> {
        self.inner.accept().await
    }

    async fn is_port_closed(&self) -> bool {
        self.inner.is_port_closed().await
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.inner.close(code, reason);
    }

    async fn closed(&self) -> String {
        self.inner.closed().await
    }
}

/// As a node that is reached by IPv4 and IPv6, or by two names in `join`.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_peer_with_two_addresses_keeps_its_connection_and_subscriptions() {
    let (world, gate, connections) = (World::new(), Gate::open(), Log::new());
    let _a = world.start("a", &[], world.numbers(&gate));
    let (_, epoch) = world.log.owner(0).await;
    let second = world.addr("c");
    let inner = world.network.bind(world.addr("b"), "b".parse().unwrap()).unwrap();
    let transport = TwoAddresses { inner, alias: (second, world.addr("a")), connections: connections.clone() };
    let join = vec![world.addr("a").to_string().parse().unwrap(), second.to_string().parse().unwrap()];
    let options = world.options_on(Arc::new(transport), "b", world.numbers(&gate));
    let _b = Node::start(NodeOptions { join, ..options });
    world.log.taken_by(0, &["a", "b"], epoch).await;
    connections.until("both addresses were tried", |entries| entries.len() >= 2).await;
    let mark = world.log.mark();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let ended =
        events(&world.log.since(mark)).filter(|(_, event)| matches!(event, NodeEvent::Unsubscribed { .. })).count();
    assert!(ended <= 1, "{ended} subscriptions ended in a second\n{}", world.log.told());
    assert!(connections.mark() <= 4, "{} connections were made", connections.mark());
}
