//! Requests to stages, asked and answered by a member that does not keep to docs/wire.md.

use forebay_proto::calls::{Answer, Request};

use super::*;

fn request() -> Request {
    let (pipeline, stage) = ("numbers".parse().unwrap(), "counter".parse().unwrap());
    Request { pipeline, stage, within: Duration::from_secs(1), request: Bytes::from_static(b"{}") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_that_is_none_ends_its_stream_and_no_other() {
    let cluster = Cluster::start().await;
    let mut offender = cluster.offender().await;
    let good = wire::encode(&Frame::CallAsked(request()));
    let long = [&good[..], b"x"].concat();
    let huge = wire::encode(&Frame::CallAsked(Request { request: vec![0; (1 << 20) + 1].into(), ..request() }));
    let answer = wire::encode(&Frame::CallTold(Answer::Given(Bytes::new())));
    for (what, frame, code) in [
        ("no request", &b"\x0e"[..], CloseCode::Malformed),
        ("a name that is none", b"\x0e\x01/\x01s\x00\x00\x00\x00\x00\x00\x00\x00", CloseCode::Malformed),
        ("more than a minute", b"\x0e\x01p\x01s\xff\xff\xff\xff\x00\x00\x00\x00", CloseCode::Malformed),
        ("bytes left over", &long, CloseCode::Malformed),
        ("more than 1 MiB", &huge, CloseCode::Malformed),
        ("an answer to nothing", &answer, CloseCode::WrongState),
    ] {
        let mut stream = Stream::open(&offender.connection).await;
        stream.send_frame(frame).await;
        stream.assert_reset(code, what).await;
    }
    offender.assert_still_connected().await;
    cluster.serves_on("bad requests").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stages_are_asked_by_members_of_the_group_only() {
    for (world, agreement) in [(World::new(), Agreement::Islands), (World::of_quorum(), Agreement::Quorum)] {
        let cluster = Cluster::of(world).await;
        let mut offender = Offender::connect_to(&cluster, cluster.addr).await;
        offender.greet_as(VERSION, agreement).await;
        let mut stream = Stream::open(&offender.connection).await;
        stream.send(&Frame::CallAsked(request())).await;
        let Next::Frame(Frame::CallTold(Answer::NotMade(why))) = stream.next().await else { panic!("no answer") };
        let expected = match agreement {
            Agreement::Islands => "numbers/counter answers no requests: its plugin does not export `call`",
            Agreement::Quorum => "evil is no member of this group",
        };
        assert_eq!(why, expected);
    }
}
