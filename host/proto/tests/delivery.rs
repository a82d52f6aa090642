//! Acknowledgement, redelivery, credit and epochs, in exact cases. The simulator checks the same as
//! laws; here is what they look like.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use forebay_proto::{
    batch::Batch,
    consumer::{Owner, UpstreamOptions},
    ids::{Epoch, Seq, SubId},
    message::{Demand, Envelope, Events, Message, Reason, SeqRun, Subscribe},
    select::InstanceId,
    stage::{Call, GuestNo, Input, Notice, Returned, Role, Stage, StageOptions, Transmit},
};

const NOW: Duration = Duration::ZERO;
const EPOCH: Epoch = Epoch { lamport: 3, tag: 0 };
const OLD: Epoch = Epoch { lamport: 2, tag: 0 };

fn stage(role: Role) -> Stage {
    let mut options = StageOptions::new("p".parse().unwrap(), "s".parse().unwrap(), role);
    options.epoch = EPOCH;
    Stage::new(options)
}

fn run(first: u64, count: u32) -> SeqRun {
    SeqRun { first: Seq(first), count }
}

fn say(stage: &mut Stage, sub: SubId, epoch: Epoch, message: Message) {
    stage.handle(NOW, Input::Received { sub, envelope: Envelope { epoch, message } });
}

fn ask(stage: &mut Stage, sub: SubId, granted: u64, acked: &[SeqRun]) {
    say(stage, sub, EPOCH, Message::Ask { granted, acked: acked.to_vec() });
}

/// A consumer with room for ten events that has asked for `granted` of them.
fn consumer_of(stage: &mut Stage, granted: u64) -> SubId {
    let sub = stage.accept();
    let subscribe = Subscribe::new(
        "p".parse().unwrap(),
        "s".parse().unwrap(),
        "c".parse().unwrap(),
        InstanceId::first_on("n".parse().unwrap()),
        Demand::new(10, Some(0)).unwrap(),
    );
    say(stage, sub, EPOCH, Message::Subscribe(subscribe));
    ask(stage, sub, granted, &[]);
    sub
}

fn emit(stage: &mut Stage, count: usize) {
    stage.handle(NOW, Input::Emit(Batch::from_payloads(vec!["x"; count])));
}

fn sent(stage: &mut Stage) -> Vec<(SubId, Message)> {
    let transmits = std::iter::from_fn(|| stage.poll_transmit());
    transmits
        .filter_map(|transmit| match transmit {
            Transmit::Send { sub, envelope } => Some((sub, envelope.message)),
            Transmit::Open { .. } | Transmit::Close { .. } => None,
        })
        .collect()
}

/// (to whom, which attempt, which numbers)
fn deliveries(stage: &mut Stage) -> Vec<(SubId, u32, Vec<SeqRun>)> {
    let events = |(sub, message)| match message {
        Message::Events(Events { attempt, runs, .. }) => Some((sub, attempt, runs)),
        _ => None,
    };
    sent(stage).into_iter().filter_map(events).collect()
}

fn cancelled(stage: &mut Stage) -> Option<Reason> {
    let cancels = sent(stage).into_iter().filter_map(|(_, message)| match message {
        Message::Cancel(reason) => Some(reason),
        _ => None,
    });
    cancels.last()
}

#[test]
fn what_a_lost_consumer_had_not_acknowledged_goes_to_another_as_a_second_attempt() {
    let mut producer = stage(Role::Producer);
    let lost = consumer_of(&mut producer, 5);
    emit(&mut producer, 5);
    ask(&mut producer, lost, 5, &[run(1, 2)]);
    assert_eq!(deliveries(&mut producer), [(lost, 1, vec![run(0, 5)])]);
    producer.handle(NOW, Input::Down { sub: lost, reason: Reason::Unreachable("cut".into()) });
    let other = consumer_of(&mut producer, 5);
    assert_eq!(deliveries(&mut producer), [(other, 2, vec![run(0, 1), run(3, 2)])]);
}

#[test]
fn redelivered_events_go_before_new_ones_and_the_oldest_first() {
    let mut producer = stage(Role::Producer);
    let (a, b) = (consumer_of(&mut producer, 2), consumer_of(&mut producer, 2));
    emit(&mut producer, 5);
    sent(&mut producer);
    for sub in [b, a] {
        producer.handle(NOW, Input::Down { sub, reason: Reason::Normal });
    }
    let c = consumer_of(&mut producer, 10);
    let expected = [(c, 2, vec![run(0, 4)]), (c, 1, vec![run(4, 1)])];
    assert_eq!(deliveries(&mut producer), expected);
}

#[test]
fn an_acknowledgement_is_a_set_and_says_nothing_of_what_came_before() {
    let mut producer = stage(Role::Producer);
    let sub = consumer_of(&mut producer, 4);
    emit(&mut producer, 4);
    ask(&mut producer, sub, 4, &[run(3, 1)]);
    assert_eq!(producer.unacked(), 3);
    assert!(!producer.is_drained());
    ask(&mut producer, sub, 4, &[run(0, 3)]);
    assert!(producer.is_drained());
}

#[test]
fn an_acknowledgement_of_an_old_epoch_changes_nothing() {
    let mut producer = stage(Role::Producer);
    let sub = consumer_of(&mut producer, 2);
    emit(&mut producer, 2);
    say(&mut producer, sub, OLD, Message::Ask { granted: 9, acked: vec![run(0, 2)] });
    assert_eq!(cancelled(&mut producer), Some(Reason::StaleEpoch));
    assert_eq!(producer.unacked(), 2);
    assert!(producer.has_sub(sub));
}

#[test]
fn a_consumer_that_breaks_its_bounds_is_cut_off_and_its_events_are_kept() {
    let too_much = "11 events asked for and not acknowledged, max_demand is 10";
    let falls = "demand fell from 5 to 4; it only rises";
    let never_sent = "2 events from 1 on acknowledged, 1 of them were sent";
    for (granted, acked, broken) in [
        (11, vec![], too_much),
        (u64::MAX, vec![], "18446744073709551615 events asked for and not acknowledged, max_demand is 10"),
        (4, vec![], falls),
        (5, vec![run(1, 2)], never_sent),
    ] {
        let mut producer = stage(Role::Producer);
        let sub = consumer_of(&mut producer, 5);
        emit(&mut producer, 2);
        ask(&mut producer, sub, granted, &acked);
        assert_eq!(cancelled(&mut producer), Some(Reason::Protocol(broken.into())));
        assert!(!producer.has_sub(sub));
        let lost_nothing = producer.buffered() + acked.len();
        assert_eq!(lost_nothing, 2, "{broken}");
    }
}

/// A consumer of ten events a message, five a batch, and its one subscription.
fn subscribed() -> (Stage, SubId) {
    let mut consumer = stage(Role::Consumer);
    let demand = Demand::new(10, Some(5)).unwrap();
    let options = UpstreamOptions::new("source".parse().unwrap(), demand);
    let owner = Owner { node: "n".parse().unwrap(), epoch: EPOCH };
    consumer.handle(NOW, Input::Subscribe { options, owner });
    let (sub, _) = sent(&mut consumer)[0];
    (consumer, sub)
}

fn events(attempt: u32, runs: &[SeqRun]) -> Message {
    let count = runs.iter().map(|run| run.count as usize).sum();
    Message::Events(Events { attempt, runs: runs.to_vec(), events: Batch::from_payloads(vec!["x"; count]) })
}

#[test]
fn events_are_acknowledged_after_the_guest_has_returned_and_not_before() {
    let (mut consumer, sub) = subscribed();
    say(&mut consumer, sub, EPOCH, events(1, &[run(7, 3)]));
    assert!(consumer.poll_call(NOW, GuestNo::FIRST).is_some());
    assert_eq!(sent(&mut consumer), []);
    consumer.handle(
        NOW,
        Input::Returned(GuestNo::FIRST, Returned::Processed { events: Batch::default(), rejected: vec![] }),
    );
    assert_eq!(sent(&mut consumer), [(sub, Message::Ask { granted: 10, acked: vec![run(7, 3)] })]);
}

#[test]
fn batches_keep_the_numbers_and_the_attempt_of_their_events() {
    let (mut consumer, sub) = subscribed();
    say(&mut consumer, sub, EPOCH, events(2, &[run(0, 3), run(9, 4)]));
    let mut handed = Vec::new();
    while let Some(Call::HandleEvents { attempt, runs, .. }) = consumer.poll_call(NOW, GuestNo::FIRST) {
        handed.push((attempt, runs));
        consumer.handle(
            NOW,
            Input::Returned(GuestNo::FIRST, Returned::Processed { events: Batch::default(), rejected: vec![] }),
        );
    }
    assert_eq!(handed, [(2, vec![run(0, 3), run(9, 2)]), (2, vec![run(11, 2)])]);
}

#[test]
fn events_of_another_epoch_are_refused_and_never_handled() {
    let (mut consumer, sub) = subscribed();
    say(&mut consumer, sub, OLD, events(1, &[run(0, 1)]));
    assert_eq!(consumer.poll_call(NOW, GuestNo::FIRST), None);
    assert_eq!(cancelled(&mut consumer), Some(Reason::StaleEpoch));
    let refused = |notice| matches!(notice, Notice::Refused { reason: Reason::StaleEpoch, .. });
    assert!(std::iter::from_fn(|| consumer.poll_notice()).any(refused));
}

#[test]
fn what_a_draining_consumer_has_not_begun_is_not_acknowledged() {
    let (mut consumer, sub) = subscribed();
    say(&mut consumer, sub, EPOCH, events(1, &[run(0, 8)]));
    assert!(consumer.poll_call(NOW, GuestNo::FIRST).is_some());
    consumer.handle(NOW, Input::Drain(Reason::Shutdown(None)));
    consumer.handle(
        NOW,
        Input::Returned(GuestNo::FIRST, Returned::Processed { events: Batch::default(), rejected: vec![] }),
    );
    let ask = Message::Ask { granted: 15, acked: vec![run(0, 5)] };
    assert_eq!(sent(&mut consumer), [(sub, ask), (sub, Message::Cancel(Reason::Shutdown(None)))]);
    assert!(consumer.is_drained());
}

#[test]
fn a_full_buffer_drops_from_the_end_it_is_told_and_says_how_many() {
    use forebay_proto::producer::Keep;
    for (keep, kept) in [(Keep::First, run(0, 3)), (Keep::Last, run(2, 3))] {
        let mut options = StageOptions::new("p".parse().unwrap(), "s".parse().unwrap(), Role::Producer);
        options.epoch = EPOCH;
        options.buffer.size = Some(3);
        options.buffer.keep = keep;
        let mut producer = Stage::new(options);
        emit(&mut producer, 5);
        assert_eq!(producer.poll_notice(), Some(Notice::Discarded { count: 2 }));
        let sub = consumer_of(&mut producer, 10);
        assert_eq!(deliveries(&mut producer), [(sub, 1, vec![kept])]);
    }
}
