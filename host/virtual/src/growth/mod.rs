//! How a cluster that has nothing to do grows: what its nodes say to each other, what that costs, and how long names take to
//! find an owner.
//!
//! ```text
//! nodes start --> whole --> steady, nothing happens --> the owner of the most names is killed --> whole
//!                                                             ^------ starts again <-------------|
//! ```
//!
//! Whole: every global name has one instance, and on every node a consumer that has subscribed to it.

mod counted;
mod fit;
mod load;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use forebay::node::NodeEvent;
use forebay_check::Agreement;
use forebay_proto::{consumer::Owner, ids::NodeName};
use rand::{SeedableRng, rngs::SmallRng};
use rustix::time::{ClockId, clock_gettime};

pub(crate) use self::counted::{Counted, Tally};
use self::load::Idle;
pub use self::{
    counted::{Kind, Sent},
    fit::exponent,
};
use crate::{
    progress,
    run::Keys,
    story::{Story, What},
    world::{NodeNo, World},
};

/// From the start of one node to that of the next. Together they would be one step of the simulation in which each shakes
/// hands with all.
const GAP: Duration = Duration::from_millis(10);

/// How long a cluster may take to become whole.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);

/// How often is looked whether it is.
const LOOK: Duration = Duration::from_millis(5);

/// From whole to steady: acknowledgements, changes of voters and the search for the path's MTU are over then.
const SETTLE: Duration = Duration::from_secs(3);

/// How many owners die, one after the other.
const DEATHS: usize = 3;

/// What is to be measured, of each size.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Global stages.
    pub names: usize,
    /// How long is counted of what is said when nothing happens. Virtual time.
    pub steady: Duration,
    /// How nodes agree.
    pub agreement: Agreement,
    /// Of chance.
    pub seed: u64,
}

/// What a cluster of one size does.
#[derive(Clone, Debug)]
pub struct Growth {
    /// Its nodes.
    pub nodes: usize,
    /// From the start of the last node until it is whole.
    pub formed: Duration,
    /// Processor time of that, of all nodes.
    pub formed_cpu: Duration,
    /// How long was counted what follows.
    pub steady: Duration,
    /// Frames sent then, by kind in the order of [`Kind::ALL`].
    pub sent: [Sent; Kind::ALL.len()],
    /// Datagrams sent then.
    pub datagrams: u64,
    /// Their bytes, without UDP's and IP's headers.
    pub datagram_bytes: u64,
    /// Processor time then, of all nodes and of the simulation.
    pub cpu: Duration,
    /// Resident memory of this process after it, in bytes: of all nodes, and what is left of smaller clusters before.
    pub resident_bytes: u64,
    /// What became of the names of nodes that were killed.
    pub takeovers: Vec<Takeover>,
}

/// From the death of a node.
#[derive(Clone, Copy, Debug)]
pub struct Takeover {
    /// How many names it owned.
    pub names: usize,
    /// Until each of them ran elsewhere.
    pub owned: Duration,
    /// Until the consumers of all other nodes had subscribed to the new owners.
    pub known: Duration,
    /// Processor time of all nodes until then.
    pub cpu: Duration,
}

impl Keys {
    /// Measures a cluster of the first `nodes` of them.
    ///
    /// # Errors
    /// If it does not become whole within a minute, or a node ends by itself.
    pub fn grow(&self, nodes: usize, plan: Plan) -> anyhow::Result<Growth> {
        ensure!((2..=self.0.len()).contains(&nodes), "{nodes} nodes, and keys for {}", self.0.len());
        Run::new(self, nodes, plan).run()
    }
}

struct Run {
    plan: Plan,
    world: World,
    tally: Arc<Tally>,
    /// Facts of the story that were looked at.
    looked: usize,
    /// Whom the consumer of a node takes each source from.
    sources: BTreeMap<(NodeName, String), Owner>,
}

impl Run {
    fn new(keys: &Keys, nodes: usize, plan: Plan) -> Self {
        forebay::registry::raft::dice::seed(plan.seed);
        progress::begin(plan.seed);
        let story = Story::default();
        let load = Arc::new(Idle::new(story.clone(), plan.names));
        let (random, tally) = (SmallRng::seed_from_u64(plan.seed), Arc::<Tally>::default());
        let mut world = World::new(random, story, plan.agreement, &keys.0[..nodes], load);
        world.count_into(Arc::clone(&tally));
        Self { plan, world, tally, looked: 0, sources: BTreeMap::new() }
    }

    fn run(mut self) -> anyhow::Result<Growth> {
        let began_cpu = processor_time();
        for no in self.world.nodes() {
            self.world.start(no);
            self.world.run_for(GAP);
        }
        let formed = self.until_whole("after the start")?;
        let formed_cpu = processor_time() - began_cpu;
        self.world.run_for(SETTLE);

        let (sent, traffic, cpu) = (self.tally.sent(), self.world.network().traffic(), processor_time());
        self.world.run_for(self.plan.steady);
        let cpu = processor_time() - cpu;
        let later = self.world.network().traffic();
        let sent = difference(self.tally.sent(), sent);
        let resident_bytes = resident_bytes()?;

        let takeovers = (0..DEATHS).map(|_| self.take_over()).collect::<anyhow::Result<_>>()?;
        ensure!(self.world.problems().is_empty(), "{}", self.world.problems().join("; "));
        Ok(Growth {
            nodes: self.world.nodes().count(),
            formed,
            formed_cpu,
            steady: self.plan.steady,
            sent,
            datagrams: later.sent - traffic.sent,
            datagram_bytes: later.bytes - traffic.bytes,
            cpu,
            resident_bytes,
            takeovers,
        })
    }

    /// Kills the node that owns the most names, and starts it again when the others have them.
    fn take_over(&mut self) -> anyhow::Result<Takeover> {
        let (victim, names) = self.greatest_owner().context("nobody owns anything")?;
        let (began, cpu) = (self.world.now(), processor_time());
        self.world.kill(victim);
        let name = self.world.name(victim).clone();
        self.sources.retain(|(node, _), _| *node != name);
        let mut owned = None;
        while owned.is_none() && self.world.now() < began + WHOLE_WITHIN {
            self.world.run_for(LOOK);
            owned = names.iter().all(|name| self.owner(name).is_some()).then(|| self.world.now() - began);
        }
        let owned = owned.with_context(|| format!("what {name} owned has no owner after {WHOLE_WITHIN:?}"))?;
        self.until_whole("after the death of an owner")?;
        let takeover =
            Takeover { names: names.len(), owned, known: self.world.now() - began, cpu: processor_time() - cpu };
        self.world.start(victim);
        self.until_whole("after a node is back")?;
        self.world.run_for(SETTLE);
        Ok(takeover)
    }

    fn greatest_owner(&self) -> Option<(NodeNo, BTreeSet<String>)> {
        let mut owned: BTreeMap<NodeName, BTreeSet<String>> = BTreeMap::new();
        for stage in self.world.load().global_stages() {
            if let Some(node) = self.owner(stage) {
                owned.entry(node).or_default().insert(stage.to_owned());
            }
        }
        let (node, names) = owned.into_iter().max_by_key(|(_, names)| names.len())?;
        let no = self.world.nodes().find(|no| *self.world.name(*no) == node)?;
        Some((no, names))
    }

    /// Where a global stage runs, if it does in one place.
    fn owner(&self, stage: &str) -> Option<NodeName> {
        match &self.world.story().live(stage)[..] {
            [instance] => Some(instance.node.clone()),
            _ => None,
        }
    }

    fn until_whole(&mut self, when: &str) -> anyhow::Result<Duration> {
        let began = self.world.now();
        loop {
            self.look();
            let Some(missing) = self.missing() else { return Ok(self.world.now() - began) };
            ensure!(self.world.now() - began < WHOLE_WITHIN, "{when}, {WHOLE_WITHIN:?} were not enough: {missing}");
            self.world.run_for(LOOK);
        }
    }

    /// What keeps the cluster from being whole.
    fn missing(&self) -> Option<String> {
        for stage in self.world.load().global_stages() {
            let Some(owner) = self.owner(stage) else { return Some(format!("`{stage}` has not one owner")) };
            for no in self.world.nodes().filter(|no| self.world.is_up(*no)) {
                let node = self.world.name(no);
                match self.sources.get(&(node.clone(), stage.to_owned())) {
                    Some(source) if source.node == owner => {}
                    found => return Some(format!("{node} takes `{stage}` from {found:?}, {owner} owns it")),
                }
            }
        }
        None
    }

    /// Takes in what was told since the last time.
    fn look(&mut self) {
        let told = self.world.story().told();
        for fact in &told.facts[self.looked..] {
            let What::Event { node, event: NodeEvent::Subscribed { source, owner, .. } } = &fact.what else { continue };
            self.sources.insert((node.clone(), source.as_str().to_owned()), owner.clone());
        }
        self.looked = told.facts.len();
    }
}

fn difference(later: [Sent; Kind::ALL.len()], earlier: [Sent; Kind::ALL.len()]) -> [Sent; Kind::ALL.len()] {
    let mut sent = later;
    for (sent, before) in sent.iter_mut().zip(earlier) {
        sent.frames -= before.frames;
        sent.bytes -= before.bytes;
    }
    sent
}

/// Of all threads of this process.
fn processor_time() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or_default())
}

fn resident_bytes() -> anyhow::Result<u64> {
    let statm = fs::read_to_string("/proc/self/statm").context("cannot read how much memory this process has")?;
    let pages: u64 = statm.split(' ').nth(1).context("statm without a second number")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}
