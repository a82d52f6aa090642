//! Guests that act by the clock and answer questions: when they are called, in exact cases.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bytes::Bytes;
use forebay_proto::{
    batch::Batch,
    checkpoints::Committed,
    consumer::{Owner, UpstreamOptions},
    ids::{Epoch, Seq, SubId},
    message::{Demand, Envelope, Events, Message, Reason, SeqRun, Subscribe},
    producer::{BufferOptions, Keep},
    requests::{Answer, RequestNo, WAITING_MAX},
    select::InstanceId,
    stage::{Call, GuestNo, Input, Notice, Returned, Role, Stage, StageOptions, Transmit},
};

const EPOCH: Epoch = Epoch { lamport: 3, tag: 0 };

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn options(role: Role) -> StageOptions {
    let mut options = StageOptions::new("p".parse().unwrap(), "s".parse().unwrap(), role);
    options.epoch = EPOCH;
    options.tick = Some(millis(100));
    if role != Role::Producer {
        options.upstreams = vec![UpstreamOptions::new("source".parse().unwrap(), Demand::new(10, Some(9)).unwrap())];
    }
    options
}

/// One that has begun at 0; a consuming one is subscribed, its producer on the subscription given.
fn begin(options: StageOptions) -> (Stage, SubId) {
    let mut stage = Stage::new(options);
    assert_eq!(stage.poll_call(millis(0), GuestNo::FIRST), None);
    let owner = Owner { node: "n".parse().unwrap(), epoch: EPOCH };
    stage.handle(millis(0), Input::Owner { source: "source".parse().unwrap(), owner: Some(owner) });
    let opened = std::iter::from_fn(|| stage.poll_transmit()).find_map(|transmit| match transmit {
        Transmit::Open { sub, .. } => Some(sub),
        _ => None,
    });
    (stage, opened.unwrap_or(SubId(0)))
}

fn say(stage: &mut Stage, sub: SubId, message: Message) {
    stage.handle(millis(0), Input::Received { sub, envelope: Envelope { epoch: EPOCH, message } });
}

/// A consumer that has asked for `granted` events.
fn consumer_of(stage: &mut Stage, granted: u64) -> SubId {
    let sub = stage.accept();
    let subscribe = Subscribe::new(
        "p".parse().unwrap(),
        "s".parse().unwrap(),
        "c".parse().unwrap(),
        InstanceId::first_on("n".parse().unwrap()),
        Demand::new(10, Some(0)).unwrap(),
    );
    say(stage, sub, Message::Subscribe(subscribe));
    say(stage, sub, Message::Ask { granted, acked: Vec::new() });
    sub
}

/// Events for the stage, each in a message of its own.
fn deliver(stage: &mut Stage, sub: SubId, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let runs = vec![SeqRun { first: Seq(number), count: 1 }];
        say(stage, sub, Message::Events(Events { attempt: 1, runs, events: Batch::from_payloads(["x"]) }));
    }
}

fn ticked(stage: &mut Stage, now: u64, count: usize) {
    stage
        .handle(millis(now), Input::Returned(GuestNo::FIRST, Returned::Ticked(Batch::from_payloads(vec!["t"; count]))));
}

fn processed(stage: &mut Stage, now: u64, count: usize) {
    let events = Batch::from_payloads(vec!["y"; count]);
    stage.handle(millis(now), Input::Returned(GuestNo::FIRST, Returned::Processed { events, rejected: Vec::new() }));
}

fn produced(stage: &mut Stage, now: u64, count: usize) {
    let events = Batch::from_payloads(vec!["p"; count]);
    stage.handle(millis(now), Input::Returned(GuestNo::FIRST, Returned::Produced { events, finished: false }));
}

fn is_events(call: &Option<Call>) -> bool {
    matches!(call, Some(Call::HandleEvents { .. }))
}

fn messages(stage: &mut Stage) -> Vec<(SubId, Message)> {
    let transmits = std::iter::from_fn(|| stage.poll_transmit());
    let sent = transmits.filter_map(|transmit| match transmit {
        Transmit::Send { sub, envelope } => Some((sub, envelope.message)),
        _ => None,
    });
    sent.collect()
}

/// The numbers sent to consumers, and those acknowledged to producers.
fn sent_and_acked(stage: &mut Stage) -> (Vec<SeqRun>, Vec<SeqRun>) {
    let (mut sent, mut acks) = (Vec::new(), Vec::new());
    for (_, message) in messages(stage) {
        match message {
            Message::Events(events) => sent.extend(events.runs),
            Message::Ask { acked, .. } => acks.extend(acked),
            _ => {}
        }
    }
    (sent, acks)
}

fn run(first: u64, count: u32) -> SeqRun {
    SeqRun { first: Seq(first), count }
}

fn request(stage: &mut Stage, no: u64, until: u64) {
    let input = Input::Request { no: RequestNo(no), request: Bytes::from_static(b"?"), until: millis(until) };
    stage.handle(millis(0), input);
}

fn answers(stage: &mut Stage) -> Vec<(u64, Answer)> {
    std::iter::from_fn(|| stage.poll_answer()).map(|(no, answer)| (no.0, answer)).collect()
}

#[test]
fn a_guest_ticks_for_the_first_time_an_interval_after_the_start_and_one_at_a_time() {
    let (mut stage, _) = begin(options(Role::Producer));
    assert_eq!(stage.poll_timeout(), Some(millis(100)));
    assert_eq!(stage.poll_call(millis(99), GuestNo::FIRST), None);
    assert_eq!(stage.poll_call(millis(100), GuestNo::FIRST), Some(Call::HandleTick));
    assert_eq!(
        (stage.poll_call(millis(350), GuestNo::FIRST), stage.poll_timeout()),
        (None, None),
        "until it has returned"
    );
    ticked(&mut stage, 350, 0);
    assert_eq!(stage.poll_call(millis(350), GuestNo::FIRST), Some(Call::HandleTick), "late, and once");
    ticked(&mut stage, 351, 0);
    assert_eq!((stage.poll_call(millis(351), GuestNo::FIRST), stage.poll_timeout()), (None, Some(millis(400))));
}

#[test]
fn a_stage_without_the_key_never_ticks() {
    let (mut stage, _) = begin(StageOptions { tick: None, ..options(Role::Producer) });
    assert_eq!((stage.poll_call(millis(1_000_000), GuestNo::FIRST), stage.poll_timeout()), (None, None));
}

#[test]
fn neither_events_nor_ticks_nor_requests_keep_the_others_waiting() {
    let (mut stage, sub) = begin(options(Role::Consumer));
    deliver(&mut stage, sub, 0..10);
    for no in 0..10 {
        request(&mut stage, no, 1_000_000);
    }
    let mut made = String::new();
    // Every call takes longer than the interval between ticks.
    for step in 1..=9 {
        let now = 150 * step;
        match stage.poll_call(millis(now), GuestNo::FIRST) {
            Some(Call::HandleEvents { .. }) => {
                made.push('e');
                processed(&mut stage, now, 0);
            }
            Some(Call::HandleTick) => {
                made.push('t');
                ticked(&mut stage, now, 0);
            }
            Some(Call::HandleCall { .. }) => {
                made.push('r');
                stage.handle(millis(now), Input::Returned(GuestNo::FIRST, Returned::Answered(Ok(Bytes::new()))));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(made.matches('e').count(), 3, "{made}");
    assert_eq!(made.matches('t').count(), 3, "{made}");
}

#[test]
fn what_a_tick_emits_goes_to_open_demand_and_what_is_more_waits_for_it() {
    let (mut stage, _) = begin(options(Role::Producer));
    let sub = consumer_of(&mut stage, 3);
    assert_eq!(stage.poll_call(millis(0), GuestNo::FIRST), Some(Call::HandleDemand { demand: 3 }));
    produced(&mut stage, 0, 0);
    assert_eq!(stage.poll_call(millis(100), GuestNo::FIRST), Some(Call::HandleTick));
    ticked(&mut stage, 100, 5);
    assert_eq!(sent_and_acked(&mut stage).0, [run(0, 3)]);
    assert_eq!(stage.buffered(), 2);
    say(&mut stage, sub, Message::Ask { granted: 6, acked: vec![run(0, 3)] });
    assert_eq!(sent_and_acked(&mut stage).0, [run(3, 2)]);
    assert_eq!(
        stage.poll_call(millis(100), GuestNo::FIRST),
        Some(Call::HandleDemand { demand: 1 }),
        "only what is not there"
    );
}

#[test]
fn ticks_wait_while_the_buffer_is_full_and_nothing_of_them_is_discarded() {
    for keep in [Keep::First, Keep::Last] {
        let buffer = BufferOptions { size: Some(4), keep };
        let (mut stage, _) = begin(StageOptions { buffer, ..options(Role::Producer) });
        for (now, count) in [(100, 3), (200, 9)] {
            assert_eq!(stage.poll_call(millis(now), GuestNo::FIRST), Some(Call::HandleTick));
            ticked(&mut stage, now, count);
        }
        assert_eq!(stage.buffered(), 12, "more than 4, which one tick may be");
        assert_eq!(
            (stage.poll_call(millis(300), GuestNo::FIRST), stage.poll_timeout()),
            (None, None),
            "nobody takes them"
        );
        consumer_of(&mut stage, 8);
        assert_eq!((stage.buffered(), stage.poll_call(millis(300), GuestNo::FIRST)), (4, None));
        consumer_of(&mut stage, 1);
        assert_eq!((stage.buffered(), stage.poll_timeout()), (3, Some(millis(300))));
        assert_eq!(stage.poll_call(millis(310), GuestNo::FIRST), Some(Call::HandleTick));
        let notices: Vec<_> = std::iter::from_fn(|| stage.poll_notice()).collect();
        let discarded = notices.iter().any(|notice| matches!(notice, Notice::Discarded { .. }));
        assert!(!discarded, "{notices:?}");
    }
}

#[test]
fn what_is_discarded_later_is_no_more_than_what_comes_later() {
    for (keep, expected) in [(Keep::Last, vec![run(2, 5)]), (Keep::First, vec![run(0, 5)])] {
        let buffer = BufferOptions { size: Some(2), keep };
        let (mut stage, _) = begin(StageOptions { buffer, ..options(Role::Producer) });
        assert_eq!(stage.poll_call(millis(100), GuestNo::FIRST), Some(Call::HandleTick));
        ticked(&mut stage, 100, 5);
        stage.handle(millis(100), Input::Emit(Batch::from_payloads(["late", "later"])));
        assert_eq!(stage.buffered(), 5);
        consumer_of(&mut stage, 9);
        assert_eq!(sent_and_acked(&mut stage).0, expected);
    }
}

#[test]
fn a_producer_consumer_without_a_size_has_ticks_wait_at_the_default_one() {
    let (mut stage, _) = begin(options(Role::ProducerConsumer));
    assert_eq!(stage.poll_call(millis(100), GuestNo::FIRST), Some(Call::HandleTick));
    ticked(&mut stage, 100, 10_000);
    assert_eq!((stage.poll_call(millis(900), GuestNo::FIRST), stage.buffered()), (None, 10_000));
}

#[test]
fn a_tick_that_is_to_be_made_again_waits_as_every_other_call() {
    let (mut stage, _) = begin(options(Role::Producer));
    assert_eq!(stage.poll_call(millis(100), GuestNo::FIRST), Some(Call::HandleTick));
    stage.handle(millis(100), Input::Returned(GuestNo::FIRST, Returned::Retry));
    assert_eq!((stage.poll_call(millis(199), GuestNo::FIRST), stage.poll_timeout()), (None, Some(millis(200))));
    assert_eq!(stage.poll_call(millis(200), GuestNo::FIRST), Some(Call::HandleTick));
}

#[test]
fn a_producer_that_has_come_to_its_end_ticks_no_more_and_makes_nothing_when_it_drains() {
    let (mut stage, _) = begin(options(Role::Producer));
    consumer_of(&mut stage, 1);
    assert_eq!(stage.poll_call(millis(0), GuestNo::FIRST), Some(Call::HandleDemand { demand: 1 }));
    let events = Batch::default();
    stage.handle(millis(0), Input::Returned(GuestNo::FIRST, Returned::Produced { events, finished: true }));
    assert_eq!((stage.poll_call(millis(500), GuestNo::FIRST), stage.poll_timeout()), (None, None));
    let (mut stage, _) = begin(options(Role::Producer));
    stage.handle(millis(0), Input::Drain(Reason::Shutdown(None)));
    assert!(stage.poll_call(millis(500), GuestNo::FIRST).is_none() && stage.is_drained());
}

/// What a guest keeps to pass on later is passed on when the stage ends, not lost with it.
#[test]
fn a_stage_that_drains_ticks_once_more_after_its_last_events() {
    let (mut stage, sub) = begin(options(Role::ProducerConsumer));
    let consumer = consumer_of(&mut stage, 10);
    deliver(&mut stage, sub, 0..1);
    assert!(is_events(&stage.poll_call(millis(0), GuestNo::FIRST)));
    stage.handle(millis(1), Input::Drain(Reason::Shutdown(None)));
    assert_eq!(stage.poll_call(millis(1), GuestNo::FIRST), None);
    processed(&mut stage, 2, 0);
    assert!(!stage.is_drained());
    assert_eq!(stage.poll_call(millis(2), GuestNo::FIRST), Some(Call::HandleTick), "although no interval has passed");
    ticked(&mut stage, 3, 2);
    assert_eq!(stage.poll_call(millis(900), GuestNo::FIRST), None, "once");
    assert!(!stage.is_drained(), "its consumer has them and has not said so");
    say(&mut stage, consumer, Message::Ask { granted: 10, acked: vec![run(0, 2)] });
    assert!(stage.is_drained());
}

/// Without a checkpoint the guest is done with what it returned from: documented for authors.
#[test]
fn what_a_guest_keeps_for_a_tick_is_acknowledged_at_once_without_a_checkpoint_and_with_the_next_one_else() {
    let (mut stage, sub) = begin(options(Role::ProducerConsumer));
    consumer_of(&mut stage, 10);
    deliver(&mut stage, sub, 0..1);
    assert!(is_events(&stage.poll_call(millis(0), GuestNo::FIRST)));
    processed(&mut stage, 0, 0);
    assert_eq!(sent_and_acked(&mut stage).1, [run(0, 1)]);

    let checkpoint = Some(millis(1000));
    let (mut stage, sub) = begin(StageOptions { checkpoint, ..options(Role::ProducerConsumer) });
    let consumer = consumer_of(&mut stage, 10);
    deliver(&mut stage, sub, 0..1);
    assert!(is_events(&stage.poll_call(millis(10), GuestNo::FIRST)));
    processed(&mut stage, 10, 0);
    assert_eq!(sent_and_acked(&mut stage).1, [], "only the guest has it");
    assert_eq!(stage.poll_call(millis(10), GuestNo::FIRST), Some(Call::Snapshot), "the first may be taken at once");
    stage.handle(millis(10), Input::Returned(GuestNo::FIRST, Returned::Snapshot(Bytes::from_static(b"has it"))));
    let commit = stage.poll_commit(millis(10)).unwrap();
    assert_eq!((commit.seq, &*commit.snapshot), (Seq(1), &b"has it"[..]), "a number of its own");
    stage.handle(millis(10), Input::Committed(Committed::Done));
    assert_eq!(sent_and_acked(&mut stage).1, [run(0, 1)]);
    // What the tick passes on is after the checkpoint: a successor that never heard of the tick makes it again.
    assert_eq!(stage.poll_call(millis(100), GuestNo::FIRST), Some(Call::HandleTick));
    ticked(&mut stage, 100, 1);
    assert_eq!(sent_and_acked(&mut stage).0, [run(1, 1)]);
    assert_eq!(stage.poll_call(millis(1010), GuestNo::FIRST), Some(Call::Snapshot));
    stage.handle(millis(1010), Input::Returned(GuestNo::FIRST, Returned::Snapshot(Bytes::from_static(b"none"))));
    assert_eq!(stage.poll_commit(millis(1010)), None, "its consumer has not said that it has it");
    say(&mut stage, consumer, Message::Ask { granted: 11, acked: vec![run(1, 1)] });
    assert_eq!(stage.poll_commit(millis(1010)).map(|commit| commit.seq), Some(Seq(2)));
}

#[test]
fn a_request_is_answered_with_what_the_guest_says() {
    let (mut stage, _) = begin(options(Role::Producer));
    request(&mut stage, 7, 5000);
    request(&mut stage, 8, 5000);
    let call = |no| Some(Call::HandleCall { no: RequestNo(no), request: Bytes::from_static(b"?") });
    assert_eq!(stage.poll_call(millis(0), GuestNo::FIRST), call(7));
    stage.handle(millis(1), Input::Returned(GuestNo::FIRST, Returned::Answered(Ok("yes".into()))));
    assert_eq!(stage.poll_call(millis(1), GuestNo::FIRST), call(8));
    stage.handle(millis(2), Input::Returned(GuestNo::FIRST, Returned::Answered(Err("no".into()))));
    assert_eq!(answers(&mut stage), [(7, Answer::Given("yes".into())), (8, Answer::Refused("no".into()))]);
}

#[test]
fn a_request_that_waits_for_too_long_is_not_made() {
    let (mut stage, _) = begin(StageOptions { tick: Some(millis(10)), ..options(Role::Producer) });
    assert_eq!(stage.poll_call(millis(10), GuestNo::FIRST), Some(Call::HandleTick));
    request(&mut stage, 1, 500);
    assert_eq!(stage.poll_timeout(), Some(millis(500)), "the guest is busy");
    stage.handle(millis(500), Input::Timeout);
    assert_eq!(answers(&mut stage), [(1, Answer::Late)]);
}

#[test]
fn requests_are_bounded_and_a_stage_that_ends_takes_none() {
    let (mut stage, _) = begin(StageOptions { tick: None, ..options(Role::Consumer) });
    for no in 0..=WAITING_MAX as u64 {
        request(&mut stage, no, 1000);
    }
    assert_eq!(answers(&mut stage), [(WAITING_MAX as u64, Answer::Busy)]);
    stage.handle(millis(0), Input::Drain(Reason::Shutdown(None)));
    assert_eq!(answers(&mut stage).len(), WAITING_MAX);
    request(&mut stage, 99, 1000);
    assert_eq!(answers(&mut stage), [(99, Answer::Ending)]);
    assert!(stage.poll_call(millis(0), GuestNo::FIRST).is_none() && stage.is_drained());
}

#[test]
fn a_request_that_the_guest_does_not_survive_costs_the_guest_and_no_event() {
    let checkpoint = Some(millis(1000));
    let (mut stage, sub) = begin(StageOptions { checkpoint, ..options(Role::Consumer) });
    assert_eq!(stage.poll_call(millis(1), GuestNo::FIRST), None);
    deliver(&mut stage, sub, 0..1);
    assert!(is_events(&stage.poll_call(millis(1), GuestNo::FIRST)));
    processed(&mut stage, 1, 0);
    request(&mut stage, 1, 5000);
    assert_eq!(stage.poll_call(millis(1), GuestNo::FIRST), Some(Call::Snapshot));
    stage.handle(millis(1), Input::Returned(GuestNo::FIRST, Returned::NoSnapshot("not now".into())));
    assert!(matches!(stage.poll_call(millis(1), GuestNo::FIRST), Some(Call::HandleCall { .. })));
    stage.handle(millis(2), Input::Returned(GuestNo::FIRST, Returned::Trapped("boom".into())));
    assert_eq!(answers(&mut stage), [(1, Answer::Lost("boom".into()))]);
    let again = messages(&mut stage).into_iter().any(|(_, message)| matches!(message, Message::Retry { .. }));
    assert!(again, "the state that knew of the event is gone, so it is wanted again");
    assert_eq!(stage.poll_call(millis(2), GuestNo::FIRST), Some(Call::Renew));
    stage.handle(millis(3), Input::Returned(GuestNo::FIRST, Returned::Renewed));
    request(&mut stage, 2, 5000);
    assert!(matches!(stage.poll_call(millis(3), GuestNo::FIRST), Some(Call::HandleCall { .. })));
}

#[test]
fn a_state_that_a_request_has_changed_is_put_on_record() {
    let (mut stage, _) = begin(StageOptions { checkpoint: Some(millis(50)), ..options(Role::Producer) });
    request(&mut stage, 1, 5000);
    assert!(matches!(stage.poll_call(millis(1), GuestNo::FIRST), Some(Call::HandleCall { .. })));
    stage.handle(millis(1), Input::Returned(GuestNo::FIRST, Returned::Answered(Ok(Bytes::new()))));
    assert_eq!(stage.poll_call(millis(1), GuestNo::FIRST), Some(Call::Snapshot));
    stage.handle(millis(1), Input::Returned(GuestNo::FIRST, Returned::Snapshot(Bytes::from_static(b"5"))));
    assert!(stage.poll_commit(millis(1)).is_some());
}
