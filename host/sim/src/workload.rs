//! What a seed stands for: a pipeline, a cluster, and what goes wrong when.

use std::{collections::BTreeSet, time::Duration};

use forebay_proto::{
    consumer::{CancelMode, Gathering},
    message::Demand,
    rate::RateLimit,
    stage::{Ack, Role},
};
use rand::{RngExt, rngs::SmallRng, seq::IndexedRandom};

use crate::{
    facts::{Fault, NodeNo, StageNo},
    guest::{Habit, Manners},
    routing::Routing,
};

/// Where a stage runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scope {
    /// One owner in the cluster.
    Global,
    /// One on every node that has it; subscribed to on the same node only.
    Node,
}

/// How much a stage handles at once, how fast, and who asks for it.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) batch: Option<Gathering>,
    pub(crate) rate: Option<RateLimit>,
    /// Its guest asks: it keeps so many events open at most.
    pub(crate) manual: Option<u32>,
    /// How many guests it has at first.
    pub(crate) instances: u32,
}

impl Default for Flow {
    fn default() -> Self {
        Self { batch: None, rate: None, manual: None, instances: 1 }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct StagePlan {
    pub(crate) no: StageNo,
    pub(crate) role: Role,
    pub(crate) scope: Scope,
    pub(crate) nodes: BTreeSet<NodeNo>,
    pub(crate) upstreams: Vec<(StageNo, Demand, CancelMode)>,
    pub(crate) habit: Habit,
    pub(crate) manners: Manners,
    pub(crate) poll: Option<Duration>,
    /// How often the guest ticks. One that owes events pays then, too.
    pub(crate) tick: Option<Duration>,
    pub(crate) ack: Ack,
    /// How often its state is put on record, if it has one.
    pub(crate) checkpoint: Option<Duration>,
    pub(crate) call_events_max: u32,
    pub(crate) message_bytes_max: usize,
    pub(crate) flow: Flow,
}

impl StagePlan {
    /// Whether it may have several guests at some time.
    pub(crate) fn is_pooled(&self) -> bool {
        self.flow.instances > 1
    }
}

#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) nodes: u8,
    /// Indexed by their numbers; upstreams have lower ones.
    pub(crate) stages: Vec<StagePlan>,
    pub(crate) routing: Routing,
    pub(crate) faults: Vec<(Duration, Fault)>,
    pub(crate) is_faultless: bool,
    /// Which group of the final partition each node is in; all 0 if the cluster is whole in the end.
    pub(crate) groups: Vec<u8>,
    /// Faults are off from here on.
    pub(crate) calm_at: Duration,
    /// Producers come to their end from here on.
    pub(crate) closing_at: Duration,
    /// All must be processed and acknowledged by then.
    pub(crate) end_at: Duration,
}

fn millis(rng: &mut SmallRng, from: u64, to: u64) -> Duration {
    Duration::from_micros(rng.random_range(from * 1000..to * 1000))
}

impl Workload {
    pub(crate) fn random(rng: &mut SmallRng) -> Self {
        let nodes = *[1, 2, 2, 3, 3, 3, 4, 5].choose(rng).expect("not empty");
        let is_faultless = rng.random_bool(0.15);
        let stages = random_stages(rng, nodes, is_faultless);
        let calm_at = millis(rng, 1500, 4000);
        let splits = !is_faultless && nodes > 1 && rng.random_bool(0.15);
        let groups = (0..nodes).map(|_| if splits { rng.random_range(0..2) } else { 0 }).collect();
        let mut workload = Self {
            nodes,
            stages,
            routing: Routing::default(),
            faults: Vec::new(),
            is_faultless,
            groups,
            calm_at,
            closing_at: calm_at + Duration::from_millis(2500),
            end_at: calm_at + Duration::from_secs(40),
        };
        if !is_faultless {
            workload.draw_faults(rng);
        }
        // Lots of its own: what else a seed stands for does not depend on who gets what.
        workload.routing = Routing::random(&mut rng.clone(), &workload.stages);
        // What only a slow consumer wants waits for it, while others are done long since.
        if workload.stages.iter().any(|stage| workload.routing.holds(stage.no)) {
            workload.end_at = calm_at + Duration::from_secs(600);
        }
        workload
    }

    pub(crate) fn stage(&self, no: StageNo) -> &StagePlan {
        &self.stages[usize::from(no.0)]
    }

    /// Whether two nodes can reach each other once faults are off.
    pub(crate) fn is_joined_in_the_end(&self, one: NodeNo, other: NodeNo) -> bool {
        self.groups[usize::from(one.0)] == self.groups[usize::from(other.0)]
    }

    pub(crate) fn node_nos(&self) -> impl Iterator<Item = NodeNo> + use<> {
        (0..self.nodes).map(NodeNo)
    }

    fn draw_faults(&mut self, rng: &mut SmallRng) {
        if self.nodes > 1 && rng.random_bool(0.3) {
            self.begin_apart(rng);
        }
        for _ in 0..rng.random_range(1..9) {
            let at = millis(rng, 100, u64::try_from(self.calm_at.as_millis()).expect("seconds") - 50);
            self.draw_fault(rng, at);
        }
        self.faults.sort_by_key(|(at, _)| *at);
    }

    /// As the seed system shows it: everybody alone at first, then they meet.
    fn begin_apart(&mut self, rng: &mut SmallRng) {
        for one in self.node_nos() {
            for other in self.node_nos().filter(|other| *other != one) {
                self.faults.push((Duration::ZERO, Fault::Cut(one, other)));
            }
        }
        let meet = millis(rng, 700, 1500);
        for one in self.node_nos() {
            for other in self.node_nos().filter(|other| *other != one) {
                self.faults.push((meet, Fault::Heal(one, other)));
            }
        }
    }

    fn draw_fault(&mut self, rng: &mut SmallRng, at: Duration) {
        let node = NodeNo(rng.random_range(0..self.nodes));
        let other = NodeNo((node.0 + rng.random_range(1..self.nodes.max(2))) % self.nodes);
        let kind = rng.random_range(0..100);
        match kind {
            0..22 => {
                self.faults.push((at, Fault::Crash(node)));
                self.faults.push((at + millis(rng, 5, 900), Fault::Restart(node)));
            }
            22..32 => self.faults.push((at, Fault::Pause(node, millis(rng, 20, 1200)))),
            32..45 => self.faults.push((at, Fault::Cancel(node))),
            45..53 => self.faults.push((at, Fault::Recycle(node))),
            53..58 => self.faults.push((at, Fault::Resize(node))),
            58..70 => self.faults.push((at, Fault::Stale(node))),
            _ if other == node => {}
            70..76 => self.faults.push((at, Fault::Slow(node, other, rng.random_range(2..30)))),
            76..83 => {
                self.faults.push((at, Fault::Cut(node, other)));
                self.faults.push((at + millis(rng, 20, 2000), Fault::Heal(node, other)));
            }
            _ => {
                let heal = at + millis(rng, 20, 2000);
                for (one, other) in [(node, other), (other, node)] {
                    self.faults.push((at, Fault::Cut(one, other)));
                    self.faults.push((heal, Fault::Heal(one, other)));
                }
            }
        }
    }
}

fn random_stages(rng: &mut SmallRng, nodes: u8, is_faultless: bool) -> Vec<StagePlan> {
    let sources = if rng.random_bool(0.25) { 2 } else { 1 };
    let between = *[0, 0, 0, 1, 1, 2].choose(rng).expect("not empty");
    let sinks = rng.random_range(1..4);
    let roles = [(Role::Producer, sources), (Role::ProducerConsumer, between), (Role::Consumer, sinks)];
    let roles = roles.into_iter().flat_map(|(role, count)| std::iter::repeat_n(role, count));
    let mut stages: Vec<StagePlan> = Vec::new();
    for (no, role) in roles.enumerate() {
        let no = StageNo(u8::try_from(no).expect("few stages"));
        let stage = random_stage(rng, no, role, &stages, nodes, is_faultless);
        stages.push(stage);
    }
    give_everyone_a_consumer(rng, &mut stages);
    for stage in &mut stages {
        stage.flow = random_flow(rng, stage);
    }
    stages
}

/// A producer-consumer that nobody consumes would keep its first message for ever.
fn give_everyone_a_consumer(rng: &mut SmallRng, stages: &mut [StagePlan]) {
    let sinks: Vec<_> = stages.iter().filter(|stage| stage.role == Role::Consumer).map(|stage| stage.no).collect();
    let consumed: BTreeSet<_> =
        stages.iter().flat_map(|stage| stage.upstreams.iter().map(|(source, ..)| *source)).collect();
    let lonely = stages.iter().filter(|stage| stage.role != Role::Consumer && !consumed.contains(&stage.no));
    for source in lonely.map(|stage| stage.no).collect::<Vec<_>>() {
        let sink = sinks.choose(rng).expect("every pipeline has a consumer");
        let demand = Demand::new(4, Some(rng.random_range(0..4))).expect("drawn below max");
        stages[usize::from(sink.0)].upstreams.push((source, demand, CancelMode::Temporary));
    }
}

fn random_stage(
    rng: &mut SmallRng,
    no: StageNo,
    role: Role,
    before: &[StagePlan],
    nodes: u8,
    is_faultless: bool,
) -> StagePlan {
    let upstreams = random_upstreams(rng, role, before);
    let sources = upstreams.iter().map(|(source, ..)| &before[usize::from(source.0)]);
    // Every instance of a node's own stage needs a consumer on that node.
    let own: BTreeSet<NodeNo> =
        sources.filter(|source| source.scope == Scope::Node).flat_map(|source| source.nodes.clone()).collect();
    let is_global = role != Role::Consumer && own.is_empty() && rng.random_bool(0.8);
    let habit = Habit::random(rng, role);
    let every = role == Role::Consumer || rng.random_bool(0.8);
    let first = rng.random_range(0..nodes);
    let poll = match habit {
        // It emits what it owes by itself.
        Habit::Counter { owes: true, .. } => None,
        _ => Some(millis(rng, 20, 200)),
    };
    let has_state = role == Role::Consumer && rng.random_bool(0.4);
    let checkpoint = millis(rng, 10, 400);
    StagePlan {
        no,
        role,
        checkpoint: has_state.then_some(checkpoint),
        scope: if is_global { Scope::Global } else { Scope::Node },
        nodes: (0..nodes)
            .map(NodeNo)
            .filter(|node| every || node.0 == first || own.contains(node) || rng.random_bool(0.5))
            .collect(),
        upstreams,
        habit,
        manners: Manners::random(rng, is_faultless),
        poll: poll.filter(|_| role == Role::Producer),
        tick: (!has_state && no.0.is_multiple_of(2)).then_some(checkpoint),
        ack: if rng.random_bool(0.8) { Ack::Late } else { Ack::Early },
        call_events_max: if rng.random_bool(0.2) { rng.random_range(1..6) } else { 1000 },
        message_bytes_max: if rng.random_bool(0.2) { rng.random_range(1..60) } else { 1 << 16 },
        flow: Flow::default(),
    }
}

fn random_flow(rng: &mut SmallRng, stage: &StagePlan) -> Flow {
    let is_source = stage.role == Role::Producer;
    let rate = RateLimit { events: rng.random_range(5..60), per: Duration::from_millis(100) };
    // What comes unasked may go into debt; then no bound holds in a short time.
    let is_steady = !is_source || (stage.tick.is_none() && !matches!(stage.habit, Habit::Counter { owes: true, .. }));
    let max = stage.upstreams.iter().map(|(_, demand, _)| demand.max()).min().unwrap_or(1);
    let (size, timeout) = (rng.random_range(1..=max), millis(rng, 5, 60));
    let batch = Gathering { size, timeout, by: None };
    let manual = rng.random_range(1..30);
    let manual = (!is_source && rng.random_bool(0.2)).then_some(manual);
    let may_have_more = manual.is_none() && stage.checkpoint.is_none();
    // Lots of its own, as with the routing.
    let more = rng.clone().random_range(0..10_u32);
    Flow {
        batch: (!is_source && rng.random_bool(0.25)).then_some(batch),
        rate: (is_steady && rng.random_bool(0.2)).then_some(rate),
        manual,
        instances: if may_have_more && more < 3 { more + 2 } else { 1 },
    }
}

fn random_upstreams(rng: &mut SmallRng, role: Role, before: &[StagePlan]) -> Vec<(StageNo, Demand, CancelMode)> {
    if role == Role::Producer {
        return Vec::new();
    }
    // Rather the latest, so that pipelines are deep.
    let sources: Vec<_> = before.iter().rev().filter(|stage| stage.role != Role::Consumer).collect();
    let count = if rng.random_bool(0.25) { 2 } else { 1 };
    let mut upstreams = Vec::new();
    for (at, source) in sources.iter().enumerate() {
        let is_last = at + 1 == sources.len();
        if upstreams.len() < count && (is_last && upstreams.is_empty() || rng.random_bool(0.7)) {
            let max = *[1, 2, 3, 5, 8, 10, 25].choose(rng).expect("not empty");
            let min = rng.random_range(0..max);
            let demand = Demand::new(max, Some(min)).expect("drawn below max");
            let modes = [CancelMode::Temporary, CancelMode::Temporary, CancelMode::Permanent, CancelMode::Transient];
            upstreams.push((source.no, demand, *modes.choose(rng).expect("not empty")));
        }
    }
    upstreams
}
