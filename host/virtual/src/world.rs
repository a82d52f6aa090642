//! A cluster in virtual time: machines that are run in turns, millisecond by millisecond.
//!
//! Within a step each machine runs alone up to the step's end. That is sound because no datagram takes less than a
//! step: what one machine sends in it is due at another in the next at the earliest.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use forebay::{
    node::NodeExit,
    transport::{
        identity::NodeIdentity,
        quic::simulated::{Path, SimulatedNetwork},
    },
};
use forebay_check::Agreement;
use forebay_proto::ids::{BootId, NodeName};
use forebay_trace::{Boot, Collector, Event, Record, Sink};
use rand::{RngExt, rngs::SmallRng, seq::IndexedRandom};

use crate::{
    growth::Tally,
    load::Load,
    machine::{Machine, Site},
    progress,
    story::{Story, What},
};

/// How far machines run alone. The least delay of a path, and the resolution of tokio's timers.
const STEP: Duration = Duration::from_millis(1);

/// Which machine of the cluster.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct NodeNo(usize);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct World {
    site: Site,
    machines: Vec<Machine>,
    random: SmallRng,
    now: Duration,
    /// Records of the trace that are nobody's but ours: faults.
    records: u64,
    /// Mistakes of nodes that no fact tells of.
    problems: Vec<String>,
}

impl World {
    /// A cluster of which no node runs yet.
    pub(crate) fn new(
        mut random: SmallRng,
        story: Story,
        agreement: Agreement,
        identities: &[NodeIdentity],
        load: Arc<dyn Load>,
    ) -> Self {
        let network = SimulatedNetwork::new(random.random(), Path::default());
        let addr = |index: usize| SocketAddr::from(([10, 0, 0, u8::try_from(index + 1).unwrap_or(u8::MAX)], 7440));
        let machine = |(index, identity): (usize, &NodeIdentity)| {
            Machine::new(identity.node().clone(), addr(index), identity.clone(), load.labels(index))
        };
        let machines: Vec<_> = identities.iter().enumerate().map(machine).collect();
        let addrs = machines.iter().map(|machine| machine.addr).collect();
        let site = Site { network, story, agreement, load, trace: Collector::default(), addrs, tally: None };
        Self { site, machines, random, now: Duration::ZERO, records: 0, problems: Vec::new() }
    }

    /// What nodes that start from now on send is counted there.
    pub(crate) fn count_into(&mut self, tally: Arc<Tally>) {
        self.site.tally = Some(tally);
    }

    pub(crate) fn story(&self) -> &Story {
        &self.site.story
    }

    pub(crate) fn network(&self) -> &SimulatedNetwork {
        &self.site.network
    }

    pub(crate) fn load(&self) -> &dyn Load {
        &*self.site.load
    }

    pub(crate) fn random(&mut self) -> &mut SmallRng {
        &mut self.random
    }

    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    pub(crate) fn problems(&self) -> &[String] {
        &self.problems
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeNo> + use<> {
        (0..self.machines.len()).map(NodeNo)
    }

    pub(crate) fn name(&self, no: NodeNo) -> &NodeName {
        &self.machines[no.0].name
    }

    pub(crate) fn is_up(&self, no: NodeNo) -> bool {
        self.machines[no.0].is_up()
    }

    pub(crate) fn tell(&self, fault: String) {
        self.story().tell(What::Fault(fault));
    }

    /// Says in the trace what is done to the cluster. Gives the record's number.
    pub(crate) fn trace(&mut self, event: impl FnOnce(u64) -> Event) -> u64 {
        let n = self.records;
        self.records += 1;
        let t_mono = u64::try_from(self.now.as_nanos()).unwrap_or(u64::MAX);
        let record = Record { t_mono, t_wall: 0, node: "fault".into(), boot: Boot(0), n, event: event(n) };
        self.site.trace.record(record);
        n
    }

    pub(crate) fn take_trace(&self) -> Vec<Record> {
        self.site.trace.take()
    }

    /// The most nodes that may be hit while a majority is not.
    pub(crate) fn minority(&self) -> usize {
        self.machines.len().saturating_sub(1) / 2
    }

    // Time.

    /// One step.
    pub(crate) fn step(&mut self) {
        self.now += STEP;
        progress::step();
        self.site.story.set_now(self.now);
        for machine in &mut self.machines {
            let has_ended = machine.run_until(self.now);
            if has_ended {
                self.site.network.close(machine.addr);
                match machine.take_exit() {
                    Some(NodeExit { expelled: Some(why), .. }) => {
                        self.problems.push(format!("node {} was expelled: {why:?}", machine.name));
                    }
                    Some(NodeExit { cut_short, .. }) => {
                        self.site.story.tell(What::Exited { node: machine.name.clone(), cut_short });
                    }
                    None => self.problems.push(format!("node {} panicked", machine.name)),
                }
            }
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    /// Runs until something is so, looking every 20 ms; at most for `limit`. How long it took, if it came to be so.
    pub(crate) fn run_until(&mut self, limit: Duration, mut is_so: impl FnMut(&Self) -> bool) -> Option<Duration> {
        let began = self.now;
        while self.now < began + limit {
            self.run_for(20 * STEP);
            if is_so(self) {
                return Some(self.now - began);
            }
        }
        None
    }

    // What can be done to nodes.

    /// Starts a node with what it had on disk; nothing if it runs.
    /// All start, together or one after the other.
    pub(crate) fn start_all(&mut self) {
        let gap = if self.random.random_bool(0.5) { 0..1 } else { 1..1500 };
        for no in self.nodes() {
            self.start(no);
            let gap = Duration::from_millis(self.random.random_range(gap.clone()));
            self.run_for(gap);
        }
    }

    pub(crate) fn start(&mut self, no: NodeNo) {
        let boot = BootId(self.random.random());
        let machine = &mut self.machines[no.0];
        if machine.is_up() {
            return;
        }
        let started = machine.start(self.now, boot, &self.site);
        if let Err(error) = started.with_context(|| format!("node {} cannot start", machine.name)) {
            self.problems.push(format!("{error:#}"));
        }
    }

    /// Starts a node with an empty disk. In `islands` mode nodes keep nothing there, so it is the same.
    pub(crate) fn start_wiped(&mut self, no: NodeNo) {
        self.machines[no.0].wipe();
        self.start(no);
    }

    pub(crate) fn kill(&mut self, no: NodeNo) {
        let machine = &mut self.machines[no.0];
        self.site.network.close(machine.addr);
        self.site.story.bury(&machine.name);
        machine.kill();
    }

    pub(crate) fn cut_power(&mut self, no: NodeNo) {
        self.kill(no);
        self.site.network.darken(self.machines[no.0].addr);
    }

    pub(crate) fn pause(&mut self, no: NodeNo) {
        self.machines[no.0].pause();
    }

    pub(crate) fn resume(&mut self, no: NodeNo) {
        self.machines[no.0].resume(self.now);
    }

    /// Nothing gets from the ones to the others.
    pub(crate) fn cut(&self, from: &BTreeSet<NodeNo>, to: &BTreeSet<NodeNo>) {
        let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (from, to)));
        for (from, to) in pairs {
            let (from, to) = (self.machines[from.0].addr, self.machines[to.0].addr);
            self.site.network.set_path(from, to, Path { cut: true, ..Path::default() });
        }
    }

    /// Tells all nodes to end in good order, at the same time.
    pub(crate) fn drain_all(&self) {
        self.machines.iter().for_each(Machine::drain);
    }

    /// Every stage that runs on these nodes fails once.
    pub(crate) fn fail_stages(&self, nodes: &BTreeSet<NodeNo>) {
        for stage in self.load().stages() {
            for instance in self.story().live(stage) {
                if nodes.iter().any(|no| *self.name(*no) == instance.node) {
                    self.load().failing().add(&instance.node, instance.stage);
                }
            }
        }
    }

    /// Every node in turn ends in good order and starts again; whether all did.
    pub(crate) fn restart_one_by_one(&mut self) -> bool {
        let mut all = true;
        for no in self.nodes() {
            self.machines[no.0].drain();
            // Draining may take 5 s, releasing and hanging up another; where messages are lost or late, longer.
            let in_time = self.run_until(Duration::from_secs(8), |world| !world.is_up(no)).is_some();
            let _ = self.run_until(Duration::from_secs(30), |world| !world.is_up(no));
            all &= in_time;
            let pause = Duration::from_millis(self.random.random_range(10..500));
            self.run_for(pause);
            self.start(no);
            let settled = Duration::from_millis(self.random.random_range(300..1500));
            self.run_for(settled);
        }
        all
    }

    /// Nothing is wrong any more.
    pub(crate) fn heal(&mut self) {
        self.tell("all faults are over".to_owned());
        self.network().heal();
        self.network().set_default(Path::default());
        for no in self.nodes() {
            self.resume(no);
            self.start(no);
        }
    }

    // Chance.

    /// Up to `max` nodes, more often than not an owner among them.
    pub(crate) fn choose_victims(&mut self, max: usize) -> BTreeSet<NodeNo> {
        let count = self.random.random_range(1..=max.max(1));
        let mut victims = BTreeSet::new();
        if self.random.random_bool(0.5) {
            victims.extend(self.owner());
        }
        let all: Vec<NodeNo> = self.nodes().collect();
        while victims.len() < count {
            victims.extend(all.choose(&mut self.random));
        }
        victims
    }

    /// One of these.
    pub(crate) fn choose(&mut self, of: &BTreeSet<NodeNo>) -> BTreeSet<NodeNo> {
        let of: Vec<_> = of.iter().copied().collect();
        of.choose(&mut self.random).copied().into_iter().collect()
    }

    /// Where some global stage runs.
    fn owner(&mut self) -> Option<NodeNo> {
        let stages = self.site.load.global_stages();
        let stage = *stages.choose(&mut self.random)?;
        let instance = self.site.story.live(stage).pop()?;
        self.nodes().find(|no| *self.name(*no) == instance.node)
    }
}
