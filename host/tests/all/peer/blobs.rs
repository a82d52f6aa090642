//! Blobs and a member that does not keep to the protocol: it is named, and gets nothing it may not have.

use forebay::node::NodeOptions;
use forebay_blobs::{BlobStore, FetchError, Progress, info_of};
use forebay_proto::blob::{Answer, BlobInfo, CHUNK_BYTES, Digest, Request};

use super::*;

fn told(answer: Answer) -> Vec<u8> {
    wire::encode(&Frame::BlobTold(answer)).to_vec()
}

/// A node alone with the offender, with an empty store.
async fn alone(cluster: &mut Cluster, data: &tempfile::TempDir) -> (SocketAddr, BlobStore) {
    let (transport, store) = (quic(&cluster.ca, "alone"), BlobStore::open(data.path()).unwrap());
    let addr = transport.local_addr();
    let options = cluster.world.options_on(Arc::new(transport), "alone", cluster.world.numbers(&Gate::open()));
    let (ping_interval, blobs) = (Duration::from_secs(5), Some(store.clone()));
    let join =
        if cluster.world.quorum.is_some() { vec![cluster.addr.to_string().parse().unwrap()] } else { Vec::new() };
    let agreement = cluster.world.agreement("alone", join.len());
    let options = NodeOptions { join, agreement, ping_interval, blobs, pipelines: Vec::new(), ..options };
    cluster.nodes.push(Node::start(options));
    (addr, store)
}

/// What becomes of a fetch when the only peer answers each request with the frame for its kind; `None`: as a release
/// that does not know it.
async fn fetched(cluster: &Cluster, offender: &Offender, info: &BlobInfo, list: &[u8], chunk: Option<&[u8]>) -> String {
    let blobs = cluster.nodes.last().unwrap().blobs().unwrap();
    let answering = async {
        while let Ok((send, receive)) = offender.connection.accept_bi().await {
            let mut stream = Stream { send, receive };
            let frame = match stream.next().await {
                Next::Frame(Frame::BlobAsked(Request::List { .. })) => Some(list),
                Next::Frame(Frame::BlobAsked(Request::Chunk { .. })) => chunk,
                other => panic!("{other:?}"),
            };
            match frame {
                Some(frame) => stream.send_frame(frame).await,
                None => stream.send.reset(quinn::VarInt::from_u32(CloseCode::Malformed as u32)).unwrap(),
            }
        }
    };
    let progress = Progress::default();
    let fetched = tokio::select! {
        fetched = bounded(blobs.obtain(info, &progress)) => fetched,
        () = answering => panic!("the connection ended"),
    };
    match fetched {
        Err(FetchError::NoSource { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_no_part_of_the_blob_is_not_taken() {
    let bytes = vec![7; CHUNK_BYTES as usize + 10];
    let info = info_of(&bytes);
    let chunks: Vec<_> = bytes.chunks(CHUNK_BYTES as usize).map(forebay_blobs::digest_of).collect();
    let (good, refused) = (told(Answer::List(chunks)), told(Answer::Refused("no\n".to_owned())));
    let chunk = |length: u64| told(Answer::Chunk(vec![8; length as usize].into()));
    let other = told(Answer::List(vec![Digest([1; 32])]));
    let pong = wire::encode(&Frame::Pong(1)).to_vec();
    for (what, list, answer, why) in [
        ("another list", &other, Some(chunk(1)), "cannot be believed: what it gave is sha256:"),
        ("an endless list", &told(Answer::List(vec![Digest([1; 32]); 257])), None, "the answer cannot be read"),
        ("a chunk for a list", &chunk(3), None, "the answer is one to another request"),
        ("other bytes", &good, Some(chunk(CHUNK_BYTES)), "cannot be believed: what it gave is sha256:"),
        ("no bytes", &good, Some(chunk(0)), "no chunk has the length of this one"),
        ("too many bytes", &good, Some(chunk(CHUNK_BYTES + 1)), "the answer cannot be read"),
        ("a list for a chunk", &good, Some(good.clone()), "the answer is one to another request"),
        ("another frame", &good, Some(pong), "answered with something else"),
        ("a refusal", &good, Some(refused), "refused: no\\n"),
        ("it has none", &good, Some(told(Answer::Missing)), "does not have it"),
        ("an older release", &good, None, "it may be of an older release"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let mut cluster = Cluster::start_alone().await;
        let (addr, store) = alone(&mut cluster, &data).await;
        let mut offender = Offender::connect_to(&cluster, addr).await;
        offender.greet(VERSION).await;
        offender.assert_still_connected().await;
        let told = fetched(&cluster, &offender, &info, list, answer.as_deref()).await;
        assert!(told.starts_with("evil: ") && told.contains(why), "{what}: {told}");
        assert!(!store.has(&info.digest));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_for_no_blob_ends_its_stream_and_no_other() {
    let mut cluster = Cluster::start_alone().await;
    let data = tempfile::tempdir().unwrap();
    let (addr, _) = alone(&mut cluster, &data).await;
    let mut offender = Offender::connect_to(&cluster, addr).await;
    offender.greet(VERSION).await;
    for (what, frame, code) in [
        ("no request", &b"\x0a"[..], CloseCode::Malformed),
        ("an unknown request", b"\x0a\x03", CloseCode::Malformed),
        ("half a digest", b"\x0a\x01half", CloseCode::Malformed),
        ("an answer to nothing", &told(Answer::Missing), CloseCode::WrongState),
    ] {
        let mut stream = Stream::open(&offender.connection).await;
        stream.send_frame(frame).await;
        stream.assert_reset(code, what).await;
    }
    offender.assert_still_connected().await;
}

async fn asked(offender: &Offender, request: Request) -> Answer {
    let mut stream = Stream::open(&offender.connection).await;
    stream.send(&Frame::BlobAsked(request)).await;
    match stream.next().await {
        Next::Frame(Frame::BlobTold(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn blobs_are_for_members_of_the_group_only() {
    for (world, agreement) in [(World::new(), Agreement::Islands), (World::of_quorum(), Agreement::Quorum)] {
        let mut cluster = Cluster::of(world).await;
        let data = tempfile::tempdir().unwrap();
        let (addr, store) = alone(&mut cluster, &data).await;
        let info = store.put(Bytes::from_static(b"secret")).await.unwrap();
        let up = |node: &str, event: &NodeEvent| {
            (node == "alone" && matches!(event, NodeEvent::PeerUp(peer) if peer.as_str() == "good")).then_some(())
        };
        if agreement == Agreement::Quorum {
            cluster.log.event(0, "it has joined", up).await;
        }
        let mut offender = Offender::connect_to(&cluster, addr).await;
        offender.greet_as(VERSION, agreement).await;
        let digest = info.digest;
        for (request, right) in [
            (Request::List { digest }, Answer::List(vec![digest])),
            (Request::Chunk { digest, index: 0 }, Answer::Chunk(Bytes::from_static(b"secret"))),
            (Request::List { digest: Digest([1; 32]) }, Answer::Missing),
        ] {
            let answer = asked(&offender, request).await;
            match agreement {
                Agreement::Islands => assert_eq!(answer, right),
                Agreement::Quorum => assert_eq!(answer, Answer::Refused("evil is no member of this group".to_owned())),
            }
        }
        if agreement == Agreement::Islands {
            let beyond = asked(&offender, Request::Chunk { digest, index: u64::MAX }).await;
            assert!(matches!(&beyond, Answer::Refused(why) if why.contains("has 1 chunks")), "{beyond:?}");
        }
    }
}
