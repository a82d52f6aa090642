//! Requests for the events of stages, made by a member that does not keep to docs/wire.md.

use forebay::node::admin::{Tap, Tapped};
use forebay_proto::taps::{Answer, Counts, Cursor, Entry, Given, Kinds, Numbered, Page, Request};

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

/// What a node makes of this answer of its peer.
async fn answered(cluster: &Cluster, offender: &Offender, frame: Option<&[u8]>) -> Result<Tapped, String> {
    let desk = cluster.nodes[0].desk();
    let (stage, node) = ("sink".to_owned(), Some("evil".to_owned()));
    let asked = desk.tap(Tap { stage, node, kinds: Kinds::GIVEN.bits(), run: 7, next: 5, wait_ms: 0 });
    let answering = async {
        let (send, receive) = bounded(offender.connection.accept_bi()).await.unwrap();
        let mut stream = Stream { send, receive };
        assert!(matches!(stream.next().await, Next::Frame(Frame::TapAsked(_))));
        match frame {
            Some(frame) => stream.send_frame(frame).await,
            None => stream.send.reset(quinn::VarInt::from_u32(CloseCode::Malformed as u32)).unwrap(),
        }
        stream
    };
    bounded(async { tokio::join!(asked, answering) }).await.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_peer_that_tells_what_it_was_not_asked_is_not_believed() {
    let cluster = Cluster::start().await;
    let offender = cluster.offender().await;
    let page = |run, next, entry| {
        let entries = vec![Numbered { before: Counts::default(), entry }];
        let page = Page { at: Cursor { run, next }, about: None, entries };
        wire::encode(&Frame::TapTold(Answer::Page(Box::new(page))))
    };
    let good = page(7, 6, Entry::Given(Given::Tick));
    let told = answered(&cluster, &offender, Some(&good)).await;
    assert!(matches!(&told, Ok(Tapped::Page { node, stage, .. }) if node == "evil" && stage == "numbers/sink"));
    for (frame, why) in [
        (page(8, 6, Entry::Given(Given::Tick)), "evil cannot be believed: the page is of another run"),
        (page(7, 4, Entry::Given(Given::Tick)), "evil cannot be believed: the page goes back"),
        (page(7, 6, Entry::State(Bytes::new())), "evil cannot be believed: the page has entries that were not asked"),
    ] {
        let told = answered(&cluster, &offender, Some(&frame)).await.unwrap_err();
        assert!(told.starts_with(why), "{told}");
    }
    let told = answered(&cluster, &offender, None).await.unwrap_err();
    assert!(told.starts_with("evil does not understand what it is asked; it may be of an older release"), "{told}");
    for (frame, why) in [
        (&b"\x21\x01"[..], "the answer cannot be read"),
        (&wire::encode(&Frame::Ping(1))[..], "answered with something else"),
    ] {
        let told = answered(&cluster, &offender, Some(frame)).await;
        assert!(matches!(&told, Ok(Tapped::NotThere(told)) if told.contains(why)), "{told:?}");
    }
    cluster.serves_on("bad answers").await;
}
