//! A cluster in virtual time: takes what is due next and hands it to the node it is for.

use std::{rc::Rc, time::Duration};

use forebay_proto::stage::Role;
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{
    agenda::{Due, Env},
    facts::{Exit, Fault, Instance, NodeNo, Side, What},
    guest::Phase,
    network::Network,
    node::Node,
    oracle::{Ending, InstanceEnding, NodeEnding, Run},
    workload::{Scope, Workload},
};

/// How often it is looked whether all is done.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct World {
    env: Env,
    workload: Rc<Workload>,
    /// None: dead.
    nodes: Vec<Option<Node>>,
    /// Standing still until then.
    paused_until: Vec<Duration>,
}

impl World {
    pub(crate) fn run(seed: u64) -> Run {
        let mut rng = SmallRng::seed_from_u64(seed);
        let workload = Rc::new(Workload::random(&mut rng));
        let count = usize::from(workload.nodes);
        let mut world = Self {
            env: Env::new(rng, Network::default()),
            nodes: (0..count).map(|_| None).collect(),
            paused_until: vec![Duration::ZERO; count],
            workload,
        };
        world.schedule();
        while world.env.now < world.workload.end_at {
            let Some(due) = world.env.next() else { break };
            if matches!(due, Due::Look) && world.is_at_rest() {
                break;
            }
            world.on_due(due);
        }
        let ending = world.ending();
        let World { env, workload, nodes, .. } = world;
        drop(nodes);
        let workload = Rc::into_inner(workload).expect("no node is left");
        Run { facts: env.facts, workload, ending }
    }

    fn schedule(&mut self) {
        let workload = Rc::clone(&self.workload);
        for (at, fault) in &workload.faults {
            self.env.at(*at, Due::Fault(fault.clone()));
        }
        for node in workload.node_nos() {
            let at = Duration::from_millis(self.env.rng.random_range(0..60));
            self.env.at(at, Due::Start(node));
        }
        self.env.at(workload.calm_at, Due::Calm);
        self.env.at(workload.closing_at, Due::Closing);
        self.env.at(workload.closing_at + LOOK, Due::Look);
    }

    fn node(&mut self, no: NodeNo) -> Option<&mut Node> {
        self.nodes[usize::from(no.0)].as_mut()
    }

    /// Who has to be awake for this.
    fn actor(&self, due: &Due) -> Option<NodeNo> {
        match due {
            Due::Frame(stream, side) => self.env.network.stream(*stream).map(|stream| stream.end(*side).node),
            Due::NoWay(stream) => self.env.network.stream(*stream).map(|stream| stream.end(Side::Consumer).node),
            Due::Control(_, node) | Due::Disconnect { node, .. } | Due::NodeWake(node) => Some(*node),
            Due::Return(node, ..) | Due::Pay(node, _) | Due::Wake(node, _) => Some(*node),
            Due::Fault(Fault::Cancel(node) | Fault::Recycle(node) | Fault::Resize(node) | Fault::Stale(node)) => {
                Some(*node)
            }
            Due::Connect(..) | Due::Start(_) | Due::Fault(_) | Due::Calm | Due::Closing | Due::Look => None,
        }
    }

    fn on_due(&mut self, due: Due) {
        if let Some(actor) = self.actor(&due) {
            let until = self.paused_until[usize::from(actor.0)];
            if self.env.now < until {
                self.env.at(until, due);
                return;
            }
        }
        match due {
            Due::Fault(fault) => self.on_fault(fault),
            Due::Start(node) => self.start(node),
            Due::Connect(one, other) => self.on_connect(one, other),
            Due::Disconnect { session, node, by_silence } => {
                if by_silence.is_none_or(|changes| self.env.is_still_silent(session, node, changes)) {
                    self.disconnect(session, node, by_silence.is_some());
                }
            }
            Due::Calm => self.calm(),
            Due::Closing => {
                self.env.phase = Phase::Closing;
                self.env.note(What::Closing);
            }
            Due::Look => {
                self.env.network.sweep();
                self.env.after(LOOK, Due::Look);
            }
            Due::Frame(stream, side) => {
                let actor = self.env.network.stream(stream).map(|stream| stream.end(side).node);
                self.with(actor, |node, env| node.on_frame(env, stream, side));
            }
            Due::NoWay(stream) => {
                let Some(end) = self.env.network.stream_mut(stream).map(|stream| stream.end_mut(Side::Consumer)) else {
                    return;
                };
                if end.is_open {
                    end.is_open = false;
                    let actor = Some(end.node);
                    self.with(actor, |node, env| {
                        node.on_down(env, stream, Side::Consumer, "no connection");
                        node.react(env);
                    });
                }
            }
            Due::Control(session, node) => self.with(Some(node), |node, env| node.on_control(env, session)),
            Due::Return(node, instance, guest) => {
                self.with(Some(node), |node, env| node.on_return(env, instance, guest));
            }
            Due::Pay(node, instance) => self.with(Some(node), |node, env| node.on_pay(env, instance)),
            Due::Wake(node, instance) => self.with(Some(node), |node, env| node.on_stage_wake(env, instance)),
            Due::NodeWake(node) => self.with(Some(node), |node, env| node.on_wake(env)),
        }
    }

    fn with(&mut self, no: Option<NodeNo>, act: impl FnOnce(&mut Node, &mut Env)) {
        let node = no.and_then(|no| self.nodes[usize::from(no.0)].as_mut());
        if let Some(node) = node {
            act(node, &mut self.env);
        }
    }

    // Nodes.

    fn start(&mut self, no: NodeNo) {
        if self.node(no).is_some() {
            return;
        }
        let node = Node::start(no, Rc::clone(&self.workload), &mut self.env);
        self.nodes[usize::from(no.0)] = Some(node);
        for peer in self.workload.node_nos().filter(|peer| *peer != no) {
            self.env.try_to_connect_soon(no, peer);
        }
    }

    fn crash(&mut self, no: NodeNo) {
        let Some(node) = self.nodes[usize::from(no.0)].take() else { return };
        for (instance, ..) in node.instances() {
            self.env.note(What::Ended { instance, exit: Exit::NodeDied });
        }
        self.paused_until[usize::from(no.0)] = Duration::ZERO;
        self.env.drop_node(no, self.workload.node_nos());
    }

    fn on_connect(&mut self, one: NodeNo, other: NodeNo) {
        let now = self.env.now;
        let is_up = |no: NodeNo| self.nodes[usize::from(no.0)].is_some();
        let awake = self.paused_until[usize::from(one.0)].max(self.paused_until[usize::from(other.0)]);
        if !is_up(one) || !is_up(other) || !self.env.can_connect(one, other) {
            return;
        }
        if awake > now {
            self.env.at(awake, Due::Connect(one, other));
            return;
        }
        // Whoever still holds the old connection learns now that the peer has given it up.
        for (node, peer) in [(one, other), (other, one)] {
            if let Some(session) = self.env.half_open(node, peer) {
                self.disconnect(session, node, false);
            }
        }
        self.env.connect(one, other);
        self.with(Some(one), |node, env| node.on_connected(env, other));
        self.with(Some(other), |node, env| node.on_connected(env, one));
    }

    fn disconnect(&mut self, session: crate::network::SessionNo, no: NodeNo, by_silence: bool) {
        let Some(peer) = self.env.network.peer(session, no) else { return };
        let quick = self.env.rng.random_bool(0.5);
        let ends = self.env.close_session(session, no, quick);
        self.env.note(What::Disconnected { node: no, peer, by_silence });
        self.with(Some(no), |node, env| node.on_disconnected(env, peer, &ends));
    }

    // Faults.

    fn on_fault(&mut self, fault: Fault) {
        if self.env.phase != Phase::Faults {
            return;
        }
        self.env.note(What::Fault(fault.clone()));
        match fault {
            Fault::Crash(node) => self.crash(node),
            Fault::Restart(node) => self.start(node),
            Fault::Pause(node, lasts) => {
                self.paused_until[usize::from(node.0)] = self.env.now + lasts;
                self.env.fall_silent(node, lasts, self.workload.node_nos());
            }
            Fault::Cut(from, to) => self.env.cut(from, to),
            Fault::Heal(from, to) => self.env.heal(from, to),
            Fault::Slow(one, other, slowness) => self.env.slow(one, other, slowness),
            Fault::Cancel(node) => self.with(Some(node), |node, env| node.cancel_one(env)),
            Fault::Recycle(node) => self.with(Some(node), |node, env| node.recycle_one(env)),
            Fault::Resize(node) => self.with(Some(node), |node, env| node.resize_one(env)),
            Fault::Stale(node) => self.with(Some(node), |node, env| node.forge_one(env)),
        }
    }

    /// Faults are off: who is dead starts, and the links are as they will stay.
    fn calm(&mut self) {
        self.env.note(What::Calm);
        self.env.phase = Phase::Calm;
        let workload = Rc::clone(&self.workload);
        for one in workload.node_nos() {
            self.start(one);
            for other in workload.node_nos().filter(|other| *other != one) {
                self.env.slow(one, other, 0);
                match workload.is_joined_in_the_end(one, other) {
                    true => self.env.heal(one, other),
                    false => self.env.cut(one, other),
                }
            }
        }
    }

    // The end.

    fn is_at_rest(&self) -> bool {
        self.nodes.iter().flatten().all(|node| node.is_at_rest(&self.env))
    }

    fn ending(&self) -> Ending {
        let nodes = self.workload.node_nos().zip(&self.nodes);
        let nodes = nodes.filter_map(|(no, node)| Some((no, node.as_ref()?)));
        let ending = nodes.map(|(no, node)| NodeEnding {
            node: no,
            group: self.workload.groups[usize::from(no.0)],
            owners: self.workload.stages.iter().map(|plan| (plan.no, node.owner(plan.no))).collect(),
            running: self.running_on(node),
        });
        Ending { nodes: ending.collect() }
    }

    fn running_on(&self, node: &Node) -> Vec<InstanceEnding> {
        let all: Vec<_> =
            self.nodes.iter().flatten().flat_map(Node::instances).map(|(instance, ..)| instance).collect();
        let ending = node.instances().map(|(instance, visible)| {
            let is_wanted = self.flows(&all, instance);
            let sources = node.consumes_by(instance.no).filter_map(|stream| {
                let stream = self.env.network.stream(stream)?;
                let (consumer, producer) = (stream.end(Side::Consumer), stream.end(Side::Producer));
                let (no, _) = producer.stage.filter(|_| consumer.is_open && producer.is_open)?;
                all.iter().copied().find(|source| source.no == no)
            });
            InstanceEnding { instance, visible, is_wanted, sources: sources.collect() }
        });
        ending.collect()
    }

    /// Whether all that an instance emits can be processed: it has consumers within reach, and their
    /// own events can be processed as well.
    fn flows(&self, all: &[Instance], instance: Instance) -> bool {
        let plan = self.workload.stage(instance.stage);
        if plan.role == Role::Consumer {
            return true;
        }
        let is_near = |other: &Instance| match plan.scope {
            Scope::Global => self.workload.is_joined_in_the_end(other.node, instance.node),
            Scope::Node => other.node == instance.node,
        };
        let consumes = |other: &Instance| {
            self.workload.stage(other.stage).upstreams.iter().any(|(source, ..)| *source == instance.stage)
        };
        let mut consumers = all.iter().filter(|other| is_near(other) && consumes(other)).peekable();
        consumers.peek().is_some() && consumers.all(|consumer| self.flows(all, *consumer))
    }
}
