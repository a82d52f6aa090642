//! The task of one stage: drives its state machine, its guest and its lines until it ends.
//!
//! ```text
//!   orders  owners  callers  inbox       (from the node, and from the lines' readers)
//!      \       \       /       /
//!       +---- this task ------+ ---- calls ----> the instance, or a task of the call
//!                  |            <--- returns ---
//!                lines
//! ```
//!
//! This task never waits for a line, and for the guest no longer than a tick of the engine: what is in flight is bounded by what was
//! granted. A guest call is made to its end (`worker.rs`): one that is dropped would finish the
//! instance. What is to be put on record or kept is seen to in tasks beside this one
//! (`records.rs`).

mod asking;
mod lines;
mod losses;
mod notices;
mod options;
mod ordered;
mod records;
mod seldom;
mod tapping;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use forebay_proto::{
    consumer::Owner,
    ids::{Epoch, NodeName, PipelineName, Seq, StageName, SubId},
    message::{Envelope, Message, Reason},
    orders::Ordered,
    pipeline,
    requests::WAITING_MAX,
    stage::{Call, GuestNo, Input, Notice, Returned, Stage, Transmit},
};
use tokio::{
    sync::{mpsc, watch},
    task::{self, JoinSet},
    time::Instant,
};

use super::{
    calls::StageRequest,
    counters::{Count, Counters, MessageKind},
    directory::{Directory, StageKey},
    event::{NodeEvent, Observer},
    line::{Caller, Inlet, Line},
    new_boot,
    tap::Tap,
    trace::{StageTrace, Tracer},
    vitals::Vitals,
};
use asking::Asking;
use losses::Losses;
pub(crate) use records::{NodeRecords, Records, Resend, Start};
use seldom::{Alarm, News, Seldom};
use tapping::Tapping;
use worker::{Return, Workers};

use crate::{
    dlq::{DeadLetters, LetterId},
    inbox::Inbox,
    registry::TenureWatch,
    runtime::{CallError, Instance, Plugin, StageError},
};

/// Inputs from all lines together. When it is full, lines' readers wait, and through QUIC their
/// peers: the stage takes them as quickly as it can, so this only evens out bursts.
const INBOX_LEN: usize = 1024;

/// Calls that were over at once, before others on the same thread have their turn: enough that a turn costs little, few
/// enough that guests which take milliseconds hold nobody up for long.
const CALLS_IN_A_ROW: u32 = 4;

/// Inputs from lines that are handled before the node's orders are looked at again.
const INPUTS_IN_A_ROW: usize = 16;

/// Consumers that have arrived and were not taken in. When full, links wait, and local ones try again.
const CALLERS_LEN: usize = 64;

/// What a stage task needs.
#[derive(Debug)]
pub(crate) struct StageSpec {
    pub(crate) pipeline: PipelineName,
    pub(crate) settings: Arc<pipeline::Stage>,
    pub(crate) plugin: Arc<dyn Plugin>,
    /// Of its claim, or of this start.
    pub(crate) epoch: Epoch,
    pub(crate) node: NodeName,
    pub(crate) directory: Arc<Directory>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) tracer: Tracer,
    pub(crate) counters: Counters,
    /// Hears when the producer has come to its end.
    pub(crate) finished: mpsc::Sender<StageKey>,
    /// Sources of which a former owner is not heard any more.
    pub(crate) fenced: BTreeSet<StageName>,
    /// Whether it may go on: an owner whose node the group cannot hear waits.
    pub(crate) tenure: TenureWatch,
    /// Where it begins.
    pub(crate) start: Start,
    /// Where it puts on record how far it is.
    pub(crate) records: Records,
    /// Where it keeps events that it could not process.
    pub(crate) letters: DeadLetters,
    /// Events from outside, if its plugin takes any.
    pub(crate) inbox: Option<Arc<dyn Inbox>>,
    /// Where it says how it does.
    pub(crate) vitals: Arc<Vitals>,
}

/// Letters to be tried again that the stage has not taken in. When full, the operator is told.
const RESENDS_LEN: usize = 1024;

/// What comes to a stage from its node.
struct Inboxes {
    orders: watch::Receiver<Order>,
    owners: watch::Receiver<Owners>,
    ordered: watch::Receiver<Ordered>,
    /// Boxed, as the next: a channel has room for 32 from the start.
    callers: mpsc::Receiver<Box<Caller>>,
    resends: mpsc::Receiver<Box<Resend>>,
    requests: mpsc::Receiver<StageRequest>,
}

/// What the node wants of a stage.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Run,
    /// End in good order.
    Drain(Reason),
    /// End now.
    Stop(Reason),
}

/// How a stage ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// It was told to.
    Ordered(Reason),
    /// The end of a subscription ended it, as its cancel mode says.
    Cancelled(Reason),
    /// Its guest failed.
    Failed(String),
}

/// The node's end of a running stage.
#[derive(Debug)]
pub(crate) struct StageHandle {
    pub(crate) orders: watch::Sender<Order>,
    /// Who owns what the stage consumes; only the latest counts, however long its `init` takes.
    pub(crate) owners: watch::Sender<Owners>,
    /// What people have ordered of it; only the latest counts.
    pub(crate) ordered: watch::Sender<Ordered>,
    /// Dead letters that are to be tried again.
    pub(crate) resends: mpsc::Sender<Box<Resend>>,
    pub(crate) task: task::Id,
}

/// Sources with an owner.
pub(crate) type Owners = BTreeMap<StageName, Owner>;

impl StageHandle {
    /// Starts the task among `tasks`, and makes the stage known to callers.
    pub(crate) fn spawn(spec: StageSpec, owners: Owners, by_people: Ordered, tasks: &mut JoinSet<Exit>) -> Self {
        let (orders, ordered) = watch::channel(Order::Run);
        let (owners, mut owned) = watch::channel(owners);
        owned.mark_changed();
        let (by_people, told) = watch::channel(by_people);
        let (callers, called) = mpsc::channel(CALLERS_LEN);
        let (resends, resent) = mpsc::channel(RESENDS_LEN);
        // When it is full, who asks is told so, as when as many wait in the machine.
        let (requests, requested) = mpsc::channel(WAITING_MAX);
        let tap = Tap::new(new_boot().0.max(1), spec.about());
        spec.directory.add_stage(spec.key(), callers, spec.plugin.has_call().then_some(requests), Arc::clone(&tap));
        let task = tasks.spawn(async move {
            let (directory, key) = (Arc::clone(&spec.directory), spec.key());
            let (orders, owners, callers) = (ordered, owned, called);
            let inboxes = Inboxes { orders, owners, ordered: told, callers, resends: resent, requests: requested };
            let exit = match Box::pin(spec.start()).await {
                // Boxed: a task of its own keeps as much as its largest step, and these for each time they are moved.
                Ok(instance) => Box::new(StageTask::new(spec, instance, inboxes, tap)).run().await,
                Err(exit) => exit,
            };
            directory.remove_stage(&key);
            exit
        });
        Self { orders, owners, ordered: by_people, resends, task: task.id() }
    }
}

impl StageSpec {
    fn key(&self) -> StageKey {
        StageKey { pipeline: self.pipeline.clone(), stage: self.settings.name.clone() }
    }

    async fn start(&self) -> Result<Box<dyn Instance>, Exit> {
        self.plugin.start(self.instance()).await.map_err(|error| Exit::Failed(error.to_string()))
    }
}

struct StageTask {
    spec: StageSpec,
    machine: Stage,
    started: Instant,
    lines: BTreeMap<SubId, Line>,
    /// Subscriptions whose first message has not been sent yet.
    opening: HashMap<SubId, NodeName>,
    workers: Workers,
    /// Calls that were over at once, since it last waited.
    at_once: u32,
    orders: watch::Receiver<Order>,
    owners: watch::Receiver<Owners>,
    ordered: watch::Receiver<Ordered>,
    /// Says when these three have changed, too.
    seldom: Seldom,
    alarm: Alarm,
    losses: Losses,
    asking: Asking,
    /// Letters that are being tried again.
    resent: BTreeMap<(StageName, Epoch, Seq), LetterId>,
    inbox: mpsc::Receiver<Input>,
    inlet: mpsc::Sender<Input>,
    trace: Option<Box<StageTrace>>,
    tapping: Tapping,
    /// What came last: what is refused now is that.
    received: Option<MessageKind>,
    /// What is being put on record or kept.
    recording: JoinSet<Input>,
    /// It waits until the group can be reached.
    waits: bool,
    draining: Option<Reason>,
    failed: Option<String>,
}

impl StageTask {
    fn new(spec: StageSpec, mut instance: Box<dyn Instance>, inboxes: Inboxes, tap: Arc<Tap>) -> Self {
        let (orders, owners, ordered) = (inboxes.orders.clone(), inboxes.owners.clone(), inboxes.ordered.clone());
        let (inlet, inbox) = mpsc::channel(INBOX_LEN);
        let mut machine = Stage::new(spec.options());
        let (guest, bytes) = (GuestNo::FIRST, instance.memory_bytes());
        machine.handle(Duration::ZERO, Input::Memory { guest, bytes });
        for (source, count) in instance.take_asked() {
            machine.handle(Duration::ZERO, Input::AskedAnew { source, count });
        }
        let trace = spec.tracer.stage(&spec.key(), spec.epoch, &spec.node, spec.start.seq);
        let workers = Workers::new(instance, Arc::clone(&spec.plugin), spec.instance(), Arc::clone(&spec.vitals));
        Self {
            losses: Losses::default(),
            spec,
            machine,
            started: Instant::now(),
            lines: BTreeMap::new(),
            opening: HashMap::new(),
            workers,
            at_once: 0,
            orders,
            owners,
            ordered,
            seldom: Seldom::new(inboxes),
            alarm: Alarm::default(),
            asking: Asking::default(),
            resent: BTreeMap::new(),
            inbox,
            inlet,
            trace,
            tapping: Tapping::new(tap),
            received: None,
            draining: None,
            failed: None,
            recording: JoinSet::new(),
            waits: false,
        }
    }

    async fn run(mut self: Box<Self>) -> Exit {
        self.spec.vitals.start();
        self.report(NodeEvent::Started { stage: self.spec.settings.name.clone() });
        if let Some(trace) = &self.trace {
            trace.started();
        }
        self.obey_people();
        loop {
            self.settle();
            if let Some(reason) = self.machine.stopped().cloned() {
                return self.finish(reason).await;
            }
            self.wait().await;
        }
    }

    /// Does all there is to do without waiting.
    fn settle(&mut self) {
        loop {
            while let Some(transmit) = self.poll_transmit() {
                self.transmit(transmit);
            }
            while let Some(notice) = self.machine.poll_notice() {
                self.notice(notice);
            }
            while let Some((no, answer)) = self.machine.poll_answer() {
                self.asking.end(no, answer);
            }
            self.record();
            // What cannot be put on record now is not waited for.
            let is_done = self.machine.is_drained() || self.machine.is_settled() && !self.holds();
            if let Some(reason) = self.draining.clone().filter(|_| is_done) {
                self.draining = None;
                self.handle(Input::Stop(reason));
                continue;
            }
            let holds = self.holds();
            // Others are to have their turn, above all who carries away what was emitted.
            if self.at_once >= CALLS_IN_A_ROW {
                return;
            }
            // A poll for a call may have ended a subscription, or the stage.
            if !(holds && (self.begin_calls() || self.machine.has_output())) {
                return;
            }
        }
    }

    /// Gives each guest that is idle something to do; says whether there was anything.
    fn begin_calls(&mut self) -> bool {
        let mut has_begun = false;
        for guest in self.machine.guests() {
            if let Some(call) = self.machine.poll_call(self.started.elapsed(), guest) {
                self.begin(guest, call);
                has_begun = true;
            }
        }
        has_begun
    }

    /// Whether the stage may go on. Looked at before each message and each call, for this process may
    /// have been paused.
    fn holds(&mut self) -> bool {
        let holds = self.spec.tenure.holds();
        if self.waits == holds {
            self.waits = !holds;
            if let Some(trace) = &self.trace {
                trace.waits(self.waits);
            }
        }
        holds
    }

    /// What may leave. A stage that waits for the group keeps all it has to say, for its consumers may
    /// have another owner by now; one that stops then has nothing more to say but that.
    fn poll_transmit(&mut self) -> Option<Transmit> {
        if self.holds() {
            return self.machine.poll_transmit();
        }
        self.machine.stopped()?;
        loop {
            match self.machine.poll_transmit()? {
                Transmit::Send { envelope: Envelope { message: Message::Events(_), .. }, .. } => {}
                other => return Some(other),
            }
        }
    }

    fn handle(&mut self, input: Input) {
        let incoming = self.trace.as_mut().and_then(|trace| trace.input(&input));
        if let Input::Received { envelope, .. } = &input {
            self.received = MessageKind::of(&envelope.message);
        }
        self.machine.handle(self.started.elapsed(), input);
        // A subscription that did not survive a message has refused it.
        if let (Some(trace), Some(incoming)) = (&self.trace, incoming)
            && self.machine.has_sub(incoming.sub)
        {
            trace.taken(incoming);
        }
    }

    fn begin(&mut self, guest: GuestNo, call: Call) {
        if let Some(trace) = &mut self.trace {
            trace.calling(guest, &call);
        }
        self.tapping.calling(guest, &call, self.machine.instances().0 > 1);
        if let Some(returned) = self.workers.begin(guest, call) {
            self.at_once += 1;
            self.returned(Some(returned));
        }
    }

    async fn wait(&mut self) {
        let timeout = self.machine.poll_timeout().map(|at| self.started + at);
        let (waits, lost) = (!self.holds(), self.losses.due_at(self.started));
        self.weigh();
        let goes_on = std::mem::take(&mut self.at_once) >= CALLS_IN_A_ROW;
        let timeout = timeout.filter(|_| !waits);
        let due = timeout.into_iter().chain(lost).min();
        tokio::select! {
            biased;
            news = self.seldom.next() => self.learn(news),
            returned = self.workers.next() => self.returned(returned),
            Some(recorded) = self.recording.join_next() => self.recorded(recorded),
            Some(input) = self.inbox.recv() => self.hear(input),
            () = self.spec.tenure.renewed(), if waits => {}
            () = self.alarm.until(due) => {
                let now = Instant::now();
                if lost.is_some_and(|at| at <= now) {
                    self.tell_losses();
                }
                if timeout.is_some_and(|at| at <= now) {
                    self.handle(Input::Timeout);
                }
            }
            () = task::yield_now(), if goes_on => {}
        }
    }

    fn learn(&mut self, news: News) {
        match news {
            News::Order => self.obey(),
            News::Ordered => self.obey_people(),
            News::Owners => self.meet_owners(),
            News::Caller(caller) => self.accept(*caller),
            News::Resend(resend) => self.resend(*resend),
            News::Request(request) => {
                let input = self.asking.begin(request, self.started);
                self.handle(input);
            }
        }
    }

    /// Takes what has come from the lines. What came together is handled together: then demand of several consumers is one
    /// call of the guest.
    fn hear(&mut self, input: Input) {
        self.handle(input);
        for _ in 1..INPUTS_IN_A_ROW {
            let Ok(input) = self.inbox.try_recv() else { return };
            self.handle(input);
        }
    }

    fn obey(&mut self) {
        let order = self.orders.borrow().clone();
        match order {
            Order::Run => {}
            Order::Drain(reason) => {
                self.draining = Some(reason.clone());
                self.handle(Input::Drain(reason));
            }
            Order::Stop(reason) => self.handle(Input::Stop(reason)),
        }
    }

    /// The machine takes no notice of what has not changed.
    fn meet_owners(&mut self) {
        let owners = self.owners.borrow().clone();
        let settings = Arc::clone(&self.spec.settings);
        for subscription in &settings.subscribe {
            let owner = owners.get(&subscription.to).cloned();
            self.handle(Input::Owner { source: subscription.to.clone(), owner });
        }
    }

    fn returned(&mut self, returned: Option<Return>) {
        let Some(Return { guest, returned, asked, memory_bytes: bytes }) = returned else {
            let failed = self.failure("the task that ran the guest has ended: a bug of the host".to_owned());
            return self.handle(failed);
        };
        self.tapping.returned(guest, &returned, self.machine.next_seq());
        let input = match returned {
            Ok(returned) => Input::Returned(guest, returned),
            Err(CallError::Stage(StageError::Retry(why))) => {
                self.spec.counters.one(Count::RetriedCalls);
                self.count(format!("asked for another try: {why}"));
                Input::Returned(guest, Returned::Retry)
            }
            Err(error) => self.failure(error.to_string()),
        };
        self.handle(input);
        // After the return: what was processed makes room for what is asked for.
        asked.into_iter().for_each(|asked| self.handle(asked));
        self.handle(Input::Memory { guest, bytes });
    }

    fn failure(&mut self, message: String) -> Input {
        self.failed = Some(message.clone());
        Input::Stop(Reason::Failed(message))
    }

    fn accept(&mut self, caller: Caller) {
        let sub = self.machine.accept();
        let inlet = Inlet { inbox: self.inlet.clone(), sub };
        if let Some(trace) = &mut self.trace {
            trace.accepted(sub, caller.peer());
        }
        match caller {
            Caller::Local(end) => {
                self.lines.insert(sub, end.attach(inlet));
            }
            Caller::Remote { channel, first, max_demand, .. } => {
                self.lines.insert(sub, Line::accepted(channel, max_demand, inlet));
                self.handle(Input::Received { sub, envelope: first });
            }
        }
    }

    fn transmit(&mut self, transmit: Transmit) {
        if let Some(trace) = &mut self.trace {
            trace.transmit(&transmit);
        }
        match transmit {
            Transmit::Open { sub, node } => {
                self.opening.insert(sub, node);
            }
            Transmit::Close { sub } => {
                self.lines.remove(&sub);
            }
            Transmit::Send { sub, envelope } => self.send(sub, envelope),
        }
    }

    fn notice(&mut self, notice: Notice) {
        if let Some(trace) = &mut self.trace {
            trace.notice(&notice);
        }
        let stage = self.spec.settings.name.clone();
        match notice {
            Notice::Subscribed { source, owner, .. } => self.report(NodeEvent::Subscribed { stage, source, owner }),
            Notice::Ended { reason, .. } => self.report(NodeEvent::Unsubscribed { stage, reason }),
            Notice::Finished => {
                // The node takes these at once; it has 64 places and a stage says it once.
                let _ = self.spec.finished.try_send(self.spec.key());
                self.report(NodeEvent::Finished { stage });
            }
            Notice::Refused { reason, .. } => {
                if let Some(received) = self.received {
                    self.spec.counters.refused(received, &reason);
                }
                self.count(format!("refused a message: {reason}"));
            }
            notice @ (Notice::Dropped { .. }
            | Notice::Discarded { .. }
            | Notice::GivenUp { .. }
            | Notice::Unroutable { .. }
            | Notice::Unwanted { .. }) => self.lost(notice),
            Notice::Rejected { rejected, .. } => self.rejected(rejected),
            Notice::Skipped(_) => {}
            Notice::Resent { source, epoch, runs } => self.forget_letters(&source, epoch, &runs),
            notice @ (Notice::Trapped { .. }
            | Notice::LostInRequest { .. }
            | Notice::NoSnapshot { .. }
            | Notice::Resized { .. }
            | Notice::Recycled { .. }
            | Notice::NotRecycled { .. }) => self.of_guest(notice),
            notice @ (Notice::AskCut { .. }
            | Notice::AskRefused { .. }
            | Notice::NotAConsumer { .. }
            | Notice::NotAProducer
            | Notice::NothingToSuspend) => self.in_vain(notice),
            // Said by the exit that follows.
            Notice::Stopping { .. } => {}
            // Consumers of different sizes are usual where each node has its own.
            Notice::DemandAboveMax(above) => tracing::debug!(%stage, ?above, "large ask"),
            Notice::ConsumerJoined { consumer, .. } => tracing::debug!(%stage, %consumer, "consumer joined"),
        }
    }

    fn report(&self, event: NodeEvent) {
        self.spec.observer.event(&self.spec.node, &event);
    }

    fn count(&self, what: String) {
        self.report(NodeEvent::Counted { stage: self.spec.settings.name.clone(), what });
    }

    /// Says goodbye to the guest, unless it is what failed.
    async fn finish(mut self: Box<Self>, reason: Reason) -> Exit {
        self.tell_rest();
        if let Some(failed) = self.failed {
            return Exit::Failed(failed);
        }
        let ordered = !matches!(*self.orders.borrow(), Order::Run);
        self.workers.terminate(&reason.to_string()).await;
        if ordered { Exit::Ordered(reason) } else { Exit::Cancelled(reason) }
    }
}
