//! The ways of a batch through the core, each as a round that can be repeated for ever.
//!
//! Used by the benches beside it and by `tests/allocations.rs`, so that what is timed, what is counted in instructions and
//! what is counted in allocations is the same work.

use std::time::Duration;

use bytes::Bytes;
use forebay_proto::{
    batch::{Batch, BatchLimits, Columns},
    consumer::{Owner, UpstreamOptions},
    ids::{Epoch, Seq, SubId},
    message::{Demand, Envelope, Events, Message, SeqRun, Subscribe},
    select::InstanceId,
    stage::{Call, GuestNo, Input, Returned, Role, Stage, StageOptions, Transmit},
    wire::{self, Frame},
};

const NOW: Duration = Duration::ZERO;

/// Events and the bytes of each payload: a round trip per batch, small events, middling ones, large ones.
pub(crate) const SHAPES: [Shape; 4] = [
    Shape { events: 5, bytes: 16, routed: false },
    Shape { events: 500, bytes: 16, routed: false },
    Shape { events: 500, bytes: 100, routed: false },
    Shape { events: 100, bytes: 1024, routed: false },
];

/// What a batch looks like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) events: u32,
    pub(crate) bytes: usize,
    /// Whether each event has one of three topics, and a key of 8 bytes.
    pub(crate) routed: bool,
}

impl Shape {
    pub(crate) fn routed(self) -> Self {
        Self { routed: true, ..self }
    }

    pub(crate) fn batch(self) -> Batch {
        let mut columns = Columns::default();
        let mut keys = Vec::new();
        let mut payloads = Vec::new();
        for event in 0..self.events {
            payloads.resize(payloads.len() + self.bytes, u8::try_from(event % 251).expect("below 256"));
            columns.ends.push(u32::try_from(payloads.len()).expect("a small batch"));
            if self.routed {
                columns.topic_of.push(u16::try_from(event % 3).expect("below 3"));
                keys.extend(u64::from(event).to_be_bytes());
                columns.key_ends.push(u32::try_from(keys.len()).expect("a small batch"));
            }
        }
        if self.routed {
            columns.topics = ["orders", "payments", "returns"].map(str::to_owned).to_vec();
        }
        (columns.payloads, columns.keys) = (payloads, keys);
        Batch::new(columns, &BatchLimits::default()).expect("columns that agree")
    }

    /// As it goes to a consumer.
    pub(crate) fn message(self) -> Envelope {
        let runs = vec![SeqRun { first: Seq(1_000_000), count: self.events }];
        let events = Events { attempt: 1, runs, events: self.batch() };
        Envelope { epoch: Epoch::default(), message: Message::Events(events) }
    }

    pub(crate) fn frame(self) -> Bytes {
        wire::encode(&Frame::Stage(self.message()))
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}{}", self.events, self.bytes, if self.routed { "+routed" } else { "" })
    }
}

fn options(name: &str, role: Role) -> StageOptions {
    StageOptions::new("p".parse().expect("a name"), name.parse().expect("a name"), role)
}

/// All that a stage's task drains beside messages and calls.
fn settle(stage: &mut Stage) {
    while stage.poll_notice().is_some() {}
    std::hint::black_box(stage.poll_timeout());
}

fn sent(stage: &mut Stage) -> Option<(SubId, Envelope)> {
    match stage.poll_transmit()? {
        Transmit::Send { sub, envelope } => Some((sub, envelope)),
        other => panic!("expected a message, found {other:?}"),
    }
}

/// A producer whose guest gives the same batch whenever it is asked, with consumers that ask by turns.
pub(crate) struct Source {
    stage: Stage,
    /// With what each has granted, and what it has to acknowledge.
    consumers: Vec<(SubId, u64, Vec<SeqRun>)>,
    turn: usize,
    batch: Batch,
}

impl Source {
    pub(crate) fn new(consumers: usize, shape: Shape) -> Self {
        let mut stage = Stage::new(options("source", Role::Producer));
        let join = |number: usize| {
            let sub = stage.accept();
            let instance = InstanceId::first_on(format!("n{number}").parse().expect("a name"));
            let demand = Demand::new(shape.events, Some(0)).expect("none is below one");
            let (pipeline, producer) = ("p".parse().expect("a name"), "source".parse().expect("a name"));
            let subscribe = Subscribe::new(pipeline, producer, "sink".parse().expect("a name"), instance, demand);
            say(&mut stage, sub, Message::Subscribe(subscribe));
            (sub, 0, Vec::new())
        };
        let consumers = (0..consumers).map(join).collect();
        settle(&mut stage);
        Self { stage, consumers, turn: 0, batch: shape.batch() }
    }

    /// The next consumer acknowledges what it had and asks for a batch; the guest makes it; it goes out.
    pub(crate) fn round(&mut self) -> Envelope {
        let (_, granted, acked) = &mut self.consumers[self.turn];
        *granted += self.batch.len() as u64;
        let ask = Message::Ask { granted: *granted, acked: std::mem::take(acked) };
        let envelope = self.answer(ask);
        let Message::Events(events) = &envelope.message else { panic!("events were asked for") };
        self.consumers[self.turn].2.clone_from(&events.runs);
        self.turn = (self.turn + 1) % self.consumers.len();
        envelope
    }

    /// What a message of the consumer whose turn it is brings about.
    fn answer(&mut self, message: Message) -> Envelope {
        let sub = self.consumers[self.turn].0;
        say(&mut self.stage, sub, message);
        let call = self.stage.poll_call(NOW, GuestNo::FIRST);
        assert!(matches!(call, Some(Call::HandleDemand { demand }) if demand as usize == self.batch.len()), "{call:?}");
        let returned = Returned::Produced { events: self.batch.clone(), finished: false };
        self.stage.handle(NOW, Input::Returned(GuestNo::FIRST, returned));
        let (to, envelope) = sent(&mut self.stage).expect("what was asked for");
        assert_eq!(to, sub, "the only one with demand");
        settle(&mut self.stage);
        envelope
    }
}

fn say(stage: &mut Stage, sub: SubId, message: Message) {
    stage.handle(NOW, Input::Received { sub, envelope: Envelope { epoch: Epoch::default(), message } });
}

/// A consumer whose guest takes everything.
pub(crate) struct Sink {
    stage: Stage,
    sub: SubId,
}

impl Sink {
    /// With its first ask.
    pub(crate) fn new(shape: Shape) -> (Self, Message) {
        let mut stage = Stage::new(options("sink", Role::Consumer));
        let demand = Demand::new(shape.events, Some(0)).expect("none is below one");
        let options = UpstreamOptions::new("source".parse().expect("a name"), demand);
        let owner = Owner { node: "n".parse().expect("a name"), epoch: Epoch::default() };
        stage.handle(NOW, Input::Subscribe { options, owner });
        let Some(Transmit::Open { sub, .. }) = stage.poll_transmit() else { panic!("a subscription begins") };
        let mut said = std::iter::from_fn(|| sent(&mut stage)).map(|(_, envelope)| envelope.message);
        let ask = said.find(|message| matches!(message, Message::Ask { .. })).expect("it asks at once");
        settle(&mut stage);
        (Self { stage, sub }, ask)
    }

    /// Takes a message of events; gives the ask that acknowledges it.
    pub(crate) fn round(&mut self, envelope: Envelope) -> Envelope {
        self.stage.handle(NOW, Input::Received { sub: self.sub, envelope });
        let call = self.stage.poll_call(NOW, GuestNo::FIRST).expect("events to handle");
        assert!(matches!(call, Call::HandleEvents { .. }), "{call:?}");
        drop(call);
        let returned = Returned::Processed { events: Batch::default(), rejected: Vec::new() };
        self.stage.handle(NOW, Input::Returned(GuestNo::FIRST, returned));
        let (_, ask) = sent(&mut self.stage).expect("an acknowledgement");
        settle(&mut self.stage);
        ask
    }
}

/// A consumer alone: it is handed events in the order of their numbers.
pub(crate) struct Fed {
    sink: Sink,
    next: u64,
    shape: Shape,
    batch: Batch,
}

impl Fed {
    pub(crate) fn new(shape: Shape) -> Self {
        Self { sink: Sink::new(shape).0, next: 0, shape, batch: shape.batch() }
    }

    pub(crate) fn round(&mut self) -> Envelope {
        let runs = vec![SeqRun { first: Seq(self.next), count: self.shape.events }];
        self.next += u64::from(self.shape.events);
        let events = Events { attempt: 1, runs, events: self.batch.clone() };
        self.sink.round(Envelope { epoch: Epoch::default(), message: Message::Events(events) })
    }
}

/// From a guest's batch over two frames to its acknowledgement.
pub(crate) struct Way {
    source: Source,
    sink: Sink,
    ask: Message,
}

impl Way {
    pub(crate) fn new(shape: Shape) -> Self {
        let (sink, ask) = Sink::new(shape);
        Self { source: Source::new(1, shape), sink, ask }
    }

    pub(crate) fn round(&mut self) {
        let ask = std::mem::replace(&mut self.ask, Message::Processed { runs: Vec::new() });
        let events = over(self.source.answer(ask));
        self.ask = over(self.sink.round(events)).message;
    }
}

/// Through a frame.
fn over(envelope: Envelope) -> Envelope {
    decoded(&wire::encode(&Frame::Stage(envelope)))
}

pub(crate) fn decoded(frame: &Bytes) -> Envelope {
    match wire::decode(frame, &BatchLimits::default()) {
        Ok(Frame::Stage(envelope)) => envelope,
        other => panic!("a frame of our own: {other:?}"),
    }
}
