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
//! messages          one of a guest    for the log,      when to call
//!                   until returned    and tests         handle(Timeout)
//! ```
//!
//! Requests of people come in by [`Input::Request`] and leave, answered, by `poll_answer`. `poll_commit` gives what is to be
//! put on record, and `poll_letters` what is to be kept as dead letters;
//! an input says in time what came of it.
//!
//! Time is a [`Duration`] since any fixed moment; it only has to rise.

mod flow;
mod pool;
mod shown;
mod sizes;
mod turns;
mod words;
mod work;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    time::Duration,
};

pub use words::{
    Ack, Call, Concurrency, Ending, GuestNo, Input, Letter, LettersNo, MAX_INSTANCES, Notice, Rejected, RetryPolicy,
    Returned, Transmit,
};

use crate::{
    checkpoints::{Checkpoints, Commit, Committed},
    consumer::{Consumer, Gathering, InHand, SubIds, UpstreamOptions},
    dispatch::DispatcherOptions,
    ids::{Epoch, NodeName, PipelineName, Seq, StageName, SubId},
    intake::{Fetch, Intake},
    message::{Envelope, Message, Reason},
    owed::Owed,
    poison::PoisonLimit,
    producer::{BufferOptions, DemandMode, Producer},
    rate::{Limiter, RateLimit},
    recycle::Marks,
    requests::{Answer, RequestNo, Requests},
    select::InstanceId,
};
use pool::Pool;
use sizes::Sizes;

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
    /// The instance that it is. A name of its own is needed wherever its stage runs on more than one node, or more than
    /// once on one: what sources keep for one that was lost waits for this one.
    pub instance: InstanceId,
    /// Who gets which events.
    pub dispatcher: DispatcherOptions,
    /// For what its dispatcher draws by lot.
    pub seed: u64,
    /// Events nobody asks for.
    pub buffer: BufferOptions,
    /// Whether demand reaches the guest from the start.
    pub demand_mode: DemandMode,
    /// How long after a producer's guest gave less than asked it is asked for the rest again.
    /// `None`: never, as in GenStage, where a producer can emit by itself later.
    pub poll: Option<Duration>,
    /// How often its guest acts by the clock, if it does.
    pub tick: Option<Duration>,
    /// What it consumes.
    pub upstreams: Vec<UpstreamOptions>,
    /// How its events are gathered for its guest, if they are.
    pub batch: Option<Gathering>,
    /// Sources of which nothing is taken from an owner once a later one is known: those whose names a
    /// majority gives. Of any other a former owner hands out what it has.
    pub fenced: BTreeSet<StageName>,
    /// How many events it makes, or gives to its guest, in a time; `None`: as many as it can.
    pub rate_limit: Option<RateLimit>,
    /// The most events one guest call is asked for.
    pub call_events_max: u32,
    /// Larger messages are split. Unit: bytes.
    pub message_bytes_max: usize,
    /// The number of the first event it emits: where the last checkpoint was.
    pub first_seq: Seq,
    /// How often its state is put on record, if it has one.
    pub checkpoint: Option<Duration>,
    /// Where its inbox is processed from on, if it has one. For a producer.
    pub inbox: Option<u64>,
    /// When a producer-consumer acknowledges what it made other events of.
    pub ack: Ack,
    /// What happens to events that it could not process.
    pub retry: RetryPolicy,
    /// How many events may be found that its guest does not survive.
    pub poison: PoisonLimit,
    /// When its guest gives way to a fresh one for the memory it takes.
    pub recycle: Option<Marks>,
    /// How many guests it has. Only one of a stage with a checkpoint, or with a subscription that its guest asks.
    pub concurrency: Concurrency,
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
            instance: InstanceId::first_on("local".parse().expect("letters are a name")),
            dispatcher: DispatcherOptions::default(),
            seed: 0,
            buffer: BufferOptions { size, ..BufferOptions::default() },
            demand_mode: DemandMode::default(),
            poll: None,
            tick: None,
            upstreams: Vec::new(),
            batch: None,
            fenced: BTreeSet::new(),
            rate_limit: None,
            call_events_max: 65_536,
            message_bytes_max: 4 << 20,
            first_seq: Seq(0),
            checkpoint: None,
            inbox: None,
            ack: Ack::default(),
            retry: RetryPolicy::default(),
            poison: PoisonLimit::default(),
            recycle: None,
            concurrency: Concurrency::default(),
        }
    }
}

/// What waits to be polled.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    pub(crate) transmits: VecDeque<Transmit>,
    pub(crate) notices: VecDeque<Notice>,
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

/// How often a stage without a checkpoint puts on record how far it is with its inbox.
const RECORD_EVERY: Duration = Duration::from_secs(1);

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
    /// Unit: bytes.
    message_bytes_max: usize,
    sizes: Sizes,
    /// What a call takes that is not made with less. Unit: events.
    batch_events: u32,
    limiter: Option<Limiter>,
    producer: Producer,
    consumer: Consumer,
    ids: SubIds,
    out: Outputs,
    pool: Pool,
    requests: Requests,
    finished: bool,
    draining: Option<Reason>,
    stopped: Option<Reason>,
    ack: Ack,
    retry: RetryPolicy,
    owed: Owed<InHand>,
    checkpoints: Option<Checkpoints<InHand>>,
    /// Nothing more is put on record of a stage that has a state: what it processes now is not acknowledged.
    forgets: bool,
    intake: Option<Intake>,
    name: StageName,
    /// To be kept, and who is acknowledged once they are.
    letters: BTreeMap<LettersNo, InHand>,
    unsent_letters: VecDeque<(LettersNo, Vec<Letter>)>,
    next_letters: LettersNo,
}

impl Stage {
    /// A stage at its start. It does nothing before the first input.
    pub fn new(options: StageOptions) -> Self {
        let pool = Pool::new(&options);
        let StageOptions { pipeline, name, role, epoch, buffer, demand_mode, upstreams, fenced, .. } = options;
        let batch_events = options.batch.as_ref().map_or(0, |batch| batch.size);
        Self {
            role,
            poll: options.poll,
            call_events_max: options.call_events_max,
            message_bytes_max: options.message_bytes_max,
            sizes: Sizes::default(),
            batch_events,
            limiter: options.rate_limit.map(|limit| Limiter::new(limit, batch_events)),
            producer: Producer::new(
                epoch,
                options.dispatcher.build(options.seed, buffer),
                buffer,
                options.message_bytes_max,
                demand_mode,
                options.first_seq,
            ),
            consumer: Consumer::new(pipeline, name.clone(), options.instance, upstreams, fenced)
                .gathering(options.batch, options.message_bytes_max),
            ids: SubIds::default(),
            out: Outputs::default(),
            pool,
            requests: Requests::default(),
            finished: false,
            draining: None,
            stopped: None,
            ack: options.ack,
            retry: options.retry,
            owed: Owed::default(),
            checkpoints: options.checkpoint.map(|every| Checkpoints::new(every, options.first_seq)),
            forgets: false,
            intake: options.inbox.map(|position| Intake::new(position, options.checkpoint.unwrap_or(RECORD_EVERY))),
            name,
            letters: BTreeMap::new(),
            unsent_letters: VecDeque::new(),
            next_letters: LettersNo(0),
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
        self.producer.at(now);
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
            Input::Received { sub, envelope } => self.on_message(now, sub, envelope),
            Input::Down { sub, reason } => self.on_ended(sub, Ending::Down, reason),
            Input::Cancel { sub, reason } => consumer.cancel(sub, reason, out),
            Input::Returned(guest, returned) => self.on_returned(now, guest, returned),
            Input::Memory { guest, bytes } => self.on_memory(guest, bytes),
            Input::Resize(instances) => self.pool.resize(instances),
            Input::Emit(events) => {
                let made = events.len();
                self.producer.emit(events, out);
                self.count_made(now, made);
            }
            Input::SetRate(limit) => self.set_rate(now, limit),
            Input::Asked { source, count } => consumer.on_asked(&source, count, out),
            Input::AskedAnew { source, count } => {
                let again = self.to_be_given_again(&source);
                self.consumer.on_asked_anew(&source, count, again, &mut self.out);
            }
            Input::Suspend | Input::Resume if self.role == Role::Producer => out.notice(Notice::NothingToSuspend),
            Input::Suspend => consumer.suspend(),
            Input::Resume => consumer.resume(out),
            Input::Request { no, request, until } => self.requests.add(no, request, until),
            Input::SetDemandMode(mode) => self.producer.set_mode(mode, out),
            Input::Drain(reason) => self.drain(reason),
            Input::Stop(reason) => self.stop(reason),
            Input::Timeout => {
                consumer.on_timeout(now, &mut self.ids, out);
                self.producer.on_timeout(out);
                self.requests.expire(now);
            }
            // The group cannot be reached: a stage that ends does not wait for it.
            Input::Committed(Committed::Unknown) if self.draining.is_some() => self.give_up_checkpoints(),
            Input::ProcessedRecorded(Committed::Unknown) if self.draining.is_some() => self.intake = None,
            Input::Committed(committed) => self.on_committed(now, committed),
            Input::Arrived { first, events } => {
                if let Some(intake) = self.intake.as_mut().filter(|_| self.draining.is_none()) {
                    intake.on_arrived(first, events);
                }
            }
            Input::ProcessedRecorded(committed) => {
                if let Some(intake) = &mut self.intake {
                    intake.on_recorded(now, committed);
                }
            }
            Input::Lettered { letters, kept } => self.on_lettered(letters, kept),
            Input::Resend(letter) => self.consumer.resend(letter),
        }
        self.change_lanes();
        self.pay();
    }

    fn on_message(&mut self, now: Duration, sub: SubId, Envelope { epoch, message }: Envelope) {
        let out = &mut self.out;
        match message {
            // Answered as an unknown subscription it would lose its way and keep its events.
            Message::Events(_) if self.producer.has_sub(sub) => {
                let reason = Reason::Protocol("events from a consumer".into());
                out.notice(Notice::Refused { sub, reason: reason.clone() });
                self.producer.end(sub, Ending::Cancelled, reason, out);
            }
            Message::Events(events) => self.consumer.on_events(now, sub, epoch, events, out),
            Message::Cancel(reason) => self.on_ended(sub, Ending::Cancelled, reason),
            Message::Subscribe(_) | Message::Ask { .. } | Message::Retry { .. } | Message::Processed { .. }
                if epoch != self.producer.epoch() =>
            {
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
            Message::Retry { after, runs } => self.producer.on_retry(now, sub, after, &runs, out),
            Message::Processed { runs } => self.producer.on_processed(sub, &runs, out),
        }
    }

    fn on_ended(&mut self, sub: SubId, ending: Ending, reason: Reason) {
        if self.producer.has_sub(sub) {
            self.producer.end(sub, ending, reason, &mut self.out);
        } else {
            self.consumer.on_ended(sub, ending, reason, &mut self.out);
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

    /// The number that the next event emitted will have.
    pub fn next_seq(&self) -> Seq {
        self.producer.next_seq()
    }

    /// Whether a message or a notice waits to be polled.
    pub fn has_output(&self) -> bool {
        !self.out.transmits.is_empty() || !self.out.notices.is_empty()
    }

    /// The guests that there are: each may be polled for its next call, at any time.
    pub fn guests(&self) -> impl Iterator<Item = GuestNo> + use<> {
        (0..u32::try_from(self.pool.len()).unwrap_or(MAX_INSTANCES)).map(GuestNo)
    }

    /// The next call of a guest. `None` while one is running; its return is [`Input::Returned`].
    pub fn poll_call(&mut self, now: Duration, guest: GuestNo) -> Option<Call> {
        self.pool.iter_mut().filter_map(|guest| guest.ticks.as_mut()).for_each(|ticks| ticks.start(now));
        if let Some(limiter) = &mut self.limiter {
            limiter.start(now);
        }
        let at = self.pool.find(guest)?;
        let guest = self.pool.get(at);
        let waits = guest.held.as_ref().is_some_and(|held| held.until > now);
        if guest.calling.is_some() || waits || self.stopped.is_some() {
            return None;
        }
        let call = self.next_call(now, at);
        self.pool.get(at).calling.clone_from(&call);
        call
    }

    fn next_call(&mut self, now: Duration, at: usize) -> Option<Call> {
        let ends = self.draining.is_some();
        if self.pool.is_too_many(at) && !ends {
            return Some(Call::Retire);
        }
        let guest = self.pool.get(at);
        if guest.renew {
            guest.held = None;
            // A stage that ends starts no other.
            return Some(Call::Renew).filter(|_| !ends);
        }
        if self.begins_recycling(now, at) {
            return Some(Call::Recycle);
        }
        let again = self.pool.get(at).held.take().and_then(|held| held.call).or_else(|| self.next_suspect(at));
        if let Some(call) = again {
            self.count_given(now, &call);
            return Some(call);
        }
        if at == 0 && self.wants_snapshot(now) {
            return Some(Call::Snapshot);
        }
        if ends {
            return self.next_flushed(now, at).or_else(|| self.last_tick(at));
        }
        self.next_in_turn(now, at)
    }

    /// When to call `handle` with [`Input::Timeout`] and to poll again, if nothing comes before.
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.stopped.is_some() {
            return None;
        }
        // A guest may be replaced before the call that it wants again; that return calls for a look by itself.
        let waiting = self.pool.iter().filter(|guest| guest.calling.is_none());
        let held = waiting.filter_map(|guest| guest.held.as_ref()).map(|held| held.until).min();
        let is_idle = self.pool.idle().next().is_some();
        let idle = is_idle && self.draining.is_none();
        let poll = self.next_made_at().filter(|_| idle);
        // A stage that ends takes its last checkpoint when it is settled, whatever the time.
        let may_take = self.pool.iter().all(pool::Guest::is_idle) && self.draining.is_none();
        let taken = self.checkpoints.as_ref().filter(|_| may_take);
        let settled = || self.producer.first_unsettled();
        let checkpoint = taken.and_then(|taken| taken.timeout(self.producer.next_seq(), settled));
        let intake = self.intake.as_ref().and_then(Intake::timeout);
        let tick = self.pool.idle().filter(|_| idle).filter_map(|guest| self.next_tick_at(guest)).min();
        let request = self.requests.timeout();
        let has_room = self.pool.idle().any(|guest| guest.lane.is_empty());
        let may_be_given = idle && has_room && !self.pool.is_changing() && !self.consumer.is_suspended();
        let lane = self.pool.idle().filter(|_| idle).filter_map(|guest| guest.lane_at).min();
        let call = self.consumer.call_at().filter(|_| may_be_given);
        let waits = [
            held,
            poll,
            checkpoint,
            intake,
            tick,
            request,
            lane,
            call,
            self.consumer.timeout(),
            self.producer.timeout(),
        ];
        waits.into_iter().flatten().min()
    }

    /// Why the stage stopped, once it has.
    pub fn stopped(&self) -> Option<&Reason> {
        self.stopped.as_ref()
    }

    /// What is to be put on record next; [`Input::Committed`] says what came of it.
    pub fn poll_commit(&mut self, now: Duration) -> Option<Commit> {
        let checkpoints = self.checkpoints.as_mut().filter(|_| self.stopped.is_none())?;
        checkpoints.poll(now, self.producer.first_unsettled())
    }

    /// What is to be read from the stage's inbox; [`Input::Arrived`] brings it.
    pub fn poll_fetch(&mut self) -> Option<Fetch> {
        let intake = self.intake.as_mut().filter(|_| self.stopped.is_none() && self.draining.is_none())?;
        let at_once = self.limiter.as_ref().map_or(u32::MAX, Limiter::at_once);
        intake.poll_fetch(self.producer.wanted().min(self.call_events_max).min(at_once))
    }

    /// Up to which position the inbox is processed, when that is to be put on record;
    /// [`Input::ProcessedRecorded`] says what came of it.
    pub fn poll_processed(&mut self, now: Duration) -> Option<u64> {
        let hurry = self.draining.is_some() && self.has_settled();
        self.intake.as_mut().filter(|_| self.stopped.is_none())?.poll_processed(now, hurry)
    }

    /// Events that are to be kept as dead letters; [`Input::Lettered`] says what came of it.
    pub fn poll_letters(&mut self) -> Option<(LettersNo, Vec<Letter>)> {
        self.unsent_letters.pop_front()
    }

    /// What came of a request. Once for each, but for those that a stage leaves when it stops.
    pub fn poll_answer(&mut self) -> Option<(RequestNo, Answer)> {
        self.requests.poll()
    }

    /// Whether nothing is left to do: no call, nothing received and unprocessed, nothing emitted and
    /// unacknowledged, nothing to put on record.
    pub fn is_drained(&self) -> bool {
        self.is_settled()
            && !self.owes_last_tick()
            && self.is_recorded()
            && self.intake.as_ref().is_none_or(Intake::is_recorded)
    }

    /// Whether nothing is left to do but to put on record what was done.
    pub fn is_settled(&self) -> bool {
        self.pool.iter().all(pool::Guest::is_idle) && self.has_settled()
    }

    fn has_settled(&self) -> bool {
        let owes = !self.owed.is_empty() || !self.letters.is_empty() || self.pool.has_suspects();
        !owes && !self.pool.has_events() && self.consumer.is_idle() && self.producer.is_drained()
    }

    fn is_recorded(&self) -> bool {
        self.checkpoints.as_ref().is_none_or(|taken| taken.is_up_to_date(self.producer.next_seq()))
    }
}

#[cfg(test)]
mod tests;
