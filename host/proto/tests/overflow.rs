//! A consumer that cannot keep up and is told to drop: what it asks for, what it drops, what it acknowledges.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use forebay_proto::{
    batch::Batch,
    consumer::{Owner, UpstreamOptions, WhenFull},
    ids::{Epoch, Seq, SubId},
    message::{Demand, Envelope, Events, Message, SeqRun},
    stage::{Call, GuestNo, Input, Notice, Returned, Role, Stage, StageOptions, Transmit},
};

const NOW: Duration = Duration::ZERO;
const SUB: SubId = SubId(1);

fn run(first: u64, count: u32) -> SeqRun {
    SeqRun { first: Seq(first), count }
}

/// Keeps four events at most, in calls of two.
fn consumer(when_full: WhenFull) -> Stage {
    let demand = Demand::new(4, Some(2)).unwrap();
    let source = "source".parse().unwrap();
    let options = UpstreamOptions { when_full, ..UpstreamOptions::new(source, demand) };
    let mut stage = Stage::new(StageOptions::new("p".parse().unwrap(), "s".parse().unwrap(), Role::Consumer));
    let owner = Owner { node: "n".parse().unwrap(), epoch: Epoch::default() };
    stage.handle(NOW, Input::Subscribe { options, owner });
    stage
}

fn receive(stage: &mut Stage, first: u64, count: u32) {
    let events = Batch::from_payloads((first..first + u64::from(count)).map(|n| n.to_string()));
    let message = Message::Events(Events { attempt: 1, runs: vec![run(first, count)], events });
    stage.handle(NOW, Input::Received { sub: SUB, envelope: Envelope { epoch: Epoch::default(), message } });
}

fn sent(stage: &mut Stage) -> Vec<Message> {
    let sent = |transmit| match transmit {
        Transmit::Send { envelope, .. } => Some(envelope.message),
        _ => None,
    };
    std::iter::from_fn(|| stage.poll_transmit()).filter_map(sent).collect()
}

fn call(stage: &mut Stage) -> Vec<SeqRun> {
    match stage.poll_call(NOW, GuestNo::FIRST) {
        Some(Call::HandleEvents { runs, .. }) => runs,
        other => panic!("{other:?}"),
    }
}

fn processed(stage: &mut Stage) {
    stage.handle(
        NOW,
        Input::Returned(GuestNo::FIRST, Returned::Processed { events: Batch::default(), rejected: Vec::new() }),
    );
}

fn dropped(stage: &mut Stage) -> u64 {
    let count = |notice| match notice {
        Notice::Dropped { count, .. } => count,
        _ => 0,
    };
    std::iter::from_fn(|| stage.poll_notice()).map(count).sum()
}

/// Two in hand, then four more, then two more.
fn overflow(when_full: WhenFull) -> (Stage, Vec<Message>) {
    let mut stage = consumer(when_full);
    receive(&mut stage, 0, 2);
    assert_eq!(call(&mut stage), [run(0, 2)]);
    sent(&mut stage);
    receive(&mut stage, 2, 3);
    receive(&mut stage, 5, 1);
    let sent = sent(&mut stage);
    (stage, sent)
}

#[test]
fn the_producer_is_told_that_twice_as_many_may_be_open_and_asked_before_anything_is_processed() {
    let mut stage = consumer(WhenFull::DropOldest);
    let first = sent(&mut stage);
    let Message::Subscribe(subscribe) = &first[0] else { panic!("{first:?}") };
    assert_eq!((subscribe.demand.max(), subscribe.demand.min()), (8, 2));
    assert_eq!(first[1], Message::Ask { granted: 4, acked: Vec::new() });
    receive(&mut stage, 0, 2);
    assert_eq!(sent(&mut stage), [Message::Ask { granted: 6, acked: Vec::new() }]);
}

#[test]
fn of_what_waits_the_oldest_are_dropped_and_acknowledged() {
    let (mut stage, sent_by_then) = overflow(WhenFull::DropOldest);
    let acked: Vec<_> = sent_by_then
        .iter()
        .filter_map(|message| match message {
            Message::Ask { acked, .. } => Some(acked.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(acked, [vec![run(2, 1)], vec![run(3, 1)]], "each time one is too many, with two in hand");
    assert_eq!(dropped(&mut stage), 2);
    processed(&mut stage);
    assert_eq!(call(&mut stage), [run(4, 1)]);
    processed(&mut stage);
    assert_eq!(call(&mut stage), [run(5, 1)]);
    let last = sent(&mut stage);
    assert!(matches!(&last[0], Message::Ask { acked, .. } if *acked == [run(0, 2)]), "{last:?}");
}

#[test]
fn of_what_waits_the_newest_are_dropped() {
    let (mut stage, _) = overflow(WhenFull::DropNewest);
    assert_eq!(dropped(&mut stage), 2);
    processed(&mut stage);
    assert_eq!(call(&mut stage), [run(2, 2)], "5 and 4 were dropped");
    processed(&mut stage);
    assert_eq!(stage.poll_call(NOW, GuestNo::FIRST), None);
}

#[test]
fn one_that_blocks_drops_nothing_and_asks_for_nothing_before_it_has_processed() {
    let mut stage = consumer(WhenFull::Block);
    sent(&mut stage);
    receive(&mut stage, 0, 2);
    receive(&mut stage, 2, 2);
    assert_eq!(sent(&mut stage), []);
    assert_eq!(dropped(&mut stage), 0);
}
