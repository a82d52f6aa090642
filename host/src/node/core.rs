//! The node's core task: starts, supervises and stops stages, and tells peers and stages who owns what.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use forebay_proto::{
    consumer::Owner,
    ids::{BootId, Epoch, NodeName, StageName},
    message::Reason,
    names::Placement,
    pipeline::Scope,
    supervise::{self, Decision},
    wire::{Agreement, Frame, Hello, VERSION},
};
use forebay_trace::Event;
use tokio::{
    sync::{mpsc, watch},
    task::{self, JoinError, JoinSet},
    time::Instant,
};

use super::{
    AgreementOptions, Expelled, NodeExit, NodeOptions, Wanted,
    admin::{DoorTable, Question, door_table},
    claims::Claims,
    counters::Counters,
    deploy::{Fit, Standings},
    dial::{Dialler, TargetIndex},
    directory::{Directory, StageKey},
    event::{NodeEvent, Observer},
    letters::LetterDesk,
    link::{self, Link, LinkEvent, LinkShared},
    operators::Operators,
    peers::Newcomers,
    pipelines::{GAVE_UP_FOR, RunningPipeline, StageState},
    stage::{Exit, NodeRecords, Order, Owners, Records, StageHandle, StageSpec},
    trace::Tracer,
    vitals::Vitals,
};
use crate::{
    dlq::DeadLetters,
    registry::{
        IslandsRegistry, Peers, Registry, TenureWatch,
        quorum::{Myself, QuorumRegistry},
    },
    transport::{CloseCode, Transport, identity::Holder},
};

/// A node that others tell of is usually joining, and about to connect by itself: dialling it at once
/// would make two connections.
pub(super) const HEARSAY_WAIT: Duration = Duration::from_millis(50);

/// How long stages of node scope wait for a group to tell what is ordered of them. A node that starts again beside others
/// hears of it within a second; one that reaches nobody must run what needs nobody all the same.
const START_WITHIN: Duration = Duration::from_secs(3);

/// Events of all links that the core has not taken. When full, links wait: their peers are read a
/// little later.
const LINK_EVENTS_LEN: usize = 256;

/// What comes to the core from outside of the node.
pub(super) struct Inboxes {
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) joins: mpsc::Receiver<SocketAddr>,
    pub(super) questions: mpsc::Receiver<Question>,
    /// What is to run now.
    pub(super) fits: mpsc::Receiver<Fit>,
    /// Answers peers; its questions come back by the queue above.
    pub(super) letters: LetterDesk,
}

pub(super) struct Core {
    pub(super) name: NodeName,
    pub(super) boot: BootId,
    started: Instant,
    /// Stages of node scope start then at the latest, whatever is known of orders to them.
    starts_by: Option<Instant>,
    pub(super) drain_timeout: Duration,
    until_finished: bool,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) tracer: Tracer,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) directory: Arc<Directory>,
    pub(super) registry: Arc<dyn Registry>,
    pub(super) placement: Placement,
    pub(super) durable: Arc<crate::inbox::Inboxes>,
    pub(super) claims: Claims,
    pub(super) pipelines: Vec<RunningPipeline>,
    /// Ends of stage tasks; which stage a task runs stands in `task_of`.
    pub(super) tasks: JoinSet<Exit>,
    task_of: HashMap<task::Id, StageKey>,
    /// The link that serves, by peer.
    pub(super) links: BTreeMap<NodeName, Link>,
    /// Further links to the same peers, made at the same time. Closing one would break what it
    /// carries already.
    pub(super) spare: Vec<Link>,
    pub(super) newcomers: Newcomers,
    link_events: mpsc::Receiver<LinkEvent>,
    pub(super) dialler: Dialler,
    accept: JoinSet<()>,
    /// What accepted links share, until any are accepted.
    closed: Option<Arc<LinkShared>>,
    met: mpsc::Receiver<TargetIndex>,
    /// Entries of `join` that were not met yet.
    pub(super) unmet: HashSet<TargetIndex>,
    /// Peers whose names have come.
    pub(super) heard: HashSet<NodeName>,
    /// Nodes that peers told of and that were never met. Nothing is claimed for `settle` after each.
    pub(super) strangers: HashSet<NodeName>,
    pub(super) settle: Duration,
    finished: mpsc::Receiver<StageKey>,
    finishing: mpsc::Sender<StageKey>,
    pub(super) inboxes: Inboxes,
    pub(super) counters: Counters,
    /// Checkpoints of stages that every node has its own of.
    on_node: NodeRecords,
    pub(super) labels: BTreeSet<String>,
    /// How stages stand, for who judges them.
    pub(super) standings: Arc<Standings>,
    /// Which stages take events.
    pub(super) doors: watch::Sender<DoorTable>,
    pub(super) letters: DeadLetters,
    pub(super) gave_up: Vec<(StageName, String)>,
    pub(super) expelled: Option<Expelled>,
    pub(super) ending: bool,
}

impl Core {
    pub(super) fn new(options: NodeOptions, inboxes: Inboxes) -> Self {
        let NodeOptions { name, boot, transport, .. } = options;
        let directory = Arc::new(Directory::new(name.clone()));
        let (events, link_events) = mpsc::channel(LINK_EVENTS_LEN);
        let pipelines: Vec<_> =
            options.pipelines.into_iter().map(|pipeline| RunningPipeline::new(pipeline, &options.labels)).collect();
        let addr = options.advertise.or_else(|| reachable(transport.local_addr()));
        let records = pipelines.iter().map(RunningPipeline::record).collect();
        let me = Myself { node: name.clone(), boot, addr, pipelines: records };
        let registry = start_registry(me, options.agreement, &directory);
        let agreement = registry.agreement();
        let doors = watch::Sender::new(door_table(&pipelines));
        let hello = Hello { version: VERSION, boot, agreement, advertise: options.advertise, group: None };
        let pings = (options.ping_interval, options.ping_misses);
        let (meet, agree, letters) = (Arc::clone(&directory), Arc::clone(&registry), inboxes.letters.clone());
        let shared = Arc::new(LinkShared::new(hello, pings, meet, agree, letters, options.blobs, events));
        let (meeting, met) = mpsc::channel(options.join.len().max(1));
        let dialler =
            Dialler::start(Arc::clone(&transport), Arc::clone(&shared), &options.join, options.join_after, meeting);
        // Who is told to wait before it joins is meant to be alone until then.
        let joins_at_once = !options.join.is_empty() && options.join_after.is_zero();
        let settle = if joins_at_once { options.settle } else { Duration::ZERO };
        let names = pipelines.iter().flat_map(RunningPipeline::global_names);
        let placement = Placement::new(name.clone(), names, settle);
        let (finishing, finished) = mpsc::channel(64);
        Self {
            durable: Arc::new(crate::inbox::Inboxes::new(Arc::clone(&registry), options.inboxes)),
            claims: Claims::new(registry.agreement()),
            registry,
            name,
            boot,
            started: Instant::now(),
            starts_by: None,
            drain_timeout: options.drain_timeout,
            until_finished: options.until_finished,
            observer: options.observer,
            tracer: options.tracer,
            transport,
            directory,
            placement,
            pipelines,
            tasks: JoinSet::new(),
            task_of: HashMap::new(),
            links: BTreeMap::new(),
            spare: Vec::new(),
            newcomers: Newcomers::default(),
            link_events,
            dialler,
            accept: JoinSet::new(),
            closed: Some(shared),
            met,
            unmet: (0..options.join.len()).collect(),
            heard: HashSet::new(),
            strangers: HashSet::new(),
            settle: options.settle,
            finished,
            finishing,
            inboxes,
            counters: Counters::default(),
            on_node: NodeRecords::default(),
            labels: options.labels,
            standings: Arc::default(),
            doors,
            letters: options.dead_letters,
            gave_up: Vec::new(),
            expelled: None,
            ending: false,
        }
    }

    pub(super) async fn run(mut self) -> NodeExit {
        self.tracer.write(|| Event::NodeStart {});
        self.report(NodeEvent::Listening(self.transport.local_addr()));
        match self.registry.agreement() {
            Agreement::Islands => self.start_node_stages(),
            // One that a person has suspended must not run until this node hears of that.
            Agreement::Quorum => self.starts_by = Some(Instant::now() + START_WITHIN),
        }
        while *self.inboxes.wanted.borrow() == Wanted::Run && !self.is_finished() && self.expelled.is_none() {
            self.claim_due();
            self.step().await;
        }
        self.shut_down().await
    }

    /// Lets peers and operators in, from now on until the node ends.
    pub(super) fn open(&mut self, operators: Operators) {
        if let Some(shared) = self.closed.take() {
            self.accept.spawn(accept_all(Arc::clone(&self.transport), shared, operators));
        }
    }

    fn is_finished(&self) -> bool {
        let over = |pipeline: &RunningPipeline| pipeline.is_finished() || !self.gave_up.is_empty();
        self.until_finished && self.pipelines.iter().all(over)
    }

    /// Waits for one event and handles it.
    pub(super) async fn step(&mut self) {
        let timer = self.next_timer();
        let registry = Arc::clone(&self.registry);
        tokio::select! {
            biased;
            Ok(()) = self.inboxes.wanted.changed() => {}
            change = registry.next_change() => self.on_change(change),
            Some(done) = self.claims.tasks.join_next() => self.on_claim(done),
            Some(event) = self.link_events.recv() => self.on_link(event),
            Some(exit) = self.tasks.join_next_with_id() => self.on_exit(exit),
            Some(key) = self.finished.recv() => self.on_finished(&key),
            Some(target) = self.met.recv() => self.on_met(target),
            Some(addr) = self.inboxes.joins.recv() => self.dialler.add(addr, Duration::ZERO),
            Some(fit) = self.inboxes.fits.recv() => self.on_fit(fit),
            Some(question) = self.inboxes.questions.recv() => self.on_question(question),
            () = tokio::time::sleep_until(timer) => self.on_timer(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn next_timer(&self) -> Instant {
        // A node that ends claims nothing, so nothing is due.
        let placed = self.placement.timeout().filter(|_| self.may_claim()).map(|at| self.started + at);
        let stages = self.pipelines.iter().flat_map(|pipeline| pipeline.stages.values());
        let told = self.newcomers.due();
        let due = stages.filter_map(StageState::due).chain(placed).chain(self.starts_by).chain(told).min();
        // Waking once a minute for nothing costs nothing and needs no second kind of select.
        due.unwrap_or_else(|| Instant::now() + Duration::from_secs(60))
    }

    pub(super) fn report(&self, event: NodeEvent) {
        self.observer.event(&self.name, &event);
    }

    pub(super) fn stage_mut(&mut self, key: &StageKey) -> Option<&mut StageState> {
        let pipeline = self.pipelines.iter_mut().find(|pipeline| pipeline.name == key.pipeline)?;
        pipeline.stages.get_mut(&key.stage)
    }

    // Stages.

    /// Those that the node was given when it started; once.
    pub(super) fn start_node_stages(&mut self) {
        let waits = self.starts_by.take().is_some() || self.registry.agreement() == Agreement::Islands;
        if !waits || self.ending {
            return;
        }
        let keys: Vec<StageKey> = self.pipelines.iter().flat_map(RunningPipeline::of_node_scope).collect();
        for key in keys {
            // What was deployed in the place of one of them has been started already.
            if self.stage_mut(&key).is_some_and(|state| state.running.is_none()) {
                self.start_stage(&key, Epoch { lamport: 1, tag: 0 });
            }
        }
    }

    pub(super) fn start_stage(&mut self, key: &StageKey, epoch: Epoch) {
        let (owners, fenced) = (self.owners_for(key), self.fenced_for(key));
        let (node, directory, observer) = (self.name.clone(), Arc::clone(&self.directory), Arc::clone(&self.observer));
        let owned = self.registry.tenure(key, epoch);
        let (finished, tracer) = (self.finishing.clone(), self.tracer.clone());
        let (counters, letters) = (self.counters.clone(), self.letters.clone());
        let (registry, on_node) = (Arc::clone(&self.registry), self.on_node.clone());
        let (durable, ordered) = (Arc::clone(&self.durable), self.registry.ordered(key));
        let Some(state) = self.stage_mut(key) else { return };
        let tenure = if state.is_global() { owned } else { TenureWatch::unlimited() };
        let inbox = state.plugin.has_ingest().then(|| durable.of(key, state.settings.scope));
        let records = if state.is_global() { Records::Name(registry) } else { Records::Node(on_node) };
        let start = records.start(key);
        state.epoch = epoch;
        state.restart_at = None;
        state.vitals = Arc::new(Vitals::on_trial(state.is_on_trial()));
        let vitals = Arc::clone(&state.vitals);
        let (settings, plugin) = (Arc::clone(&state.settings), Arc::clone(&state.plugin));
        let pipeline = key.pipeline.clone();
        let spec = StageSpec {
            pipeline,
            settings,
            plugin,
            epoch,
            node,
            directory,
            observer,
            tracer,
            counters,
            finished,
            fenced,
            tenure,
            start,
            records,
            letters,
            inbox,
            vitals,
        };
        let handle = StageHandle::spawn(spec, owners, ordered, &mut self.tasks);
        self.task_of.insert(handle.task, key.clone());
        let Some(state) = self.stage_mut(key) else { return };
        state.running = Some(handle);
        self.stands(key, None);
        let owner = Owner { node: self.name.clone(), epoch };
        self.tell_consumers(key, Some(&owner));
    }

    /// Who owns what a stage consumes, as it starts.
    fn owners_for(&self, key: &StageKey) -> Owners {
        let Some(pipeline) = self.pipeline(key) else { return Owners::new() };
        let Some(state) = pipeline.stages.get(&key.stage) else { return Owners::new() };
        let sources = state.settings.subscribe.iter().map(|subscription| &subscription.to);
        sources.filter_map(|source| Some((source.clone(), self.owner_of(pipeline, source)?))).collect()
    }

    /// What a stage consumes of which a majority decides who owns it.
    fn fenced_for(&self, key: &StageKey) -> BTreeSet<StageName> {
        let by_majority = self.registry.agreement() == Agreement::Quorum;
        let Some(pipeline) = self.pipeline(key).filter(|_| by_majority) else { return BTreeSet::new() };
        let Some(state) = pipeline.stages.get(&key.stage) else { return BTreeSet::new() };
        let is_global =
            |source: &&StageName| pipeline.stage(source).is_some_and(|settings| settings.scope == Scope::Global);
        state.settings.subscribe.iter().map(|subscription| &subscription.to).filter(is_global).cloned().collect()
    }

    fn pipeline(&self, key: &StageKey) -> Option<&RunningPipeline> {
        self.pipelines.iter().find(|pipeline| pipeline.name == key.pipeline)
    }

    fn owner_of(&self, pipeline: &RunningPipeline, stage: &StageName) -> Option<Owner> {
        let settings = pipeline.stage(stage)?;
        if settings.scope == Scope::Global {
            return self.reachable(self.registry.lookup(&pipeline.key(stage))?);
        }
        let state = pipeline.stages.get(stage)?;
        state.running.as_ref().map(|_| Owner { node: self.name.clone(), epoch: state.epoch })
    }

    /// Tells a stage here what is ordered of it now.
    pub(super) fn tell_ordered(&mut self, key: &StageKey) {
        let ordered = self.registry.ordered(key);
        if let Some(handle) = self.stage_mut(key).and_then(|state| state.running.as_ref()) {
            handle.ordered.send_if_modified(|known| std::mem::replace(known, ordered.clone()) != ordered);
        }
    }

    /// Tells the stages here that consume from `key` who owns it.
    pub(super) fn tell_consumers(&self, key: &StageKey, owner: Option<&Owner>) {
        let Some(pipeline) = self.pipeline(key) else { return };
        for consumer in pipeline.consumers_of(&key.stage) {
            if let Some(handle) = &consumer.running {
                handle.owners.send_modify(|owners| {
                    match owner {
                        Some(owner) => owners.insert(key.stage.clone(), owner.clone()),
                        None => owners.remove(&key.stage),
                    };
                });
            }
        }
    }

    fn on_exit(&mut self, exit: Result<(task::Id, Exit), JoinError>) {
        let (id, exit) = match exit {
            Ok((id, exit)) => (id, exit),
            // A panic of ours: the stage is restarted as after a trap, and the node stays up.
            Err(error) => (error.id(), Exit::Failed(format!("a bug of the host: {error}"))),
        };
        let Some(key) = self.task_of.remove(&id) else { return };
        if let Some(epoch) = self.stage_mut(&key).map(|state| state.epoch) {
            self.tracer.stopped(&key, epoch, &exit);
        }
        // Whatever kept the name from being claimed here while its old instance ran is over.
        self.placement.bar(&key, Duration::ZERO);
        let now = self.now();
        let standing = self.registry.lookup(&key);
        // At the end of an input stages that fail are started again: what is left is still to be done.
        let restarts = *self.inboxes.wanted.borrow() == Wanted::Run && self.expelled.is_none();
        let Some(state) = self.stage_mut(&key) else { return };
        state.running = None;
        state.stop_at = None;
        let is_local = !state.is_global();
        // One that has lost its name is not started again, however it ended.
        let is_ours = is_local || standing.is_some_and(|claim| claim.epoch == state.epoch);
        let drained = state.drains.take();
        if is_local {
            self.tell_consumers(&key, None);
        }
        if restarts && self.after_refit(&key, &exit) {
            return;
        }
        let Some(state) = self.stage_mut(&key) else { return };
        let stage = key.stage.clone();
        let (how, reason) = match exit {
            Exit::Ordered(reason) => (None, reason.to_string()),
            Exit::Cancelled(reason) => (Some(supervise::Exit::from(&reason)), reason.to_string()),
            Exit::Failed(message) => (Some(supervise::Exit::Failed), message),
        };
        let decision = how.filter(|_| restarts && is_ours).map(|how| state.supervisor.on_exit(now, how));
        let Some(state) = self.stage_mut(&key) else { return };
        match decision {
            Some(Decision::Restart { after }) => {
                state.restart_at = Some(Instant::now() + after);
                self.report(NodeEvent::Restarting { stage, reason, after });
            }
            Some(Decision::GiveUp { restarts, within }) => {
                let again = match restarts {
                    0 => "failed, and is not to be restarted".to_owned(),
                    1 => format!("failed again after 1 restart in {within:?}"),
                    _ => format!("failed again after {restarts} restarts in {within:?}"),
                };
                let reason = format!("{again}: {reason}");
                self.gave_up.push((stage.clone(), reason.clone()));
                self.report(NodeEvent::GaveUp { stage, reason });
                self.leave(&key, now + GAVE_UP_FOR, "its stage failed too often");
            }
            Some(Decision::Done) => {
                self.report(NodeEvent::Stopped { stage, reason });
                self.leave(&key, Duration::MAX, "its stage has come to its end");
            }
            None => self.report(NodeEvent::Stopped { stage, reason }),
        }
        if let Some(why) = drained.filter(|_| is_ours) {
            self.leave(&key, Duration::ZERO, why);
        }
        // A name of ours whose stage does not run, for whatever reason, is claimed anew, or kept by none.
        self.review(&key);
        self.drain_next();
    }

    fn on_timer(&mut self) {
        let now = Instant::now();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.starts_by) {
            self.start_node_stages();
        }
        if due(self.newcomers.due()) {
            self.tell_newcomers();
        }
        let mut restart = Vec::new();
        for pipeline in &mut self.pipelines {
            for (name, state) in &mut pipeline.stages {
                if due(state.restart_at) {
                    let pipeline = pipeline.name.clone();
                    restart.push(StageKey { pipeline, stage: name.clone() });
                }
                if due(state.stop_at) {
                    state.stop_at = None;
                    state.cut_short = true;
                    state.order(Order::Stop(Reason::Shutdown(Some("drain time is over".into()))));
                }
            }
        }
        for key in restart {
            self.restart(&key);
        }
    }

    fn restart(&mut self, key: &StageKey) {
        let Some(state) = self.stage_mut(key) else { return };
        state.restart_at = None;
        if state.is_global() {
            // A new instance needs a new epoch.
            return if self.may_claim() { self.begin_claim(key) } else { self.put_off(key) };
        }
        let epoch = Epoch { lamport: state.epoch.lamport + 1, ..state.epoch };
        self.start_stage(key, epoch);
    }

    fn on_finished(&mut self, key: &StageKey) {
        if let Some(state) = self.stage_mut(key) {
            state.finished = true;
        }
    }

    /// No new links from here on, and no new claims.
    pub(super) fn stop_meeting(&mut self) {
        self.ending = true;
        self.accept.abort_all();
        self.dialler.stop();
    }

    /// Tells every peer, and hangs up.
    pub(super) async fn hang_up(&mut self) {
        self.links.values().for_each(|link| link.send(Frame::Names(self.names())));
        // Closing would overtake what is queued; a peer answers pings within a round trip.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let links = self.links.values().chain(&self.spare);
        links.for_each(|link| link.connection.close(CloseCode::ShuttingDown, "shutting down"));
        self.transport.close("shutting down").await;
    }
}

/// An address that others can use, unless it is that of all interfaces.
fn reachable(addr: SocketAddr) -> Option<SocketAddr> {
    (!addr.ip().is_unspecified()).then_some(addr)
}

/// The registry, and the same again if it is that of a group.
fn start_registry(me: Myself, agreement: AgreementOptions, directory: &Arc<Directory>) -> Arc<dyn Registry> {
    match agreement {
        AgreementOptions::Islands => Arc::new(IslandsRegistry::new(me.node, me.boot)),
        AgreementOptions::Quorum(options) => {
            let peers: Arc<dyn Peers> = Arc::clone(directory) as _;
            Arc::new(QuorumRegistry::start(me, options, peers))
        }
    }
}

async fn accept_all(transport: Arc<dyn Transport>, shared: Arc<LinkShared>, operators: Operators) {
    while let Some(connection) = transport.accept().await {
        // What serves a connection ends with that, which outlives the accepting when the node shuts down.
        match connection.peer().clone() {
            Holder::Node(_) => drop(tokio::spawn(link::run(connection, false, Arc::clone(&shared)))),
            Holder::Operator(operator) => drop(tokio::spawn(operators.clone().serve(connection, operator))),
        }
    }
}
