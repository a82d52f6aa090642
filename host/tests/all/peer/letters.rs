//! Dead letters, asked for and answered by a member that does not keep to docs/wire.md.

use std::time::Instant;

use forebay::{
    dlq::{Bounds, DeadLetters},
    node::admin::wire::{AboutLetters, LettersAsked, LettersQuestion},
};
use forebay_proto::letters::{Answer, LetterId, Line, Outcome, Part, Request};

use super::*;
use crate::dlq::letter;

fn list() -> LettersQuestion {
    LettersQuestion::List { pipeline: None, stage: None, after: Some(7) }
}

fn line(id: u64) -> Line {
    Line {
        id: LetterId(id),
        at_ms: 1,
        pipeline: "p".parse().unwrap(),
        stage: "s".parse().unwrap(),
        source: "s".parse().unwrap(),
        epoch: Epoch::default(),
        seq: Seq(0),
        attempts: 1,
        payload_bytes: 1,
        reason: "odd".to_owned(),
    }
}

fn page(ids: impl IntoIterator<Item = u64>, more: bool) -> Vec<u8> {
    told(Answer::Page { letters: ids.into_iter().map(line).collect(), more })
}

fn told(answer: Answer) -> Vec<u8> {
    wire::encode(&Frame::LettersTold(answer)).to_vec()
}

/// What a node makes of this answer of its peer.
async fn answered(
    cluster: &Cluster,
    offender: &Offender,
    question: LettersQuestion,
    frame: Option<&[u8]>,
) -> Result<AboutLetters, String> {
    let desk = cluster.nodes[0].desk();
    let asked = desk.dead_letters(LettersAsked { node: Some("evil".to_owned()), question });
    let answering = async {
        // A node asks for nothing else; subscriptions go to owners.
        let (send, receive) = bounded(offender.connection.accept_bi()).await.unwrap();
        let mut stream = Stream { send, receive };
        assert!(matches!(stream.next().await, Next::Frame(Frame::LettersAsked(_))));
        match frame {
            Some(frame) => stream.send_frame(frame).await,
            None => stream.send.reset(quinn::VarInt::from_u32(CloseCode::Malformed as u32)).unwrap(),
        }
        stream
    };
    let (answer, _stream) = tokio::join!(bounded(asked), answering);
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_answer_that_is_none_is_not_believed() {
    let cluster = Cluster::start().await;
    let offender = cluster.offender().await;
    let good = page([8, 9], true);
    let answer = answered(&cluster, &offender, list(), Some(&good)).await;
    assert!(matches!(&answer, Ok(AboutLetters::Page(page)) if page.letters[0].node == "evil"), "{answer:?}");
    let outcomes = |ids: &[u64]| told(Answer::Outcomes(ids.iter().map(|id| (LetterId(*id), Outcome::Done)).collect()));
    let part = |event_bytes| {
        let part = Bytes::from_static(b"x");
        told(Answer::Part(Part { letter: line(7), reason: String::new(), event_bytes, part }))
    };
    let show = || LettersQuestion::Show { id: 7, from: 0 };
    let drop = || LettersQuestion::Drop { ids: vec![7] };
    for (what, question, frame, why) in [
        ("a page that never ends", list(), page([7], true), "the page does not go on"),
        ("a page of nothing", list(), page([], true), "the page does not go on"),
        ("a page in no order", list(), page([9, 8], false), "the page does not go on"),
        ("a page too long", list(), page(8..209, false), "letters of a page"),
        ("an event without end", show(), part(u64::MAX), "the part is not the one"),
        ("another event", LettersQuestion::Show { id: 8, from: 0 }, part(1), "the part is not the one"),
        ("another letter", drop(), outcomes(&[8]), "outcomes are of other letters"),
        ("more letters", drop(), outcomes(&[7, 8]), "outcomes are of other letters"),
        ("another answer", drop(), page([], false), "the answer is one to another request"),
        ("another frame", list(), wire::encode(&Frame::Ping(1)).to_vec(), "answered with something else"),
        ("garbage", list(), b"\x08\x01\x02".to_vec(), "the answer cannot be read"),
        ("bytes left over", list(), [&good[..], b"x"].concat(), "the answer cannot be read"),
    ] {
        let told = answered(&cluster, &offender, question, Some(&frame)).await.expect_err(what);
        assert!(told.starts_with("evil") && told.contains(why), "{what}: {told}");
    }
    let told = answered(&cluster, &offender, list(), None).await.unwrap_err();
    assert!(told.contains("it may be of an older release"), "{told}");
    cluster.serves_on("bad answers").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_does_not_answer_is_waited_for_a_few_seconds() {
    let cluster = Cluster::start_alone().await;
    let _offender = cluster.offender().await;
    let began = Instant::now();
    let asked = LettersAsked { node: Some("evil".to_owned()), question: list() };
    let told = bounded(cluster.nodes[0].desk().dead_letters(asked)).await.unwrap_err();
    assert_eq!(told, "evil did not answer within 3 s");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_that_is_none_ends_its_stream_and_no_other() {
    let cluster = Cluster::start().await;
    let mut offender = cluster.offender().await;
    let ids = |count: u64| (0..count).map(LetterId).collect();
    let resend = wire::encode(&Frame::LettersAsked(Request::Resend(ids(101))));
    let drop = wire::encode(&Frame::LettersAsked(Request::Drop(ids(1001))));
    let answer = told(Answer::Refused("no".to_owned()));
    for (what, frame, code) in [
        ("no request", &b"\x07"[..], CloseCode::Malformed),
        ("an unknown request", b"\x07\x05", CloseCode::Malformed),
        ("a name that is none", b"\x07\x01\x01\x01/\x00\x00", CloseCode::Malformed),
        ("bytes left over", b"\x07\x01\x00\x00\x00\x00", CloseCode::Malformed),
        ("too many to resend", &resend, CloseCode::Malformed),
        ("too many to drop", &drop, CloseCode::Malformed),
        ("an answer to nothing", &answer, CloseCode::WrongState),
    ] {
        let mut stream = Stream::open(&offender.connection).await;
        stream.send_frame(frame).await;
        stream.assert_reset(code, what).await;
    }
    offender.assert_still_connected().await;
    cluster.serves_on("bad requests").await;
}

/// Asks as a member in good standing does.
async fn ask_for_all(offender: &Offender) -> Answer {
    let mut stream = Stream::open(&offender.connection).await;
    stream.send(&Frame::LettersAsked(Request::List { pipeline: None, stage: None, after: None })).await;
    match stream.next().await {
        Next::Frame(Frame::LettersTold(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn letters_are_for_members_of_the_group_only() {
    for (world, agreement) in [(World::new(), Agreement::Islands), (World::of_quorum(), Agreement::Quorum)] {
        let mut cluster = Cluster::of(world).await;
        let letters = DeadLetters::in_memory(Bounds::default());
        letters.put(vec![letter("s", 1, b"secret")]).await.unwrap();
        let addr = cluster.add_with("other", &[cluster.addr], letters);
        cluster.log.taken_by(0, &["good", "other"], cluster.epoch).await;
        let mut offender = Offender::connect_to(&cluster, addr).await;
        offender.greet_as(VERSION, agreement).await;
        match (agreement, ask_for_all(&offender).await) {
            (Agreement::Islands, Answer::Page { letters, more: false }) => assert_eq!(letters.len(), 1),
            (Agreement::Quorum, Answer::Refused(why)) => assert_eq!(why, "evil is no member of this group"),
            (_, other) => panic!("{agreement:?}: {other:?}"),
        }
    }
}
