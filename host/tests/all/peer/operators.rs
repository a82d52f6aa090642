//! Operators over the network: what a node answers them, and what neither they nor nodes may ask.

use forebay::node::admin::{INGEST_LINE_BYTES_MAX, LINE_BYTES_MAX};
use forebay_proto::{blob, calls, ids::OperatorName, letters};
use serde_json::Value;

use super::*;

/// The operator `ann`, who can send anything.
struct Operator {
    connection: quinn::Connection,
    _endpoint: quinn::Endpoint,
}

impl Operator {
    async fn connect(cluster: &Cluster) -> Self {
        let name: OperatorName = "ann".parse().unwrap();
        let identity = cluster.ca.issue_operator(&name, NODE_VALIDITY).unwrap();
        let proof = (identity.credentials().certificate().clone(), identity.credentials().key().clone_key());
        let endpoint = raw_client(Some(proof), b"forebay/1");
        let connection = endpoint.connect(cluster.addr, "x.cluster.forebay").unwrap().await.unwrap();
        connection.accept_uni().await.unwrap();
        Self { connection, _endpoint: endpoint }
    }

    /// Sends a line; gives what is answered.
    async fn ask(&self, line: &[u8]) -> Value {
        let mut stream = Stream::open(&self.connection).await;
        stream.send(&Frame::AdminAsked(line.to_vec().into())).await;
        told(&mut stream).await
    }

    async fn status(&self) -> Value {
        self.ask(br#"{"version":1,"request":"status"}"#).await["answer"]["status"].take()
    }
}

async fn told(stream: &mut Stream) -> Value {
    let mut text = Vec::new();
    loop {
        match stream.next().await {
            Next::Frame(Frame::AdminTold { more, part }) => {
                text.extend_from_slice(&part);
                if !more {
                    assert!(matches!(stream.next().await, Next::End));
                    return serde_json::from_slice(&text).unwrap();
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_operator_is_answered_and_is_no_peer() {
    let mut cluster = Cluster::start_alone().await;
    let operator = Operator::connect(&cluster).await;
    let status = operator.status().await;
    assert_eq!((&status["node"], &status["agreement"]), (&"good".into(), &"islands".into()));
    assert_eq!(status["peers"], Value::Array(Vec::new()), "it is counted in nothing");
    // Neither a Hello nor names nor pings, which a peer gets at once.
    let said = tokio::time::timeout(Duration::from_millis(700), operator.connection.accept_bi()).await;
    assert!(said.is_err(), "{said:?}");
    // Nor are others told of it.
    cluster.add("friend", &[cluster.addr]);
    cluster.log.taken_by(0, &["good", "friend"], cluster.epoch).await;
    let status = operator.status().await;
    assert_eq!(status["peers"].as_array().unwrap().len(), 1, "{status:#}");
    let met =
        cluster.log.entries().into_iter().find(
            |entry| matches!(entry, Entry::Event { event: NodeEvent::PeerUp(peer), .. } if peer.as_str() == "ann"),
        );
    assert!(met.is_none(), "{met:?}");
    // What the node refuses it refuses as on its socket.
    let answer = operator.ask(br#"{"version":1,"request":{"drain":{"node":"x","drain":true}}}"#).await;
    assert!(answer["answer"]["error"].is_string(), "{answer}");
    drop(cluster.nodes.remove(0));
    bounded(operator.connection.closed()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_operator_may_not_open_what_peers_open() {
    let cluster = Cluster::start_alone().await;
    let operator = Operator::connect(&cluster).await;
    let hello =
        Hello { version: VERSION, boot: BootId(1), agreement: Agreement::Islands, advertise: None, group: None };
    let list = letters::Request::List { pipeline: None, stage: None, after: None };
    let (pipeline, stage) = ("p".parse().unwrap(), "s".parse().unwrap());
    let call = calls::Request { pipeline, stage, within: Duration::ZERO, request: Bytes::new() };
    let tap = forebay_proto::taps::Request {
        name: counter_name(),
        kinds: forebay_proto::taps::Kinds::ALL,
        at: forebay_proto::taps::Cursor::default(),
        wait: Duration::ZERO,
    };
    for frame in [
        Frame::Hello(hello),
        Frame::Names(Names::default()),
        Frame::Ping(1),
        Frame::Agreement(Bytes::from_static(b"\x01\x01")),
        Frame::LettersAsked(list),
        Frame::CallAsked(call),
        Frame::TapAsked(tap),
        Frame::BlobAsked(blob::Request::List { digest: blob::Digest([1; 32]) }),
        subscribe("counter", cluster.epoch, 10),
        Frame::AdminTold { more: false, part: Bytes::from_static(b"{}") },
    ] {
        let mut stream = Stream::open(&operator.connection).await;
        stream.send(&frame).await;
        stream.assert_reset(CloseCode::WrongState, &format!("{frame:?}")).await;
    }
    let mut stream = Stream::open(&operator.connection).await;
    stream.send_frame(b"\x0c").await;
    stream.assert_reset(CloseCode::Malformed, "an empty line").await;
    assert_eq!(operator.status().await["node"], "good", "nothing else is harmed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lines_that_cannot_be_read_are_answered_with_the_reason_as_on_the_socket() {
    let cluster = Cluster::start_alone().await;
    let operator = Operator::connect(&cluster).await;
    let long = |start: &[u8], length: usize| {
        let mut line = start.to_vec();
        line.resize(length, b'x');
        line
    };
    let events = br#"{"version":1,"request":{"ingest":""#;
    for (line, why) in [
        (b"[]".to_vec(), "no `version`"),
        (br#"{"version":2,"request":"status"}"#.to_vec(), "not 2; use the `forebay` that runs the node"),
        (long(b"{", LINE_BYTES_MAX), "cannot be read"),
        (long(b"{", LINE_BYTES_MAX + 1), "a line has at most 65536 bytes"),
        (long(events, INGEST_LINE_BYTES_MAX), "cannot be read"),
        (long(events, INGEST_LINE_BYTES_MAX + 1), "at most 2097152 bytes; send fewer events in one"),
        (long(events, FRAME_BYTES_MAX as usize - 1), "at most 2097152 bytes"),
    ] {
        let answer = operator.ask(&line).await;
        let told = answer["answer"]["error"].as_str().unwrap_or_default();
        assert!(told.contains(why), "{} bytes: {answer}", line.len());
    }
    assert_eq!(operator.status().await["node"], "good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_operator_has_eight_places_on_all_connections_and_others_their_own() {
    let cluster = Cluster::start_alone().await;
    let [one, other] = [Operator::connect(&cluster).await, Operator::connect(&cluster).await];
    // The beginning of a frame, whose end does not come.
    let mut silent = Vec::new();
    for _ in 0..8 {
        let mut stream = Stream::open(&one.connection).await;
        stream.send_raw(b"\x05\0\0\0\x0c").await;
        silent.push(stream);
    }
    // What comes first on the wire is taken first.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let waits = tokio::time::timeout(Duration::from_millis(500), other.status()).await;
    assert!(waits.is_err(), "a ninth is answered: {waits:?}");
    let mut freed = silent.remove(0);
    freed.send_raw(b"true").await;
    assert!(told(&mut freed).await["answer"]["error"].is_string());
    assert_eq!(bounded(other.status()).await["node"], "good");
    // Those that say nothing more lose their places.
    for mut stream in silent {
        stream.assert_reset(CloseCode::WrongState, "no first frame").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_certificate_of_a_node_gives_no_orders() {
    let cluster = Cluster::start().await;
    let mut offender = cluster.offender().await;
    for line in [&br#"{"version":1,"request":"status"}"#[..], b"{}"] {
        let mut stream = Stream::open(&offender.connection).await;
        stream.send(&Frame::AdminAsked(line.to_vec().into())).await;
        stream.assert_reset(CloseCode::WrongState, "an order of a node").await;
    }
    offender.assert_still_connected().await;
    cluster.serves_on("orders of a node").await;
    // Nor before it has said Hello.
    let mut hasty = Offender::connect(&cluster).await;
    hasty.control.send(&Frame::AdminAsked(Bytes::from_static(b"{}"))).await;
    let (code, reason) = hasty.closed().await;
    assert_eq!(code, CloseCode::WrongState as u64, "{reason}");
}
