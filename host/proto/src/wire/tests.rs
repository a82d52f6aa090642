//! Golden bytes of every frame (the examples of `docs/wire.md`), and what a hostile peer may send.

use proptest::prelude::*;

use std::time::Duration;

use super::*;
use crate::{
    batch::{Batch, Columns},
    blob::{CHUNK_BYTES, CHUNKS_MAX, Digest},
    letters::{DROP_MAX, LetterId, Line, Outcome, PAGE_LETTERS, PART_BYTES, Part, RESEND_MAX, tests::line},
    message::{Demand, Events, Reason, SeqRun, Subscribe},
    pipeline::Limits,
    select::{Deliver, InstanceId, Selection},
    stage::{Rejected, Role},
    taps::{About, Answered, Counts, Cursor, ENTRIES_MAX, Entry, Given, Kinds, Numbered, Page, WAIT_MAX},
};

const EPOCH: Epoch = Epoch { lamport: 2, tag: 0xabcd };

fn stage(message: Message) -> Frame {
    Frame::Stage(Envelope { epoch: EPOCH, message })
}

fn run(first: u64, count: u32) -> SeqRun {
    SeqRun { first: Seq(first), count }
}

fn name() -> GlobalName {
    GlobalName { pipeline: "counter".parse().unwrap(), stage: "c".parse().unwrap() }
}

fn claim() -> Claim {
    Claim {
        name: name(),
        node: "a".parse().unwrap(),
        boot: BootId(7),
        epoch: EPOCH,
        claimed_at_ms: 1000,
        progress: Seq(9),
    }
}

fn rich_batch() -> Batch {
    let columns = Columns {
        payloads: b"abc".to_vec(),
        ends: vec![1, 3],
        topics: vec!["t".into()],
        topic_of: vec![0, 0],
        keys: b"k".to_vec(),
        key_ends: vec![0, 1],
        headers: vec![(1, "h".into(), "v".into())],
    };
    Batch::new(columns, &BatchLimits::default()).unwrap()
}

/// (its name in the document, the frame, its bytes as in the document)
fn golden() -> Vec<(&'static str, Frame, &'static str)> {
    let subscribe = Subscribe::new(
        "counter".parse().unwrap(),
        "c".parse().unwrap(),
        "p".parse().unwrap(),
        InstanceId::first_on("b".parse().unwrap()),
        Demand::new(5, Some(0)).unwrap(),
    );
    let choosy = Subscribe {
        instance: InstanceId { number: 2, ..subscribe.instance.clone() },
        select: Selection {
            deliver: Deliver::Shared,
            topics: vec!["a.*".parse().unwrap(), "b".parse().unwrap()],
            partitions: vec!["0".parse().unwrap(), "odd".parse().unwrap()],
        },
        ..subscribe.clone()
    };
    let bare = Events { attempt: 1, runs: vec![run(10, 2)], events: Batch::from_payloads(["1010", "1011"]) };
    let rich = Events { attempt: 2, runs: vec![run(3, 1), run(8, 1)], events: rich_batch() };
    let hello = Hello {
        version: 1,
        boot: BootId(7),
        agreement: Agreement::Islands,
        advertise: Some("127.0.0.1:7440".parse().unwrap()),
        group: None,
    };
    let quorum = Hello { agreement: Agreement::Quorum, group: Some(GroupId(0x1234)), advertise: None, ..hello.clone() };
    let member = Member { node: "b".parse().unwrap(), addr: "[::1]:7441".parse().unwrap() };
    vec![
        ("hello", Frame::Hello(hello), "01 0100 0700000000000000 00 01 04 7f000001 101d 00"),
        (
            "hello of a group",
            Frame::Hello(quorum),
            "01 0100 0700000000000000 01 00 01 34120000000000000000000000000000",
        ),
        ("agreement", Frame::Agreement(Bytes::from_static(b"\x01\x05")), "06 0105"),
        ("members", Frame::Members(vec![member]), "02 01000000 01 62 06 00000000000000000000000000000001 111d"),
        (
            "names",
            Frame::Names(Names { candidates: vec![name()], claims: vec![claim()] }),
            "03 01000000 07 636f756e746572 01 63 \
             01000000 07 636f756e746572 01 63 01 61 0700000000000000 cdab000002000000 e803000000000000 0900000000000000",
        ),
        ("ping", Frame::Ping(1), "04 0100000000000000"),
        ("pong", Frame::Pong(1), "05 0100000000000000"),
        (
            "checkpoint",
            Frame::Checkpoint(Checkpoint {
                name: name(),
                epoch: EPOCH,
                seq: Seq(9),
                snapshot: Bytes::from_static(b"nine"),
            }),
            "09 07 636f756e746572 01 63 cdab000002000000 0900000000000000 04000000 6e696e65",
        ),
        (
            "subscribe",
            stage(Message::Subscribe(subscribe)),
            "10 cdab000002000000 07 636f756e746572 01 63 01 70 01 62 05000000 00000000 00",
        ),
        (
            "subscribe with every wish",
            stage(Message::Subscribe(choosy)),
            "10 cdab000002000000 07 636f756e746572 01 63 01 70 01 62 05000000 00000000 0f 02000000 \
             02000000 03000000 612e2a 01000000 62 02000000 01 30 03 6f6464",
        ),
        (
            "ask",
            stage(Message::Ask { granted: 15, acked: vec![run(10, 5)] }),
            "11 cdab000002000000 0f00000000000000 01000000 0a00000000000000 05000000",
        ),
        (
            "events",
            stage(Message::Events(bare)),
            "12 cdab000002000000 01000000 01000000 0a00000000000000 02000000 \
             00 02000000 08000000 04000000 08000000 31303130 31303131",
        ),
        (
            "events with every column",
            stage(Message::Events(rich)),
            "12 cdab000002000000 02000000 02000000 0300000000000000 01000000 0800000000000000 01000000 \
             07 02000000 03000000 01000000 03000000 616263 01000000 01000000 74 0000 0000 \
             01000000 00000000 01000000 6b 01000000 01000000 01000000 68 01000000 76",
        ),
        (
            "retry",
            stage(Message::Retry { after: Duration::from_millis(200), runs: vec![run(10, 1)] }),
            "14 cdab000002000000 c8000000 01000000 0a00000000000000 01000000",
        ),
        (
            "processed",
            stage(Message::Processed { runs: vec![run(10, 5)] }),
            "15 cdab000002000000 01000000 0a00000000000000 05000000",
        ),
        (
            "cancel",
            stage(Message::Cancel(Reason::Shutdown(Some("closing".into())))),
            "13 cdab000002000000 02 07000000 636c6f73696e67",
        ),
    ]
    .into_iter()
    .chain(golden_letters())
    .chain(golden_blobs())
    .chain(golden_admin())
    .chain(golden_calls())
    .chain(golden_taps())
    .collect()
}

fn golden_letters() -> Vec<(&'static str, Frame, &'static str)> {
    let all = LettersRequest::List { pipeline: None, stage: None, after: None };
    let some = LettersRequest::List {
        pipeline: Some("counter".parse().unwrap()),
        stage: Some("p".parse().unwrap()),
        after: Some(LetterId(7)),
    };
    let part = Part { letter: line(7), reason: "odd\n".into(), event_bytes: 17, part: Bytes::from_static(b"\0\x01") };
    let outcomes = [(7, Outcome::Done), (8, Outcome::Unknown), (9, Outcome::Refused("full".into()))];
    let asked = |what, request, bytes| (what, Frame::LettersAsked(request), bytes);
    let told = |what, answer, bytes| (what, Frame::LettersTold(answer), bytes);
    vec![
        asked("letters asked: all", all, "07 01 00 00 00"),
        asked("letters asked: some", some, "07 01 01 07 636f756e746572 01 01 70 01 0700000000000000"),
        asked(
            "letters asked: one",
            LettersRequest::Show { id: LetterId(7), from: 2 },
            "07 02 0700000000000000 0200000000000000",
        ),
        asked(
            "letters asked: resend",
            LettersRequest::Resend(vec![LetterId(7), LetterId(8)]),
            "07 03 02000000 0700000000000000 0800000000000000",
        ),
        asked("letters asked: drop", LettersRequest::Drop(vec![LetterId(7)]), "07 04 01000000 0700000000000000"),
        told("letters told: refused", LettersAnswer::Refused("no".into()), "08 00 02000000 6e6f"),
        told(
            "letters told: a page",
            LettersAnswer::Page { letters: vec![line(7)], more: true },
            "08 01 01 01000000 0700000000000000 e803000000000000 07 636f756e746572 01 70 01 63 cdab000002000000 0900000000000000 05000000 0400000000000000 03000000 6f6464",
        ),
        told(
            "letters told: a part",
            LettersAnswer::Part(part),
            "08 02 0700000000000000 e803000000000000 07 636f756e746572 01 70 01 63 cdab000002000000 0900000000000000 05000000 0400000000000000 03000000 6f6464 \
             04000000 6f64640a 1100000000000000 02000000 0001",
        ),
        told(
            "letters told: outcomes",
            LettersAnswer::Outcomes(outcomes.map(|(id, outcome)| (LetterId(id), outcome)).into()),
            "08 03 03000000 0700000000000000 00 0800000000000000 01 0900000000000000 02 04000000 66756c6c",
        ),
    ]
}

fn golden_blobs() -> Vec<(&'static str, Frame, &'static str)> {
    let (digest, other) = (Digest([0xaa; 32]), Digest([0xbb; 32]));
    let asked = |what, request, bytes| (what, Frame::BlobAsked(request), bytes);
    let told = |what, answer, bytes| (what, Frame::BlobTold(answer), bytes);
    vec![
        asked(
            "blob asked: its chunks' digests",
            BlobRequest::List { digest },
            "0a 01 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        asked(
            "blob asked: a chunk",
            BlobRequest::Chunk { digest, index: 2 },
            "0a 02 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 0200000000000000",
        ),
        asked(
            "blob asked: how much is there",
            BlobRequest::Held { digest },
            "0a 03 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        told("blob told: refused", BlobAnswer::Refused("no".into()), "0b 00 02000000 6e6f"),
        told(
            "blob told: its chunks' digests",
            BlobAnswer::List(vec![digest, other]),
            "0b 01 02000000 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \
             bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
        ),
        told("blob told: a chunk", BlobAnswer::Chunk(Bytes::from_static(b"\0asm")), "0b 02 04000000 0061736d"),
        told("blob told: missing", BlobAnswer::Missing, "0b 03"),
        told("blob told: so much is there", BlobAnswer::Held(0x0102), "0b 04 0201000000000000"),
    ]
}

fn golden_admin() -> Vec<(&'static str, Frame, &'static str)> {
    let told = |more, part| Frame::AdminTold { more, part: Bytes::from_static(part) };
    vec![
        ("admin asked", Frame::AdminAsked(Bytes::from_static(b"{}")), "0c 7b7d"),
        ("admin told: a part", told(true, b"{"), "0d 01 7b"),
        ("admin told: the last part", told(false, b"}"), "0d 00 7d"),
    ]
}

fn golden_calls() -> Vec<(&'static str, Frame, &'static str)> {
    let told = |what, answer, bytes| (what, Frame::CallTold(answer), bytes);
    vec![
        (
            "call asked",
            Frame::CallAsked(call("{}".into(), Duration::from_secs(10))),
            "0e 07 636f756e746572 01 63 10270000 02000000 7b7d",
        ),
        told("call told: given", CallAnswer::Given("7".into()), "0f 01 01000000 37"),
        told("call told: refused by the guest", CallAnswer::Refused("odd".into()), "0f 02 03000000 6f6464"),
        told("call told: not made", CallAnswer::NotMade("no".into()), "0f 03 02000000 6e6f"),
        told("call told: unknown", CallAnswer::Unknown("late".into()), "0f 04 04000000 6c617465"),
    ]
}

fn call(request: Bytes, within: Duration) -> CallRequest {
    CallRequest { pipeline: "counter".parse().unwrap(), stage: "c".parse().unwrap(), within, request }
}

fn tap(kinds: Kinds, wait: Duration) -> TapRequest {
    TapRequest { name: name(), kinds, at: Cursor { run: 7, next: 9 }, wait }
}

fn page(about: Option<About>, entries: Vec<Entry>) -> TapAnswer {
    let before = Counts { given: 2, emitted: 3 };
    let entries = entries.into_iter().map(|entry| Numbered { before, entry }).collect();
    TapAnswer::Page(Box::new(Page { at: Cursor { run: 7, next: 9 }, about, entries }))
}

fn golden_taps() -> Vec<(&'static str, Frame, &'static str)> {
    let about = About {
        role: Role::Consumer,
        epoch: EPOCH,
        plugin: "sha256:0".into(),
        config: "{}".into(),
        limits: Limits::default(),
    };
    let given = Given::Events {
        source: "c".parse().unwrap(),
        epoch: EPOCH,
        attempt: 1,
        runs: vec![run(10, 1)],
        events: Batch::from_payloads(["a"]),
    };
    let rejected = vec![Rejected { index: 0, retry: true, reason: "odd".into() }];
    let done = Answered::Done { first: Seq(4), events: Batch::from_payloads(["b"]), rejected };
    let told = |what, answer, bytes| (what, Frame::TapTold(answer), bytes);
    vec![
        (
            "tap asked",
            Frame::TapAsked(tap(Kinds::ANSWERED, Duration::from_millis(250))),
            "20 07 636f756e746572 01 63 02 0700000000000000 0900000000000000 fa000000",
        ),
        told("tap told: refused", TapAnswer::Refused("no".into()), "21 00 02000000 6e6f"),
        told(
            "tap told: what the stage is",
            page(Some(about), vec![]),
            "21 01 0700000000000000 0900000000000000 01 03 cdab000002000000 08000000 7368613235363a30 \
             02000000 7b7d 0000000400000000 88130000 a0860100 e8030000 00000100 00004000 00000000",
        ),
        told(
            "tap told: events and what came of them",
            page(None, vec![Entry::Given(given), Entry::Answered(done)]),
            "21 01 0700000000000000 0900000000000000 00 02000000 \
             0200000000000000 0300000000000000 02 01 63 cdab000002000000 01000000 01000000 0a00000000000000 01000000 \
             00 01000000 01000000 01000000 61 \
             0200000000000000 0300000000000000 05 0400000000000000 00 01000000 01000000 01000000 62 \
             01000000 00000000 01 03000000 6f6464",
        ),
        told(
            "tap told: the other entries",
            page(
                None,
                vec![
                    Entry::Given(Given::Demand(5)),
                    Entry::Given(Given::Inbox { first: 8, events: Batch::from_payloads(["a"]) }),
                    Entry::Given(Given::Tick),
                    Entry::Answered(Answered::Retry("busy".into())),
                    Entry::Answered(Answered::Lost("trap".into())),
                    Entry::State(Bytes::from_static(b"9")),
                ],
            ),
            "21 01 0700000000000000 0900000000000000 00 06000000 \
             0200000000000000 0300000000000000 01 05000000 \
             0200000000000000 0300000000000000 03 0800000000000000 00 01000000 01000000 01000000 61 \
             0200000000000000 0300000000000000 04 \
             0200000000000000 0300000000000000 06 04000000 62757379 \
             0200000000000000 0300000000000000 07 04000000 74726170 \
             0200000000000000 0300000000000000 08 01000000 39",
        ),
        told("tap told: not here", TapAnswer::NotHere("no".into()), "21 02 02000000 6e6f"),
    ]
}

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn read(bytes: &[u8]) -> Result<Frame, WireError> {
    decode(&Bytes::copy_from_slice(bytes), &BatchLimits::default())
}

#[test]
fn every_frame_has_its_golden_bytes() {
    for (what, frame, bytes) in golden() {
        assert_eq!(encode(&frame), hex(bytes), "{what}");
        assert_eq!(read(&hex(bytes)), Ok(frame), "{what}");
    }
}

#[test]
fn the_document_shows_the_golden_bytes() {
    let document = include_str!("../../../../docs/wire.md");
    for (what, _, bytes) in golden() {
        let line = format!("`{}`", bytes.split_whitespace().collect::<Vec<_>>().join(" "));
        assert!(document.contains(&line), "docs/wire.md lacks the example of {what}: {line}");
    }
}

#[test]
fn a_view_is_written_as_a_batch_of_its_own() {
    let whole = rich_batch();
    let events = Events { attempt: 1, runs: vec![run(0, 1)], events: whole.slice(1..2) };
    let Ok(Frame::Stage(Envelope { message: Message::Events(back), .. })) =
        read(&encode(&stage(Message::Events(events))))
    else {
        panic!("an events frame");
    };
    assert_eq!(back.events, whole.slice(1..2));
}

#[test]
fn every_truncated_frame_is_refused() {
    // An agreement frame's fields are read by others, and so is what operators and nodes say.
    let is_read_here = |what: &str| what != "agreement" && !what.starts_with("admin");
    for (what, _, bytes) in golden().into_iter().filter(|(what, ..)| is_read_here(what)) {
        let bytes = hex(bytes);
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).is_err(), "{what} cut to {len} bytes");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(read(&longer), Err(WireError::Trailing { count: 1 }), "{what}");
    }
}

#[test]
fn unknown_kinds_are_refused_or_ignored_by_their_range() {
    assert_eq!(read(&[0x7f, 1, 2]), Err(WireError::Kind(0x7f)));
    assert_eq!(read(&[0x80, 1, 2]), Ok(Frame::Unknown(0x80)));
}

#[test]
fn lengths_that_lie_are_refused_before_anything_is_allocated() {
    let huge = "12 cdab000002000000 01000000 00000000 00 ffffffff ffffffff";
    assert!(matches!(read(&hex(huge)), Err(WireError::Short { field: "payload ends", .. })));
    let runs = "11 cdab000002000000 0f00000000000000 ffffffff";
    assert!(matches!(read(&hex(runs)), Err(WireError::Short { field: "acked", .. })));
}

#[test]
fn what_a_field_may_not_hold_is_named() {
    let refused = |text: &str| read(&hex(text)).unwrap_err().to_string();
    assert_eq!(
        refused("10 cdab000002000000 07 636f756e746572 01 63 01 70 01 62 05000000 05000000 00"),
        "field `min_demand` holds 5 with max_demand 5, expected less than max_demand"
    );
    assert_eq!(
        refused("10 cdab000002000000 07 636f756e746572 01 63 01 70 01 62 ffffffff 00000000 00"),
        "field `max_demand` holds 4294967295, expected at most 10,000,000"
    );
    assert_eq!(refused("13 cdab000002000000 63 00000000"), "field `reason` holds 99, expected a code from 0 to 10");
    assert_eq!(
        refused("10 cdab000002000000 01 2f 01 63 01 70 01 62 05000000 00000000 00"),
        "field `pipeline` holds `/`, expected a name"
    );
    assert_eq!(
        refused("12 cdab000002000000 01000000 00000000 00 01000000 01000000 01000000 61"),
        "field `runs` holds 0 numbers for 1 events, expected one number for each event"
    );
}

#[test]
fn what_a_subscription_wants_is_bounded_and_written_one_way() {
    let refused = |wants: &str| {
        let frame = format!("10 cdab000002000000 07 636f756e746572 01 63 01 70 01 62 05000000 00000000 {wants}");
        read(&hex(&frame)).unwrap_err().to_string()
    };
    assert_eq!(refused("10"), "field `wants` holds 0x10, expected no bits but 1, 2, 4 and 8");
    assert_eq!(refused("01 00000000"), "field `instance` holds 0, expected at least 1, as 0 is not written");
    assert_eq!(refused("04 00000000"), "field `topics` holds nothing, expected at least one, as none is not written");
    assert!(refused("04 01000000 03000000 612e2e").starts_with("field `topics` holds `a..`, expected words with"));
    assert!(refused("08 01000000 01 2f").starts_with("field `partition` holds `/`"));
    let many = |count: usize, item: &str| format!("{} {}", hex_of(count), item.repeat(count));
    assert!(refused(&format!("04 {}", many(257, "01000000 61"))).contains("more than 256"));
    assert!(refused(&format!("08 {}", many(1025, "01 30"))).contains("more than 1024"));
    let long = format!("04 01000000 {} {}", hex_of(256), "61".repeat(256));
    assert!(refused(&long).starts_with("field `topics` holds `aaa"));
}

fn hex_of(count: usize) -> String {
    (count as u32).to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_is_said_of_letters_is_bounded() {
    let ids = |count: usize| (0..count as u64).map(LetterId).collect::<Vec<_>>();
    let lines = |count: u64| (0..count).map(line).collect();
    let told = |frame: Frame| read(&encode(&frame)).map(drop).map_err(|error| error.to_string());
    let asked = |request| told(Frame::LettersAsked(request));
    let page = |count| told(Frame::LettersTold(LettersAnswer::Page { letters: lines(count), more: false }));
    assert_eq!(asked(LettersRequest::Resend(ids(RESEND_MAX))), Ok(()));
    assert!(asked(LettersRequest::Resend(ids(RESEND_MAX + 1))).unwrap_err().contains("more than 100"));
    assert_eq!(asked(LettersRequest::Drop(ids(DROP_MAX))), Ok(()));
    assert!(asked(LettersRequest::Drop(ids(DROP_MAX + 1))).unwrap_err().contains("more than 1000"));
    assert_eq!(page(PAGE_LETTERS as u64), Ok(()));
    assert!(page(PAGE_LETTERS as u64 + 1).unwrap_err().contains("more than 200"));
    let outcomes = ids(DROP_MAX + 1).into_iter().map(|id| (id, Outcome::Done)).collect();
    assert!(told(Frame::LettersTold(LettersAnswer::Outcomes(outcomes))).unwrap_err().contains("more than 1000"));
    let long_line = LettersAnswer::Page { letters: vec![Line { reason: "x".repeat(201), ..line(1) }], more: false };
    assert!(told(Frame::LettersTold(long_line)).unwrap_err().contains("201 bytes, expected at most 200 bytes"));
    let part = |length: usize, reason: usize| {
        let (reason, part) = ("x".repeat(reason), vec![0; length].into());
        told(Frame::LettersTold(LettersAnswer::Part(Part { letter: line(1), reason, event_bytes: 1, part })))
    };
    assert_eq!(part(PART_BYTES, 16 << 10), Ok(()));
    assert!(part(PART_BYTES + 1, 0).unwrap_err().contains("at most 256 KiB"));
    assert!(part(0, (16 << 10) + 1).unwrap_err().contains("at most 16 KiB"));
    assert_eq!(told(Frame::LettersTold(LettersAnswer::Refused("ä".repeat(REASON_BYTES_MAX)))), Ok(()), "it is cut");
    assert!(read(&hex("08 00 01040000")).is_err());
}

#[test]
fn what_is_said_of_blobs_is_bounded() {
    let told = |answer| read(&encode(&Frame::BlobTold(answer))).map(drop).map_err(|error| error.to_string());
    let list = |length| told(BlobAnswer::List(vec![Digest([1; 32]); length]));
    let chunk = |length: u64| told(BlobAnswer::Chunk(vec![0; length as usize].into()));
    assert_eq!((list(CHUNKS_MAX), chunk(CHUNK_BYTES)), (Ok(()), Ok(())));
    assert!(list(CHUNKS_MAX + 1).unwrap_err().contains("more than 256"));
    assert!(chunk(CHUNK_BYTES + 1).unwrap_err().contains("262145 bytes, expected at most 256 KiB"));
    assert_eq!(told(BlobAnswer::Refused("ä".repeat(REASON_BYTES_MAX))), Ok(()), "it is cut");
    for unknown in ["0a 00", "0a 04", "0b 05"] {
        assert!(matches!(read(&hex(unknown)), Err(WireError::Field { .. })), "{unknown}");
    }
}

#[test]
fn what_is_said_of_calls_is_bounded() {
    let read_back = |frame: Frame| read(&encode(&frame)).map(drop).map_err(|error| error.to_string());
    let asked = |bytes: usize| read_back(Frame::CallAsked(call(vec![0; bytes].into(), Duration::ZERO)));
    let given = |bytes: usize| read_back(Frame::CallTold(CallAnswer::Given(vec![0; bytes].into())));
    assert_eq!((asked(1 << 20), given(1 << 20)), (Ok(()), Ok(())));
    assert!(asked((1 << 20) + 1).unwrap_err().contains("1048577 bytes, expected at most 1 MiB"));
    assert!(given((1 << 20) + 1).unwrap_err().contains("1048577 bytes, expected at most 1 MiB"));
    assert_eq!(read_back(Frame::CallTold(CallAnswer::Refused("ä".repeat(8 << 10)))), Ok(()), "it is cut");
    let hour = Frame::CallAsked(call(Bytes::new(), Duration::from_secs(3600)));
    let Ok(Frame::CallAsked(read_again)) = read(&encode(&hour)) else { panic!("it is cut") };
    assert_eq!(read_again.within, Duration::from_secs(60));
    for wrong in ["0e 07 636f756e746572 01 63 61ea0000 00000000", "0f 00", "0f 05"] {
        assert!(matches!(read(&hex(wrong)), Err(WireError::Field { .. })), "{wrong}");
    }
}

#[test]
fn what_is_said_of_taps_is_bounded() {
    let read_back = |frame: Frame| read(&encode(&frame)).map(drop).map_err(|error| error.to_string());
    let told = |count: usize| read_back(Frame::TapTold(page(None, vec![Entry::Given(Given::Tick); count])));
    assert_eq!(told(ENTRIES_MAX), Ok(()));
    assert!(told(ENTRIES_MAX + 1).unwrap_err().contains("more than 4096"));
    let long = Entry::Answered(Answered::Lost("ä".repeat(5000)));
    assert_eq!(read_back(Frame::TapTold(page(None, vec![long]))), Ok(()), "it is cut");
    let Ok(Frame::TapAsked(asked)) = read(&encode(&Frame::TapAsked(tap(Kinds::ALL, Duration::from_secs(60))))) else {
        panic!("it is cut")
    };
    assert_eq!(asked.wait, WAIT_MAX);
    let head = "21 01 0700000000000000 0900000000000000 00 01000000 0200000000000000 0300000000000000";
    for wrong in [
        // A kind that there is not, a wait too long.
        "20 07 636f756e746572 01 63 08 0700000000000000 0900000000000000 fa000000".to_owned(),
        "20 07 636f756e746572 01 63 02 0700000000000000 0900000000000000 d1070000".to_owned(),
        "21 03".to_owned(),
        format!("{head} 00"),
        format!("{head} 09"),
        // Numbers for two events where there is one; attempt 0; a number past the last there is.
        format!(
            "{head} 02 01 63 cdab000002000000 01000000 01000000 0a00000000000000 02000000 00 01000000 01000000 01000000 61"
        ),
        format!(
            "{head} 02 01 63 cdab000002000000 00000000 01000000 0a00000000000000 01000000 00 01000000 01000000 01000000 61"
        ),
        format!("{head} 05 ffffffffffffffff 00 01000000 01000000 01000000 62 00000000"),
    ] {
        assert!(matches!(read(&hex(&wrong)), Err(WireError::Field { .. })), "{wrong}");
    }
    let why = format!("{head} 07 01040000 {}", "61 ".repeat(1025));
    assert!(read(&hex(&why)).unwrap_err().to_string().contains("1025 bytes, expected at most 1024 bytes"));
}

#[test]
fn operators_and_nodes_say_something_in_every_frame() {
    for nothing in ["0c", "0d", "0d 00", "0d 01"] {
        assert!(matches!(read(&hex(nothing)), Err(WireError::Short { missing: 1, .. })), "{nothing}");
    }
    assert!(matches!(read(&hex("0d 02 7b")), Err(WireError::Field { field: "more parts", .. })));
}

#[test]
fn a_long_reason_is_cut_when_sent() {
    let cancel = stage(Message::Cancel(Reason::Failed("ä".repeat(REASON_BYTES_MAX))));
    assert!(read(&encode(&cancel)).is_ok());
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    #[test]
    fn no_change_to_a_frame_makes_the_decoder_panic(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let golden = golden();
        let mut bytes = hex(which.get(&golden).2);
        let at = at.index(bytes.len());
        bytes[at] = to;
        let _ = read(&bytes);
    }

    #[test]
    fn what_is_written_is_read_again(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 1..50), first in any::<u32>()) {
        let count = u32::try_from(payloads.len()).unwrap();
        let events = Events { attempt: 1, runs: vec![run(first.into(), count)], events: Batch::from_payloads(&payloads) };
        let frame = stage(Message::Events(events));
        prop_assert_eq!(read(&encode(&frame)), Ok(frame));
    }
}
