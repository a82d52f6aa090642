//! One seed from start to end.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use forebay::transport::identity::{ClusterCa, NODE_VALIDITY, NodeIdentity};
use forebay_check::Agreement;
use forebay_trace::Record;
use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::SliceRandom};

use crate::{
    coverage::Coverage,
    fault::{Kind, Plan},
    laws::{self, Violation},
    load::Load,
    progress,
    story::{Fact, Story, What},
    workload::{self, Workload},
    world::World,
};

/// How long a healed cluster may take until there is one owner of everything and events come everywhere.
///
/// Links are dialled again within a second, a starting node waits for `settle`, 1 s, and a consumer subscribes again
/// within a second of backing off; a guest that failed waits some seconds.
const HEALED_WITHIN: Duration = Duration::from_secs(15);

/// How long events may take to arrive once there are no more.
const DRAINED_WITHIN: Duration = Duration::from_secs(10);

/// For so long everything must be as it should, before a cluster counts as healed.
const STEADY: Duration = Duration::from_millis(500);

/// The keys of a cluster's nodes. Making them takes longer than running a cluster for a second.
#[derive(Debug)]
pub struct Keys(pub(crate) Vec<NodeIdentity>);

impl Keys {
    /// Of nodes `n1`, `n2` and so on.
    ///
    /// # Errors
    /// If keys cannot be made.
    pub fn generate(nodes: usize) -> anyhow::Result<Self> {
        let ca = ClusterCa::generate()?;
        let issue = |number: usize| Ok(ca.issue(&format!("n{number}").parse()?, NODE_VALIDITY)?);
        (1..=nodes).map(issue).collect::<anyhow::Result<_>>().map(Self)
    }

    /// Runs a cluster of the first `nodes` of them.
    pub fn run(&self, seed: u64, agreement: Agreement, nodes: usize) -> Report {
        Run::new(seed, agreement, &self.0[..nodes.min(self.0.len())]).run()
    }
}

/// What came of a seed.
#[derive(Debug)]
pub struct Report {
    /// Which.
    pub seed: u64,
    /// What happened, in numbers.
    pub coverage: Coverage,
    /// Laws that were broken.
    pub violations: Vec<Violation>,
    /// What crossed the edges of nodes and stages, for `forebay-check`.
    pub trace: Vec<Record>,
    facts: Vec<Fact>,
}

impl Report {
    /// What happened, line by line; with `data`, each event that was emitted and handled, too.
    pub fn story(&self, data: bool) -> impl Iterator<Item = String> + '_ {
        self.facts.iter().filter(move |fact| data || !fact.is_event_of_the_data()).map(Fact::to_string)
    }
}

struct Run {
    seed: u64,
    agreement: Agreement,
    workload: Arc<Workload>,
    world: World,
    coverage: Coverage,
    violations: Vec<Violation>,
}

impl Run {
    fn new(seed: u64, agreement: Agreement, identities: &[NodeIdentity]) -> Self {
        forebay::registry::raft::dice::seed(seed);
        progress::begin(seed);
        let (mut random, story) = (SmallRng::seed_from_u64(seed), Story::default());
        let workload = Arc::new(Workload::draw(&story, &mut random, identities.len()));
        let world = World::new(random, story, agreement, identities, Arc::clone(&workload) as Arc<dyn Load>);
        Self { seed, agreement, workload, world, coverage: Coverage::default(), violations: Vec::new() }
    }

    fn run(mut self) -> Report {
        self.form();
        for plan in plans(self.seed) {
            self.suffer(&plan);
        }
        self.world.heal();
        self.recover("after all faults");
        self.drain();
        self.report()
    }

    fn form(&mut self) {
        self.world.start_all();
        self.recover("at the beginning");
    }

    fn suffer(&mut self, plan: &Plan) {
        for (kind, bit) in plan.strike(&mut self.world) {
            self.coverage.count_fault(kind, bit);
        }
        if plan.kind == Kind::KillAndWipe {
            // What is lost for ever counts against the majority until the group has taken the node in anew.
            self.recover("after a disk was lost");
        }
    }

    /// Waits until all is as it should be.
    fn recover(&mut self, when: &str) {
        let mut since = self.world.now();
        let recovered = self.world.run_until(HEALED_WITHIN, |world| {
            if !is_healthy(world) {
                since = world.now();
            }
            world.now() - since >= STEADY
        });
        match recovered {
            Some(took) => self.coverage.count_recovery(took.saturating_sub(STEADY)),
            None => {
                let found = sickness(&self.world).unwrap_or_else(|| "it comes and goes".to_owned());
                let what = format!("{when}, {HEALED_WITHIN:?} were not enough: {found}");
                self.violations.push(Violation::new("heals", what));
            }
        }
    }

    /// The counter ends; what it has emitted arrives.
    fn drain(&mut self) {
        self.workload.close();
        let drained = self.world.run_until(DRAINED_WITHIN, |world| missing(world.story(), world).is_empty());
        if drained.is_none() {
            let missing = missing(self.world.story(), &self.world);
            let first = missing.first().cloned().unwrap_or_default();
            let what = format!("{} events of instances that live were not handled, `{first}` is one", missing.len());
            self.violations.push(Violation::new("nothing_that_lives_is_lost", what));
        }
    }

    fn report(mut self) -> Report {
        let problems = self.world.problems().iter();
        self.violations.extend(problems.map(|what| Violation::new("nodes_stay_up", what.clone())));
        let traffic = self.world.network().traffic();
        let (seed, elapsed) = (self.seed, self.world.now());
        let facts = std::mem::take(&mut self.world.story().told().facts);
        self.violations.extend(laws::check(&facts));
        self.coverage.count_story(&facts, elapsed, traffic);
        let trace = self.world.take_trace();
        let options = forebay_check::Options { agreement: self.agreement, ..Default::default() };
        let checked = forebay_check::check(trace.iter().cloned(), options);
        self.coverage.count_trace(&checked.coverage);
        self.violations.extend(checked.violations.into_iter().map(Violation::from));
        Report { seed, coverage: self.coverage, violations: self.violations, trace, facts }
    }
}

/// Three to six faults. Every kind comes first in one seed of as many as there are kinds.
pub(crate) fn plans(seed: u64) -> Vec<Plan> {
    // Apart from the world's chance: what happens in a cluster does not change what is done to it.
    let mut random = SmallRng::seed_from_u64(seed ^ 0xFA17);
    let mut kinds = Kind::ALL.to_vec();
    kinds.shuffle(&mut random);
    let first = usize::try_from(seed % Kind::ALL.len() as u64).unwrap_or_default();
    kinds.retain(|kind| *kind != Kind::ALL[first]);
    kinds.insert(0, Kind::ALL[first]);
    kinds.truncate(random.random_range(3..=6));
    kinds.into_iter().map(|kind| Plan::draw(kind, &mut random)).collect()
}

fn is_healthy(world: &World) -> bool {
    sickness(world).is_none()
}

/// What keeps a cluster from being whole: each global stage has one instance, and each sink took, within the last
/// half second, events of that instance and of no other.
fn sickness(world: &World) -> Option<String> {
    let stages = world.load().global_stages();
    for stage in &stages {
        let live = world.story().live(stage);
        if live.len() != 1 {
            let names: Vec<_> = live.iter().map(ToString::to_string).collect();
            return Some(format!("{} instances of `{stage}` run: {names:?}", live.len()));
        }
    }
    let last = *stages.last()?;
    let owner = world.story().live(last).pop()?.to_string();
    let since = world.now().saturating_sub(STEADY);
    let mut fed = BTreeSet::new();
    for fact in world.story().told().facts.iter().rev().take_while(|fact| fact.at >= since) {
        let What::Handled { instance, handled } = &fact.what else { continue };
        if instance.stage.as_str() != "sink" {
            continue;
        }
        if workload::maker_of(&handled.content) != owner {
            return Some(format!("{instance} takes `{}`, {owner} is the owner", handled.content));
        }
        fed.insert(instance.node.clone());
    }
    let hungry = world.nodes().map(|no| world.name(no)).find(|name| !fed.contains(*name))?;
    Some(format!("the sink of {hungry} gets no events of {owner}"))
}

/// Contents that instances which run now have emitted and nobody has handled.
fn missing(story: &Story, world: &World) -> BTreeSet<String> {
    let stages = world.load().global_stages().into_iter();
    let live: BTreeSet<_> = stages.flat_map(|stage| story.live(stage)).collect();
    let mut missing = BTreeSet::new();
    for fact in &story.told().facts {
        match &fact.what {
            What::Emitted { instance, content } if live.contains(instance) => {
                missing.insert(workload::content_of(instance, *content));
            }
            What::Handled { handled, .. } => drop(missing.remove(&handled.content)),
            _ => {}
        }
    }
    missing
}
