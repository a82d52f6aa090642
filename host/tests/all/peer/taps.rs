//! Requests for the events of stages, made by a member that does not keep to docs/wire.md.

use forebay_proto::taps::{Answer, Cursor, Kinds, Request};

use super::*;

fn request() -> Request {
    Request { name: counter_name(), kinds: Kinds::ALL, at: Cursor::default(), wait: Duration::ZERO }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_for_events_that_is_none_ends_its_stream_and_no_other() {
    let cluster = Cluster::start().await;
    let mut offender = cluster.offender().await;
    let good = wire::encode(&Frame::TapAsked(request()));
    let long = [&good[..], b"x"].concat();
    let with = |from_end: usize, byte: u8| {
        let mut bytes = good.to_vec();
        let at = bytes.len() - from_end;
        bytes[at] = byte;
        bytes
    };
    let answer = wire::encode(&Frame::TapTold(Answer::Refused("no".to_owned())));
    for (what, frame, code) in [
        ("no request", &b"\x20"[..], CloseCode::Malformed),
        ("kinds that there are not", &with(21, 8), CloseCode::Malformed),
        ("more than 2 s", &with(1, 1), CloseCode::Malformed),
        ("bytes left over", &long, CloseCode::Malformed),
        ("an answer to nothing", &answer, CloseCode::WrongState),
    ] {
        let mut stream = Stream::open(&offender.connection).await;
        stream.send_frame(frame).await;
        stream.assert_reset(code, what).await;
    }
    let mut stream = Stream::open(&offender.connection).await;
    stream.send_frame(&good).await;
    let Next::Frame(Frame::TapTold(Answer::Page(page))) = stream.next().await else { panic!("no answer") };
    assert_eq!(page.about.unwrap().epoch, cluster.epoch);
    offender.assert_still_connected().await;
    cluster.serves_on("bad requests").await;
}

/// A peer that asks for more at a time than it may is put off, and slows nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_requests_of_one_peer_are_answered_at_a_time() {
    let cluster = Cluster::start().await;
    let offender = cluster.offender().await;
    // States are none: so these wait.
    let mut stream = Stream::open(&offender.connection).await;
    stream.send(&Frame::TapAsked(request())).await;
    let Next::Frame(Frame::TapTold(Answer::Page(page))) = stream.next().await else { panic!("no answer") };
    let waits = Request { kinds: Kinds::STATES, at: page.at, wait: Duration::from_secs(2), ..request() };
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = Stream::open(&offender.connection).await;
        stream.send(&Frame::TapAsked(waits.clone())).await;
        streams.push(stream);
    }
    let (mut pages, mut put_off) = (0, 0);
    for mut stream in streams {
        match stream.next().await {
            Next::Frame(Frame::TapTold(Answer::Page(_))) => pages += 1,
            Next::Frame(Frame::TapTold(Answer::NotHere(why))) if why.contains("too many requests") => put_off += 1,
            other => panic!("{other:?}"),
        }
    }
    // The place of the first request may be given back a moment after its answer.
    assert!((7..=8).contains(&pages) && pages + put_off == 20, "{pages} pages, {put_off} put off");
    cluster.serves_on("many requests").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_are_shown_to_members_of_the_group_only() {
    for (world, agreement) in [(World::new(), Agreement::Islands), (World::of_quorum(), Agreement::Quorum)] {
        let cluster = Cluster::of(world).await;
        let mut offender = Offender::connect_to(&cluster, cluster.addr).await;
        offender.greet_as(VERSION, agreement).await;
        let mut stream = Stream::open(&offender.connection).await;
        stream.send(&Frame::TapAsked(request())).await;
        let Next::Frame(Frame::TapTold(answer)) = stream.next().await else { panic!("no answer") };
        match agreement {
            Agreement::Islands => assert!(matches!(answer, Answer::Page(_)), "{answer:?}"),
            Agreement::Quorum => assert_eq!(answer, Answer::Refused("evil is no member of this group".to_owned())),
        }
    }
}
