//! A graph from a seed: stage after stage, each subscribing to some before it. Who is subscribed to by nobody in the
//! end is a sink.

use rand::{
    RngExt, SeedableRng,
    rngs::SmallRng,
    seq::{IndexedRandom, SliceRandom},
};

use crate::{
    event::Pattern,
    graph::{Dispatcher, Graph, Input, Options, Place, Role, STAGES, Scope, Stage},
};

/// Events that all instances of a stage handle together, at most, but where no source has less: copies and broadcasts
/// would multiply them along the way.
const EVENTS_MAX: u64 = 600;

/// Most stages subscribe to one of so many right before them, so that ways get long.
const NEAR: usize = 10;

/// What is asked for at most: from what makes many small messages to what a source ever has.
const DEMANDS: [u32; 6] = [4, 10, 20, 50, 200, 1000];

struct Draw {
    random: SmallRng,
    options: Options,
    is_early: bool,
    stages: Vec<Stage>,
    /// Of each stage: what all of its instances handle together, at most.
    loads: Vec<u64>,
}

impl Graph {
    /// The graph of a seed; the same each time.
    pub fn draw(seed: u64, options: Options) -> Self {
        let mut random = SmallRng::seed_from_u64(seed ^ 0x6_7261_7068);
        let is_early = options.may_be_early && random.random_bool(0.5);
        let mut draw = Draw { random, options, is_early, stages: Vec::new(), loads: Vec::new() };
        let sources = draw.random.random_range(4..=10);
        for at in 0..STAGES {
            if at < sources { draw.source() } else { draw.subscriber(at - sources < sources, at - sources) }
        }
        draw.name();
        for at in 0..STAGES {
            draw.select(at);
        }
        draw.multiply();
        Self { seed, stages: draw.stages, is_early }
    }
}

impl Draw {
    /// Who gets what does not depend on how many there are.
    fn multiply(&mut self) {
        for stage in self.stages.iter_mut().filter(|stage| stage.role != Role::Source) {
            if self.random.random_bool(0.3) {
                stage.instances = self.random.random_range(2..=4);
            }
        }
    }

    fn place(&mut self) -> Place {
        *Place::ALL.choose(&mut self.random).expect("there are some")
    }

    fn dispatcher(&mut self) -> Dispatcher {
        match self.random.random_range(0..10) {
            0..4 if self.options.has_broadcast => Dispatcher::Broadcast,
            4..7 => Dispatcher::Partition { partitions: self.random.random_range(2..=16), is_pinned: false },
            _ => Dispatcher::Demand,
        }
    }

    fn source(&mut self) {
        let count = self.random.random_range(20..=200);
        let first = self.stages.last().map_or(0, |stage| stage.emits.end);
        let stage = Stage {
            name: String::new(),
            role: Role::Source,
            scope: Scope::Global,
            place: self.place(),
            dispatcher: self.dispatcher(),
            emits: first..first + count,
            copies: 1,
            instances: 1,
            inputs: Vec::new(),
        };
        self.stages.push(stage);
        self.loads.push(count);
    }

    /// One that subscribes to a source of its own, so that none goes without, or to whomever.
    fn subscriber(&mut self, has_source: bool, source: usize) {
        let scope = if self.random.random_bool(0.3) { Scope::Node } else { Scope::Global };
        let (place, dispatcher) = (self.place(), self.dispatcher());
        let mut stage = Stage {
            name: String::new(),
            role: Role::Relay,
            scope,
            place,
            dispatcher,
            emits: 0..0,
            copies: 1,
            instances: 1,
            inputs: Vec::new(),
        };
        let mut load = 0;
        if has_source {
            load += self.subscribe(&mut stage, source);
        }
        let wanted = *[1, 1, 1, 2, 2, 3].choose(&mut self.random).expect("there are some");
        for _ in 0..2 * wanted {
            let from = self.someone();
            let is_new = stage.inputs.iter().all(|input| input.from != from);
            if stage.inputs.len() < wanted && is_new && self.may_subscribe(&stage, from) {
                let added = self.added(&stage, from);
                if load + added <= EVENTS_MAX {
                    load += self.subscribe(&mut stage, from);
                }
            }
        }
        if stage.inputs.is_empty() {
            let least = self.least(&stage);
            load += self.subscribe(&mut stage, least);
        }
        let copies = self.random.random_range(2..=3);
        if self.random.random_bool(0.25) && load * u64::from(copies) <= EVENTS_MAX {
            stage.copies = copies;
        }
        self.stages.push(stage);
        self.loads.push(load);
    }

    fn someone(&mut self) -> usize {
        let count = self.stages.len();
        let from = if self.random.random_bool(0.6) { count.saturating_sub(NEAR) } else { 0 };
        self.random.random_range(from..count)
    }

    /// A stage of node scope is consumed where it runs: on each of its nodes somebody must be.
    fn may_subscribe(&self, stage: &Stage, from: usize) -> bool {
        let from = &self.stages[from];
        from.scope == Scope::Global || stage.scope == Scope::Node && stage.place.holds(&from.place)
    }

    /// What a subscription adds to what a stage handles, at most.
    fn added(&self, stage: &Stage, from: usize) -> u64 {
        let Stage { scope, dispatcher, copies, .. } = &self.stages[from];
        let each = *dispatcher == Dispatcher::Broadcast && *scope == Scope::Global && stage.scope == Scope::Node;
        let instances = if each { stage.place.nodes().count() as u64 } else { 1 };
        self.loads[from] * u64::from(*copies) * instances
    }

    /// Whose events are the fewest.
    fn least(&self, stage: &Stage) -> usize {
        let all = (0..self.stages.len()).filter(|from| self.may_subscribe(stage, *from));
        all.min_by_key(|from| self.added(stage, *from)).expect("anybody may subscribe to a source")
    }

    fn subscribe(&mut self, stage: &mut Stage, from: usize) -> u64 {
        let max_demand = *DEMANDS.choose(&mut self.random).expect("there are some");
        let min_demand = self.random.random_range(0..max_demand);
        let is_shared = self.stages[from].dispatcher == Dispatcher::Broadcast && self.random.random_bool(0.3);
        let added = self.added(stage, from);
        let (topics, partitions) = (Vec::new(), Vec::new());
        stage.inputs.push(Input { from, max_demand, min_demand, topics, is_shared, partitions });
        added
    }

    fn consumers(&self, from: usize) -> Vec<usize> {
        let is_one = |at: &usize| self.stages[*at].inputs.iter().any(|input| input.from == from);
        (0..STAGES).filter(is_one).collect()
    }

    /// Roles show once all have subscribed.
    fn name(&mut self) {
        for at in 0..STAGES {
            let is_sink = self.consumers(at).is_empty();
            let stage = &mut self.stages[at];
            let role = match stage.role {
                Role::Source => "source",
                _ if is_sink => {
                    (stage.role, stage.copies) = (Role::Sink, 1);
                    "sink"
                }
                _ => "relay",
            };
            stage.name = format!("{role}-{at}");
        }
    }

    /// What the consumers of a stage want of it.
    fn select(&mut self, from: usize) {
        let consumers = self.consumers(from);
        let Stage { scope, dispatcher, .. } = self.stages[from];
        let all_global = consumers.iter().all(|at| self.stages[*at].scope == Scope::Global);
        match dispatcher {
            Dispatcher::Partition { partitions, .. }
                if scope == Scope::Global && all_global && partitions as usize >= consumers.len() =>
            {
                if self.random.random_bool(0.5) {
                    self.pin(from, &consumers, partitions);
                }
                if self.is_pinned(from) {
                    self.select_topics(from, &consumers, 0.3);
                } else {
                    self.select_alike(from, &consumers);
                }
            }
            Dispatcher::Partition { .. } => self.select_alike(from, &consumers),
            Dispatcher::Broadcast => self.select_topics(from, &consumers, 0.3),
            Dispatcher::Demand if self.is_early => {}
            Dispatcher::Demand => {
                let how_many = if self.random.random_bool(0.4) { 0.7 } else { 0.0 };
                self.select_topics(from, &consumers, how_many);
            }
        }
    }

    fn is_pinned(&self, from: usize) -> bool {
        matches!(self.stages[from].dispatcher, Dispatcher::Partition { is_pinned: true, .. })
    }

    /// Every partition to one of the consumers, and to each at least one.
    fn pin(&mut self, from: usize, consumers: &[usize], partitions: u32) {
        if consumers.is_empty() {
            return;
        }
        self.stages[from].dispatcher = Dispatcher::Partition { partitions, is_pinned: true };
        let mut all: Vec<u32> = (0..partitions).collect();
        all.shuffle(&mut self.random);
        for (place, partition) in all.into_iter().enumerate() {
            let consumer = consumers[place % consumers.len()];
            self.input(consumer, from).partitions.push(partition);
        }
    }

    /// Each consumer by itself.
    fn select_topics(&mut self, from: usize, consumers: &[usize], how_many: f64) {
        for consumer in consumers {
            if self.options.has_topics && self.random.random_bool(how_many) {
                self.input(*consumer, from).topics = self.topics();
            }
        }
    }

    /// Where a partition's events may be anybody's, all want the same.
    fn select_alike(&mut self, from: usize, consumers: &[usize]) {
        if self.options.has_topics && self.random.random_bool(0.2) {
            let topics = self.topics();
            consumers.iter().for_each(|consumer| self.input(*consumer, from).topics.clone_from(&topics));
        }
    }

    fn topics(&mut self) -> Vec<Pattern> {
        (0..self.random.random_range(1..=3)).map(|_| Pattern::of(self.random.random_range(0..15))).collect()
    }

    fn input(&mut self, stage: usize, from: usize) -> &mut Input {
        let mut inputs = self.stages[stage].inputs.iter_mut();
        inputs.find(|input| input.from == from).expect("a consumer subscribes")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use forebay_proto::{
        dispatch::DispatcherOptions,
        pipeline::{self, Pipeline},
    };

    use super::*;
    use crate::{NODES, Plugin};

    const SEEDS: std::ops::Range<u64> = 0..300;

    fn parsed(graph: &Graph) -> Pipeline {
        let plugin = |_: &Stage| Plugin { plugin: "builtin:print".to_owned(), settings: String::new() };
        Pipeline::parse(&graph.pipeline(plugin), "graph.toml").unwrap()
    }

    #[test]
    fn fifty_stages_subscribe_to_others_before_them() {
        for seed in SEEDS {
            let graph = Graph::draw(seed, Options::ALL);
            assert_eq!(graph.stages.len(), STAGES);
            let edges = graph
                .stages
                .iter()
                .enumerate()
                .flat_map(|(at, stage)| stage.inputs.iter().map(move |input| (input.from, at)));
            let edges: Vec<_> = edges.collect();
            assert!(edges.iter().all(|(from, to)| from < to), "seed {seed}");
            assert_eq!(edges.iter().collect::<BTreeSet<_>>().len(), edges.len(), "seed {seed}: one subscribes twice");
        }
    }

    #[test]
    fn roles_are_those_of_the_edges() {
        for seed in SEEDS {
            let graph = Graph::draw(seed, Options::ALL);
            for (at, stage) in graph.stages.iter().enumerate() {
                let has_consumers = graph.consumers_of(at).next().is_some();
                let expected = match (stage.inputs.is_empty(), has_consumers) {
                    (true, true) => Role::Source,
                    (false, true) => Role::Relay,
                    (false, false) => Role::Sink,
                    (true, false) => panic!("seed {seed}: {} stands alone", stage.name),
                };
                assert_eq!(stage.role, expected, "seed {seed}: {}", stage.name);
            }
        }
    }

    #[test]
    fn pipeline_files_say_what_was_drawn() {
        for seed in SEEDS {
            let graph = Graph::draw(seed, Options::ALL);
            let pipeline = parsed(&graph);
            assert_eq!(pipeline.stages().len(), STAGES);
            for (stage, read) in graph.stages.iter().zip(pipeline.stages()) {
                assert_eq!(read.name.as_str(), stage.name);
                assert_eq!(read.scope == pipeline::Scope::Global, stage.scope == Scope::Global);
                assert_eq!(read.labels.first().map(String::as_str), stage.place.label);
                for (input, read) in stage.inputs.iter().zip(&read.subscribe) {
                    assert_eq!(read.to.as_str(), graph.stages[input.from].name);
                    let topics: Vec<_> = input.topics.iter().map(ToString::to_string).collect();
                    let found: Vec<_> = read.select.topics.iter().map(|pattern| pattern.as_str()).collect();
                    assert_eq!(found, topics);
                    assert_eq!(read.select.partitions.len(), input.partitions.len());
                }
            }
        }
    }

    #[test]
    fn whoever_runs_on_every_node_is_consumed_on_every_node() {
        for seed in SEEDS {
            let graph = Graph::draw(seed, Options::ALL);
            for (at, stage) in graph.stages.iter().enumerate().filter(|(_, stage)| stage.scope == Scope::Node) {
                for (_, consumer, _) in graph.consumers_of(at) {
                    assert!(consumer.scope == Scope::Node && consumer.place.holds(&stage.place), "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn every_partition_that_is_named_has_one_consumer() {
        for seed in SEEDS {
            let graph = Graph::draw(seed, Options::ALL);
            for (at, stage) in graph.stages.iter().enumerate() {
                let Dispatcher::Partition { partitions, is_pinned } = stage.dispatcher else { continue };
                let mut named: Vec<_> =
                    graph.consumers_of(at).flat_map(|(.., input)| input.partitions.clone()).collect();
                named.sort_unstable();
                let expected = if is_pinned { (0..partitions).collect() } else { Vec::new() };
                assert_eq!(named, expected, "seed {seed}: {}", stage.name);
            }
        }
    }

    #[test]
    fn each_kind_of_everything_occurs() {
        let mut found = BTreeSet::new();
        for seed in 0..5 {
            let graph = Graph::draw(seed, Options::ALL);
            found.insert(if graph.is_early { "early" } else { "late" });
            for stage in parsed(&graph).stages() {
                found.insert(match stage.dispatcher {
                    DispatcherOptions::Demand { .. } => "demand",
                    DispatcherOptions::Broadcast { .. } => "broadcast",
                    DispatcherOptions::Partition(_) => "partition",
                });
                let all = stage.subscribe.iter();
                found.extend(all.clone().filter(|input| !input.select.topics.is_empty()).map(|_| "topics"));
                found.extend(all.clone().filter(|input| !input.select.partitions.is_empty()).map(|_| "partitions"));
                let is_shared = |input: &&pipeline::Subscription| format!("{:?}", input.select.deliver) == "Shared";
                found.extend(all.filter(is_shared).map(|_| "shared"));
            }
            found.extend(graph.stages.iter().filter(|stage| stage.scope == Scope::Node).map(
                |stage| match stage.role {
                    Role::Relay => "relay on every node",
                    _ => "sink on every node",
                },
            ));
            found.extend(graph.stages.iter().filter(|stage| stage.copies > 1).map(|_| "copies"));
            found.extend(graph.stages.iter().filter(|stage| stage.inputs.len() > 1).map(|_| "several sources"));
            assert!(graph.depth() >= 5, "seed {seed} is {} deep", graph.depth());
        }
        assert_eq!(found.len(), 12, "{found:?}");
    }

    #[test]
    fn one_seed_is_one_graph_and_two_seeds_are_two() {
        let graph = |seed| Graph::draw(seed, Options::ALL);
        assert_eq!(graph(7), graph(7));
        assert_ne!(graph(7).stages, graph(8).stages);
    }

    #[test]
    fn options_leave_out_what_they_say() {
        for seed in SEEDS {
            let graph = Graph::draw(seed, Options { may_be_early: false, ..Options::LASTING });
            let is_plain = |stage: &Stage| stage.inputs.iter().all(|input| input.topics.is_empty());
            assert!(!graph.is_early && graph.stages.iter().all(is_plain));
            assert!(graph.stages.iter().all(|stage| stage.dispatcher != Dispatcher::Broadcast));
        }
    }

    #[test]
    fn every_node_has_the_labels_of_its_places() {
        for node in 0..NODES {
            let labels: Vec<_> = Place::labels(node).collect();
            assert!(
                Place::ALL
                    .iter()
                    .all(|place| { place.label.is_none_or(|label| labels.contains(&label)) == place.nodes[node] })
            );
        }
    }
}
