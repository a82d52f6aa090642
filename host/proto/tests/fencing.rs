//! What a consumer makes of a former owner once it knows of the next.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use forebay_proto::{
    batch::Batch,
    consumer::{Owner, UpstreamOptions},
    ids::{Epoch, Seq, StageName, SubId},
    message::{Demand, Envelope, Events, Message, Reason, SeqRun},
    stage::{Call, GuestNo, Input, Notice, Returned, Role, Stage, StageOptions, Transmit},
};

const NOW: Duration = Duration::ZERO;

fn source() -> StageName {
    "source".parse().unwrap()
}

fn epoch(lamport: u32) -> Epoch {
    Epoch { lamport, tag: 0 }
}

/// A consumer of one source, in batches of two.
fn consumer(fenced: bool) -> Stage {
    let demand = Demand::new(4, Some(2)).unwrap();
    let upstream = UpstreamOptions::new(source(), demand);
    let mut options = StageOptions::new("p".parse().unwrap(), "stage".parse().unwrap(), Role::Consumer);
    options.upstreams = vec![upstream];
    options.fenced.extend(fenced.then(source));
    Stage::new(options)
}

fn owned(stage: &mut Stage, node: &str, lamport: u32) {
    let owner = Some(Owner { node: node.parse().unwrap(), epoch: epoch(lamport) });
    stage.handle(NOW, Input::Owner { source: source(), owner });
}

fn receive(stage: &mut Stage, sub: u64, lamport: u32, first: u64, count: u32) {
    let events = Batch::from_payloads(vec!["x"; count as usize]);
    let message = Message::Events(Events { attempt: 1, runs: vec![SeqRun { first: Seq(first), count }], events });
    stage.handle(NOW, Input::Received { sub: SubId(sub), envelope: Envelope { epoch: epoch(lamport), message } });
}

fn processed() -> Input {
    Input::Returned(GuestNo::FIRST, Returned::Processed { events: Batch::default(), rejected: Vec::new() })
}

/// Epoch and first number of what the guest gets next.
fn call(stage: &mut Stage, at: Duration) -> Option<(u32, u64)> {
    match stage.poll_call(at, GuestNo::FIRST)? {
        Call::HandleEvents { epoch, runs, .. } => Some((epoch.lamport, runs[0].first.0)),
        other => panic!("{other:?}"),
    }
}

/// What was sent since it was last asked, by subscription; opening and closing left out.
fn sent(stage: &mut Stage) -> Vec<(u64, Message)> {
    let sent = |transmit| match transmit {
        Transmit::Send { sub, envelope } => Some((sub.0, envelope.message)),
        _ => None,
    };
    std::iter::from_fn(|| stage.poll_transmit()).filter_map(sent).collect()
}

fn stale(stage: &mut Stage) -> usize {
    let is_stale = |notice: &Notice| matches!(notice, Notice::Refused { reason: Reason::StaleEpoch, .. });
    std::iter::from_fn(|| stage.poll_notice()).filter(is_stale).count()
}

/// A consumer that has four events of epoch 1, two of them in hand, and hears of epoch 2.
fn handed_over(fenced: bool) -> Stage {
    let mut stage = consumer(fenced);
    owned(&mut stage, "a", 1);
    receive(&mut stage, 1, 1, 0, 4);
    assert_eq!(call(&mut stage, NOW), Some((1, 0)));
    sent(&mut stage);
    owned(&mut stage, "b", 2);
    stage
}

#[test]
fn what_is_not_in_hand_of_a_former_owner_is_dropped_and_the_owner_told() {
    let mut stage = handed_over(true);
    let told = sent(&mut stage);
    assert!(told.contains(&(1, Message::Cancel(Reason::StaleEpoch))), "{told:?}");
    assert!(!stage.has_sub(SubId(1)) && stage.has_sub(SubId(2)));
    receive(&mut stage, 2, 2, 0, 4);
    stage.handle(NOW, processed());
    assert_eq!(sent(&mut stage), [], "neither acknowledged nor asked for again");
    assert_eq!(call(&mut stage, NOW), Some((2, 0)));
    stage.handle(NOW, processed());
    let acked = vec![SeqRun { first: Seq(0), count: 2 }];
    assert_eq!(sent(&mut stage), [(2, Message::Ask { granted: 6, acked })]);
    assert_eq!(call(&mut stage, NOW), Some((2, 2)));
}

#[test]
fn what_comes_late_of_a_former_owner_is_refused_and_counted() {
    let mut stage = handed_over(true);
    receive(&mut stage, 1, 1, 4, 1);
    assert_eq!(stale(&mut stage), 1, "while its end waits for the guest");
    stage.handle(NOW, processed());
    assert_eq!(call(&mut stage, NOW), None);
    receive(&mut stage, 1, 1, 4, 1);
    assert_eq!(stale(&mut stage), 1, "and after that");
    assert_eq!(call(&mut stage, NOW), None);
}

#[test]
fn a_call_with_events_of_a_former_owner_is_not_repeated() {
    let later = Duration::from_secs(5);
    let mut stage = handed_over(true);
    stage.handle(NOW, Input::Returned(GuestNo::FIRST, Returned::Retry));
    assert_eq!(call(&mut stage, later), None, "it asked for that after the change");

    let mut stage = consumer(true);
    owned(&mut stage, "a", 1);
    receive(&mut stage, 1, 1, 0, 2);
    assert_eq!(call(&mut stage, NOW), Some((1, 0)));
    stage.handle(NOW, Input::Returned(GuestNo::FIRST, Returned::Retry));
    owned(&mut stage, "b", 2);
    assert_eq!(call(&mut stage, later), None, "it asked for that before");
    receive(&mut stage, 2, 2, 0, 2);
    assert_eq!(call(&mut stage, later), Some((2, 0)));
}

#[test]
fn an_older_owner_is_no_owner_after_a_later_one() {
    let mut stage = handed_over(true);
    sent(&mut stage);
    owned(&mut stage, "a", 1);
    assert_eq!(sent(&mut stage), []);
    assert!(stage.has_sub(SubId(2)));
}

#[test]
fn of_a_source_that_is_not_fenced_a_former_owner_hands_out_what_it_has() {
    let mut stage = handed_over(false);
    assert!(stage.has_sub(SubId(1)) && stage.has_sub(SubId(2)));
    stage.handle(NOW, processed());
    assert_eq!(call(&mut stage, NOW), Some((1, 2)));
    stage.handle(NOW, processed());
    receive(&mut stage, 1, 1, 4, 1);
    assert_eq!(call(&mut stage, NOW), Some((1, 4)));
}
