//! What happens in a run, and which faults are due: what the nodes' plugins, their observer and the run share.
//!
//! All of a run is on one thread, and nobody holds the lock across a wait.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use forebay_proto::{
    batch::Batch,
    ids::{NodeName, StageName},
};
use ring::digest::{SHA256, digest};
use tokio::{sync::Notify, time::Instant};

use super::{Fault, FaultKind, Seen, Side, When};
use crate::{
    node::{NodeEvent, Observer},
    runtime::{GuestOutput, LineKind},
};

/// Stages that gave up, and whatever else ends a case, of which so many are kept: the first ones say it.
const TROUBLE_MAX: usize = 20;

/// Clones are the same book.
#[derive(Clone, Debug)]
pub(super) struct Book(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// There is an order.
    ordered: Notify,
    aloud: bool,
}

#[derive(Debug)]
struct State {
    /// When the nodes had formed their group, and inputs began.
    began: Option<Instant>,
    /// When anything last happened to an event.
    active: Instant,
    /// Calls under way that are about events.
    busy: usize,
    seen: BTreeMap<(StageName, Side), Vec<Seen>>,
    /// Events of each stage, as faults count them.
    processed: BTreeMap<StageName, u64>,
    /// Whether each source has emitted all.
    sources: BTreeMap<StageName, bool>,
    /// Where instances are, the earliest first, and of which process of the node.
    live: Vec<(StageName, NodeName, u32)>,
    /// How often each node was killed.
    kills: BTreeMap<NodeName, u32>,
    faults: Vec<Armed>,
    orders: VecDeque<Order>,
    trouble: Vec<String>,
    /// Of all that was told, each with its time: the sum of the hashes. Tokio wakes those who wait for the same `watch`
    /// in an order of its own chance, so that what happens at one time may be told in either order.
    story: u64,
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    /// When it struck.
    struck: Option<Duration>,
}

/// What is to be done to a node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Order {
    pub(super) kind: FaultKind,
    pub(super) node: NodeName,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Strike {
    /// It ends as it would.
    None,
    /// Its instance is lost, by the fault of this number.
    Crash(usize),
    /// Its answer is lost, by the fault of this number.
    Redeliver(usize),
    /// It never ends, since its node does.
    Hang,
}

impl Book {
    pub(super) fn new(faults: &[Fault], sources: impl IntoIterator<Item = StageName>, aloud: bool) -> Self {
        let faults = faults.iter().map(|fault| Armed { fault: fault.clone(), struck: None }).collect();
        let state = State {
            began: None,
            active: Instant::now(),
            busy: 0,
            seen: BTreeMap::new(),
            processed: BTreeMap::new(),
            sources: sources.into_iter().map(|stage| (stage, false)).collect(),
            live: Vec::new(),
            kills: BTreeMap::new(),
            faults,
            orders: VecDeque::new(),
            trouble: Vec::new(),
            story: 0,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), ordered: Notify::new(), aloud }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is made in whole.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // For the run.

    /// From now on producers emit, and time counts.
    pub(super) fn begin(&self) {
        let mut state = self.state();
        state.began = Some(Instant::now());
        state.active = Instant::now();
    }

    /// Time since the beginning; none before.
    pub(super) fn now(&self) -> Option<Duration> {
        self.state().began.map(|began| began.elapsed())
    }

    /// Something has happened that may move events again: the run is not quiet yet.
    pub(super) fn stir(&self) {
        self.state().active = Instant::now();
    }

    /// For how long nothing has happened, if all sources have emitted all they have.
    pub(super) fn quiet_for(&self) -> Option<Duration> {
        let state = self.state();
        (state.busy == 0 && state.sources.values().all(|done| *done)).then(|| state.active.elapsed())
    }

    /// Sources that have not emitted all they have.
    pub(super) fn unfinished(&self) -> Vec<StageName> {
        self.state().sources.iter().filter(|(_, done)| !**done).map(|(stage, _)| stage.clone()).collect()
    }

    /// Waits until there is something to be done to a node. Cancel safe.
    pub(super) async fn order(&self) -> Order {
        loop {
            let order = self.state().orders.pop_front();
            if let Some(order) = order {
                return order;
            }
            self.0.ordered.notified().await;
        }
    }

    /// Orders what is due by time.
    pub(super) fn look_at_the_clock(&self) {
        let mut state = self.state();
        let Some(now) = state.began.map(|began| began.elapsed()) else { return };
        for number in 0..state.faults.len() {
            let Armed { fault, struck } = &state.faults[number];
            let When::At(at) = fault.when else { continue };
            if struck.is_some() || now < at {
                continue;
            }
            let node = state.live.iter().find(|(stage, ..)| *stage == fault.stage).map(|(_, node, _)| node.clone());
            match (fault.kind, node) {
                (FaultKind::Slow { .. }, _) => state.strike(number, now),
                (kind, Some(node)) if kind.is_of_node() => {
                    state.strike(number, now);
                    state.orders.push_back(Order { kind, node });
                    self.0.ordered.notify_one();
                }
                _ => {}
            }
        }
    }

    /// Whether a fault is still to come by time.
    pub(super) fn has_faults_to_come(&self) -> bool {
        let state = self.state();
        let Some(now) = state.began.map(|began| began.elapsed()) else { return true };
        state.faults.iter().any(|armed| match armed.fault.when {
            When::At(at) => armed.struck.is_none() && now <= at,
            When::After(_) => false,
        })
    }

    /// A node was killed.
    pub(super) fn killed(&self, node: &NodeName) {
        let mut state = self.state();
        *state.kills.entry(node.clone()).or_default() += 1;
        state.live.retain(|(_, on, _)| on != node);
    }

    /// Faults that have not come to be, by number.
    pub(super) fn missed(&self) -> Vec<(usize, Fault)> {
        let state = self.state();
        let missed = state.faults.iter().enumerate().filter(|(_, armed)| armed.struck.is_none());
        missed.map(|(number, armed)| (number + 1, armed.fault.clone())).collect()
    }

    pub(super) fn seen(&self, stage: &StageName, side: Side) -> Vec<Seen> {
        self.state().seen.get(&(stage.clone(), side)).cloned().unwrap_or_default()
    }

    pub(super) fn trouble(&self) -> Vec<String> {
        self.state().trouble.clone()
    }

    pub(super) fn add_trouble(&self, what: String) {
        let mut state = self.state();
        if state.trouble.len() < TROUBLE_MAX && !state.trouble.contains(&what) {
            state.trouble.push(what);
        }
    }

    /// The same for two runs in which the same happened at the same times.
    pub(super) fn fingerprint(&self) -> String {
        format!("{:016x}", self.state().story)
    }

    /// Something happened on a node.
    pub(super) fn tell(&self, node: &NodeName, what: &str) {
        let line = {
            let mut state = self.state();
            let at = state.began.map_or(Duration::ZERO, |began| began.elapsed());
            let line = format!("{:>10.3} s  {node}: {what}", at.as_secs_f64());
            let hash = digest(&SHA256, line.as_bytes());
            let first = hash.as_ref().first_chunk().copied().unwrap_or_default();
            state.story = state.story.wrapping_add(u64::from_le_bytes(first));
            line
        };
        if self.0.aloud {
            eprintln!("{line}");
        }
    }

    // For plugins.

    /// An instance is there. Gives the number of its node's process, by which it knows when it is dead.
    pub(super) fn started(&self, stage: &StageName, node: &NodeName) -> u32 {
        let mut state = self.state();
        let process = state.kills.get(node).copied().unwrap_or_default();
        state.live.push((stage.clone(), node.clone(), process));
        process
    }

    /// An instance is gone.
    pub(super) fn ended(&self, stage: &StageName, node: &NodeName, process: u32) {
        let mut state = self.state();
        let is_it = |(found, on, of): &(StageName, NodeName, u32)| found == stage && on == node && *of == process;
        let found = state.live.iter().position(is_it);
        if let Some(found) = found {
            state.live.remove(found);
        }
    }

    /// Whether this process of a node was killed. Tasks in the middle of a guest's call outlive their node, which those
    /// of a process that is killed do not: so they ask, and do nothing more that counts.
    pub(super) fn is_dead(&self, node: &NodeName, process: u32) -> bool {
        self.state().kills.get(node).is_some_and(|kills| *kills > process)
    }

    /// What a source that is fed, or counted, still has.
    pub(super) fn source(&self, stage: &StageName, is_done: bool) {
        self.state().sources.insert(stage.clone(), is_done);
    }

    /// A call with events begins; it ends with the guard.
    pub(super) fn busy(&self) -> Busy {
        self.state().busy += 1;
        Busy(self.clone())
    }

    /// How much longer a stage takes for each event.
    pub(super) fn slowness(&self, stage: &StageName) -> Duration {
        let state = self.state();
        let now = state.began.map_or(Duration::ZERO, |began| began.elapsed());
        let slow = state.faults.iter().filter(|armed| armed.fault.stage == *stage).filter_map(|armed| {
            let (FaultKind::Slow { per_event, lasts }, Some(since)) = (armed.fault.kind, armed.struck) else {
                return None;
            };
            lasts.is_none_or(|lasts| now < since + lasts).then_some(per_event)
        });
        slow.sum()
    }

    /// A stage has processed so many events more, in a call that ends now: what becomes of it.
    pub(super) fn processed(&self, stage: &StageName, node: &NodeName, events: usize) -> Strike {
        let mut state = self.state();
        let Some(now) = state.began.map(|began| began.elapsed()) else { return Strike::None };
        state.active = Instant::now();
        let processed = state.processed.entry(stage.clone()).or_default();
        *processed += events as u64;
        let processed = *processed;
        let mut strike = Strike::None;
        for number in 0..state.faults.len() {
            let Armed { fault, struck } = &state.faults[number];
            let is_due = match fault.when {
                When::After(events) => processed >= events,
                When::At(at) => now >= at,
            };
            if struck.is_some() || fault.stage != *stage || !is_due || strike != Strike::None {
                continue;
            }
            let kind = fault.kind;
            state.strike(number, now);
            match kind {
                FaultKind::Slow { .. } => {}
                FaultKind::Crash => strike = Strike::Crash(number + 1),
                FaultKind::Redeliver => strike = Strike::Redeliver(number + 1),
                FaultKind::CrashNode { .. } | FaultKind::DrainNode { .. } | FaultKind::CutNode { .. } => {
                    if matches!(kind, FaultKind::CrashNode { .. }) {
                        strike = Strike::Hang;
                    }
                    state.orders.push_back(Order { kind, node: node.clone() });
                    self.0.ordered.notify_one();
                }
            }
        }
        strike
    }

    /// Events that a stage was given, or emitted.
    pub(super) fn note(&self, stage: &StageName, node: &NodeName, side: Side, batch: &Batch) {
        if batch.is_empty() {
            return;
        }
        let at = self.now().unwrap_or_default();
        let events = Seen::all(batch, node, at);
        let verb = match side {
            Side::Given => "is given",
            Side::Emitted => "emits",
            Side::DeadLetters => "makes dead letters of",
        };
        let texts: Vec<_> = events.iter().map(ToString::to_string).collect();
        self.tell(node, &format!("`{stage}` {verb} {}", texts.join(" | ")));
        let mut state = self.state();
        state.active = Instant::now();
        state.seen.entry((stage.clone(), side)).or_default().extend(events);
    }
}

impl State {
    fn strike(&mut self, number: usize, now: Duration) {
        self.faults[number].struck = Some(now);
    }
}

/// A call is under way.
#[derive(Debug)]
pub(super) struct Busy(Book);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.busy -= 1;
        state.active = Instant::now();
    }
}

impl GuestOutput for Book {
    fn line(&self, stage: &StageName, kind: LineKind, line: &str) {
        if self.0.aloud {
            eprintln!("              `{stage}` {kind:?}: {line}");
        }
    }

    fn dropped(&self, _: &StageName, _: u64) {}
}

impl Observer for Book {
    fn event(&self, node: &NodeName, event: &NodeEvent) {
        if let NodeEvent::GaveUp { stage, reason } = event {
            self.add_trouble(format!("stage `{stage}` gave up on node {node}: {reason}"));
        }
        self.tell(node, &event.to_string());
    }
}
