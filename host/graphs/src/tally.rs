//! How often each event was handled, by whom, of which source, counted from what nodes write into their traces.

use std::collections::{BTreeMap, BTreeSet};

use forebay_trace::{Event, Record, Run};

use crate::graph::{Graph, NODES, Role, Scope};

/// A consumer's subscription: the places of consumer and source in the graph, and the consumer's node.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Edge {
    pub(crate) consumer: usize,
    pub(crate) from: usize,
    pub(crate) node: usize,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Tally {
    graph: Graph,
    /// The nodes, in the order of [`crate::Place::nodes`].
    nodes: Vec<String>,
    /// Of each event, how often.
    handled: BTreeMap<Edge, Vec<u32>>,
    joined: BTreeSet<Edge>,
    /// How often anything was handled.
    count: u64,
    /// What was handled and marked as repeated.
    repeated: u64,
    /// What no record of this graph can say.
    strange: Vec<String>,
}

impl Tally {
    /// Nothing has happened.
    pub fn new(graph: &Graph, nodes: impl IntoIterator<Item = String>) -> Self {
        let (handled, joined) = (BTreeMap::new(), BTreeSet::new());
        let (graph, nodes) = (graph.clone(), nodes.into_iter().collect());
        Self { graph, nodes, handled, joined, count: 0, repeated: 0, strange: Vec::new() }
    }

    /// The next record of some node.
    pub fn see(&mut self, record: &Record) {
        match &record.event {
            Event::Handled { stage, source, attempt, runs, serials, .. } => {
                let (count, said) = (forebay_trace::runs_len(runs), forebay_trace::runs_len(serials));
                match self.edge(stage, source, &record.node) {
                    Some(edge) if count == said => self.add(edge, serials),
                    _ => self.strange.push(format!("{stage} on {} handled {runs:?} of {source}", record.node)),
                }
                self.count += count;
                self.repeated += if *attempt > 1 { count } else { 0 };
            }
            Event::Joined { stage, consumer, to, .. } => self.joined.extend(self.edge(consumer, stage, to)),
            _ => {}
        }
    }

    fn edge(&self, consumer: &str, source: &str, node: &str) -> Option<Edge> {
        let (consumer, from) = (self.graph.find(consumer)?, self.graph.find(source)?);
        Some(Edge { consumer, from, node: self.nodes.iter().position(|name| *name == *node)? })
    }

    fn add(&mut self, edge: Edge, serials: &[Run]) {
        let length = usize::try_from(self.graph.numbers().end).expect("some thousand events");
        let counts = self.handled.entry(edge).or_insert_with(|| vec![0; length]);
        for serial in serials.iter().flat_map(|run| run.first..run.end()) {
            match usize::try_from(serial).ok().and_then(|at| counts.get_mut(at)) {
                Some(count) => *count += 1,
                None => self.strange.push(format!("no source has emitted {serial}")),
            }
        }
    }

    /// How often anything was handled so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How much of it was marked as repeated.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// How much of it came to sinks.
    pub fn arrived(&self) -> u64 {
        let sinks = self.handled.iter().filter(|(edge, _)| self.graph.stages[edge.consumer].role == Role::Sink);
        sinks.flat_map(|(_, counts)| counts).map(|count| u64::from(*count)).sum()
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    pub(crate) fn strange(&self) -> &[String] {
        &self.strange
    }

    pub(crate) fn on(&self, consumer: usize, from: usize, node: usize, number: u64) -> u64 {
        let counts = self.handled.get(&Edge { consumer, from, node });
        let at = usize::try_from(number).expect("some thousand events");
        counts.map_or(0, |counts| u64::from(counts[at]))
    }

    pub(crate) fn anywhere(&self, consumer: usize, from: usize, number: u64) -> u64 {
        (0..NODES).map(|node| self.on(consumer, from, node, number)).sum()
    }

    /// The subscriptions that producers have not heard of yet, in words.
    pub fn unjoined(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (consumer, stage) in self.graph.stages.iter().enumerate() {
            for input in &stage.inputs {
                let (from, source) = (input.from, &self.graph.stages[input.from]);
                let has = |node| self.joined.contains(&Edge { consumer, from, node });
                // One of node scope is consumed where it runs.
                let mut nodes =
                    stage.place.nodes().filter(|node| source.scope == Scope::Global || source.place.nodes[*node]);
                let is_there = match stage.scope {
                    Scope::Global => nodes.any(has),
                    Scope::Node => nodes.all(has),
                };
                if !is_there {
                    missing.push(format!("{} to {}", stage.name, source.name));
                }
            }
        }
        missing
    }
}
