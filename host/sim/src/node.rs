//! One node: what the real one does around the core, without sockets and wasm.
//!
//! It owns a table of claims, a placement and one state machine per running stage; it carries what
//! these say to the network, makes the guest calls they want, and starts, drains and ends them.

mod running;

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use bytes::Bytes;
use forebay_proto::{
    backoff::Backoff,
    batch::Batch,
    consumer::Owner,
    ids::{BootId, Epoch, NodeName, PipelineName, Seq, StageName, SubId},
    message::{Envelope, Events, Message, Reason, SeqRun},
    names::{Change, GlobalName, Islands, Placement},
    stage::{Call, GuestNo, Input, Returned, Role, Stage},
};
use rand::{RngExt, seq::IndexedRandom};

use running::{close, dressed, numbered, payloads};

use crate::{
    agenda::{Due, Env},
    facts::{Exit, Instance, InstanceNo, NodeNo, Side, StageNo, StreamNo, Visible, What},
    guest::{Guest, Outcome},
    network::{Frame, Hello, SessionNo},
    workload::{Scope, StagePlan, Workload},
};

/// How long a node waits for the others before its first claim.
const SETTLE: Duration = Duration::from_millis(500);
/// How long a stage may drain.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// After so many traps a name is left to others.
const TRAPS_MAX: u32 = 3;
/// What a forged event says.
pub(crate) const FORGED: &[u8] = b"forged";

pub(crate) fn node_name(no: NodeNo) -> NodeName {
    no.to_string().parse().expect("a letter and digits")
}

pub(crate) fn stage_name(no: StageNo) -> StageName {
    no.to_string().parse().expect("a letter and digits")
}

fn pipeline_name() -> PipelineName {
    "p".parse().expect("a letter")
}

fn global_name(no: StageNo) -> GlobalName {
    GlobalName { pipeline: pipeline_name(), stage: stage_name(no) }
}

/// The number in a name that this module made.
fn number(name: &str) -> u8 {
    name[1..].parse().expect("a letter and digits")
}

pub(crate) fn stage_no(name: &StageName) -> StageNo {
    StageNo(number(name.as_str()))
}

fn node_no(name: &NodeName) -> NodeNo {
    NodeNo(number(name.as_str()))
}

/// A stage that runs.
#[derive(Debug)]
struct Running {
    me: Instance,
    role: Role,
    stage: Stage,
    guest: Guest,
    calls: BTreeMap<GuestNo, Call>,
    subs: BTreeMap<SubId, (StreamNo, Side)>,
    drain_until: Option<Duration>,
    wake_at: Option<Duration>,
    /// We stopped it.
    exit: Option<Exit>,
    /// Its last checkpoint.
    recorded: Option<(Seq, Bytes)>,
}

/// How often a stage failed here, and when it starts anew.
#[derive(Debug)]
struct Revival {
    backoff: Backoff,
    traps: u32,
    due: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Node {
    no: NodeNo,
    boot: BootId,
    workload: Rc<Workload>,
    islands: Islands,
    placement: Placement,
    running: BTreeMap<InstanceNo, Running>,
    revivals: BTreeMap<StageNo, Revival>,
    /// Peers that have said hello on the present connection.
    peers: BTreeMap<NodeNo, SessionNo>,
    /// Epochs given to stages of this node's own.
    epochs: u32,
    /// The last checkpoints of stages that have ended here.
    records: BTreeMap<StageNo, (Seq, Bytes)>,
    wake_at: Option<Duration>,
}

impl Node {
    pub(crate) fn start(no: NodeNo, workload: Rc<Workload>, env: &mut Env) -> Self {
        let boot = BootId(env.rng.random());
        env.note(What::NodeStarted { node: no, boot });
        // Clocks differ by up to two seconds.
        let started_at_ms = 1_000_000 + env.rng.random_range(0..2_000);
        let name = node_name(no);
        let mine = workload.stages.iter().filter(|plan| plan.scope == Scope::Global && plan.nodes.contains(&no));
        let names: Vec<_> = mine.map(|plan| global_name(plan.no)).collect();
        let revival = |plan: &StagePlan| (plan.no, Revival { backoff: Backoff::GUEST, traps: 0, due: None });
        let mut node = Self {
            no,
            boot,
            islands: Islands::new(name.clone(), boot, started_at_ms),
            placement: Placement::new(name, names, env.now + SETTLE),
            running: BTreeMap::new(),
            revivals: workload.stages.iter().map(revival).collect(),
            peers: BTreeMap::new(),
            epochs: 0,
            records: BTreeMap::new(),
            wake_at: None,
            workload: Rc::clone(&workload),
        };
        if workload.nodes == 1 {
            node.placement.settle(env.now);
        }
        for plan in workload.stages.iter().filter(|plan| plan.scope == Scope::Node && plan.nodes.contains(&no)) {
            node.begin(env, plan, None);
        }
        node.react(env);
        node
    }

    // Stages.

    fn begin(&mut self, env: &mut Env, plan: &StagePlan, epoch: Option<Epoch>) {
        let epoch = epoch.unwrap_or_else(|| {
            self.epochs += 1;
            Epoch { lamport: self.epochs, tag: u32::try_from(self.boot.0 >> 32).expect("32 bits are left") }
        });
        let me = Instance { no: env.new_instance(), node: self.no, stage: plan.no, epoch };
        let recorded = self.records.remove(&plan.no);
        let first_seq = recorded.as_ref().map_or(Seq(0), |(seq, _)| *seq);
        let options = running::options(me, plan, &self.workload.routing, first_seq);
        env.note(What::Started { instance: me, role: plan.role });
        let guest = running::guest(env, me, plan, recorded.as_ref().map(|(_, snapshot)| &**snapshot));
        let running = Running {
            me,
            role: plan.role,
            stage: Stage::new(options),
            guest,
            recorded,
            calls: BTreeMap::new(),
            subs: BTreeMap::new(),
            drain_until: None,
            wake_at: None,
            exit: None,
        };
        self.running.insert(me.no, running);
        for (source, ..) in &plan.upstreams {
            let input = Input::Owner { source: stage_name(*source), owner: self.owner_of(*source) };
            self.handle(env, me.no, input);
        }
        if plan.scope == Scope::Node && plan.role != Role::Consumer {
            self.tell_owner(env, plan.no);
        }
    }

    /// Who owns a stage, as far as this node knows.
    fn owner_of(&self, stage: StageNo) -> Option<Owner> {
        if self.workload.stage(stage).scope == Scope::Global {
            let claim = self.islands.lookup(&global_name(stage))?;
            return Some(Owner { node: claim.node.clone(), epoch: claim.epoch });
        }
        let own = self.running.values().filter(|running| running.me.stage == stage && running.drain_until.is_none());
        let epoch = own.map(|running| running.me.epoch).max()?;
        Some(Owner { node: node_name(self.no), epoch })
    }

    fn tell_owner(&mut self, env: &mut Env, source: StageNo) {
        for no in self.consumers_of(source) {
            let input = Input::Owner { source: stage_name(source), owner: self.owner_of(source) };
            self.handle(env, no, input);
        }
    }

    fn consumers_of(&self, source: StageNo) -> Vec<InstanceNo> {
        let consumes = |running: &&Running| {
            self.workload.stage(running.me.stage).upstreams.iter().any(|(upstream, ..)| *upstream == source)
        };
        self.running.values().filter(consumes).map(|running| running.me.no).collect()
    }

    /// Puts one input into a stage and does all that it asks for then.
    fn handle(&mut self, env: &mut Env, no: InstanceNo, input: Input) {
        let Some(running) = self.running.get_mut(&no) else { return };
        running.stage.handle(env.now, input);
        self.pump(env, no);
    }

    fn pump(&mut self, env: &mut Env, no: InstanceNo) -> bool {
        let Some(running) = self.running.get_mut(&no) else { return false };
        let mut moved = false;
        while running.step(env) {
            moved = true;
        }
        if running.drain_until.is_some() && running.exit.is_none() && running.stage.is_drained() {
            running.exit = Some(Exit::Drained);
            running.stage.handle(env.now, Input::Stop(Reason::Shutdown(None)));
            while running.step(env) {}
        }
        if let Some(reason) = running.stage.stopped() {
            let exit = running.exit.take().unwrap_or_else(|| Exit::Stopped(reason.to_string()));
            self.end(env, no, exit);
            return true;
        }
        let is_idle = running.calls.is_empty();
        if running.drain_until.is_some() && is_idle && running.stage.queued() > 0 {
            env.note(What::Stuck { instance: running.me, queued: running.stage.queued() });
        }
        let wanted = running.stage.poll_timeout();
        if let Some(at) = wanted.filter(|at| running.wake_at.is_none_or(|wake_at| *at < wake_at)) {
            running.wake_at = Some(at.max(env.now));
            env.at(at, Due::Wake(self.no, no));
        }
        moved
    }

    /// A stage has stopped. It may start anew.
    fn end(&mut self, env: &mut Env, no: InstanceNo, exit: Exit) {
        let running = self.running.remove(&no).expect("only what runs ends");
        self.records.extend(running.recorded.map(|recorded| (running.me.stage, recorded)));
        for (stream, side) in running.subs.into_values() {
            close(env, stream, side, "stage ended");
        }
        env.note(What::Ended { instance: running.me, exit: exit.clone() });
        let name = global_name(running.me.stage);
        let is_global = self.workload.stage(running.me.stage).scope == Scope::Global;
        let is_ours = self.islands.own().any(|claim| claim.name == name && claim.epoch == running.me.epoch);
        if is_global && !is_ours {
            return;
        }
        let revival = self.revivals.get_mut(&running.me.stage).expect("every stage has one");
        if exit == Exit::Trapped {
            revival.traps += 1;
        }
        let wait = match exit {
            Exit::Trapped | Exit::Stopped(_) => revival.backoff.fail(),
            _ => Duration::from_millis(10),
        };
        if is_global && revival.traps >= TRAPS_MAX {
            revival.traps = 0;
            env.note(What::Released { stage: running.me.stage, node: self.no, epoch: running.me.epoch });
            self.islands.release(&name, running.me.epoch);
            self.placement.bar(&name, env.now + Duration::from_secs(1));
        } else {
            revival.due = Some(env.now + wait);
        }
    }

    fn revive(&mut self, env: &mut Env, stage: StageNo) {
        let workload = Rc::clone(&self.workload);
        let plan = workload.stage(stage);
        if plan.scope == Scope::Node {
            self.begin(env, plan, None);
        } else if self.islands.own().any(|claim| claim.name == global_name(stage)) {
            self.claim(env, plan);
        }
    }

    fn claim(&mut self, env: &mut Env, plan: &StagePlan) {
        let name = global_name(plan.no);
        match self.islands.claim(env.now, &name) {
            Ok(claim) => {
                let epoch = claim.epoch;
                env.note(What::Claimed { stage: plan.no, node: self.no, boot: self.boot, claim });
                self.begin(env, plan, Some(epoch));
            }
            Err(_) => self.placement.on_owner(env.now, &name, true),
        }
    }

    fn drain(&mut self, env: &mut Env, no: InstanceNo, why: &str) {
        let Some(running) = self.running.get_mut(&no).filter(|running| running.drain_until.is_none()) else { return };
        running.drain_until = Some(env.now + DRAIN_MAX);
        env.note(What::Draining { instance: running.me });
        self.handle(env, no, Input::Drain(Reason::Shutdown(Some(why.into()))));
    }

    // Names.

    /// Acts on changes of the table and on names without an owner until nothing is left to do.
    pub(crate) fn react(&mut self, env: &mut Env) {
        loop {
            while let Some(change) = self.islands.poll_change() {
                self.on_change(env, change);
            }
            let due = self.revivals.iter().find(|(_, revival)| revival.due.is_some_and(|due| due <= env.now));
            if let Some(stage) = due.map(|(stage, _)| *stage) {
                self.revivals.get_mut(&stage).expect("just found").due = None;
                self.revive(env, stage);
                continue;
            }
            let Some(stage) = self.placement.poll(env.now).map(|name| stage_no(&name.stage)) else { break };
            let workload = Rc::clone(&self.workload);
            self.claim(env, workload.stage(stage));
        }
        self.wake_later(env);
    }

    fn on_change(&mut self, env: &mut Env, change: Change) {
        match change {
            Change::Announce => {
                let hello = self.hello();
                for peer in self.workload.node_nos().filter(|peer| *peer != self.no) {
                    env.send_hello(self.no, peer, &hello);
                }
            }
            Change::Owner { name, claim } => {
                let stage = stage_no(&name.stage);
                self.placement.on_owner(env.now, &name, claim.is_some());
                env.note(What::Owner { node: self.no, stage, claim });
                self.tell_owner(env, stage);
            }
            Change::Conflict { winner, loser } => env.note(What::Conflict { node: self.no, winner, loser }),
            Change::Lost { claim, .. } => {
                let stage = stage_no(&claim.name.stage);
                env.note(What::Lost { node: self.no, stage, epoch: claim.epoch });
                self.revivals.get_mut(&stage).expect("every stage has one").due = None;
                let loser = |running: &&Running| running.me.stage == stage && running.me.epoch == claim.epoch;
                if let Some(no) = self.running.values().find(loser).map(|running| running.me.no) {
                    self.drain(env, no, "name conflict");
                }
            }
            // Of groups, which there are none of here.
            Change::Checkpoint { .. }
            | Change::Current
            | Change::Ordered(_)
            | Change::Share(_)
            | Change::Quorum { .. }
            | Change::Leads { .. }
            | Change::Addresses(_)
            | Change::Draining(_)
            | Change::Removed(_)
            | Change::Failed(_) => {}
        }
    }

    fn hello(&self) -> Hello {
        Hello { claims: self.islands.own().cloned().collect(), names: self.placement.names().cloned().collect() }
    }

    fn wake_later(&mut self, env: &mut Env) {
        let revivals = self.revivals.values().filter_map(|revival| revival.due);
        let drains = self.running.values().filter_map(|running| running.drain_until);
        let Some(at) = self.placement.timeout().into_iter().chain(revivals).chain(drains).min() else { return };
        if self.wake_at.is_none_or(|wake_at| at < wake_at) {
            self.wake_at = Some(at);
            env.at(at, Due::NodeWake(self.no));
        }
    }

    pub(crate) fn on_wake(&mut self, env: &mut Env) {
        self.wake_at = None;
        let late = self.running.values().filter(|running| running.drain_until.is_some_and(|until| until <= env.now));
        for no in late.map(|running| running.me.no).collect::<Vec<_>>() {
            self.running.get_mut(&no).expect("just found").exit = Some(Exit::Cut);
            self.handle(env, no, Input::Stop(Reason::Shutdown(Some("drained too long".into()))));
        }
        self.react(env);
    }

    // Peers.

    pub(crate) fn on_connected(&mut self, env: &mut Env, peer: NodeNo) {
        let hello = self.hello();
        env.send_hello(self.no, peer, &hello);
    }

    pub(crate) fn on_control(&mut self, env: &mut Env, session: SessionNo) {
        let Some(peer) = env.network.peer(session, self.no) else { return };
        let Some(hello) = env.network.take_hello(session, self.no) else { return };
        let name = node_name(peer);
        self.placement.on_peer(&name, hello.names);
        for claim in &hello.claims {
            env.note(What::Heard { node: self.no, boot: self.boot, claim: claim.clone() });
        }
        self.islands.on_claims(&name, hello.claims);
        self.peers.insert(peer, session);
        if self.peers.len() + 1 == usize::from(self.workload.nodes) {
            self.placement.settle(env.now);
        }
        self.react(env);
    }

    /// A connection is over, and all subscriptions over it with it.
    pub(crate) fn on_disconnected(&mut self, env: &mut Env, peer: NodeNo, ends: &[(StreamNo, Side)]) {
        for (stream, side) in ends {
            self.on_down(env, *stream, *side, "link lost");
        }
        self.peers.remove(&peer);
        let name = node_name(peer);
        self.islands.on_peer_down(&name);
        self.placement.on_peer_down(&name);
        self.react(env);
    }

    // Subscriptions.

    /// Nothing more can come or leave at this end, which is closed.
    pub(crate) fn on_down(&mut self, env: &mut Env, stream: StreamNo, side: Side, why: &'static str) {
        env.note(What::Closed { stream, side, why });
        let stage = env.network.stream(stream).and_then(|stream| stream.end(side).stage);
        if let Some((no, sub)) = stage {
            self.handle(env, no, Input::Down { sub, reason: Reason::Unreachable(why.into()) });
        }
    }

    pub(crate) fn on_frame(&mut self, env: &mut Env, stream: StreamNo, side: Side) {
        let Some(frame) = env.network.take_frame(stream, side) else { return };
        let end = env.network.stream_mut(stream).expect("a frame was on it").end_mut(side);
        match (frame, end.stage) {
            (Frame::Fin, _) => {
                end.is_open = false;
                self.on_down(env, stream, side, "stream ended");
            }
            (Frame::Envelope(envelope), Some((no, sub))) => self.deliver(env, stream, no, sub, envelope),
            (Frame::Envelope(envelope), None) => self.route(env, stream, envelope),
        }
        self.react(env);
    }

    fn deliver(&mut self, env: &mut Env, stream: StreamNo, no: InstanceNo, sub: SubId, envelope: Envelope) {
        match &envelope.message {
            Message::Ask { granted, acked } => {
                env.note(What::AskTaken { stream, granted: *granted, acked: acked.clone() });
            }
            Message::Events(events) => env.note(What::EventsTaken { stream, events: numbered(events) }),
            Message::Retry { runs, .. } => env.note(What::RetryTaken { stream, runs: runs.clone() }),
            Message::Processed { runs } => env.note(What::ToldProcessed { stream, runs: runs.clone() }),
            Message::Subscribe(_) | Message::Cancel(_) => {}
        }
        self.handle(env, no, Input::Received { sub, envelope });
    }

    /// A subscription comes in: to the stage of that epoch, or the present one, which will say that
    /// the epoch is another.
    fn route(&mut self, env: &mut Env, stream: StreamNo, envelope: Envelope) {
        let Message::Subscribe(subscribe) = &envelope.message else { return };
        let stage = stage_no(&subscribe.producer);
        let candidates = self.running.values_mut().filter(|running| running.me.stage == stage);
        let best = candidates.max_by_key(|running| (running.me.epoch == envelope.epoch, running.drain_until.is_none()));
        let Some(running) = best else {
            env.note(What::Refused { stream, stale: false, why: "not the owner".into() });
            let refusal = Envelope { epoch: envelope.epoch, message: Message::Cancel(Reason::NotOwner) };
            env.send_frame(stream, Side::Consumer, Frame::Envelope(refusal));
            close(env, stream, Side::Producer, "refused");
            return;
        };
        let (no, sub) = (running.me.no, running.stage.accept());
        running.subs.insert(sub, (stream, Side::Producer));
        env.network.stream_mut(stream).expect("a frame was on it").end_mut(Side::Producer).stage = Some((no, sub));
        self.deliver(env, stream, no, sub, envelope);
    }

    // Guests.

    pub(crate) fn on_return(&mut self, env: &mut Env, no: InstanceNo, guest: GuestNo) {
        let Some(running) = self.running.get_mut(&no) else { return };
        let call = running.calls.remove(&guest).expect("a return follows a call");
        let outcome = running.guest.answer(&mut env.rng, env.phase, (running.me, guest), &call);
        running.note_outcome(env, guest, &call, &outcome);
        let input = match outcome {
            Outcome::Trapped => {
                running.exit = Some(Exit::Trapped);
                Input::Stop(Reason::Failed("trap".into()))
            }
            Outcome::Returned(returned) => {
                if running.guest.owes() {
                    let delay = Duration::from_millis(env.rng.random_range(2..60));
                    env.after(delay, Due::Pay(self.no, no));
                }
                if returned != Returned::Retry {
                    let revival = self.revivals.get_mut(&running.me.stage).expect("every stage has one");
                    revival.backoff.reset();
                }
                let routing = &self.workload.routing;
                Input::Returned(guest, dressed(returned, |events| routing.dress(running.me.stage, events)))
            }
        };
        self.handle(env, no, input);
        self.react(env);
    }

    pub(crate) fn on_pay(&mut self, env: &mut Env, no: InstanceNo) {
        let may_pay = |running: &&mut Running| running.drain_until.is_none() && running.guest.owes();
        let Some(running) = self.running.get_mut(&no).filter(may_pay) else { return };
        let delay = Duration::from_millis(env.rng.random_range(2..60));
        if !running.calls.is_empty() {
            env.after(delay, Due::Pay(self.no, no));
            return;
        }
        let events = running.guest.pay(&mut env.rng, env.phase, running.me);
        if running.guest.owes() {
            env.after(delay, Due::Pay(self.no, no));
        }
        env.note(What::Emitted { producer: running.me, payloads: payloads(&events) });
        let events = self.workload.routing.dress(running.me.stage, events);
        self.handle(env, no, Input::Emit(events));
        self.react(env);
    }

    pub(crate) fn on_stage_wake(&mut self, env: &mut Env, no: InstanceNo) {
        let Some(running) = self.running.get_mut(&no) else { return };
        if running.wake_at.take_if(|at| *at <= env.now).is_none() {
            return;
        }
        let due = running.stage.poll_timeout().is_some_and(|at| at <= env.now);
        running.stage.handle(env.now, Input::Timeout);
        let moved = self.pump(env, no);
        if let Some(running) = self.running.get_mut(&no) {
            let again = running.stage.poll_timeout().is_some_and(|at| at <= env.now);
            if due && again && !moved {
                env.note(What::Spun { instance: running.me });
                running.wake_at = Some(env.now + Duration::from_millis(1));
                env.after(Duration::from_millis(1), Due::Wake(self.no, no));
            }
        }
        self.react(env);
    }

    // Faults.

    fn pick(&self, env: &mut Env, fits: impl Fn(&Running) -> bool) -> Option<InstanceNo> {
        let fitting: Vec<_> = self.running.values().filter(|running| fits(running)).map(|r| r.me.no).collect();
        fitting.choose(&mut env.rng).copied()
    }

    pub(crate) fn cancel_one(&mut self, env: &mut Env) {
        let Some((no, sub)) = self.pick_end(env, |side| side == Side::Consumer).map(|(no, sub, ..)| (no, sub)) else {
            return;
        };
        self.handle(env, no, Input::Cancel { sub, reason: Reason::Normal });
        self.react(env);
    }

    pub(crate) fn recycle_one(&mut self, env: &mut Env) {
        let picked = self.pick(env, |running| running.role != Role::Producer && running.drain_until.is_none());
        if let Some(no) = picked {
            self.drain(env, no, "recycled");
            self.react(env);
        }
    }

    pub(crate) fn resize_one(&mut self, env: &mut Env) {
        let picked = self
            .pick(env, |running| self.workload.stage(running.me.stage).is_pooled() && running.drain_until.is_none());
        if let Some(no) = picked {
            let instances = env.rng.random_range(1..6);
            self.handle(env, no, Input::Resize(instances));
            self.react(env);
        }
    }

    fn pick_end(&self, env: &mut Env, fits: impl Fn(Side) -> bool) -> Option<(InstanceNo, SubId, StreamNo, Side)> {
        let mut found = Vec::new();
        for running in self.running.values() {
            for (sub, (stream, side)) in &running.subs {
                let is_open = env.network.stream(*stream).is_some_and(|stream| stream.end(*side).is_open);
                if is_open && fits(*side) {
                    found.push((running.me.no, *sub, *stream, *side));
                }
            }
        }
        found.choose(&mut env.rng).copied()
    }

    /// Puts a message of an old epoch into a stage, as if an owner that was replaced spoke up, or a
    /// consumer of one.
    pub(crate) fn forge_one(&mut self, env: &mut Env) {
        let Some((no, sub, stream, side)) = self.pick_end(env, |_| true) else { return };
        let running = self.running.get_mut(&no).expect("just picked");
        let of_stream = env.facts.iter().rev().find_map(|fact| match fact.what {
            What::Subscribed { stream: other, epoch, .. } if other == stream => Some(epoch),
            _ => None,
        });
        let Some(epoch) = of_stream else { return };
        let epoch = Epoch { lamport: epoch.lamport.saturating_sub(1), tag: epoch.tag ^ 1 };
        let runs = vec![SeqRun { first: Seq(0), count: 1 }];
        let message = match side {
            Side::Producer => Message::Ask { granted: 1_000, acked: runs },
            Side::Consumer => Message::Events(Events { attempt: 1, runs, events: Batch::from_payloads([FORGED]) }),
        };
        let before = running.visible();
        running.stage.handle(env.now, Input::Received { sub, envelope: Envelope { epoch, message } });
        let after = running.visible();
        env.note(What::Forged { stream, to: side, epoch, before, after });
        self.pump(env, no);
        self.react(env);
    }

    // For the end.

    pub(crate) fn is_at_rest(&self, env: &Env) -> bool {
        let is_busy = |running: &Running| {
            let stage = &running.stage;
            running.drain_until.is_some() || !running.calls.is_empty() || stage.queued() > 0 || !stage.is_drained()
        };
        let lacks_a_source = |running: &Running| {
            let upstreams = &self.workload.stage(running.me.stage).upstreams;
            let owned = upstreams.iter().filter(|(source, ..)| self.owner_of(*source).is_some());
            let is_open = |stream: &StreamNo| {
                env.network.stream(*stream).is_some_and(|stream| stream.end(Side::Consumer).is_open)
            };
            self.consumes_by(running.me.no).filter(is_open).count() < owned.count()
        };
        let is_at_work = |running: &Running| is_busy(running) || lacks_a_source(running);
        !self.running.values().any(is_at_work) && self.revivals.values().all(|revival| revival.due.is_none())
    }

    pub(crate) fn instances(&self) -> impl Iterator<Item = (Instance, Visible)> {
        self.running.values().map(|running| (running.me, running.visible()))
    }

    pub(crate) fn owner(&self, stage: StageNo) -> Option<(NodeNo, Epoch)> {
        self.owner_of(stage).map(|owner| (node_no(&owner.node), owner.epoch))
    }

    /// Streams by which an instance consumes.
    pub(crate) fn consumes_by(&self, no: InstanceNo) -> impl Iterator<Item = StreamNo> {
        let subs = self.running[&no].subs.values();
        subs.filter(|(_, side)| *side == Side::Consumer).map(|(stream, _)| *stream)
    }
}
