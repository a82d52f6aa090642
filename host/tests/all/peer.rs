//! A member of the cluster that does not keep to docs/wire.md: each offence is answered as that page
//! says, and the node goes on serving a good peer.
//!
//! The offender has valid keys and speaks through raw QUIC streams, so that it can send anything.

mod blobs;
mod calls;
mod letters;
mod operators;
mod taps;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use forebay::{
    dlq::{Bounds, DeadLetters},
    node::{Node, NodeEvent, NodeOptions},
    transport::{
        CloseCode, FRAME_BYTES_MAX, Transport,
        identity::{ClusterCa, NODE_VALIDITY, NodeIdentity},
        quic::{Quic, QuicOptions},
    },
};
use forebay_proto::{
    batch::{Batch, BatchLimits},
    ids::{BootId, Epoch, Seq},
    message::{Demand, Envelope, Events, Message, Reason, SeqRun, Subscribe},
    names::Claim,
    select::InstanceId,
    wire::{self, Agreement, Frame, Hello, Names, VERSION},
};

use crate::{
    node::{Entry, Gate, Log, World, counter_name, counts, events, took},
    transport::hostile::{proof, raw_client},
};

/// A good node that owns the counter, a good peer that consumes from it, and the keys of their cluster.
struct Cluster {
    ca: ClusterCa,
    world: World,
    log: Log,
    epoch: Epoch,
    addr: SocketAddr,
    nodes: Vec<Node>,
}

impl Cluster {
    /// With a good peer, `friend`.
    async fn start() -> Self {
        let mut cluster = Self::start_alone().await;
        cluster.add("friend", &[cluster.addr]);
        cluster.log.taken_by(0, &["good", "friend"], cluster.epoch).await;
        cluster
    }

    async fn start_alone() -> Self {
        Self::of(World::new()).await
    }

    async fn of(world: World) -> Self {
        let ca = ClusterCa::generate().unwrap();
        let (log, addr) = (world.log.clone(), ([127, 0, 0, 1], 0).into());
        let mut cluster = Self { ca, world, log, epoch: Epoch::default(), addr, nodes: Vec::new() };
        cluster.addr = cluster.add("good", &[]);
        cluster.epoch = cluster.log.owner(0).await.1;
        cluster.log.taken_by(0, &["good"], cluster.epoch).await;
        cluster
    }

    fn add(&mut self, name: &str, join: &[SocketAddr]) -> SocketAddr {
        self.add_with(name, join, DeadLetters::in_memory(Bounds::default()))
    }

    fn add_with(&mut self, name: &str, join: &[SocketAddr], dead_letters: DeadLetters) -> SocketAddr {
        let transport = quic(&self.ca, name);
        let addr = transport.local_addr();
        let options = self.world.options_on(Arc::new(transport), name, self.world.numbers(&Gate::open()));
        let agreement = self.world.agreement(name, join.len());
        let join = join.iter().map(|addr| addr.to_string().parse().unwrap()).collect();
        // The offender answers no pings.
        let (ping_interval, ping_misses) = (Duration::from_millis(200), 100);
        self.nodes.push(Node::start(NodeOptions {
            join,
            agreement,
            dead_letters,
            ping_interval,
            ping_misses,
            ..options
        }));
        addr
    }

    /// That both good nodes still consume, each number once, from the owner of the beginning.
    async fn serves_on(&self, after: &str) {
        let mark = self.log.mark();
        self.log.taken_by(mark, &["good", "friend"], self.epoch).await;
        let entries = self.log.entries();
        let unwanted = entries.iter().find(|entry| match entry {
            Entry::Event { event, .. } => {
                matches!(event, NodeEvent::Restarting { .. } | NodeEvent::Stopped { .. } | NodeEvent::GaveUp { .. })
            }
            _ => false,
        });
        assert!(unwanted.is_none(), "{after}: {unwanted:?}");
        let repeated = counts(&entries, self.epoch).into_iter().find(|(_, count)| *count > 1);
        assert_eq!(repeated, None, "{after}");
    }

    async fn offender(&self) -> Offender {
        let mut offender = Offender::connect(self).await;
        offender.greet(VERSION).await;
        // It has said Hello; that it is known as a peer comes a moment later.
        let is_evil = |event: &NodeEvent| matches!(event, NodeEvent::PeerUp(peer) if peer.as_str() == "evil");
        self.log.until("evil is met", |entries| events(entries).any(|(_, event)| is_evil(event))).await;
        offender
    }
}

fn quic(ca: &ClusterCa, node: &str) -> Quic {
    Quic::bind("127.0.0.1:0".parse().unwrap(), identity(ca, node), QuicOptions::default()).unwrap()
}

fn identity(ca: &ClusterCa, node: &str) -> NodeIdentity {
    ca.issue(&node.parse().unwrap(), NODE_VALIDITY).unwrap()
}

/// The node `evil`, a member in good standing.
struct Offender {
    connection: quinn::Connection,
    control: Stream,
    _endpoint: quinn::Endpoint,
}

impl Offender {
    async fn connect(cluster: &Cluster) -> Self {
        Self::connect_to(cluster, cluster.addr).await
    }

    async fn connect_to(cluster: &Cluster, addr: SocketAddr) -> Self {
        let endpoint = raw_client(Some(proof(&identity(&cluster.ca, "evil"))), b"forebay/1");
        let connection = endpoint.connect(addr, "x.cluster.forebay").unwrap().await.unwrap();
        // The server's word that it has let us in.
        connection.accept_uni().await.unwrap();
        let control = Stream::open(&connection).await;
        Self { connection, control, _endpoint: endpoint }
    }

    async fn greet(&mut self, version: u16) {
        self.greet_as(version, Agreement::Islands).await;
    }

    async fn greet_as(&mut self, version: u16, agreement: Agreement) {
        let hello = Hello { version, boot: BootId(666), agreement, advertise: None, group: None };
        self.control.send(&Frame::Hello(hello)).await;
        assert!(matches!(self.control.next().await, Next::Frame(Frame::Hello(_))));
    }

    async fn subscribe(&self, to: &str, epoch: Epoch, max_demand: u32) -> Stream {
        let mut stream = Stream::open(&self.connection).await;
        stream.send(&subscribe(to, epoch, max_demand)).await;
        stream
    }

    /// Code and words with which the node closed the connection.
    async fn closed(&self) -> (u64, String) {
        match bounded(self.connection.closed()).await {
            quinn::ConnectionError::ApplicationClosed(close) => {
                (close.error_code.into_inner(), String::from_utf8_lossy(&close.reason).into_owned())
            }
            other => panic!("{other}"),
        }
    }

    async fn assert_still_connected(&mut self) {
        self.control.send(&Frame::Ping(77)).await;
        loop {
            match self.control.next().await {
                Next::Frame(Frame::Pong(77)) => return,
                Next::Frame(_) => {}
                other => panic!("the control channel ended: {other:?}"),
            }
        }
    }
}

fn subscribe(to: &str, epoch: Epoch, max_demand: u32) -> Frame {
    subscribe_as("evil", to, epoch, max_demand)
}

fn subscribe_as(node: &str, to: &str, epoch: Epoch, max_demand: u32) -> Frame {
    let demand = Demand::new(max_demand, Some(0)).unwrap();
    let (producer, consumer) = (to.parse().unwrap(), "sink".parse().unwrap());
    let instance = InstanceId::first_on(node.parse().unwrap());
    let subscribe = Subscribe::new("numbers".parse().unwrap(), producer, consumer, instance, demand);
    stage(epoch, Message::Subscribe(subscribe))
}

fn stage(epoch: Epoch, message: Message) -> Frame {
    Frame::Stage(Envelope { epoch, message })
}

fn ask(epoch: Epoch, granted: u64, acked: &[(u64, u32)]) -> Frame {
    let acked = acked.iter().map(|&(first, count)| SeqRun { first: Seq(first), count }).collect();
    stage(epoch, Message::Ask { granted, acked })
}

async fn bounded<T>(waiting: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("an answer")
}

/// What comes next on a stream.
#[derive(Debug)]
enum Next {
    Frame(Frame),
    /// A clean end.
    End,
    /// Reset, with this code.
    Reset(u64),
}

struct Stream {
    send: quinn::SendStream,
    receive: quinn::RecvStream,
}

impl Stream {
    async fn open(connection: &quinn::Connection) -> Self {
        let (send, receive) = connection.open_bi().await.unwrap();
        Self { send, receive }
    }

    async fn send(&mut self, frame: &Frame) {
        self.send_frame(&wire::encode(frame)).await;
    }

    /// Any bytes as a frame.
    async fn send_frame(&mut self, frame: &[u8]) {
        self.send_raw(&[&u32::try_from(frame.len()).unwrap().to_le_bytes()[..], frame].concat()).await;
    }

    async fn send_raw(&mut self, bytes: &[u8]) {
        self.send.write_all(bytes).await.unwrap();
    }

    async fn next(&mut self) -> Next {
        let mut prefix = [0; 4];
        match bounded(self.receive.read_exact(&mut prefix)).await {
            Ok(()) => {}
            Err(quinn::ReadExactError::FinishedEarly(0)) => return Next::End,
            Err(quinn::ReadExactError::ReadError(quinn::ReadError::Reset(code))) => {
                return Next::Reset(code.into_inner());
            }
            Err(other) => panic!("{other}"),
        }
        let mut frame = vec![0; u32::from_le_bytes(prefix) as usize];
        bounded(self.receive.read_exact(&mut frame)).await.unwrap();
        let limits = BatchLimits { events_max: u32::MAX, bytes_max: FRAME_BYTES_MAX };
        Next::Frame(wire::decode(&frame.into(), &limits).unwrap())
    }

    /// The events that come next; gives their numbers.
    async fn events(&mut self) -> Vec<SeqRun> {
        match self.next().await {
            Next::Frame(Frame::Stage(Envelope { message: Message::Events(events), .. })) => events.runs,
            other => panic!("expected events, got {other:?}"),
        }
    }

    /// The reason of the Cancel that comes, perhaps after events, and that the stream ends behind it.
    async fn cancelled(&mut self) -> Reason {
        loop {
            match self.next().await {
                Next::Frame(Frame::Stage(Envelope { message: Message::Cancel(reason), .. })) => {
                    assert!(matches!(self.next().await, Next::End), "the stream ends after {reason}");
                    return reason;
                }
                Next::Frame(Frame::Stage(Envelope { message: Message::Events(_), .. })) => {}
                other => panic!("expected Cancel, got {other:?}"),
            }
        }
    }

    async fn assert_reset(&mut self, code: CloseCode, what: &str) {
        match self.next().await {
            Next::Reset(found) => assert_eq!(found, code as u64, "{what}"),
            other => panic!("{what}: expected a reset, got {other:?}"),
        }
    }

    /// The code with which the node refuses to read on.
    async fn stopped(&mut self) -> Option<u64> {
        bounded(self.send.stopped()).await.unwrap().map(quinn::VarInt::into_inner)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_does_not_belong_on_the_control_channel_ends_the_connection() {
    let cluster = Cluster::start().await;
    let epoch = cluster.epoch;
    let hello =
        Hello { version: VERSION, boot: BootId(1), agreement: Agreement::Islands, advertise: None, group: None };
    let cases: [(&str, Vec<u8>, CloseCode); 6] = [
        ("garbage", b"\x01garbage".to_vec(), CloseCode::Malformed),
        ("an unknown kind", vec![0x7f], CloseCode::Malformed),
        ("bytes left over", [&wire::encode(&Frame::Ping(1))[..], &[0]].concat(), CloseCode::Malformed),
        ("a second Hello", wire::encode(&Frame::Hello(hello)).to_vec(), CloseCode::WrongState),
        ("a Subscribe", wire::encode(&subscribe("counter", epoch, 5)).to_vec(), CloseCode::WrongState),
        ("an Ask", wire::encode(&ask(epoch, 5, &[])).to_vec(), CloseCode::WrongState),
    ];
    for (what, frame, code) in cases {
        let mut offender = cluster.offender().await;
        offender.control.send_frame(&frame).await;
        let (found, reason) = offender.closed().await;
        assert_eq!(found, code as u64, "{what}: {reason}");
        assert!(!reason.is_empty(), "{what}");
    }
    let mut offender = cluster.offender().await;
    offender.control.send_raw(&(FRAME_BYTES_MAX + 1).to_le_bytes()).await;
    let (found, reason) = offender.closed().await;
    assert_eq!(found, CloseCode::FrameSize as u64, "{reason}");
    cluster.serves_on("garbage on control channels").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_first_frame_of_a_connection_is_a_hello_of_this_version() {
    let cluster = Cluster::start().await;
    let first = [
        (Frame::Ping(1), CloseCode::WrongState, "expected Hello as the first frame"),
        (
            Frame::Hello(Hello {
                version: VERSION + 1,
                boot: BootId(1),
                agreement: Agreement::Islands,
                advertise: None,
                group: None,
            }),
            CloseCode::Incompatible,
            "this node speaks protocol version 2, the peer 3",
        ),
        (
            Frame::Hello(Hello {
                version: VERSION,
                boot: BootId(1),
                agreement: Agreement::Quorum,
                advertise: None,
                group: None,
            }),
            CloseCode::Incompatible,
            "this node agrees by islands, the peer by quorum",
        ),
    ];
    for (frame, code, expected) in first {
        let mut offender = Offender::connect(&cluster).await;
        offender.control.send(&frame).await;
        let (found, reason) = offender.closed().await;
        assert_eq!(found, code as u64);
        assert!(reason.contains(expected), "{reason}");
    }
    cluster.serves_on("bad greetings").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn frames_of_kinds_to_come_are_ignored() {
    let cluster = Cluster::start().await;
    let mut offender = cluster.offender().await;
    offender.control.send_frame(&[0x80, 1, 2, 3]).await;
    offender.assert_still_connected().await;
    let mut stream = offender.subscribe("counter", cluster.epoch, 5).await;
    stream.send_frame(&[0xff]).await;
    stream.send(&ask(cluster.epoch, 5, &[])).await;
    assert!(!stream.events().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stream_that_does_not_begin_with_subscribe_is_closed_and_no_other() {
    let cluster = Cluster::start().await;
    let mut offender = cluster.offender().await;
    let frame = |frame: &Frame| {
        let bytes = wire::encode(frame);
        [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], &bytes].concat()
    };
    let cases: [(&str, Vec<u8>, CloseCode); 8] = [
        ("another's name", frame(&subscribe_as("a", "counter", cluster.epoch, 5)), CloseCode::Malformed),
        ("Ask before Subscribe", frame(&ask(cluster.epoch, 5, &[])), CloseCode::WrongState),
        ("a control frame", frame(&Frame::Ping(1)), CloseCode::WrongState),
        ("garbage", b"\x07\0\0\0garbage".to_vec(), CloseCode::Malformed),
        ("an unknown kind", b"\x01\0\0\0\x7f".to_vec(), CloseCode::Malformed),
        ("half a Subscribe", [&[9, 0, 0, 0][..], &[0x10, 0, 0, 0, 0, 0, 0, 0, 0]].concat(), CloseCode::Malformed),
        ("too long a frame", u32::MAX.to_le_bytes().to_vec(), CloseCode::FrameSize),
        ("an empty frame", vec![0; 4], CloseCode::FrameSize),
    ];
    for (what, bytes, code) in cases {
        let mut stream = Stream::open(&offender.connection).await;
        stream.send_raw(&bytes).await;
        assert_eq!(stream.stopped().await, Some(code as u64), "{what}");
        stream.assert_reset(code, what).await;
        offender.assert_still_connected().await;
    }
    cluster.serves_on("bad first frames").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_subscription_to_nobody_or_in_another_epoch_is_cancelled() {
    let cluster = Cluster::start().await;
    let mut offender = cluster.offender().await;
    let (now, later) = (cluster.epoch, Epoch { lamport: cluster.epoch.lamport + 1, ..cluster.epoch });
    for (to, epoch, reason) in [
        ("nobody", now, Reason::NotOwner),
        ("sink", now, Reason::StaleEpoch),
        ("counter", later, Reason::StaleEpoch),
        ("counter", Epoch { tag: now.tag ^ 1, ..now }, Reason::StaleEpoch),
    ] {
        let mut stream = offender.subscribe(to, epoch, 5).await;
        assert_eq!(stream.cancelled().await, reason, "{to} in epoch {epoch}");
    }
    offender.assert_still_connected().await;
    cluster.serves_on("bad subscriptions").await;
}

/// What a consumer may not do on a subscription that has events on their way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_consumer_that_breaks_the_protocol_is_cancelled_and_its_events_go_to_others() {
    let cluster = Cluster::start().await;
    let epoch = cluster.epoch;
    let events =
        Events { attempt: 1, runs: vec![SeqRun { first: Seq(0), count: 1 }], events: Batch::from_payloads(["x"]) };
    let cases = [
        ("asks for more than max_demand", ask(epoch, 6, &[]), "6 events asked for and not acknowledged"),
        ("asks for all there could be", ask(epoch, u64::MAX, &[]), "events asked for and not acknowledged"),
        ("asks for less than before", ask(epoch, 4, &[]), "demand fell from 5 to 4"),
        ("acknowledges what was never sent", ask(epoch, 5, &[(1 << 40, 3)]), "3 events from 1099511627776 on"),
        ("acknowledges all numbers", ask(epoch, 5, &[(u64::MAX - 1, 1)]), "0 of them were sent"),
        ("sends events", stage(epoch, Message::Events(events)), "protocol"),
    ];
    for (what, offence, expected) in cases {
        let offender = cluster.offender().await;
        let mut stream = offender.subscribe("counter", epoch, 5).await;
        stream.send(&ask(epoch, 5, &[])).await;
        let held = stream.events().await;
        stream.send(&offence).await;
        let reason = stream.cancelled().await.to_string();
        assert!(reason.contains(expected), "{what}: {reason}");
        taken_by_others(&cluster, what, &held).await;
    }
    cluster.serves_on("broken protocols").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_word_of_another_epoch_is_refused_and_changes_nothing_of_the_subscription() {
    let cluster = Cluster::start().await;
    let offender = cluster.offender().await;
    let mut stream = offender.subscribe("counter", cluster.epoch, 5).await;
    stream.send(&ask(cluster.epoch, 5, &[])).await;
    let held = stream.events().await;
    let count: u32 = held.iter().map(|run| run.count).sum();
    let acked: Vec<_> = held.iter().map(|run| (run.first.0, run.count)).collect();
    stream.send(&ask(Epoch { lamport: 9, tag: 9 }, 100, &acked)).await;
    loop {
        match stream.next().await {
            Next::Frame(Frame::Stage(Envelope { message: Message::Cancel(reason), .. })) => {
                assert_eq!(reason, Reason::StaleEpoch);
                break;
            }
            Next::Frame(Frame::Stage(Envelope { message: Message::Events(_), .. })) => {}
            other => panic!("expected Cancel, got {other:?}"),
        }
    }
    stream.send(&ask(cluster.epoch, 5 + u64::from(count), &acked)).await;
    assert!(!stream.events().await.is_empty(), "what was acknowledged in the right epoch counts");
    cluster.serves_on("a word of another epoch").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_second_subscribe_on_a_stream_is_cancelled() {
    let cluster = Cluster::start().await;
    let offender = cluster.offender().await;
    let mut stream = offender.subscribe("counter", cluster.epoch, 5).await;
    stream.send(&subscribe("counter", cluster.epoch, 5)).await;
    let Next::Frame(Frame::Stage(answer)) = stream.next().await else { panic!("a Cancel") };
    assert_eq!(answer.message, Message::Cancel(Reason::DuplicatedSubscription));
    cluster.serves_on("a second Subscribe").await;
}

/// That good consumers get the events that the offender was given.
async fn taken_by_others(cluster: &Cluster, what: &str, held: &[SeqRun]) {
    let all = |entries: &[Entry]| {
        let numbers: std::collections::BTreeSet<_> = took(entries).map(|took| took.number).collect();
        held.iter().flat_map(|run| run.first.0..run.end().0).all(|number| numbers.contains(&number))
    };
    cluster.log.until(&format!("{held:?} go to others after the offender {what}"), all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn garbage_on_a_subscription_ends_it_and_its_events_go_to_others() {
    let cluster = Cluster::start().await;
    let epoch = cluster.epoch;
    let cases: [(&str, &[u8], CloseCode); 4] = [
        ("sends garbage", b"\x07\0\0\0garbage", CloseCode::Malformed),
        ("sends a control frame", b"\x09\0\0\0\x04\0\0\0\0\0\0\0\0", CloseCode::WrongState),
        ("announces too long a frame", &[0xff; 4], CloseCode::FrameSize),
        (
            "acknowledges past the last number",
            &{
                let mut frame = [0; 37];
                frame[0] = 33;
                frame[4] = 0x11;
                frame[21] = 1;
                frame[25..33].fill(0xff);
                frame[33] = 5;
                frame
            },
            CloseCode::Malformed,
        ),
    ];
    for (what, bytes, code) in cases {
        let mut offender = cluster.offender().await;
        let mut stream = offender.subscribe("counter", epoch, 5).await;
        stream.send(&ask(epoch, 5, &[])).await;
        let held = stream.events().await;
        stream.send_raw(bytes).await;
        assert_eq!(stream.stopped().await, Some(code as u64), "{what}");
        taken_by_others(&cluster, what, &held).await;
        offender.assert_still_connected().await;
    }
    cluster.serves_on("garbage on subscriptions").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_events_of_a_peer_that_vanishes_go_to_others() {
    let cluster = Cluster::start().await;
    let offender = cluster.offender().await;
    let mut stream = offender.subscribe("counter", cluster.epoch, 50).await;
    stream.send(&ask(cluster.epoch, 50, &[])).await;
    let held = stream.events().await;
    offender.connection.close(0_u32.into(), b"");
    taken_by_others(&cluster, "vanishes", &held).await;
    cluster.serves_on("a lost peer").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn streams_that_say_nothing_are_closed_in_time_and_hold_up_nobody() {
    let cluster = Cluster::start().await;
    let mut offender = cluster.offender().await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        let mut stream = Stream::open(&offender.connection).await;
        // The node learns of a stream by its first byte.
        stream.send_raw(&[0]).await;
        silent.push(stream);
    }
    cluster.serves_on("silent streams").await;
    for stream in &mut silent {
        stream.assert_reset(CloseCode::WrongState, "a silent stream").await;
    }
    offender.assert_still_connected().await;
    let mut stream = offender.subscribe("counter", cluster.epoch, 5).await;
    stream.send(&ask(cluster.epoch, 5, &[])).await;
    assert!(!stream.events().await.is_empty(), "a good stream of the same peer is served afterwards");
}

fn claim(node: &str, epoch: Epoch, progress: u64) -> Claim {
    let name = counter_name();
    Claim { name, node: node.parse().unwrap(), boot: BootId(666), epoch, claimed_at_ms: 0, progress: Seq(progress) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_claim_in_anothers_name_is_ignored() {
    let cluster = Cluster::start().await;
    let mut offender = cluster.offender().await;
    let high = Epoch { lamport: 1000, tag: 0 };
    let claims = vec![claim("friend", high, 1 << 60), claim("good", high, 1 << 60), claim("nobody", high, 1 << 60)];
    offender.control.send(&Frame::Names(Names { candidates: Vec::new(), claims })).await;
    offender.assert_still_connected().await;
    cluster.serves_on("claims in others' names").await;
    let entries = cluster.log.entries();
    let conflict = entries.iter().find(|entry| matches!(entry, Entry::Event { event: NodeEvent::Conflict { .. }, .. }));
    assert!(conflict.is_none(), "{conflict:?}");
}

/// A member may own a name. Even one that claims the last epoch there is leaves a node that works.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_member_that_claims_the_highest_epoch_and_goes_is_succeeded() {
    let cluster = Cluster::start_alone().await;
    for (lamport, tag) in [(100, 0), (u32::MAX, u32::MAX)] {
        let mark = cluster.log.mark();
        let mut offender = cluster.offender().await;
        let claims = vec![claim("evil", Epoch { lamport, tag }, u64::MAX)];
        offender.control.send(&Frame::Names(Names { candidates: Vec::new(), claims })).await;
        let lost = |_: &str, event: &NodeEvent| match event {
            NodeEvent::Stopped { stage, .. } if stage.as_str() == "counter" => Some(()),
            _ => None,
        };
        cluster.log.event(mark, "the owner has lost", lost).await;
        let mark = cluster.log.mark();
        offender.connection.close(0_u32.into(), b"");
        let (_, epoch) = cluster.log.owner(mark).await;
        cluster.log.taken_by(mark, &["good"], epoch).await;
    }
}

/// As an owner, it gets what a consumer may refuse.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_owner_that_breaks_the_protocol_is_cancelled_by_its_consumers() {
    let cluster = Cluster::start_alone().await;
    let mark = cluster.log.mark();
    let mut offender = cluster.offender().await;
    let epoch = Epoch { lamport: 100, tag: 7 };
    let claims = vec![claim("evil", epoch, 1)];
    offender.control.send(&Frame::Names(Names { candidates: Vec::new(), claims })).await;
    let events = |epoch, count: u32| {
        let events = Batch::from_payloads((0..count).map(|number| number.to_string()));
        stage(epoch, Message::Events(Events { attempt: 1, runs: vec![SeqRun { first: Seq(0), count }], events }))
    };
    let other = Epoch { lamport: 99, tag: 7 };
    for (what, offence, expected) in [
        ("surplus", events(epoch, 6), "1 events more than asked for"),
        ("another epoch", events(other, 1), "stale epoch"),
    ] {
        // The sink of `good` subscribes, and again after each offence.
        let (send, receive) = bounded(offender.connection.accept_bi()).await.unwrap();
        let mut stream = Stream { send, receive };
        let Next::Frame(Frame::Stage(first)) = stream.next().await else { panic!("a Subscribe") };
        assert!(matches!(first.message, Message::Subscribe(_)) && first.epoch == epoch, "{first:?}");
        let Next::Frame(Frame::Stage(second)) = stream.next().await else { panic!("an Ask") };
        assert_eq!(second.message, Message::Ask { granted: 5, acked: Vec::new() });
        stream.send(&offence).await;
        let Next::Frame(Frame::Stage(answer)) = stream.next().await else { panic!("a Cancel") };
        let Message::Cancel(reason) = answer.message else { panic!("{answer:?}") };
        assert!(reason.to_string().contains(expected), "{what}: {reason}");
    }
    offender.connection.close(0_u32.into(), b"");
    let (_, epoch) = cluster.log.owner(mark).await;
    cluster.log.taken_by(mark, &["good"], epoch).await;
}
