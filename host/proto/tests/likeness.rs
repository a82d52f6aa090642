//! What GenStage, Broadway and their kin promise and no recording shows: exact cases for rows of `docs/features.md`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, time::Duration};

use forebay_proto::{
    batch::{Batch, BatchLimits, Columns},
    consumer::{CancelMode, Gathering, Owner, UpstreamOptions},
    ids::{Epoch, StageName, SubId},
    message::{Demand, Envelope, Message, Reason, Subscribe},
    select::{InstanceId, Selection},
    stage::{Call, GuestNo, Input, Returned, Role, Stage, StageOptions, Transmit},
};

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn name(text: &str) -> StageName {
    text.parse().unwrap()
}

fn options(stage: &str, role: Role) -> StageOptions {
    StageOptions::new("p".parse().unwrap(), name(stage), role)
}

fn owner(lamport: u32) -> Owner {
    Owner { node: "n".parse().unwrap(), epoch: Epoch { lamport, tag: 0 } }
}

fn say(stage: &mut Stage, now: u64, sub: SubId, message: Message) {
    let envelope = Envelope { epoch: Epoch::default(), message };
    stage.handle(millis(now), Input::Received { sub, envelope });
}

/// One with a consumer that has asked for 5 events.
fn asked_for_5(poll: Option<Duration>) -> Stage {
    let mut stage = Stage::new(StageOptions { poll, ..options("source", Role::Producer) });
    let sub = stage.accept();
    let instance = InstanceId::first_on("n".parse().unwrap());
    let demand = Demand::new(5, None).unwrap();
    let subscribe = Subscribe::new("p".parse().unwrap(), name("source"), name("sink"), instance, demand);
    say(&mut stage, 0, sub, Message::Subscribe(subscribe));
    say(&mut stage, 0, sub, Message::Ask { granted: 5, acked: Vec::new() });
    stage
}

fn produced(events: Batch) -> Input {
    Input::Returned(GuestNo::FIRST, Returned::Produced { events, finished: false })
}

/// GenStage never asks again; a plugin without a timer could never emit again.
#[test]
fn one_that_gave_less_is_asked_for_the_rest_after_poll_and_never_if_that_is_off() {
    for poll in [Some(millis(100)), None] {
        let mut stage = asked_for_5(poll);
        assert_eq!(stage.poll_call(millis(0), GuestNo::FIRST), Some(Call::HandleDemand { demand: 5 }));
        stage.handle(millis(10), produced(Batch::from_payloads(["x", "y"])));
        assert_eq!(stage.poll_call(millis(10), GuestNo::FIRST), None);
        assert_eq!(stage.poll_timeout(), poll.map(|poll| millis(10) + poll));
        stage.handle(millis(3_600_000), Input::Timeout);
        let again = stage.poll_call(millis(3_600_000), GuestNo::FIRST);
        assert_eq!(again, poll.map(|_| Call::HandleDemand { demand: 3 }));
    }
}

/// The subscriptions that a stage has begun since it was asked last.
fn opened(stage: &mut Stage) -> Vec<SubId> {
    let open = |transmit| match transmit {
        Transmit::Open { sub, .. } => Some(sub),
        _ => None,
    };
    std::iter::from_fn(|| stage.poll_transmit()).filter_map(open).collect()
}

/// Broadway's `resubscribe_interval`, and what a supervisor is for under GenStage's `cancel: :permanent`.
#[test]
fn one_that_lost_its_source_goes_on_with_the_next_owner_unless_it_is_to_end_too() {
    let failed = || Reason::Failed("a trap".into());
    for (cancel, reason, goes_on) in [
        (CancelMode::Temporary, failed(), true),
        (CancelMode::Temporary, Reason::Normal, true),
        (CancelMode::Transient, Reason::Shutdown(None), true),
        (CancelMode::Transient, failed(), false),
        (CancelMode::Permanent, Reason::Normal, false),
    ] {
        let upstream = UpstreamOptions { cancel, ..UpstreamOptions::new(name("source"), Demand::default()) };
        let upstreams = vec![upstream];
        let mut stage = Stage::new(StageOptions { upstreams, ..options("sink", Role::Consumer) });
        let owned = |owner| Input::Owner { source: name("source"), owner };
        stage.handle(millis(0), owned(Some(owner(1))));
        let [sub] = opened(&mut stage)[..] else { panic!("one subscription") };
        stage.handle(millis(1), Input::Down { sub, reason: reason.clone() });
        assert_eq!(stage.poll_call(millis(1), GuestNo::FIRST), None);
        stage.handle(millis(1), owned(None));
        stage.handle(millis(2), owned(Some(owner(2))));
        assert_eq!(
            (opened(&mut stage).len() == 1, stage.stopped()),
            (goes_on, (!goes_on).then_some(&reason)),
            "{cancel:?}"
        );
    }
}

/// Events with these topics, and their places as payloads.
fn of_topics(topics: &[&str]) -> Batch {
    let mut columns = Columns::default();
    for (index, topic) in topics.iter().enumerate() {
        columns.payloads.extend(index.to_string().bytes());
        columns.ends.push(u32::try_from(columns.payloads.len()).unwrap());
        let known = columns.topics.iter().position(|known| &**known == *topic);
        let at = known.unwrap_or_else(|| {
            columns.topics.push((*topic).into());
            columns.topics.len() - 1
        });
        columns.topic_of.push(u16::try_from(at).unwrap());
    }
    Batch::new(columns, &BatchLimits::default()).unwrap()
}

/// A source and its consumers, with nothing between them.
struct Flow {
    source: Stage,
    consumers: BTreeMap<&'static str, Stage>,
    /// The source's name for each consumer's only subscription.
    ways: BTreeMap<&'static str, (SubId, SubId)>,
}

impl Flow {
    /// Consumers that gather so many events of one topic.
    fn begin(batchers: &[(&'static str, u32)]) -> Self {
        let mut flow = Self {
            source: Stage::new(options("source", Role::Producer)),
            consumers: BTreeMap::new(),
            ways: BTreeMap::new(),
        };
        for (topic, size) in batchers {
            let select = Selection { topics: vec![topic.parse().unwrap()], ..Selection::default() };
            let demand = Demand::new(10, None).unwrap();
            let upstreams = vec![UpstreamOptions { select, ..UpstreamOptions::new(name("source"), demand) }];
            let batch = Some(Gathering { size: *size, timeout: millis(100), by: None });
            let mut stage = Stage::new(StageOptions { upstreams, batch, ..options(topic, Role::Consumer) });
            let owner = Owner { epoch: Epoch::default(), ..owner(0) };
            stage.handle(millis(0), Input::Owner { source: name("source"), owner: Some(owner) });
            flow.consumers.insert(topic, stage);
        }
        flow
    }

    /// Hands all messages over, until nobody has another.
    fn settle(&mut self, now: u64) {
        loop {
            let mut idle = true;
            for (topic, consumer) in &mut self.consumers {
                while let Some(transmit) = consumer.poll_transmit() {
                    idle = false;
                    match transmit {
                        Transmit::Open { sub, .. } => drop(self.ways.insert(topic, (self.source.accept(), sub))),
                        Transmit::Send { envelope, .. } => {
                            let (sub, _) = self.ways[topic];
                            self.source.handle(millis(now), Input::Received { sub, envelope });
                        }
                        Transmit::Close { .. } => panic!("nothing ends"),
                    }
                }
            }
            while let Some(transmit) = self.source.poll_transmit() {
                idle = false;
                let Transmit::Send { sub, envelope } = transmit else { panic!("{transmit:?}") };
                let (topic, (_, sub)) = self.ways.iter().find(|(_, (ours, _))| *ours == sub).unwrap();
                self.consumers.get_mut(topic).unwrap().handle(millis(now), Input::Received { sub: *sub, envelope });
            }
            if idle {
                return;
            }
        }
    }

    /// The calls that are due, each as what its events say; all succeed.
    fn calls(&mut self, now: u64) -> Vec<(&'static str, String)> {
        let mut made = Vec::new();
        for (topic, consumer) in &mut self.consumers {
            while let Some(call) = consumer.poll_call(millis(now), GuestNo::FIRST) {
                let Call::HandleEvents { events, .. } = call else { panic!("{call:?}") };
                assert!(events.iter().all(|event| event.topic == Some(*topic)));
                let text = events.iter().map(|event| String::from_utf8_lossy(event.payload).into_owned());
                made.push((*topic, text.collect::<Vec<_>>().join(" ")));
                let processed = Returned::Processed { events: Batch::default(), rejected: Vec::new() };
                consumer.handle(millis(now), Input::Returned(GuestNo::FIRST, processed));
            }
        }
        made
    }
}

/// Broadway's named batchers and `put_batcher`: a stage for each, and the topic says which.
#[test]
fn each_batcher_gets_its_topic_in_batches_of_its_own_size() {
    let mut flow = Flow::begin(&[("mail", 3), ("store", 2)]);
    flow.settle(0);
    assert!(matches!(flow.source.poll_call(millis(0), GuestNo::FIRST), Some(Call::HandleDemand { .. })));
    let topics = ["mail", "store", "mail", "mail", "store", "store", "mail"];
    flow.source.handle(millis(1), produced(of_topics(&topics)));
    flow.settle(1);
    assert_eq!(flow.calls(1), [("mail", "0 2 3".to_owned()), ("store", "1 4".to_owned())]);
    flow.settle(100);
    assert_eq!(flow.calls(100), [], "what is left waits for others");
    assert_eq!(flow.calls(101), [("mail", "6".to_owned()), ("store", "5".to_owned())]);
    flow.settle(101);
    assert_eq!(flow.source.unacked(), 0, "all of it is acknowledged");
}
