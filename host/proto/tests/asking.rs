//! A guest that asks for events itself, and a stage that is suspended: what is asked for, when, and what is kept.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use forebay_proto::{
    batch::Batch,
    checkpoints::Committed,
    consumer::{AskMode, Gathering, Owner, UpstreamOptions, WhenFull},
    ids::{Epoch, Seq, StageName, SubId},
    message::{Demand, Envelope, Events, Message, Reason, SeqRun},
    stage::{Call, GuestNo, Input, Notice, Rejected, Returned, Role, Stage, StageOptions, Transmit},
};

const NOW: Duration = Duration::ZERO;

fn epoch(lamport: u32) -> Epoch {
    Epoch { lamport, tag: 0 }
}

fn source() -> StageName {
    "source".parse().unwrap()
}

fn run(first: u64, count: u32) -> SeqRun {
    SeqRun { first: Seq(first), count }
}

fn upstream(ask: AskMode) -> UpstreamOptions {
    UpstreamOptions { ask, ..UpstreamOptions::new(source(), Demand::new(4, Some(2)).unwrap()) }
}

fn options(ask: AskMode) -> StageOptions {
    let mut options = StageOptions::new("p".parse().unwrap(), "s".parse().unwrap(), Role::Consumer);
    options.upstreams = vec![upstream(ask)];
    options
}

fn owner(stage: &mut Stage, lamport: u32) {
    let owner = Owner { node: "n".parse().unwrap(), epoch: epoch(lamport) };
    stage.handle(NOW, Input::Owner { source: source(), owner: Some(owner) });
}

/// Subscribed to the first owner, as subscription 1.
fn begin(ask: AskMode) -> Stage {
    let mut stage = Stage::new(options(ask));
    owner(&mut stage, 1);
    stage
}

fn ask(stage: &mut Stage, count: u32) {
    stage.handle(NOW, Input::Asked { source: source(), count });
}

fn receive(stage: &mut Stage, sub: u64, first: u64, count: u32) {
    let events = Batch::from_payloads(vec!["x"; count as usize]);
    let message = Message::Events(Events { attempt: 1, runs: vec![run(first, count)], events });
    let epoch = epoch(u32::try_from(sub).unwrap());
    stage.handle(NOW, Input::Received { sub: SubId(sub), envelope: Envelope { epoch, message } });
}

/// (subscription, granted so far, acknowledged) of each ask.
fn asks(stage: &mut Stage) -> Vec<(u64, u64, Vec<SeqRun>)> {
    let ask = |transmit| match transmit {
        Transmit::Send { sub, envelope: Envelope { message: Message::Ask { granted, acked }, .. } } => {
            Some((sub.0, granted, acked))
        }
        _ => None,
    };
    std::iter::from_fn(|| stage.poll_transmit()).filter_map(ask).collect()
}

fn call(stage: &mut Stage) -> Option<Vec<SeqRun>> {
    match stage.poll_call(NOW, GuestNo::FIRST) {
        Some(Call::HandleEvents { runs, .. }) => Some(runs),
        None => None,
        other => panic!("{other:?}"),
    }
}

fn done(stage: &mut Stage) {
    stage.handle(
        NOW,
        Input::Returned(GuestNo::FIRST, Returned::Processed { events: Batch::default(), rejected: Vec::new() }),
    );
}

fn notices(stage: &mut Stage) -> Vec<Notice> {
    let about_asking = |notice: &Notice| {
        matches!(notice, Notice::AskCut { .. } | Notice::AskRefused { .. } | Notice::NothingToSuspend)
    };
    std::iter::from_fn(|| stage.poll_notice()).filter(about_asking).collect()
}

#[test]
fn nothing_is_asked_for_before_the_guest_asks_and_messages_come_whole() {
    let mut stage = begin(AskMode::Manual);
    assert_eq!(asks(&mut stage), []);
    ask(&mut stage, 0);
    assert_eq!(asks(&mut stage), []);
    ask(&mut stage, 4);
    assert_eq!(asks(&mut stage), [(1, 4, vec![])]);
    receive(&mut stage, 1, 0, 4);
    assert_eq!(call(&mut stage), Some(vec![run(0, 4)]), "max_demand less min_demand would be 2");
    done(&mut stage);
    assert_eq!(asks(&mut stage), [(1, 4, vec![run(0, 4)])], "acknowledged, and no more asked for");
    ask(&mut stage, 1);
    ask(&mut stage, 2);
    assert_eq!(asks(&mut stage), [(1, 5, vec![]), (1, 7, vec![])]);
}

#[test]
fn what_is_more_than_max_demand_allows_is_cut_and_told() {
    let mut stage = begin(AskMode::Manual);
    ask(&mut stage, 3);
    ask(&mut stage, 9);
    assert_eq!(asks(&mut stage), [(1, 3, vec![]), (1, 4, vec![])]);
    assert_eq!(notices(&mut stage), [Notice::AskCut { source: source(), asked: 9, granted: 1 }]);
    receive(&mut stage, 1, 0, 4);
    ask(&mut stage, 1);
    assert_eq!(asks(&mut stage), [], "they are here, and not processed");
    assert_eq!(notices(&mut stage), [Notice::AskCut { source: source(), asked: 1, granted: 0 }]);
}

#[test]
fn what_the_guest_was_given_does_not_count_against_it_and_what_it_asks_for_waits_for_room() {
    let mut options = options(AskMode::Manual);
    options.checkpoint = Some(Duration::from_secs(1));
    let mut stage = Stage::new(options);
    owner(&mut stage, 1);
    ask(&mut stage, 4);
    receive(&mut stage, 1, 0, 4);
    assert!(call(&mut stage).is_some());
    done(&mut stage);
    asks(&mut stage);
    ask(&mut stage, 4);
    assert_eq!(
        (asks(&mut stage), notices(&mut stage)),
        (vec![], vec![]),
        "nothing is acknowledged before the checkpoint"
    );
    let later = Duration::from_secs(2);
    assert_eq!(stage.poll_call(later, GuestNo::FIRST), Some(Call::Snapshot));
    stage.handle(later, Input::Returned(GuestNo::FIRST, Returned::Snapshot(bytes::Bytes::new())));
    assert!(stage.poll_commit(later).is_some());
    stage.handle(later, Input::Committed(Committed::Done));
    assert_eq!(asks(&mut stage), [(1, 8, vec![run(0, 4)])]);
}

#[test]
fn a_source_that_cannot_be_asked_is_told() {
    let mut stage = begin(AskMode::Auto);
    asks(&mut stage);
    ask(&mut stage, 1);
    stage.handle(NOW, Input::Asked { source: "other".parse().unwrap(), count: 1 });
    assert_eq!(asks(&mut stage), []);
    let told = notices(&mut stage);
    let [Notice::AskRefused { source: one, why }, Notice::AskRefused { source: two, why: unknown }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((one, two.as_str()), (&source(), "other"));
    assert!(why.contains("manual") && unknown.contains("does not subscribe"), "{told:?}");
}

#[test]
fn what_was_asked_for_and_did_not_come_is_asked_of_the_next_owner() {
    let mut stage = begin(AskMode::Manual);
    ask(&mut stage, 4);
    receive(&mut stage, 1, 0, 1);
    asks(&mut stage);
    stage.handle(NOW, Input::Down { sub: SubId(1), reason: Reason::Unreachable("gone".into()) });
    ask(&mut stage, 1);
    owner(&mut stage, 2);
    assert_eq!(asks(&mut stage), [(2, 4, vec![])], "three that did not come, and one that was asked for meanwhile");
    receive(&mut stage, 2, 0, 4);
    assert_eq!(asks(&mut stage), []);
}

#[test]
fn what_is_asked_for_before_there_is_an_owner_is_asked_of_the_first() {
    let mut stage = Stage::new(options(AskMode::Manual));
    ask(&mut stage, 3);
    ask(&mut stage, 3);
    assert_eq!(notices(&mut stage), [Notice::AskCut { source: source(), asked: 3, granted: 1 }]);
    owner(&mut stage, 1);
    assert_eq!(asks(&mut stage), [(1, 4, vec![])]);
}

#[test]
fn what_a_former_owner_still_owes_when_it_ends_is_asked_of_the_one_that_stands() {
    let mut stage = begin(AskMode::Manual);
    ask(&mut stage, 2);
    owner(&mut stage, 2);
    ask(&mut stage, 1);
    assert_eq!(asks(&mut stage), [(1, 2, vec![]), (2, 1, vec![])]);
    receive(&mut stage, 1, 0, 1);
    let envelope = Envelope { epoch: epoch(1), message: Message::Cancel(Reason::NotOwner) };
    stage.handle(NOW, Input::Received { sub: SubId(1), envelope });
    assert_eq!(asks(&mut stage), [(2, 2, vec![])]);
}

#[test]
fn what_came_of_a_fenced_owner_is_asked_for_again() {
    let mut options = options(AskMode::Manual);
    options.fenced = [source()].into();
    let mut stage = Stage::new(options);
    owner(&mut stage, 1);
    ask(&mut stage, 4);
    receive(&mut stage, 1, 0, 3);
    asks(&mut stage);
    owner(&mut stage, 2);
    assert_eq!(asks(&mut stage), [(2, 4, vec![])], "three went back to their owner, and one did not come");
    assert_eq!(call(&mut stage), None);
}

#[test]
fn what_is_given_back_to_come_again_is_asked_for_again() {
    let mut stage = begin(AskMode::Manual);
    ask(&mut stage, 3);
    receive(&mut stage, 1, 0, 3);
    call(&mut stage);
    let rejected = vec![Rejected { index: 1, retry: true, reason: "no".into() }];
    stage.handle(NOW, Input::Returned(GuestNo::FIRST, Returned::Processed { events: Batch::default(), rejected }));
    let asked = asks(&mut stage);
    assert_eq!(asked.last().unwrap().1, 4, "{asked:?}");
}

#[test]
fn a_guest_that_asks_loses_nothing_whatever_when_full_says() {
    let mut stage = Stage::new(StageOptions {
        upstreams: vec![UpstreamOptions { when_full: WhenFull::DropOldest, ..upstream(AskMode::Manual) }],
        ..options(AskMode::Manual)
    });
    owner(&mut stage, 1);
    ask(&mut stage, 4);
    receive(&mut stage, 1, 0, 4);
    assert_eq!(asks(&mut stage), [(1, 4, vec![])]);
    assert_eq!(call(&mut stage), Some(vec![run(0, 4)]));
}

#[test]
fn a_batch_does_not_wait_for_events_that_nobody_asked_for() {
    let mut stage = Stage::new(StageOptions {
        batch: Some(Gathering { size: 4, timeout: Duration::from_secs(1), by: None }),
        ..options(AskMode::Manual)
    });
    owner(&mut stage, 1);
    ask(&mut stage, 3);
    receive(&mut stage, 1, 0, 2);
    assert_eq!(call(&mut stage), None, "one is coming");
    receive(&mut stage, 1, 2, 1);
    assert_eq!(call(&mut stage), Some(vec![run(0, 3)]));
}

#[test]
fn a_suspended_stage_asks_for_nothing_and_gives_its_guest_nothing_and_keeps_what_it_has() {
    let mut stage = begin(AskMode::Auto);
    asks(&mut stage);
    receive(&mut stage, 1, 0, 3);
    assert_eq!(call(&mut stage), Some(vec![run(0, 2)]));
    stage.handle(NOW, Input::Suspend);
    assert!(stage.is_suspended());
    receive(&mut stage, 1, 3, 1);
    done(&mut stage);
    assert_eq!(asks(&mut stage), [(1, 4, vec![run(0, 2)])], "what was begun is acknowledged, and no more asked for");
    assert_eq!((call(&mut stage), stage.poll_timeout()), (None, None));
    stage.handle(NOW, Input::Resume);
    assert_eq!(asks(&mut stage), [(1, 6, vec![])]);
    assert_eq!(call(&mut stage), Some(vec![run(2, 1)]));
    done(&mut stage);
    assert_eq!(call(&mut stage), Some(vec![run(3, 1)]));
}

#[test]
fn a_new_owner_of_a_source_is_asked_when_the_stage_resumes() {
    for mode in [AskMode::Auto, AskMode::Manual] {
        let mut stage = Stage::new(options(mode));
        stage.handle(NOW, Input::Suspend);
        ask(&mut stage, 4);
        owner(&mut stage, 1);
        assert_eq!(asks(&mut stage), []);
        stage.handle(NOW, Input::Resume);
        assert_eq!(asks(&mut stage), [(1, 4, vec![])], "{mode:?}");
    }
}

#[test]
fn one_that_drops_drops_nothing_on_the_way_to_a_suspended_guest_that_was_not_too_much() {
    let mut stage = Stage::new(StageOptions {
        upstreams: vec![UpstreamOptions { when_full: WhenFull::DropOldest, ..upstream(AskMode::Auto) }],
        ..options(AskMode::Auto)
    });
    owner(&mut stage, 1);
    stage.handle(NOW, Input::Suspend);
    receive(&mut stage, 1, 0, 4);
    assert_eq!(asks(&mut stage), [(1, 4, vec![]), (1, 4, vec![])]);
    stage.handle(NOW, Input::Resume);
    assert_eq!(asks(&mut stage), [(1, 8, vec![])]);
    assert_eq!(call(&mut stage), Some(vec![run(0, 2)]));
}

#[test]
fn a_suspended_stage_that_ends_gives_back_what_it_has_gathered() {
    let mut stage = Stage::new(StageOptions {
        batch: Some(Gathering { size: 4, timeout: Duration::from_secs(1), by: None }),
        ..options(AskMode::Auto)
    });
    owner(&mut stage, 1);
    receive(&mut stage, 1, 0, 4);
    stage.handle(NOW, Input::Suspend);
    assert_eq!(call(&mut stage), None);
    stage.handle(NOW, Input::Drain(Reason::Shutdown(None)));
    assert_eq!(call(&mut stage), None);
    assert!(stage.is_drained());
}

#[test]
fn a_producer_has_nothing_to_suspend() {
    let mut stage = Stage::new(StageOptions::new("p".parse().unwrap(), "s".parse().unwrap(), Role::Producer));
    stage.handle(NOW, Input::Suspend);
    assert!(!stage.is_suspended());
    assert_eq!(notices(&mut stage), [Notice::NothingToSuspend]);
}

/// Another guest takes the place of the one before it, and asks for `count`.
fn ask_anew(stage: &mut Stage, count: u32) {
    stage.handle(NOW, Input::AskedAnew { source: source(), count });
}

#[test]
fn what_a_former_guest_asked_for_and_has_not_come_is_part_of_what_a_fresh_one_asks_for() {
    let mut stage = Stage::new(options(AskMode::Manual));
    ask_anew(&mut stage, 3);
    ask_anew(&mut stage, 3);
    owner(&mut stage, 1);
    assert_eq!(asks(&mut stage), [(1, 3, vec![])], "they were not asked for twice");
    ask_anew(&mut stage, 2);
    assert_eq!(asks(&mut stage), [], "three are to come");
    receive(&mut stage, 1, 0, 2);
    assert!(call(&mut stage).is_some());
    done(&mut stage);
    asks(&mut stage);
    ask_anew(&mut stage, 3);
    assert_eq!(asks(&mut stage), [(1, 5, vec![])], "one is to come, and two more are asked for");
}

#[test]
fn what_a_guest_did_not_survive_is_part_of_what_a_fresh_one_asks_for() {
    let mut stage = begin(AskMode::Manual);
    ask(&mut stage, 2);
    receive(&mut stage, 1, 0, 2);
    asks(&mut stage);
    for first in [0, 0, 0, 1] {
        let given = call(&mut stage).unwrap();
        assert_eq!(given[0].first, Seq(first), "twice the batch, then each half: the first is found to be poison");
        if first == 1 {
            break;
        }
        stage.handle(NOW, Input::Returned(GuestNo::FIRST, Returned::Trapped("told to".into())));
        assert_eq!(stage.poll_call(NOW, GuestNo::FIRST), Some(Call::Renew));
        stage.handle(NOW, Input::Returned(GuestNo::FIRST, Returned::Renewed));
        ask_anew(&mut stage, 2);
    }
    done(&mut stage);
    let granted = asks(&mut stage).into_iter().map(|(_, granted, _)| granted).max();
    assert_eq!(granted, Some(3), "one more than before, in the place of the poison");
}
