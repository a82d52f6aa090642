//! A stage with several instances of its plugin: who is given what, in which order, and what happens while their number
//! changes, one is lost, or the stage ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use forebay_proto::{
    batch::{Batch, BatchLimits, Columns},
    consumer::{CancelMode, GatherBy, Gathering, Owner, UpstreamOptions},
    ids::{Epoch, Seq, SubId},
    message::{Demand, Envelope, Events, Message, Reason, SeqRun, Subscribe},
    poison::PoisonLimit,
    requests::RequestNo,
    select::{InstanceId, Selection},
    stage::{Call, Concurrency, GuestNo, Input, Notice, Returned, Role, Stage, StageOptions, Transmit},
};
use proptest::prelude::*;

const SUB: SubId = SubId(1);
const NOW: Duration = Duration::ZERO;

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn options(role: Role, instances: u32) -> StageOptions {
    let mut options = StageOptions::new("p".parse().unwrap(), "s".parse().unwrap(), role);
    options.concurrency = Concurrency { instances, ..Concurrency::default() };
    options
}

/// A stage whose instances have begun, and what it needs to be driven by hand.
struct Driven {
    stage: Stage,
    /// Calls that are out.
    out: BTreeMap<GuestNo, Call>,
    /// What was done, by key: the numbers in order.
    done: BTreeMap<Vec<u8>, Vec<u64>>,
    /// Which instances were given events of a key.
    given: BTreeMap<Vec<u8>, BTreeSet<GuestNo>>,
    granted: u64,
    acked: BTreeSet<u64>,
    notices: Vec<Notice>,
}

impl Driven {
    fn new(options: StageOptions, max: u32) -> Self {
        let is_producer = options.role == Role::Producer;
        let mut stage = Stage::new(options);
        if !is_producer {
            let mut options = UpstreamOptions::new("source".parse().unwrap(), Demand::new(max, Some(0)).unwrap());
            options.cancel = CancelMode::Permanent;
            let owner = Owner { node: "n".parse().unwrap(), epoch: Epoch::default() };
            stage.handle(NOW, Input::Subscribe { options, owner });
        }
        let (out, done, given) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut driven = Self { stage, out, done, given, granted: 0, acked: BTreeSet::new(), notices: Vec::new() };
        driven.begin_all();
        driven
    }

    /// Lets all begin that are about to.
    fn begin_all(&mut self) {
        for no in self.stage.guests() {
            if let Some(Call::Renew) = self.poll(no) {
                self.answer(no, Returned::Renewed);
            }
        }
    }

    fn poll(&mut self, no: GuestNo) -> Option<Call> {
        let call = self.stage.poll_call(NOW, no)?;
        self.out.insert(no, call.clone());
        Some(call)
    }

    /// Gives each idle instance its next call.
    fn poll_all(&mut self) {
        for no in self.stage.guests() {
            self.poll(no);
        }
        self.take_messages();
    }

    fn answer(&mut self, no: GuestNo, returned: Returned) {
        self.out.remove(&no).unwrap();
        self.stage.handle(NOW, Input::Returned(no, returned));
        self.take_messages();
    }

    /// The call with events of an instance is done.
    fn process(&mut self, no: GuestNo) {
        let Call::HandleEvents { runs, events, .. } = &self.out[&no] else { panic!("{:?}", self.out[&no]) };
        for (number, event) in seqs(runs).zip(events.iter()) {
            assert_eq!(event.payload, number.to_be_bytes(), "numbers stay with their events");
            self.done.entry(event.key.to_vec()).or_default().push(number);
            self.given.entry(event.key.to_vec()).or_default().insert(no);
        }
        self.answer(no, Returned::Processed { events: Batch::default(), rejected: Vec::new() });
    }

    fn receive(&mut self, events: &[(u64, u8)]) {
        let mut columns = Columns::default();
        for (number, key) in events {
            columns.payloads.extend(number.to_be_bytes());
            columns.ends.push(u32::try_from(columns.payloads.len()).unwrap());
            columns.keys.extend(Some(*key).filter(|key| *key > 0));
            columns.key_ends.push(u32::try_from(columns.keys.len()).unwrap());
        }
        let runs = events.iter().map(|(number, _)| SeqRun { first: Seq(*number), count: 1 }).collect();
        let events = Batch::new(columns, &BatchLimits::default()).unwrap();
        self.say(Message::Events(Events { attempt: 1, runs, events }));
    }

    fn say(&mut self, message: Message) {
        self.stage.handle(NOW, Input::Received { sub: SUB, envelope: Envelope { epoch: Epoch::default(), message } });
        self.take_messages();
    }

    fn take_messages(&mut self) {
        while let Some((letters, _)) = self.stage.poll_letters() {
            self.stage.handle(NOW, Input::Lettered { letters, kept: true });
        }
        while let Some(transmit) = self.stage.poll_transmit() {
            if let Transmit::Send { envelope: Envelope { message: Message::Ask { granted, acked }, .. }, .. } = transmit
            {
                self.granted = granted;
                self.acked.extend(seqs(&acked));
            }
        }
        self.notices.extend(std::iter::from_fn(|| self.stage.poll_notice()));
    }

    fn calls(&self) -> Vec<(u32, Vec<u64>)> {
        let numbers = |(no, call): (&GuestNo, &Call)| match call {
            Call::HandleEvents { runs, .. } => Some((no.0, seqs(runs).collect())),
            _ => None,
        };
        self.out.iter().filter_map(numbers).collect()
    }

    fn resized(&self) -> Vec<u32> {
        let resized = |notice: &Notice| match notice {
            Notice::Resized { instances } => Some(*instances),
            _ => None,
        };
        self.notices.iter().filter_map(resized).collect()
    }
}

fn seqs(runs: &[SeqRun]) -> impl Iterator<Item = u64> + '_ {
    runs.iter().flat_map(|run| run.first.0..run.end().0)
}

fn consumer(instances: u32, max: u32) -> Driven {
    Driven::new(options(Role::Consumer, instances), max)
}

/// Events without a key.
fn plain(numbers: std::ops::Range<u64>) -> Vec<(u64, u8)> {
    numbers.map(|number| (number, 0)).collect()
}

#[test]
fn several_are_busy_at_once_and_acknowledge_when_they_are_done() {
    let mut driven = consumer(3, 9);
    for at in 0..3 {
        driven.receive(&plain(2 * at..2 * at + 2));
    }
    driven.poll_all();
    assert_eq!(driven.calls(), [(0, vec![0, 1]), (1, vec![2, 3]), (2, vec![4, 5])]);
    driven.process(GuestNo(1));
    assert_eq!(driven.acked, [2, 3].into(), "the second is done before the first");
    driven.poll_all();
    assert_eq!(driven.calls().len(), 2, "nothing is left for it");
    driven.process(GuestNo(0));
    driven.process(GuestNo(2));
    assert_eq!(driven.acked.len(), 6);
    assert!(driven.stage.is_settled());
}

#[test]
fn events_of_one_key_stay_with_one_instance_and_do_not_wait_for_other_keys() {
    let mut driven = consumer(4, 100);
    driven.receive(&(0..40).map(|n| (n, 1 + u8::try_from(n % 8).unwrap())).collect::<Vec<_>>());
    driven.poll_all();
    let slow = *driven.out.keys().next().unwrap();
    let slow_ones: BTreeSet<u64> = driven.calls()[0].1.iter().copied().collect();
    for _ in 0..10 {
        for no in driven.out.keys().copied().filter(|no| *no != slow).collect::<Vec<_>>() {
            driven.process(no);
        }
        driven.poll_all();
    }
    assert_eq!(driven.acked.len() + slow_ones.len(), 40, "all but what waits for the slow one");
    driven.process(slow);
    assert_eq!(driven.acked.len(), 40);
    assert!(driven.given.values().all(|given| given.len() == 1));
    assert!(driven.given.values().flatten().collect::<BTreeSet<_>>().len() > 1);
    let in_order = driven.done.values().all(|numbers| numbers.is_sorted());
    assert!(in_order, "{:?}", driven.done);
}

#[test]
fn one_that_has_not_begun_holds_up_nobody() {
    let mut stage = Driven::new(options(Role::Consumer, 1), 10);
    stage.stage.handle(NOW, Input::Resize(2));
    assert_eq!(stage.poll(GuestNo(1)), Some(Call::Renew));
    stage.receive(&plain(0..4));
    stage.poll_all();
    assert_eq!(stage.calls(), [(0, vec![0, 1, 2, 3])]);
    stage.process(GuestNo(0));
    assert_eq!((stage.resized(), stage.stage.instances()), (vec![], (1, 2)));
    stage.answer(GuestNo(1), Returned::Renewed);
    assert_eq!((stage.resized(), stage.stage.instances()), (vec![2], (2, 2)));
}

#[test]
fn those_that_are_too_many_end_when_they_have_nothing_left_to_do() {
    let mut driven = consumer(3, 30);
    driven.receive(&(0..9).map(|n| (n, 1 + u8::try_from(n).unwrap())).collect::<Vec<_>>());
    driven.poll_all();
    assert_eq!(driven.calls().len(), 3);
    driven.stage.handle(NOW, Input::Resize(1));
    driven.receive(&plain(9..12));
    driven.process(GuestNo(2));
    assert_eq!(driven.poll(GuestNo(2)), None, "the first two may hold a key that is to move");
    driven.process(GuestNo(1));
    driven.process(GuestNo(0));
    assert_eq!(driven.resized(), [3, 1]);
    driven.poll_all();
    assert_eq!(driven.calls(), [(0, vec![9, 10, 11])]);
    assert_eq!(driven.out[&GuestNo(2)], Call::Retire, "the last one first");
    assert_eq!(driven.out.get(&GuestNo(1)), None);
    driven.answer(GuestNo(2), Returned::Retired);
    assert_eq!(driven.poll(GuestNo(1)), Some(Call::Retire));
    // By now there are to be two again.
    driven.stage.handle(NOW, Input::Resize(2));
    driven.answer(GuestNo(1), Returned::Retired);
    assert_eq!(driven.poll(GuestNo(1)), Some(Call::Renew));
}

#[test]
fn a_lost_instance_is_replaced_and_its_events_tried_again_while_the_others_work() {
    let mut driven = consumer(2, 100);
    driven.receive(&(0..20).map(|n| (n, 1 + u8::try_from(n % 5).unwrap())).collect::<Vec<_>>());
    driven.poll_all();
    let lost = driven.calls()[0].1.clone();
    driven.answer(GuestNo(0), Returned::Trapped("no".into()));
    driven.process(GuestNo(1));
    assert_eq!(driven.acked.len(), 20 - lost.len());
    assert_eq!(driven.poll(GuestNo(0)), Some(Call::Renew));
    assert_eq!(driven.poll(GuestNo(1)), None);
    driven.answer(GuestNo(0), Returned::Renewed);
    driven.poll_all();
    assert_eq!(driven.calls(), [(0, lost)]);
    driven.process(GuestNo(0));
    assert_eq!(driven.acked.len(), 20);
}

#[test]
fn poison_events_are_counted_over_all_instances() {
    let mut options = options(Role::Consumer, 4);
    options.poison = PoisonLimit { max: 3, within: Duration::from_secs(60) };
    let mut driven = Driven::new(options, 100);
    driven.receive(&(0..40).map(|n| (n, 1 + u8::try_from(n).unwrap())).collect::<Vec<_>>());
    for _ in 0..400 {
        driven.poll_all();
        for (no, call) in driven.out.clone() {
            let returned = if call == Call::Renew { Returned::Renewed } else { Returned::Trapped("no".into()) };
            driven.answer(no, returned);
        }
    }
    assert_eq!(driven.acked.len(), 3);
    assert!(driven.stage.stopped().is_some(), "a fourth within a minute is too many");
}

#[test]
fn the_end_of_a_subscription_comes_behind_all_its_events() {
    let mut driven = consumer(2, 100);
    driven.receive(&(0..10).map(|n| (n, 1 + u8::try_from(n).unwrap())).collect::<Vec<_>>());
    driven.poll_all();
    driven.say(Message::Cancel(Reason::Normal));
    driven.process(GuestNo(0));
    driven.poll_all();
    assert_eq!(driven.stage.stopped(), None, "the other works on what came before");
    driven.process(GuestNo(1));
    driven.poll_all();
    assert!(driven.stage.stopped().is_some());
}

#[test]
fn a_stage_that_ends_finishes_what_is_in_hand_and_gives_the_rest_back() {
    let mut driven = consumer(2, 100);
    driven.receive(&(0..10).map(|n| (n, 1 + u8::try_from(n).unwrap())).collect::<Vec<_>>());
    driven.receive(&(10..20).map(|n| (n, u8::try_from(n - 9).unwrap())).collect::<Vec<_>>());
    driven.poll_all();
    // The first is done, so that more waits in the lane of the other.
    driven.process(GuestNo(0));
    driven.poll_all();
    let in_hand: usize = driven.calls().iter().map(|(_, numbers)| numbers.len()).sum();
    let before = driven.acked.len();
    driven.stage.handle(NOW, Input::Drain(Reason::Shutdown(None)));
    driven.process(GuestNo(1));
    assert!(!driven.stage.is_drained());
    driven.process(GuestNo(0));
    assert!(driven.stage.is_drained());
    assert_eq!(driven.acked.len(), before + in_hand);
    assert_eq!(driven.stage.guests().filter_map(|no| driven.stage.poll_call(NOW, no)).count(), 0);
}

#[test]
fn gathered_events_wait_for_others_of_their_instance_and_key_order_holds_when_lanes_change() {
    let mut options = options(Role::Consumer, 2);
    options.batch = Some(Gathering { size: 4, timeout: millis(100), by: None });
    let mut driven = Driven::new(options, 100);
    driven.receive(&(0..30).map(|n| (n, 1 + u8::try_from(n % 10).unwrap())).collect::<Vec<_>>());
    for _ in 0..20 {
        driven.poll_all();
        driven.calls().iter().for_each(|(_, numbers)| assert_eq!(numbers.len(), 4));
        driven.out.keys().copied().collect::<Vec<_>>().into_iter().for_each(|no| driven.process(no));
    }
    let waiting = 30 - driven.acked.len();
    assert!((1..8).contains(&waiting), "{waiting}");
    driven.stage.handle(NOW, Input::Resize(3));
    driven.begin_all();
    assert_eq!(driven.resized(), [2, 3]);
    driven.receive(&(30..60).map(|n| (n, 1 + u8::try_from(n % 10).unwrap())).collect::<Vec<_>>());
    driven.say(Message::Cancel(Reason::Normal));
    for _ in 0..40 {
        driven.poll_all();
        driven.out.keys().copied().collect::<Vec<_>>().into_iter().for_each(|no| driven.process(no));
    }
    let done: usize = driven.done.values().map(Vec::len).sum();
    assert_eq!(done, 60, "at the end of the subscription the rest goes");
    assert!(driven.done.values().all(|numbers| numbers.is_sorted()), "{:?}", driven.done);
}

#[test]
fn a_producers_instances_are_asked_in_equal_parts_and_never_for_more_than_is_wanted() {
    let mut options = options(Role::Producer, 3);
    options.poll = Some(millis(10));
    let mut driven = Driven::new(options, 0);
    let sub = driven.stage.accept();
    let subscribe = Subscribe {
        pipeline: "p".parse().unwrap(),
        producer: "s".parse().unwrap(),
        consumer: "c".parse().unwrap(),
        instance: InstanceId::first_on("m".parse().unwrap()),
        demand: Demand::new(100, None).unwrap(),
        select: Selection::default(),
    };
    let hear = |stage: &mut Stage, message| {
        stage.handle(NOW, Input::Received { sub, envelope: Envelope { epoch: Epoch::default(), message } });
    };
    hear(&mut driven.stage, Message::Subscribe(subscribe));
    hear(&mut driven.stage, Message::Ask { granted: 100, acked: Vec::new() });
    driven.poll_all();
    let asked = |driven: &Driven| -> Vec<u32> {
        let demand = |call: &Call| if let Call::HandleDemand { demand } = call { *demand } else { panic!("{call:?}") };
        driven.out.values().map(demand).collect()
    };
    assert_eq!(asked(&driven), [34, 33, 33]);
    driven.answer(GuestNo(1), Returned::Produced { events: Batch::default(), finished: false });
    assert_eq!(driven.poll(GuestNo(1)), None, "what it left open is asked for later");
    assert_eq!(driven.stage.poll_timeout(), Some(millis(10)));
    let again = driven.stage.poll_call(millis(10), GuestNo(1));
    assert_eq!(again, Some(Call::HandleDemand { demand: 33 }), "the others still make theirs");
}

#[test]
fn requests_go_to_the_first() {
    let mut driven = consumer(2, 10);
    let request = Input::Request { no: RequestNo(1), request: "?".into(), until: millis(100) };
    driven.stage.handle(NOW, request);
    assert_eq!(driven.poll(GuestNo(1)), None);
    assert!(matches!(driven.poll(GuestNo(0)), Some(Call::HandleCall { .. })));
}

#[derive(Clone, Debug)]
enum Step {
    Receive(Vec<u8>),
    Return(usize),
    Trap(usize),
    Retry(usize),
    Resize(u32),
    Suspend,
    Resume,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(0..12_u8, 1..20).prop_map(Step::Receive),
        8 => (0..4_usize).prop_map(Step::Return),
        1 => (0..4_usize).prop_map(Step::Trap),
        1 => (0..4_usize).prop_map(Step::Retry),
        1 => (1..5_u32).prop_map(Step::Resize),
        1 => Just(Step::Suspend),
        1 => Just(Step::Resume),
    ]
}

fn return_one(driven: &mut Driven, at: usize, how: impl Fn() -> Option<Returned>) {
    let Some((no, call)) = driven.out.iter().nth(at).map(|(no, call)| (*no, call.clone())) else { return };
    match (call, how()) {
        (Call::Renew, _) => driven.answer(no, Returned::Renewed),
        (Call::Retire, _) => driven.answer(no, Returned::Retired),
        (_, Some(returned)) => driven.answer(no, returned),
        (_, None) => driven.process(no),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Whatever happens: all events are processed, those of a key in order, and never more is asked for than fits.
    #[test]
    fn keys_keep_their_order(
        steps in prop::collection::vec(step(), 1..80),
        instances in 1..5_u32,
        gathers in any::<bool>(),
    ) {
        let mut options = options(Role::Consumer, instances);
        options.poison = PoisonLimit { max: u32::MAX, ..PoisonLimit::default() };
        options.concurrency.by = Some(GatherBy::Key);
        options.batch = gathers.then_some(Gathering { size: 5, timeout: millis(1), by: None });
        let mut driven = Driven::new(options, 30);
        let mut sent = 0;
        for step in steps {
            match step {
                Step::Receive(keys) => {
                    let room = usize::try_from(driven.granted - sent).unwrap().min(keys.len());
                    let events: Vec<_> = (sent..).zip(keys[..room].iter().copied()).collect();
                    sent += room as u64;
                    if !events.is_empty() {
                        driven.receive(&events);
                    }
                }
                Step::Return(at) => return_one(&mut driven, at, || None),
                Step::Trap(at) => return_one(&mut driven, at, || Some(Returned::Trapped("no".into()))),
                Step::Retry(at) => return_one(&mut driven, at, || Some(Returned::Retry)),
                Step::Resize(instances) => driven.stage.handle(NOW, Input::Resize(instances)),
                Step::Suspend => driven.stage.handle(NOW, Input::Suspend),
                Step::Resume => driven.stage.handle(NOW, Input::Resume),
            }
            driven.take_messages();
            driven.poll_all();
            prop_assert!(driven.granted - driven.acked.len() as u64 <= 30);
        }
        driven.stage.handle(NOW, Input::Resume);
        // Long enough for every pause.
        for second in 1..200 {
            let now = Duration::from_secs(second);
            driven.stage.handle(now, Input::Timeout);
            for no in driven.stage.guests() {
                if let Some(call) = driven.stage.poll_call(now, no) {
                    driven.out.insert(no, call);
                }
            }
            let out: Vec<_> = (0..driven.out.len()).collect();
            out.into_iter().for_each(|_| return_one(&mut driven, 0, || None));
        }
        prop_assert_eq!(driven.acked.len() as u64, sent);
        let keyed = driven.done.iter().filter(|(key, _)| !key.is_empty());
        for (key, numbers) in keyed {
            prop_assert!(numbers.is_sorted(), "{:?}: {:?}", key, numbers);
        }
        let (now, wanted) = driven.stage.instances();
        prop_assert_eq!(now, wanted);
        prop_assert_eq!(driven.stage.guests().count(), wanted as usize);
    }
}
