//! Stages with a limit to how many events they make or take in a time, in virtual time: a driver that sleeps exactly
//! as long as the stage says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use forebay_proto::{
    batch::Batch,
    checkpoints::Committed,
    consumer::{Gathering, Owner, UpstreamOptions},
    ids::{Epoch, Seq, SubId},
    message::{Demand, Envelope, Events, Message, SeqRun, Subscribe},
    rate::RateLimit,
    select::InstanceId,
    stage::{Call, GuestNo, Input, Returned, Role, Stage, StageOptions, Transmit},
};

const SUB: SubId = SubId(1);
const SECOND: Duration = Duration::from_secs(1);

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn options(role: Role, events: u32) -> StageOptions {
    let mut options = StageOptions::new("p".parse().unwrap(), "s".parse().unwrap(), role);
    options.rate_limit = Some(RateLimit { events, per: SECOND });
    options.poll = Some(millis(100));
    options
}

/// A stage in a world in which everybody is always ready: consumers take at once, producers have enough.
struct World {
    stage: Stage,
    now: Duration,
    /// How a producer's guest answers demand, and a tick.
    gives: fn(u32) -> usize,
    ticked: usize,
    granted: u64,
    sent: u64,
    /// When how many events were handled.
    handled: Vec<(Duration, u64)>,
    calls: u32,
    ticks: u32,
}

const OPEN: u64 = 10_000;

impl World {
    fn new(options: StageOptions) -> Self {
        let mut stage = Stage::new(options);
        let demand = Demand::new(u32::try_from(OPEN).unwrap(), None).unwrap();
        let upstream = UpstreamOptions::new("source".parse().unwrap(), demand);
        let owner = Owner { node: "n".parse().unwrap(), epoch: Epoch::default() };
        stage.handle(Duration::ZERO, Input::Subscribe { options: upstream, owner });
        let now = Duration::ZERO;
        let gives = |demand| demand as usize;
        let (handled, calls) = (Vec::new(), 0);
        Self { stage, now, gives, ticked: 0, granted: 0, sent: 0, handled, calls, ticks: 0 }
    }

    fn of(options: StageOptions) -> Self {
        let mut world = Self::new(options);
        world.listen();
        world
    }

    /// A producer, with one consumer that always has this much open.
    fn producer(options: StageOptions) -> Self {
        let mut world = Self::new(options);
        while world.stage.poll_transmit().is_some() {}
        let (producer, consumer) = ("s".parse().unwrap(), "c".parse().unwrap());
        let demand = Demand::new(u32::try_from(OPEN).unwrap(), None).unwrap();
        let instance = InstanceId::first_on("n".parse().unwrap());
        let subscribe = Subscribe::new("p".parse().unwrap(), producer, consumer, instance, demand);
        world.say(Message::Subscribe(subscribe));
        world.granted = OPEN;
        world.say(Message::Ask { granted: OPEN, acked: Vec::new() });
        world
    }

    fn say(&mut self, message: Message) {
        let envelope = Envelope { epoch: Epoch::default(), message };
        self.stage.handle(self.now, Input::Received { sub: SUB, envelope });
    }

    fn listen(&mut self) {
        while let Some(transmit) = self.stage.poll_transmit() {
            let Transmit::Send { envelope, .. } = transmit else { continue };
            match envelope.message {
                Message::Events(events) => {
                    self.granted += events.events.len() as u64;
                    self.say(Message::Ask { granted: self.granted, acked: events.runs });
                }
                Message::Ask { granted, .. } => {
                    let count = u32::try_from(granted - self.sent).unwrap();
                    if count > 0 {
                        let runs = vec![SeqRun { first: Seq(self.sent), count }];
                        self.sent = granted;
                        let events = Batch::from_payloads(vec!["x"; count as usize]);
                        self.say(Message::Events(Events { attempt: 1, runs, events }));
                    }
                }
                Message::Subscribe(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn step(&mut self) -> bool {
        self.listen();
        while self.stage.poll_processed(self.now).is_some() {
            self.stage.handle(self.now, Input::ProcessedRecorded(Committed::Done));
        }
        let Some(call) = self.stage.poll_call(self.now, GuestNo::FIRST) else { return false };
        let batch = |count: usize| Batch::from_payloads(vec!["x"; count]);
        let (count, returned) = match call {
            Call::HandleDemand { demand } => {
                self.calls += 1;
                let count = (self.gives)(demand);
                (count, Returned::Produced { events: batch(count), finished: false })
            }
            Call::HandleEvents { events, .. } => {
                self.calls += 1;
                (events.len(), Returned::Processed { events: Batch::default(), rejected: Vec::new() })
            }
            Call::HandleTick => {
                self.ticks += 1;
                (self.ticked, Returned::Ticked(batch(self.ticked)))
            }
            Call::HandleIngest { events, .. } => {
                self.calls += 1;
                (events.len(), Returned::Ingested(events))
            }
            other => panic!("{other:?}"),
        };
        self.handled.push((self.now, count as u64));
        self.stage.handle(self.now, Input::Returned(GuestNo::FIRST, returned));
        true
    }

    /// Does all there is to do until then, and sleeps between.
    fn run_until(&mut self, end: Duration) {
        loop {
            let mut steps = 0;
            while self.step() {
                steps += 1;
                assert!(steps < 100_000, "it does not come to rest at {:?}", self.now);
            }
            let Some(at) = self.stage.poll_timeout().filter(|at| *at <= end) else { break };
            assert!(at > self.now, "at {:?} it wants to be woken at {at:?}, and then does nothing", self.now);
            self.now = at;
            self.stage.handle(at, Input::Timeout);
        }
        self.now = end;
    }

    fn sum(&self, from: Duration, upto: Duration) -> u64 {
        let within = self.handled.iter().filter(|(at, _)| (from..upto).contains(at));
        within.map(|(_, events)| events).sum()
    }

    /// In every second at most that many, and over all as many as the limit says, less one call.
    fn check(&self, events: u64, burst: u64) {
        for (at, _) in &self.handled {
            let sum = self.sum(*at, *at + SECOND);
            assert!(sum <= events + burst, "{sum} in the second from {at:?} on");
        }
        let (all, seconds) = (self.sum(Duration::ZERO, self.now), self.now.as_secs());
        assert!(all >= events * seconds - burst, "{all} in {seconds} s");
    }
}

#[test]
fn a_producer_is_asked_for_no_more_than_its_limit_allows_and_in_parts_worth_a_call() {
    let mut world = World::producer(options(Role::Producer, 1000));
    world.run_until(5 * SECOND);
    world.check(1000, 100);
    assert_eq!(world.handled[0], (Duration::ZERO, 100), "a tenth at the start");
    assert!(world.calls <= 52, "{} calls", world.calls);
}

#[test]
fn a_producer_that_gives_less_is_charged_for_what_it_gives() {
    let mut world = World::producer(options(Role::Producer, 1000));
    world.gives = |demand| (demand / 4) as usize;
    world.run_until(5 * SECOND);
    let all = world.sum(Duration::ZERO, 5 * SECOND);
    assert!((1000..=5100).contains(&all), "{all}");
    let mut none = World::producer(options(Role::Producer, 10));
    none.gives = |_| 0;
    none.run_until(5 * SECOND);
    assert!(none.calls > 40, "asked {} times: what it did not give was not charged", none.calls);
}

#[test]
fn a_limit_below_one_event_in_a_call_is_kept() {
    let mut world = World::producer(options(Role::Producer, 3));
    world.run_until(10 * SECOND);
    world.check(3, 1);
}

#[test]
fn what_a_producer_makes_by_the_clock_counts_and_its_clock_waits_until_it_is_paid_off() {
    let mut options = options(Role::Producer, 10);
    options.tick = Some(millis(10));
    let mut world = World::producer(options);
    world.gives = |_| 0;
    world.ticked = 5;
    world.run_until(10 * SECOND);
    let all = world.sum(Duration::ZERO, 10 * SECOND);
    assert!((95..=110).contains(&all), "{all} of 100");
    assert!(world.ticks < 25, "{} ticks", world.ticks);
}

#[test]
fn what_comes_from_an_inbox_counts() {
    let mut options = options(Role::Producer, 100);
    options.inbox = Some(0);
    let mut world = World::producer(options);
    world.gives = |_| 0;
    let mut first = 0;
    for _ in 0..2000 {
        while let Some(fetch) = world.stage.poll_fetch() {
            assert!(fetch.events_max <= 10, "{fetch:?}");
            let events = Batch::from_payloads(vec!["x"; fetch.events_max as usize]);
            world.stage.handle(world.now, Input::Arrived { first, events });
            first += u64::from(fetch.events_max);
        }
        let next = (world.now + SECOND).min(world.stage.poll_timeout().unwrap_or(Duration::MAX));
        world.run_until(next.max(world.now + millis(1)));
        if world.now >= 5 * SECOND {
            break;
        }
    }
    let all = world.sum(Duration::ZERO, world.now);
    let limit = 100 * world.now.as_millis() as u64 / 1000;
    assert!(all <= limit + 20 && all + 40 >= limit, "{all} of {limit} in {:?}", world.now);
}

#[test]
fn a_consumer_is_given_no_more_than_its_limit_allows() {
    let mut world = World::of(options(Role::Consumer, 1000));
    world.run_until(5 * SECOND);
    world.check(1000, 100);
    assert!(world.calls <= 52, "{} calls", world.calls);
}

#[test]
fn a_stage_that_gathers_saves_for_a_whole_batch() {
    let mut options = options(Role::Consumer, 100);
    options.batch = Some(Gathering { size: 50, timeout: SECOND, by: None });
    let mut world = World::of(options);
    world.run_until(10 * SECOND);
    world.check(100, 50);
    assert!(world.handled.iter().all(|(_, events)| *events == 50), "{:?}", world.handled);
    assert_eq!(world.handled[0].0, millis(400), "it begins with a tenth, 10");
}

#[test]
fn one_that_is_started_again_has_a_tenth_at_once_however_often() {
    let mut all = 0;
    for start in 0..10 {
        let mut world = World::of(options(Role::Consumer, 1000));
        world.now = start * millis(10);
        world.run_until(world.now + millis(10));
        all += world.sum(Duration::ZERO, SECOND);
    }
    assert!(all <= 10 * 110, "{all} in a tenth of a second with ten starts");
}

#[test]
fn a_limit_is_changed_while_the_stage_runs() {
    let mut world = World::of(options(Role::Consumer, 1000));
    world.run_until(2 * SECOND);
    let limit = |events| RateLimit { events, per: SECOND };
    world.stage.handle(world.now, Input::SetRate(Some(limit(10))));
    world.run_until(12 * SECOND);
    let slow = world.sum(2 * SECOND + millis(1), 12 * SECOND);
    assert!((99..=101).contains(&slow), "{slow}");
    world.stage.handle(world.now, Input::SetRate(Some(limit(2000))));
    world.run_until(13 * SECOND);
    let fast = world.sum(12 * SECOND, 13 * SECOND);
    assert!((1800..=2200).contains(&fast), "{fast}");
}

#[test]
fn a_producer_without_a_limit_gets_one_and_loses_it_again() {
    let mut options = options(Role::Producer, 1);
    options.rate_limit = None;
    let mut world = World::producer(options);
    world.stage.handle(world.now, Input::SetRate(Some(RateLimit { events: 100, per: SECOND })));
    world.run_until(5 * SECOND);
    world.check(100, 10);
    world.stage.handle(world.now, Input::SetRate(None));
    let before = world.calls;
    for _ in 0..10 {
        world.step();
    }
    assert_eq!(world.calls, before + 10, "as often as it is asked");
}

#[test]
fn a_call_that_is_repeated_counts_again_and_does_not_wait() {
    let mut world = World::of(options(Role::Consumer, 10));
    let Some(Call::HandleEvents { runs, .. }) = world.stage.poll_call(Duration::ZERO, GuestNo::FIRST) else { panic!() };
    world.stage.handle(Duration::ZERO, Input::Returned(GuestNo::FIRST, Returned::Trapped("trap".into())));
    assert_eq!(world.stage.poll_call(Duration::ZERO, GuestNo::FIRST), Some(Call::Renew));
    world.stage.handle(Duration::ZERO, Input::Returned(GuestNo::FIRST, Returned::Renewed));
    let again = world.stage.poll_call(Duration::ZERO, GuestNo::FIRST);
    assert!(matches!(again, Some(Call::HandleEvents { runs: second, .. }) if second == runs));
    let returned = Returned::Processed { events: Batch::default(), rejected: Vec::new() };
    world.stage.handle(Duration::ZERO, Input::Returned(GuestNo::FIRST, returned));
    assert_eq!(
        (world.stage.poll_call(millis(199), GuestNo::FIRST), world.stage.poll_timeout()),
        (None, Some(millis(200)))
    );
    assert!(world.stage.poll_call(millis(200), GuestNo::FIRST).is_some(), "two tokens were used");
}
