//! What the simulator found, one stage at a time.

use super::*;
use crate::{
    batch::Batch,
    consumer::Owner,
    ids::Seq,
    message::{Demand, Events, SeqRun, Subscribe},
};

const SUB: SubId = SubId(1);

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn options(role: Role) -> StageOptions {
    let (pipeline, name) = ("p".parse().unwrap(), "stage".parse().unwrap());
    StageOptions { poll: Some(millis(50)), ..StageOptions::new(pipeline, name, role) }
}

fn received(message: Message) -> Input {
    Input::Received { sub: SUB, envelope: Envelope { epoch: Epoch::default(), message } }
}

/// A producer with one consumer, which has asked for `granted` events.
fn producer(granted: u32) -> Stage {
    let mut stage = Stage::new(options(Role::Producer));
    subscribe(&mut stage, granted);
    stage
}

fn subscribe(stage: &mut Stage, granted: u32) {
    let (producer, consumer) = ("stage".parse().unwrap(), "consumer".parse().unwrap());
    let demand = Demand::new(granted, None).unwrap();
    let subscribe =
        Subscribe::new("p".parse().unwrap(), producer, consumer, InstanceId::first_on("n".parse().unwrap()), demand);
    stage.handle(Duration::ZERO, received(Message::Subscribe(subscribe)));
    stage.handle(Duration::ZERO, received(Message::Ask { granted: granted.into(), acked: Vec::new() }));
}

fn returned(count: usize) -> Input {
    let events = Batch::from_payloads(vec!["x"; count]);
    Input::Returned(GuestNo::FIRST, Returned::Produced { events, finished: false })
}

/// What it is not asked for at once it is asked for in the calls that follow.
#[test]
fn large_events_are_asked_for_in_calls_that_one_message_holds() {
    let mut stage = producer(2_000);
    assert_eq!(stage.poll_call(millis(0), GuestNo::FIRST), Some(Call::HandleDemand { demand: 2_000 }));
    let events = Batch::from_payloads(vec![vec![0; 10_475]; 200]);
    stage.handle(millis(0), Input::Returned(GuestNo::FIRST, Returned::Produced { events, finished: false }));
    // A quarter of 4 MiB, by 10,485 bytes.
    assert_eq!(stage.poll_call(millis(50), GuestNo::FIRST), Some(Call::HandleDemand { demand: 100 }));
    stage.handle(millis(50), returned(100));
    assert_eq!(stage.poll_timeout(), Some(millis(100)));
}

/// Found by the simulator, seed 0: the driver was told to wake the stage in the past, and spun
/// until the guest's back-off was over.
#[test]
fn a_guest_that_wants_a_call_again_is_not_polled_before() {
    let mut stage = producer(5);
    assert_eq!(stage.poll_call(millis(0), GuestNo::FIRST), Some(Call::HandleDemand { demand: 5 }));
    stage.handle(millis(0), returned(2));
    assert_eq!(stage.poll_timeout(), Some(millis(50)));
    assert_eq!(stage.poll_call(millis(50), GuestNo::FIRST), Some(Call::HandleDemand { demand: 3 }));
    stage.handle(millis(60), Input::Returned(GuestNo::FIRST, Returned::Retry));
    assert_eq!(stage.poll_call(millis(60), GuestNo::FIRST), None);
    assert_eq!(stage.poll_timeout(), Some(millis(160)));
}

/// Found by the simulator, seed 1: the repeated call asked for as much as the first, although
/// the consumer had gone meanwhile.
#[test]
fn a_guest_that_wants_to_be_asked_again_is_asked_for_what_is_wanted_then() {
    let mut stage = producer(5);
    assert_eq!(stage.poll_call(millis(0), GuestNo::FIRST), Some(Call::HandleDemand { demand: 5 }));
    stage.handle(millis(0), Input::Returned(GuestNo::FIRST, Returned::Retry));
    stage.handle(millis(0), Input::Down { sub: SUB, reason: Reason::Normal });
    assert_eq!(stage.poll_call(millis(100), GuestNo::FIRST), None);
    subscribe(&mut stage, 3);
    assert_eq!(stage.poll_call(millis(100), GuestNo::FIRST), Some(Call::HandleDemand { demand: 3 }));
}
/// Found by the simulator, seed 115: the message waited for a guest that was not to be called
/// again, and the stage drained until the deadline.
#[test]
fn a_message_that_comes_while_the_last_call_of_a_draining_consumer_runs_does_not_hold_it_up() {
    let mut stage = Stage::new(options(Role::Consumer));
    let demand = Demand::new(5, Some(0)).unwrap();
    let options = UpstreamOptions::new("source".parse().unwrap(), demand);
    let owner = Owner { node: "n".parse().unwrap(), epoch: Epoch::default() };
    stage.handle(millis(0), Input::Subscribe { options, owner });
    let events = |first| {
        let (runs, events) = (vec![SeqRun { first: Seq(first), count: 1 }], Batch::from_payloads(["x"]));
        received(Message::Events(Events { attempt: 1, runs, events }))
    };
    stage.handle(millis(0), events(0));
    assert!(stage.poll_call(millis(0), GuestNo::FIRST).is_some());
    stage.handle(millis(1), Input::Drain(Reason::Shutdown(None)));
    stage.handle(millis(2), events(1));
    stage.handle(
        millis(3),
        Input::Returned(GuestNo::FIRST, Returned::Processed { events: Batch::default(), rejected: vec![] }),
    );
    assert_eq!(stage.poll_call(millis(3), GuestNo::FIRST), None);
    assert!(stage.is_drained());
}

/// Found by the simulator, seed 470: two subscriptions to one owner, for ever.
#[test]
fn a_consumer_whose_owner_comes_back_keeps_the_subscription_that_still_stands() {
    let source: StageName = "source".parse().unwrap();
    let demand = Demand::default();
    let upstream = UpstreamOptions::new(source.clone(), demand);
    let mut stage = Stage::new(StageOptions { upstreams: vec![upstream], ..options(Role::Consumer) });
    let owner = |node: &str, lamport| {
        let epoch = Epoch { lamport, tag: 0 };
        Input::Owner { source: source.clone(), owner: Some(Owner { node: node.parse().unwrap(), epoch }) }
    };
    for input in [owner("a", 1), owner("b", 2), owner("a", 1)] {
        stage.handle(Duration::ZERO, input);
    }
    let transmits = std::iter::from_fn(|| stage.poll_transmit());
    let opened: Vec<_> = transmits.filter(|transmit| matches!(transmit, Transmit::Open { .. })).collect();
    assert_eq!(opened.len(), 2, "{opened:?}");
}

/// Found in virtual time, on islands: the stage wanted to be woken in the past for as long as its consumer
/// held events, and time stood still.
#[test]
fn a_stage_that_ends_waits_for_its_consumers_and_not_for_the_clock() {
    let mut stage = Stage::new(StageOptions { checkpoint: Some(millis(50)), ..options(Role::Producer) });
    subscribe(&mut stage, 5);
    assert_eq!(stage.poll_call(millis(0), GuestNo::FIRST), Some(Call::HandleDemand { demand: 5 }));
    stage.handle(millis(0), returned(5));
    assert_eq!(stage.poll_call(millis(0), GuestNo::FIRST), Some(Call::Snapshot));
    stage.handle(millis(0), Input::Returned(GuestNo::FIRST, Returned::Snapshot(bytes::Bytes::new())));
    assert_eq!(stage.poll_timeout(), None, "it waits for acknowledgements");
    stage.handle(millis(100), Input::Drain(Reason::Shutdown(None)));
    assert_eq!((stage.poll_call(millis(100), GuestNo::FIRST), stage.poll_timeout()), (None, None));
    let acked = vec![SeqRun { first: Seq(0), count: 5 }];
    stage.handle(millis(200), received(Message::Ask { granted: 5, acked }));
    assert!(stage.poll_commit(millis(200)).is_some() && !stage.is_drained());
    stage.handle(millis(200), Input::Committed(crate::checkpoints::Committed::Done));
    assert!(stage.is_drained());
}

const MARKS: crate::recycle::Marks = crate::recycle::Marks { mark: 48, limit: 64 };

fn memory(bytes: u64) -> Input {
    Input::Memory { guest: GuestNo::FIRST, bytes }
}

#[test]
fn a_guest_that_takes_much_memory_gives_way_between_two_calls() {
    let mut stage = Stage::new(StageOptions { recycle: Some(MARKS), ..options(Role::Producer) });
    stage.handle(millis(0), memory(10));
    subscribe(&mut stage, 5);
    assert_eq!(stage.poll_call(millis(0), GuestNo::FIRST), Some(Call::HandleDemand { demand: 5 }));
    stage.handle(millis(1), returned(5));
    stage.handle(millis(1), memory(50));
    assert_eq!(stage.poll_call(millis(1), GuestNo::FIRST), Some(Call::Recycle));
    stage.handle(millis(2), received(Message::Ask { granted: 7, acked: vec![SeqRun { first: Seq(0), count: 5 }] }));
    assert_eq!(stage.poll_call(millis(2), GuestNo::FIRST), None, "one call at a time");
    stage.handle(millis(3), Input::Returned(GuestNo::FIRST, Returned::Recycled { memory_bytes: 11 }));
    let told = std::iter::from_fn(|| stage.poll_notice()).last();
    assert_eq!(told, Some(Notice::Recycled { before_bytes: 50, after_bytes: 11 }));
    assert_eq!(
        stage.poll_call(millis(3), GuestNo::FIRST),
        Some(Call::HandleDemand { demand: 2 }),
        "it goes on as if nothing had been"
    );
}

#[test]
fn a_guest_that_cannot_be_replaced_stays_and_is_tried_again_later() {
    let mut stage = Stage::new(StageOptions { recycle: Some(MARKS), ..options(Role::Producer) });
    stage.handle(millis(0), memory(10));
    stage.handle(millis(0), memory(50));
    subscribe(&mut stage, 5);
    assert_eq!(stage.poll_call(millis(0), GuestNo::FIRST), Some(Call::Recycle));
    stage.handle(millis(0), Input::Returned(GuestNo::FIRST, Returned::NotRecycled("no".into())));
    stage.handle(millis(0), memory(50));
    assert!(
        std::iter::from_fn(|| stage.poll_notice()).any(|notice| notice == Notice::NotRecycled { why: "no".into() })
    );
    assert_eq!(stage.poll_call(millis(0), GuestNo::FIRST), Some(Call::HandleDemand { demand: 5 }));
    stage.handle(millis(1000), returned(0));
    assert_eq!(stage.poll_call(millis(1000), GuestNo::FIRST), Some(Call::Recycle));
}

#[test]
fn a_guest_that_ends_is_not_replaced() {
    let mut stage = Stage::new(StageOptions { recycle: Some(MARKS), ..options(Role::Producer) });
    stage.handle(millis(0), memory(10));
    stage.handle(millis(0), memory(50));
    stage.handle(millis(0), Input::Drain(Reason::Shutdown(None)));
    assert_eq!(stage.poll_call(millis(0), GuestNo::FIRST), None);
}

/// Found by the simulator, seed 215: while the guest was replaced the driver was told to wake the stage in the past.
#[test]
fn a_guest_is_replaced_before_the_call_that_it_wants_again() {
    let mut stage = Stage::new(StageOptions { recycle: Some(MARKS), ..options(Role::Producer) });
    stage.handle(millis(0), memory(10));
    subscribe(&mut stage, 5);
    assert_eq!(stage.poll_call(millis(0), GuestNo::FIRST), Some(Call::HandleDemand { demand: 5 }));
    stage.handle(millis(0), Input::Returned(GuestNo::FIRST, Returned::Retry));
    stage.handle(millis(0), memory(50));
    assert_eq!(stage.poll_call(millis(100), GuestNo::FIRST), Some(Call::Recycle));
    assert_eq!(stage.poll_timeout(), None);
    stage.handle(millis(101), Input::Returned(GuestNo::FIRST, Returned::Recycled { memory_bytes: 10 }));
    assert_eq!(stage.poll_call(millis(101), GuestNo::FIRST), Some(Call::HandleDemand { demand: 5 }));
    stage.handle(millis(101), Input::Returned(GuestNo::FIRST, Returned::Retry));
    assert_eq!(stage.poll_timeout(), Some(millis(301)), "a fresh guest does not shorten the pauses");
}
