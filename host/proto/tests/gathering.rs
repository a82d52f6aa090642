//! A stage that gathers events for its guest's calls: sizes, times, order, credit, and what its end does.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use forebay_proto::{
    batch::{Batch, BatchLimits, Columns},
    checkpoints::Committed,
    consumer::{GatherBy, Gathering, Owner, UpstreamOptions},
    ids::{Epoch, Seq, StageName, SubId},
    message::{Demand, Envelope, Events, Message, Reason, SeqRun},
    stage::{Call, GuestNo, Input, Rejected, Returned, Role, Stage, StageOptions, Transmit},
};
use proptest::prelude::*;

const SUB: SubId = SubId(1);
const TIMEOUT: Duration = Duration::from_millis(100);

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn run(first: u64, count: u32) -> SeqRun {
    SeqRun { first: Seq(first), count }
}

fn source() -> StageName {
    "source".parse().unwrap()
}

fn options(size: u32, by: Option<GatherBy>) -> StageOptions {
    let mut options = StageOptions::new("p".parse().unwrap(), "s".parse().unwrap(), Role::Consumer);
    options.batch = Some(Gathering { size, timeout: TIMEOUT, by });
    options
}

/// Subscribed, with all granted that it asks for at first.
fn begin(options: StageOptions, max: u32, min: u32) -> Stage {
    let mut stage = Stage::new(options);
    let demand = Demand::new(max, Some(min)).unwrap();
    let upstream = UpstreamOptions::new(source(), demand);
    let owner = Owner { node: "n".parse().unwrap(), epoch: Epoch::default() };
    stage.handle(Duration::ZERO, Input::Subscribe { options: upstream, owner });
    asks(&mut stage);
    stage
}

fn stage(size: u32, max: u32, min: u32) -> Stage {
    begin(options(size, None), max, min)
}

/// Events whose payloads and, modulo `keys`, keys are their numbers.
fn numbered(attempt: u32, numbers: &[u64], keys: u64) -> Events {
    let mut columns = Columns::default();
    for number in numbers {
        columns.payloads.extend(number.to_be_bytes());
        columns.ends.push(u32::try_from(columns.payloads.len()).unwrap());
        columns.keys.push(u8::try_from(number % keys).unwrap());
        columns.key_ends.push(u32::try_from(columns.keys.len()).unwrap());
    }
    let runs = numbers.iter().map(|number| run(*number, 1)).collect();
    Events { attempt, runs, events: Batch::new(columns, &BatchLimits::default()).unwrap() }
}

fn say(stage: &mut Stage, now: Duration, message: Message) {
    stage.handle(now, Input::Received { sub: SUB, envelope: Envelope { epoch: Epoch::default(), message } });
}

fn receive(stage: &mut Stage, now: u64, first: u64, count: u64) {
    let numbers: Vec<_> = (first..first + count).collect();
    say(stage, millis(now), Message::Events(numbered(1, &numbers, 1)));
}

fn seqs(runs: &[SeqRun]) -> impl Iterator<Item = u64> + '_ {
    runs.iter().flat_map(|run| run.first.0..run.end().0)
}

fn call(stage: &mut Stage, now: u64) -> Option<Vec<u64>> {
    match stage.poll_call(millis(now), GuestNo::FIRST) {
        Some(Call::HandleEvents { runs, .. }) => Some(seqs(&runs).collect()),
        None => None,
        other => panic!("{other:?}"),
    }
}

fn processed(rejected: Vec<Rejected>) -> Input {
    Input::Returned(GuestNo::FIRST, Returned::Processed { events: Batch::default(), rejected })
}

fn done(stage: &mut Stage, now: u64) {
    stage.handle(millis(now), processed(Vec::new()));
}

fn messages(stage: &mut Stage) -> Vec<Message> {
    let sent = |transmit| match transmit {
        Transmit::Send { envelope, .. } => Some(envelope.message),
        _ => None,
    };
    std::iter::from_fn(|| stage.poll_transmit()).filter_map(sent).collect()
}

/// What is granted by now, and what is acknowledged, of each ask.
fn asks(stage: &mut Stage) -> Vec<(u64, usize)> {
    let ask = |message| match message {
        Message::Ask { granted, acked } => Some((granted, seqs(&acked).count())),
        _ => None,
    };
    messages(stage).into_iter().filter_map(ask).collect()
}

fn rest(stage: &mut Stage, now: u64) {
    assert_eq!(call(stage, now), None);
}

#[test]
fn a_call_is_made_when_enough_has_come_whatever_the_messages() {
    let mut stage = stage(5, 10, 9);
    receive(&mut stage, 0, 0, 3);
    rest(&mut stage, 0);
    receive(&mut stage, 1, 3, 4);
    assert_eq!(call(&mut stage, 1), Some(vec![0, 1, 2, 3, 4]), "min_demand of 9 does not cut it");
    done(&mut stage, 2);
    assert_eq!(asks(&mut stage), [(15, 5)], "acknowledged when the guest has returned");
    rest(&mut stage, 2);
    assert_eq!(stage.poll_timeout(), Some(millis(101)));
    rest(&mut stage, 100);
    assert_eq!(call(&mut stage, 101), Some(vec![5, 6]));
}

#[test]
fn time_counts_from_the_arrival_of_the_oldest_also_while_the_guest_is_busy() {
    let mut stage = stage(5, 10, 0);
    receive(&mut stage, 0, 0, 5);
    assert!(call(&mut stage, 0).is_some());
    receive(&mut stage, 10, 5, 1);
    receive(&mut stage, 90, 6, 1);
    assert_eq!(stage.poll_timeout(), None, "the guest's return calls for a look by itself");
    done(&mut stage, 110);
    assert_eq!(call(&mut stage, 110), Some(vec![5, 6]));
}

#[test]
fn a_group_goes_at_once_when_nothing_more_can_come() {
    let mut stage = begin(options(4, Some(GatherBy::Key)), 6, 0);
    say(&mut stage, millis(0), Message::Events(numbered(1, &[0, 1, 2, 3], 2)));
    rest(&mut stage, 0);
    say(&mut stage, millis(1), Message::Events(numbered(1, &[4, 5], 2)));
    assert_eq!(call(&mut stage, 1), Some(vec![0, 2, 4]), "all that max_demand allows waits: the oldest group goes");
    done(&mut stage, 1);
    assert_eq!(asks(&mut stage), [(9, 3)], "and as many are asked for");
    rest(&mut stage, 1);
    assert_eq!(stage.poll_timeout(), Some(millis(100)));
}

#[test]
fn one_that_ends_gives_what_it_has_gathered_to_its_guest_first() {
    let mut stage = stage(5, 10, 0);
    receive(&mut stage, 0, 0, 2);
    stage.handle(millis(1), Input::Drain(Reason::Shutdown(None)));
    assert!(!stage.is_drained());
    receive(&mut stage, 1, 2, 1);
    assert_eq!(call(&mut stage, 1), Some(vec![0, 1]), "what comes later goes back");
    done(&mut stage, 2);
    assert!(stage.is_drained());
    let sent = messages(&mut stage);
    assert!(matches!(&sent[0], Message::Ask { acked, .. } if seqs(acked).eq([0, 1])), "{sent:?}");
    assert_eq!(sent[1], Message::Cancel(Reason::Shutdown(None)), "leave is taken after the acknowledgement");
}

#[test]
fn one_that_ends_without_a_guest_gives_it_back() {
    let mut stage = stage(2, 10, 0);
    receive(&mut stage, 0, 0, 3);
    assert_eq!(call(&mut stage, 0), Some(vec![0, 1]));
    stage.handle(millis(1), Input::Drain(Reason::Shutdown(None)));
    stage.handle(millis(1), Input::Returned(GuestNo::FIRST, Returned::Trapped("trap".into())));
    rest(&mut stage, 1);
    assert!(stage.is_drained());
    assert!(messages(&mut stage).iter().all(|message| !matches!(message, Message::Ask { .. })), "nothing is settled");
}

/// Found by the simulator, seed 93: what was given to the guest after the last state had been refused was acknowledged.
#[test]
fn one_that_ends_without_a_last_state_acknowledges_nothing_more() {
    for gathered_first in [true, false] {
        let mut stage = begin(StageOptions { checkpoint: Some(millis(1000)), ..options(2, None) }, 10, 0);
        if gathered_first {
            receive(&mut stage, 0, 0, 1);
        } else {
            receive(&mut stage, 0, 0, 2);
        }
        let in_hand = call(&mut stage, 1);
        assert_eq!(in_hand.is_none(), gathered_first);
        stage.handle(millis(2), Input::Drain(Reason::Shutdown(None)));
        if gathered_first {
            assert_eq!(call(&mut stage, 2), Some(vec![0]));
        }
        stage.handle(millis(3), Input::Committed(Committed::Unknown));
        done(&mut stage, 4);
        rest(&mut stage, 4);
        assert!(stage.is_drained());
        let sent = messages(&mut stage);
        assert_eq!(sent, [Message::Cancel(Reason::Shutdown(None))], "no acknowledgement");
    }
}

#[test]
fn the_end_of_a_source_sends_what_it_had_given_to_the_guest() {
    let mut stage = stage(5, 10, 0);
    receive(&mut stage, 0, 0, 2);
    say(&mut stage, millis(1), Message::Cancel(Reason::Normal));
    assert_eq!(call(&mut stage, 1), Some(vec![0, 1]));
    done(&mut stage, 1);
    rest(&mut stage, 1);
    assert!(!stage.has_sub(SUB) && stage.is_drained());
}

#[test]
fn a_producer_consumer_waits_for_those_behind_it() {
    let mut options = options(2, None);
    options.role = Role::ProducerConsumer;
    let mut stage = begin(options, 10, 0);
    receive(&mut stage, 0, 0, 2);
    rest(&mut stage, 500);
    assert_eq!(stage.poll_timeout(), None, "no time makes them come");
    stage.handle(millis(600), Input::Drain(Reason::Shutdown(None)));
    rest(&mut stage, 600);
    assert!(stage.is_drained(), "and what nobody waits for goes back");
}

#[test]
fn a_batch_that_the_guest_does_not_survive_is_halved() {
    let mut stage = stage(4, 8, 0);
    receive(&mut stage, 0, 0, 1);
    receive(&mut stage, 0, 1, 3);
    let mut seen = Vec::new();
    let mut letters = Vec::new();
    for _ in 0..20 {
        let polled = stage.poll_call(millis(0), GuestNo::FIRST);
        let input = match polled {
            Some(Call::Renew) => Returned::Renewed,
            Some(Call::HandleEvents { runs, .. }) => {
                let numbers: Vec<_> = seqs(&runs).collect();
                let traps = numbers.contains(&2);
                seen.push(numbers);
                let events = Batch::default();
                if traps {
                    Returned::Trapped("poison".into())
                } else {
                    Returned::Processed { events, rejected: vec![] }
                }
            }
            None => break,
            other => panic!("{other:?}"),
        };
        stage.handle(millis(0), Input::Returned(GuestNo::FIRST, input));
        while let Some((no, more)) = stage.poll_letters() {
            letters.extend(more.iter().map(|letter| letter.seq.0));
            stage.handle(millis(0), Input::Lettered { letters: no, kept: true });
        }
    }
    assert_eq!(seen, [vec![0, 1, 2, 3], vec![0, 1, 2, 3], vec![0, 1], vec![2, 3], vec![2], vec![3]]);
    assert_eq!(letters, [2]);
    assert_eq!(asks(&mut stage).last(), Some(&(12, 1)));
}

#[test]
fn what_is_rejected_of_a_batch_comes_again_by_itself() {
    let mut stage = stage(3, 6, 0);
    receive(&mut stage, 0, 0, 3);
    assert!(call(&mut stage, 0).is_some());
    let rejected = Rejected { index: 1, retry: true, reason: "no".into() };
    stage.handle(millis(0), processed(vec![rejected]));
    let sent = messages(&mut stage);
    assert!(sent.iter().any(|message| matches!(message, Message::Retry { runs, .. } if *runs == [run(1, 1)])));
    receive(&mut stage, 10, 3, 2);
    say(&mut stage, millis(20), Message::Events(numbered(2, &[1], 1)));
    rest(&mut stage, 20);
    assert_eq!(call(&mut stage, 110), Some(vec![3, 4]));
    done(&mut stage, 110);
    rest(&mut stage, 119);
    assert_eq!(call(&mut stage, 120), Some(vec![1]), "never in one batch with others of another attempt");
}

/// What a made-up producer and guest do.
#[derive(Clone, Debug)]
enum Step {
    Deliver(u32),
    Redeliver,
    Wait(u64),
    Call { reject: bool, trap: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..12_u32).prop_map(Step::Deliver),
        1 => Just(Step::Redeliver),
        2 => (1..60_u64).prop_map(Step::Wait),
        4 => (prop::bool::weighted(0.2), prop::bool::weighted(0.15)).prop_map(|(reject, trap)| Step::Call { reject, trap }),
    ]
}

/// The other side of one subscription, and its ledger.
struct World {
    stage: Stage,
    now: u64,
    size: usize,
    keys: u64,
    by_key: bool,
    next: u64,
    granted: u64,
    answered: u64,
    /// When each event came that is with the stage, and its attempt.
    there: BTreeMap<u64, (u64, u32)>,
    again: BTreeMap<u64, u32>,
    acked: BTreeSet<u64>,
    lettered: BTreeSet<u64>,
    /// By key: the last first attempt.
    last: BTreeMap<u64, u64>,
    seen: BTreeSet<u64>,
}

impl World {
    fn new(size: u32, max: u32, min: u32, keys: u64, by_key: bool) -> Self {
        let mut stage = begin(options(size, by_key.then_some(GatherBy::Key)), max, min);
        messages(&mut stage);
        Self {
            stage,
            now: 0,
            size: size as usize,
            keys,
            by_key,
            next: 0,
            granted: u64::from(max),
            answered: 0,
            there: BTreeMap::new(),
            again: BTreeMap::new(),
            acked: BTreeSet::new(),
            lettered: BTreeSet::new(),
            last: BTreeMap::new(),
            seen: BTreeSet::new(),
        }
    }

    fn open(&self) -> u64 {
        self.granted - self.answered - self.there.len() as u64
    }

    fn deliver(&mut self, attempt: u32, numbers: &[u64]) {
        self.there.extend(numbers.iter().map(|number| (*number, (self.now, attempt))));
        say(&mut self.stage, millis(self.now), Message::Events(numbered(attempt, numbers, self.keys)));
    }

    fn play(&mut self, step: &Step) {
        match step {
            Step::Deliver(count) => {
                let count = u64::from(*count).min(self.open());
                let numbers: Vec<_> = (self.next..self.next + count).collect();
                self.next += count;
                self.deliver(1, &numbers);
            }
            Step::Redeliver => {
                if self.open() > 0
                    && let Some((number, attempts)) = self.again.pop_first()
                {
                    self.deliver(attempts + 1, &[number]);
                }
            }
            Step::Wait(time) => {
                self.now += time;
                self.stage.handle(millis(self.now), Input::Timeout);
            }
            Step::Call { reject, trap } => {
                self.call(*reject, *trap);
            }
        }
        self.listen();
    }

    /// One call, if there is one.
    fn call(&mut self, reject: bool, trap: bool) -> bool {
        let Some(call) = self.stage.poll_call(millis(self.now), GuestNo::FIRST) else { return false };
        let Call::HandleEvents { attempt, runs, events, .. } = call else {
            assert_eq!(call, Call::Renew);
            self.stage.handle(millis(self.now), Input::Returned(GuestNo::FIRST, Returned::Renewed));
            return true;
        };
        let numbers: Vec<_> = seqs(&runs).collect();
        let payloads: Vec<_> = events.iter().map(|e| u64::from_be_bytes(e.payload.try_into().unwrap())).collect();
        assert_eq!(numbers, payloads, "numbers stay with their events");
        assert!((1..=self.size).contains(&numbers.len()), "{} events in a call", numbers.len());
        let keys: BTreeSet<_> = numbers.iter().map(|number| number % self.keys).collect();
        assert!(!self.by_key || keys.len() == 1, "keys {keys:?} in one call");
        for number in &numbers {
            let (_, delivered) = self.there[number];
            assert!(attempt >= delivered, "attempt {attempt} of an event delivered {delivered} times");
            let key = if self.by_key { number % self.keys } else { 0 };
            if self.seen.insert(*number) {
                assert!(delivered > 1 || self.last.insert(key, *number).is_none_or(|last| last < *number), "order");
            }
        }
        let rejected = |index| Rejected { index, retry: true, reason: "no".into() };
        let returned = match (trap, reject) {
            (true, _) => Returned::Trapped("trap".into()),
            (_, reject) => {
                let rejected = if reject { vec![rejected(0)] } else { Vec::new() };
                Returned::Processed { events: Batch::default(), rejected }
            }
        };
        self.stage.handle(millis(self.now), Input::Returned(GuestNo::FIRST, returned));
        true
    }

    fn listen(&mut self) {
        while let Some((no, letters)) = self.stage.poll_letters() {
            self.lettered.extend(letters.iter().map(|letter| letter.seq.0));
            self.stage.handle(millis(self.now), Input::Lettered { letters: no, kept: true });
        }
        for message in messages(&mut self.stage) {
            match message {
                Message::Ask { granted, acked } => {
                    assert!(granted >= self.granted);
                    self.granted = granted;
                    for number in seqs(&acked) {
                        assert!(self.there.remove(&number).is_some() && self.acked.insert(number), "{number} twice");
                        self.answered += 1;
                    }
                }
                Message::Retry { runs, .. } => {
                    for number in seqs(&runs) {
                        let (_, attempt) = self.there.remove(&number).expect("given back twice");
                        self.again.insert(number, attempt);
                        self.answered += 1;
                    }
                }
                Message::Cancel(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Calls as long as there are any; then nothing has waited too long, and the stage knows when to look again.
    fn settle(&mut self) {
        while self.call(false, false) {
            self.listen();
        }
        let oldest = self.there.values().map(|(at, _)| *at).min();
        let due = oldest.map(|at| millis(at) + TIMEOUT);
        assert!(due.is_none_or(|due| due > millis(self.now)), "one that came at {oldest:?} waits at {}", self.now);
        let at = self.stage.poll_timeout();
        assert!(due.is_none_or(|due| at.is_some_and(|at| at <= due && at > millis(self.now))), "{due:?} {at:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_nothing_comes_twice_and_nothing_waits_too_long(
        (size, more, min) in (1..10_u32, 0..10_u32, 0..10_u32),
        (keys, by_key) in (1..5_u64, any::<bool>()),
        steps in prop::collection::vec(step(), 1..80),
        drains in any::<bool>(),
    ) {
        let max = size + more;
        let mut world = World::new(size, max, min.min(max - 1), keys, by_key);
        for (at, step) in steps.iter().enumerate() {
            world.play(step);
            prop_assert!(world.granted - world.answered <= u64::from(max), "more is open than max_demand");
            if at % 8 == 7 {
                world.settle();
            }
        }
        world.settle();
        if drains {
            world.stage.handle(millis(world.now), Input::Drain(Reason::Shutdown(None)));
        } else {
            world.now += 100;
        }
        while world.call(false, false) {
            world.listen();
        }
        world.listen();
        prop_assert!(world.there.is_empty(), "left: {:?}", world.there);
        prop_assert!(world.stage.is_drained());
        let handled: BTreeSet<_> = world.acked.iter().chain(world.again.keys()).copied().collect();
        prop_assert_eq!(handled.len() as u64 , world.acked.len() as u64 + world.again.len() as u64);
        prop_assert!(handled.into_iter().eq(0..world.next), "every event is acknowledged, or to come again");
    }
}
