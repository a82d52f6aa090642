//! One graph from start to end.

use std::{sync::Arc, time::Duration};

use forebay::transport::identity::NodeIdentity;
use forebay_check::Agreement;
use forebay_graphs::{Graph, NODES, Options, Tally};
use forebay_trace::Record;
use rand::{SeedableRng, rngs::SmallRng};

use super::{coverage::Coverage, load::GraphLoad};
use crate::{
    fault::Kind,
    laws::{self, Violation},
    load::Load,
    progress,
    run::{Keys, plans},
    story::{Fact, Story, What},
    world::World,
};

/// How long all may take to subscribe: a starting node waits for `settle`, 1 s, and a consumer that finds no owner tries
/// again within a second.
const JOINED_WITHIN: Duration = Duration::from_secs(30);

/// For so long nothing more may come before what is missing counts as missing. After faults a stage may wait for 30 s,
/// the longest `backoff_max`, until it is started again.
const QUIET: Duration = Duration::from_secs(10);
const QUIET_AFTER_FAULTS: Duration = Duration::from_secs(45);

/// However much still comes: what is given out again and again would never end.
const FINISHED_WITHIN: Duration = Duration::from_secs(300);

/// For so long all must be as it should: what comes twice comes at once.
const OVER: Duration = Duration::from_secs(2);

/// How long nodes may take to end: `drain_timeout`, 5 s, is for stages that have something left.
const ENDED_WITHIN: Duration = Duration::from_secs(10);

/// Time between two events of a source while there are faults, so that they go on meanwhile.
const INTERVAL: Duration = Duration::from_millis(60);

/// How often is looked, and what was handled since is judged if nothing more was.
const LOOK: Duration = Duration::from_millis(100);

/// What came of a graph.
#[derive(Debug)]
pub struct Report {
    /// Of which seed.
    pub seed: u64,
    /// Which graph.
    pub graph: Graph,
    /// What happened, in numbers.
    pub coverage: Coverage,
    /// What was not as it must be.
    pub violations: Vec<Violation>,
    /// What crossed the edges of nodes and stages, for `forebay-check`.
    pub trace: Vec<Record>,
    facts: Vec<Fact>,
}

impl Report {
    /// What happened, line by line.
    pub fn story(&self) -> impl Iterator<Item = String> + '_ {
        self.facts.iter().map(Fact::to_string)
    }
}

impl Keys {
    /// Runs the graph of a seed on the first three nodes, with faults or without.
    ///
    /// # Panics
    /// If there are fewer keys.
    pub fn run_graph(&self, seed: u64, has_faults: bool) -> Report {
        GraphRun::new(seed, has_faults, &self.0[..NODES]).run()
    }
}

struct GraphRun {
    seed: u64,
    has_faults: bool,
    graph: Graph,
    load: Arc<GraphLoad>,
    world: World,
    tally: Tally,
    trace: Vec<Record>,
    coverage: Coverage,
    violations: Vec<Violation>,
}

impl GraphRun {
    fn new(seed: u64, has_faults: bool, identities: &[NodeIdentity]) -> Self {
        forebay::registry::raft::dice::seed(seed);
        progress::begin(seed);
        let graph = Graph::draw(seed, if has_faults { Options::LASTING } else { Options::ALL });
        let (random, story) = (SmallRng::seed_from_u64(seed), Story::default());
        let interval = if has_faults { INTERVAL } else { Duration::ZERO };
        let load = Arc::new(GraphLoad::new(graph.clone(), story.clone(), interval));
        let as_load = Arc::clone(&load) as Arc<dyn Load>;
        let world = World::new(random, story, Agreement::Quorum, identities, as_load);
        let tally = Tally::new(&graph, identities.iter().map(|identity| identity.node().to_string()));
        let (trace, coverage, violations) = (Vec::new(), Coverage::default(), Vec::new());
        Self { seed, has_faults, graph, load, world, tally, trace, coverage, violations }
    }

    fn run(mut self) -> Report {
        self.world.start_all();
        if !self.graph.is_early {
            self.wait_for_all_to_join();
        }
        self.load.open();
        if self.has_faults {
            self.suffer();
        }
        self.finish();
        self.end();
        self.report()
    }

    /// Lets time pass, and counts what was handled meanwhile.
    fn look(&mut self) {
        self.world.run_for(LOOK);
        self.count();
    }

    fn count(&mut self) {
        let records = self.world.take_trace();
        records.iter().for_each(|record| self.tally.see(record));
        self.trace.extend(records);
    }

    fn wait_for_all_to_join(&mut self) {
        let end = self.world.now() + JOINED_WITHIN;
        while self.world.now() < end {
            self.look();
            if self.tally.unjoined().is_empty() {
                return;
            }
        }
        let unjoined = self.tally.unjoined();
        let what = format!("{} subscriptions did not begin: {}", unjoined.len(), unjoined.join(", "));
        self.violations.push(Violation::new("all_subscribe", what));
    }

    /// As many faults as any cluster suffers.
    fn suffer(&mut self) {
        for plan in plans(self.seed) {
            // A disk that is lost counts against the majority until its node was taken in anew; whole runs wait for it.
            if plan.kind == Kind::KillAndWipe {
                continue;
            }
            for (kind, bit) in plan.strike(&mut self.world) {
                self.coverage.count_fault(kind, bit);
            }
        }
        self.world.heal();
    }

    fn wrong(&self) -> Vec<String> {
        if self.has_faults { Graph::missing(&self.tally) } else { Graph::unlike(&self.tally) }
    }

    /// Until all was handled as it must be and nothing more comes; or until nothing more comes for long.
    fn finish(&mut self) {
        let (began, quiet) = (self.world.now(), if self.has_faults { QUIET_AFTER_FAULTS } else { QUIET });
        let (mut count, mut since) = (self.tally.count(), began);
        let mut is_right = None;
        while self.world.now() - began < FINISHED_WITHIN {
            self.look();
            if self.tally.count() > count {
                (count, since, is_right) = (self.tally.count(), self.world.now(), None);
                continue;
            }
            let waited = self.world.now() - since;
            // Judging takes longer than most looks, and says the same until something more is handled.
            let is_right = *is_right.get_or_insert_with(|| self.wrong().is_empty());
            if is_right && waited >= OVER || waited >= quiet {
                break;
            }
        }
        self.coverage.slowest = since - began;
    }

    /// All nodes end; without faults no stage has anything left by then.
    fn end(&mut self) {
        self.world.drain_all();
        let ended = self.world.run_until(ENDED_WITHIN, |world| world.nodes().all(|no| !world.is_up(no)));
        if ended.is_none() {
            let what = format!("{ENDED_WITHIN:?} were not enough for all nodes to end");
            self.violations.push(Violation::new("the_run_ends", what));
        }
        self.count();
    }

    fn report(mut self) -> Report {
        let law = if self.has_faults { "at_least_as_often" } else { "exactly_as_often" };
        self.violations.extend(self.wrong().into_iter().map(|what| Violation::new(law, what)));
        let problems = self.world.problems().iter();
        self.violations.extend(problems.map(|what| Violation::new("nodes_stay_up", what.clone())));
        let facts = std::mem::take(&mut self.world.story().told().facts);
        if !self.has_faults {
            let is_cut = |fact: &&Fact| matches!(&fact.what, What::Exited { cut_short, .. } if !cut_short.is_empty());
            let left = facts.iter().filter(is_cut).map(|fact| Violation::new("nothing_is_left", fact.to_string()));
            self.violations.extend(left);
        }
        self.violations.extend(laws::check(&facts));
        let options = forebay_check::Options { dispatching: self.graph.dispatching(), ..Default::default() };
        let checked = forebay_check::check(self.trace.iter().cloned(), options);
        self.violations.extend(checked.violations.into_iter().map(Violation::from));
        self.coverage.count_graph(&self.graph);
        self.coverage.elapsed = self.world.now();
        self.coverage.handled = self.tally.count();
        self.coverage.arrived = self.tally.arrived();
        self.coverage.repeated = self.tally.repeated();
        let Self { seed, graph, coverage, violations, trace, .. } = self;
        Report { seed, graph, coverage, violations, trace, facts }
    }
}
