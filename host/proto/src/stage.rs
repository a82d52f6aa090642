//! One stage as a state machine: feed it [`Input`]s, then drain its pollers.
//!
//! There are separate pollers because what they give may be done at different times: messages may
//! leave while the guest is busy, the next guest call may not start before the last has returned.
//!
//! ```text
//!               handle(now, input)
//!                       |
//!     +-----------------+------------------+-----------------+
//!     v                 v                  v                 v
//! poll_transmit     poll_call         poll_notice       poll_timeout
//! messages          at most one       for the log,      when to call
//!                   until returned    and tests         handle(Timeout)
//! ```
//!
//! Time is a [`Duration`] since any fixed moment; it only has to rise.

mod words;

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    time::Duration,
};

pub use words::{Call, Ending, Input, Notice, Rejected, Returned, Transmit};

use crate::{
    backoff::Backoff,
    consumer::{Consumer, SubIds, UpstreamOptions},
    dispatch::{DemandDispatcher, Dispatcher},
    ids::{Epoch, NodeName, PipelineName, StageName, SubId},
    message::{Envelope, Message, Reason},
    producer::{BufferOptions, DemandMode, Producer},
};

/// What a stage does with events.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Role {
    /// Makes events when asked.
    Producer,
    /// Makes events of events.
    ProducerConsumer,
    /// Takes events.
    Consumer,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Producer => "producer",
            Self::ProducerConsumer => "producer-consumer",
            Self::Consumer => "consumer",
        })
    }
}

/// What a stage is and how it behaves. The defaults are those of the pipeline file.
#[derive(Debug)]
pub struct StageOptions {
    /// Its pipeline.
    pub pipeline: PipelineName,
    /// Its name.
    pub name: StageName,
    /// What it does with events.
    pub role: Role,
    /// The epoch of its claim; stamped on all it sends as a producer.
    pub epoch: Epoch,
    /// Who gets which events.
    pub dispatcher: Box<dyn Dispatcher>,
    /// Events nobody asks for.
    pub buffer: BufferOptions,
    /// Whether demand reaches the guest from the start.
    pub demand_mode: DemandMode,
    /// How long after a producer's guest gave less than asked it is asked for the rest again.
    /// `None`: never, as in GenStage, where a producer can emit by itself later.
    pub poll: Option<Duration>,
    /// What it consumes.
    pub upstreams: Vec<UpstreamOptions>,
    /// Sources of which nothing is taken from an owner once a later one is known: those whose names a
    /// majority gives. Of any other a former owner hands out what it has.
    pub fenced: BTreeSet<StageName>,
    /// The most events one guest call is asked for.
    pub call_events_max: u32,
    /// Larger messages are split. Unit: bytes.
    pub message_bytes_max: usize,
}

impl StageOptions {
    /// Defaults for everything but the names and the role.
    pub fn new(pipeline: PipelineName, name: StageName, role: Role) -> Self {
        let size = (role == Role::Producer).then_some(BufferOptions::SIZE_DEFAULT);
        Self {
            pipeline,
            name,
            role,
            epoch: Epoch::default(),
            dispatcher: Box::new(DemandDispatcher::default()),
            buffer: BufferOptions { size, ..BufferOptions::default() },
            demand_mode: DemandMode::default(),
            poll: None,
            upstreams: Vec::new(),
            fenced: BTreeSet::new(),
            call_events_max: 65_536,
            message_bytes_max: 4 << 20,
        }
    }
}

/// What waits to be polled.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    transmits: VecDeque<Transmit>,
    notices: VecDeque<Notice>,
}

impl Outputs {
    pub(crate) fn open(&mut self, sub: SubId, node: NodeName) {
        self.transmits.push_back(Transmit::Open { sub, node });
    }

    pub(crate) fn send(&mut self, sub: SubId, epoch: Epoch, message: Message) {
        self.transmits.push_back(Transmit::Send { sub, envelope: Envelope { epoch, message } });
    }

    pub(crate) fn close(&mut self, sub: SubId) {
        self.transmits.push_back(Transmit::Close { sub });
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        self.notices.push_back(notice);
    }
}

/// The guest wants a call again: nothing is called until then.
#[derive(Debug)]
struct Held {
    until: Duration,
    /// `None` for events to be made: what is wanted then is asked for, which may be less by then.
    call: Option<Call>,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Stage {
    role: Role,
    poll: Option<Duration>,
    call_events_max: u32,
    producer: Producer,
    consumer: Consumer,
    ids: SubIds,
    out: Outputs,
    calling: Option<Call>,
    held: Option<Held>,
    call_backoff: Backoff,
    /// Ask a producer again for what it left open.
    poll_at: Option<Duration>,
    finished: bool,
    draining: Option<Reason>,
    stopped: Option<Reason>,
}

impl Stage {
    /// A stage at its start. It does nothing before the first input.
    pub fn new(options: StageOptions) -> Self {
        let StageOptions { pipeline, name, role, epoch, dispatcher, buffer, demand_mode, upstreams, fenced, .. } =
            options;
        Self {
            role,
            poll: options.poll,
            call_events_max: options.call_events_max,
            producer: Producer::new(epoch, dispatcher, buffer, options.message_bytes_max, demand_mode),
            consumer: Consumer::new(pipeline, name, upstreams, fenced),
            ids: SubIds::default(),
            out: Outputs::default(),
            calling: None,
            held: None,
            call_backoff: Backoff::GUEST,
            poll_at: None,
            finished: false,
            draining: None,
            stopped: None,
        }
    }

    /// An id for a subscription that a consumer is about to begin with us.
    pub fn accept(&mut self) -> SubId {
        self.ids.issue()
    }

    /// Takes one input. After the stage has stopped, inputs change nothing.
    pub fn handle(&mut self, now: Duration, input: Input) {
        if self.stopped.is_some() {
            return;
        }
        let (consumer, out) = (&mut self.consumer, &mut self.out);
        match input {
            Input::Owner { source, owner } => {
                consumer.on_owner(&source, owner.as_ref(), &mut self.ids, out);
                self.abandon_fenced();
            }
            Input::Subscribe { options, .. } if self.role == Role::Producer => {
                out.notice(Notice::NotAConsumer { source: options.source });
            }
            Input::SetDemandMode(_) if self.role == Role::Consumer => out.notice(Notice::NotAProducer),
            Input::Subscribe { options, owner } => {
                consumer.subscribe(&options, &owner, &mut self.ids, out);
                self.abandon_fenced();
            }
            Input::Received { sub, envelope } => self.on_message(sub, envelope),
            Input::Down { sub, reason } => self.on_ended(sub, Ending::Down, reason),
            Input::Cancel { sub, reason } => consumer.cancel(sub, reason, out),
            Input::Returned(returned) => self.on_returned(now, returned),
            Input::Emit(events) => self.producer.emit(events, out),
            Input::SetDemandMode(mode) => self.producer.set_mode(mode, out),
            Input::Drain(reason) => self.drain(reason),
            Input::Stop(reason) => self.stop(reason),
            Input::Timeout => consumer.on_timeout(now, &mut self.ids, out),
        }
    }

    fn on_message(&mut self, sub: SubId, Envelope { epoch, message }: Envelope) {
        let out = &mut self.out;
        match message {
            // Answered as an unknown subscription it would lose its way and keep its events.
            Message::Events(_) if self.producer.has_sub(sub) => {
                let reason = Reason::Protocol("events from a consumer".into());
                out.notice(Notice::Refused { sub, reason: reason.clone() });
                self.producer.end(sub, Ending::Cancelled, reason, out);
            }
            Message::Events(events) => self.consumer.on_events(sub, epoch, events, out),
            Message::Cancel(reason) => self.on_ended(sub, Ending::Cancelled, reason),
            Message::Subscribe(_) | Message::Ask { .. } if epoch != self.producer.epoch() => {
                out.notice(Notice::Refused { sub, reason: Reason::StaleEpoch });
                out.send(sub, self.producer.epoch(), Message::Cancel(Reason::StaleEpoch));
                // A subscription that stands is not touched by an old word: its end is the peer's to make.
                if !self.producer.has_sub(sub) {
                    out.close(sub);
                }
            }
            Message::Subscribe(_) if self.role == Role::Consumer || self.draining.is_some() => {
                out.send(sub, epoch, Message::Cancel(Reason::NotOwner));
                out.close(sub);
            }
            Message::Subscribe(subscribe) => self.producer.on_subscribe(sub, &subscribe, out),
            Message::Ask { granted, acked } => self.producer.on_ask(sub, granted, &acked, out),
        }
    }

    fn on_ended(&mut self, sub: SubId, ending: Ending, reason: Reason) {
        if self.producer.has_sub(sub) {
            self.producer.end(sub, ending, reason, &mut self.out);
        } else {
            self.consumer.on_ended(sub, ending, reason);
        }
    }

    fn on_returned(&mut self, now: Duration, returned: Returned) {
        let call = self.calling.take().expect("a return follows a call");
        if returned != Returned::Retry {
            self.call_backoff.reset();
        }
        match (call, returned) {
            (call, Returned::Retry) => self.hold(now, call),
            (Call::HandleDemand { .. }, Returned::Produced { events, finished }) => {
                self.producer.emit(events, &mut self.out);
                self.poll_at = self.poll.map(|poll| now + poll);
                if finished && !self.finished {
                    self.finished = true;
                    self.out.notice(Notice::Finished);
                }
            }
            (Call::HandleEvents { sub, .. }, Returned::Processed { events, rejected }) => {
                if !rejected.is_empty() {
                    self.out.notice(Notice::Rejected { sub, rejected });
                }
                self.producer.emit(events, &mut self.out);
                self.consumer.on_processed(&mut self.out);
                if let Some(reason) = &self.draining {
                    self.consumer.stop(reason, &mut self.out);
                }
            }
            (call, returned) => panic!("{call:?} cannot return {returned:?}: the driver mixed up two calls"),
        }
    }

    fn hold(&mut self, now: Duration, call: Call) {
        let call = match call {
            Call::HandleDemand { demand } => {
                self.producer.count_unasked(demand);
                None
            }
            Call::HandleEvents { sub, source, epoch, attempt, runs, events } => {
                Some(Call::HandleEvents { sub, source, epoch, attempt: attempt + 1, runs, events })
            }
        };
        let is_fenced = matches!(&call, Some(Call::HandleEvents { sub, .. }) if self.consumer.is_fenced(*sub));
        if self.draining.is_none() && !is_fenced {
            self.held = Some(Held { until: now + self.call_backoff.fail(), call });
        } else {
            self.abandon_call();
        }
    }

    /// Gives up a call that was to be repeated: its events go back to their producer.
    fn abandon_call(&mut self) {
        self.held = None;
        self.consumer.abandon();
        if let Some(reason) = &self.draining {
            self.consumer.stop(reason, &mut self.out);
        }
    }

    /// A call that was to be repeated with events of a former owner is not.
    fn abandon_fenced(&mut self) {
        if let Some(Held { call: Some(Call::HandleEvents { sub, .. }), .. }) = &self.held
            && self.consumer.is_fenced(*sub)
        {
            self.abandon_call();
        }
    }

    fn drain(&mut self, reason: Reason) {
        self.consumer.drain(&reason, &mut self.out);
        self.draining = Some(reason);
        if self.held.is_some() {
            self.abandon_call();
        }
    }

    fn stop(&mut self, reason: Reason) {
        self.consumer.stop(&reason, &mut self.out);
        self.producer.stop(&reason, &mut self.out);
        self.stopped = Some(reason);
    }

    /// The next thing to do on the way to another stage.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.transmits.pop_front()
    }

    /// The next thing to log.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.out.notices.pop_front()
    }

    /// Whether a message or a notice waits to be polled.
    pub fn has_output(&self) -> bool {
        !self.out.transmits.is_empty() || !self.out.notices.is_empty()
    }

    /// The next guest call. `None` while one is running; its return is [`Input::Returned`].
    pub fn poll_call(&mut self, now: Duration) -> Option<Call> {
        if self.calling.is_some() || self.stopped.is_some() {
            return None;
        }
        if self.held.as_ref().is_some_and(|held| held.until > now) {
            return None;
        }
        let call = match self.held.take().and_then(|held| held.call) {
            Some(call) => Some(call),
            None if self.draining.is_some() => None,
            None if self.role == Role::Producer => self.next_demand(now),
            None => self.next_events(now),
        };
        self.calling.clone_from(&call);
        call
    }

    fn next_demand(&mut self, now: Duration) -> Option<Call> {
        if self.finished {
            return None;
        }
        let limited = |events: u64| u32::try_from(events).unwrap_or(u32::MAX).min(self.call_events_max);
        let unasked = limited(self.producer.unasked());
        if unasked > 0 {
            self.producer.count_asked(unasked);
            return Some(Call::HandleDemand { demand: unasked });
        }
        let overdue = limited(self.producer.overdue());
        let due = self.poll_at.is_some_and(|at| at <= now);
        (due && overdue > 0).then_some(Call::HandleDemand { demand: overdue })
    }

    fn next_events(&mut self, now: Duration) -> Option<Call> {
        let wanted = self.role == Role::Consumer || self.producer.is_wanted();
        match self.consumer.next_call(now, wanted, &mut self.out) {
            Ok(call) => call,
            Err(reason) => {
                self.out.notice(Notice::Stopping { reason: reason.clone() });
                self.stop(reason);
                None
            }
        }
    }

    /// When to call `handle` with [`Input::Timeout`] and to poll again, if nothing comes before.
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.stopped.is_some() {
            return None;
        }
        let held = self.held.as_ref().map(|held| held.until);
        let idle = self.calling.is_none() && self.held.is_none() && !self.finished && self.draining.is_none();
        let poll = self.poll_at.filter(|_| idle && self.producer.overdue() > 0);
        [held, poll, self.consumer.timeout()].into_iter().flatten().min()
    }

    /// Why the stage stopped, once it has.
    pub fn stopped(&self) -> Option<&Reason> {
        self.stopped.as_ref()
    }

    /// Whether nothing is left to do: no call, nothing received and unprocessed, nothing emitted and
    /// unacknowledged.
    pub fn is_drained(&self) -> bool {
        self.calling.is_none() && self.held.is_none() && self.consumer.is_idle() && self.producer.is_drained()
    }

    /// Whether the producer has said that it has come to its end.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Events that nobody asked for yet, redeliveries included.
    pub fn buffered(&self) -> usize {
        self.producer.buffered()
    }

    /// Events sent and not acknowledged.
    pub fn unacked(&self) -> usize {
        self.producer.unacked()
    }

    /// Messages received and not begun.
    pub fn queued(&self) -> usize {
        self.consumer.queued()
    }

    /// Whether demand reaches the guest.
    pub fn demand_mode(&self) -> DemandMode {
        self.producer.mode()
    }

    /// Whether this subscription is live, on either side.
    pub fn has_sub(&self, sub: SubId) -> bool {
        self.producer.has_sub(sub) || self.consumer.has_sub(sub)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::Batch,
        consumer::{CancelMode, Owner},
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
        let subscribe = Subscribe { pipeline: "p".parse().unwrap(), producer, consumer, demand };
        stage.handle(Duration::ZERO, received(Message::Subscribe(subscribe)));
        stage.handle(Duration::ZERO, received(Message::Ask { granted: granted.into(), acked: Vec::new() }));
    }

    fn returned(count: usize) -> Input {
        let events = Batch::from_payloads(vec!["x"; count]);
        Input::Returned(Returned::Produced { events, finished: false })
    }

    /// Found by the simulator, seed 0: the driver was told to wake the stage in the past, and spun
    /// until the guest's back-off was over.
    #[test]
    fn a_guest_that_wants_a_call_again_is_not_polled_before() {
        let mut stage = producer(5);
        assert_eq!(stage.poll_call(millis(0)), Some(Call::HandleDemand { demand: 5 }));
        stage.handle(millis(0), returned(2));
        assert_eq!(stage.poll_timeout(), Some(millis(50)));
        assert_eq!(stage.poll_call(millis(50)), Some(Call::HandleDemand { demand: 3 }));
        stage.handle(millis(60), Input::Returned(Returned::Retry));
        assert_eq!(stage.poll_call(millis(60)), None);
        assert_eq!(stage.poll_timeout(), Some(millis(160)));
    }

    /// Found by the simulator, seed 1: the repeated call asked for as much as the first, although
    /// the consumer had gone meanwhile.
    #[test]
    fn a_guest_that_wants_to_be_asked_again_is_asked_for_what_is_wanted_then() {
        let mut stage = producer(5);
        assert_eq!(stage.poll_call(millis(0)), Some(Call::HandleDemand { demand: 5 }));
        stage.handle(millis(0), Input::Returned(Returned::Retry));
        stage.handle(millis(0), Input::Down { sub: SUB, reason: Reason::Normal });
        assert_eq!(stage.poll_call(millis(100)), None);
        subscribe(&mut stage, 3);
        assert_eq!(stage.poll_call(millis(100)), Some(Call::HandleDemand { demand: 3 }));
    }
    /// Found by the simulator, seed 115: the message waited for a guest that was not to be called
    /// again, and the stage drained until the deadline.
    #[test]
    fn a_message_that_comes_while_the_last_call_of_a_draining_consumer_runs_does_not_hold_it_up() {
        let mut stage = Stage::new(options(Role::Consumer));
        let demand = Demand::new(5, Some(0)).unwrap();
        let options = UpstreamOptions { source: "source".parse().unwrap(), demand, cancel: CancelMode::Temporary };
        let owner = Owner { node: "n".parse().unwrap(), epoch: Epoch::default() };
        stage.handle(millis(0), Input::Subscribe { options, owner });
        let events = |first| {
            let (runs, events) = (vec![SeqRun { first: Seq(first), count: 1 }], Batch::from_payloads(["x"]));
            received(Message::Events(Events { attempt: 1, runs, events }))
        };
        stage.handle(millis(0), events(0));
        assert!(stage.poll_call(millis(0)).is_some());
        stage.handle(millis(1), Input::Drain(Reason::Shutdown(None)));
        stage.handle(millis(2), events(1));
        stage.handle(millis(3), Input::Returned(Returned::Processed { events: Batch::default(), rejected: vec![] }));
        assert_eq!(stage.poll_call(millis(3)), None);
        assert!(stage.is_drained());
    }

    /// Found by the simulator, seed 470: two subscriptions to one owner, for ever.
    #[test]
    fn a_consumer_whose_owner_comes_back_keeps_the_subscription_that_still_stands() {
        let source: StageName = "source".parse().unwrap();
        let demand = Demand::default();
        let upstream = UpstreamOptions { source: source.clone(), demand, cancel: CancelMode::Temporary };
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
}
