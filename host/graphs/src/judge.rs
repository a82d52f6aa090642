//! How often each event must reach each stage, by the graph alone.
//!
//! What a stage emits is what it was given times its copies; a source emits each of its numbers once. From there:
//!
//! | dispatcher | without faults, of each copy of an event that is selected |
//! |---|---|
//! | demand | one of the consumers that select it, and none that does not |
//! | broadcast, to each | every instance of every consumer |
//! | broadcast, shared | one instance of every consumer |
//! | partition, named | the consumer that named its partition |
//! | partition, shared out | one of the consumers |
//!
//! So what all consumers of a stage were given is compared with what the stage was given, edge by edge; by induction
//! from the sources, that is right everywhere if it is right at each stage.
//!
//! With faults only a lower bound is known: what is emitted at least, which is lost sight of where one of several
//! stages takes it.

use std::collections::BTreeMap;

use forebay_check::Dispatching;
use forebay_trace::Text;

use crate::{
    event::{key_of, partition_of},
    graph::{Dispatcher, Graph, Input, NODES, PIPELINE, Role, Scope, Stage},
    tally::Tally,
};

/// How many mistakes are told of.
const TOLD_MAX: usize = 10;

/// A consumer of a stage, with its place.
type Consumer<'g> = (usize, &'g Stage, &'g Input);

impl Graph {
    /// What was not handled exactly as often as it must be without faults, in words; at most ten of them.
    pub fn unlike(tally: &Tally) -> Vec<String> {
        let graph = tally.graph();
        let mut judge = Judge { graph, tally, found: tally.strange().to_vec() };
        for from in 0..graph.stages.len() {
            judge.stage(from);
        }
        judge.found.truncate(TOLD_MAX);
        judge.found
    }

    /// How its stages dispatch, for `forebay-check`.
    pub fn dispatching(&self) -> Dispatching {
        let mut dispatching = Dispatching::default();
        for (at, stage) in self.stages.iter().enumerate() {
            let name: Text = format!("{PIPELINE}/{}", stage.name).into();
            match stage.dispatcher {
                Dispatcher::Demand => {}
                Dispatcher::Broadcast => drop(dispatching.broadcast.insert(name.clone())),
                Dispatcher::Partition { .. } => drop(dispatching.partition.insert(name.clone())),
            }
            if stage.instances > 1 {
                dispatching.several.insert(name.clone());
            }
            if self.consumers_of(at).any(|(.., input)| !input.topics.is_empty()) {
                dispatching.selected.insert(name);
            }
        }
        dispatching
    }

    /// What was handled less often than it must be whatever happens to nodes, in words; at most ten of them.
    pub fn missing(tally: &Tally) -> Vec<String> {
        let mut least = Least { tally, least: BTreeMap::new(), found: tally.strange().to_vec() };
        for from in 0..tally.graph().stages.len() {
            least.stage(from);
        }
        least.found.truncate(TOLD_MAX);
        least.found
    }
}

/// Whether this consumer may be given this event at all.
fn may_have(dispatcher: Dispatcher, input: &Input, number: u64) -> bool {
    let is_its = match dispatcher {
        Dispatcher::Partition { partitions, is_pinned: true } => {
            input.partitions.contains(&partition_of(&key_of(number), partitions))
        }
        _ => true,
    };
    is_its && input.selects(number)
}

struct Judge<'t> {
    graph: &'t Graph,
    tally: &'t Tally,
    found: Vec<String>,
}

impl Judge<'_> {
    fn stage(&mut self, from: usize) {
        let stage = &self.graph.stages[from];
        let consumers: Vec<_> = self.graph.consumers_of(from).collect();
        for number in self.graph.numbers() {
            match stage.scope {
                Scope::Global => {
                    let emitted = match stage.role {
                        Role::Source => u64::from(stage.emits.contains(&number)),
                        _ => self.given(from, number, None) * u64::from(stage.copies),
                    };
                    self.handed_out(from, &consumers, number, None, emitted);
                }
                // What its instance on a node emits stays there.
                Scope::Node => {
                    for node in 0..NODES {
                        let emitted = self.given(from, number, Some(node)) * u64::from(stage.copies);
                        self.handed_out(from, &consumers, number, Some(node), emitted);
                    }
                }
            }
        }
    }

    /// How often a stage was given an event, by all it subscribes to.
    fn given(&self, stage: usize, number: u64, node: Option<usize>) -> u64 {
        let inputs = self.graph.stages[stage].inputs.iter();
        inputs.map(|input| self.handled(stage, input.from, number, node)).sum()
    }

    fn handled(&self, consumer: usize, from: usize, number: u64, node: Option<usize>) -> u64 {
        match node {
            Some(node) => self.tally.on(consumer, from, node, number),
            None => self.tally.anywhere(consumer, from, number),
        }
    }

    fn handed_out(&mut self, from: usize, consumers: &[Consumer<'_>], number: u64, node: Option<usize>, emitted: u64) {
        let dispatcher = self.graph.stages[from].dispatcher;
        let mut sum = 0;
        for consumer in consumers {
            let (at, stage, input) = *consumer;
            let found = self.handled(at, from, number, node);
            sum += found;
            let may_have = may_have(dispatcher, input, number);
            if dispatcher == Dispatcher::Broadcast {
                self.copies(from, *consumer, number, node, if may_have { emitted } else { 0 });
            } else if !may_have && found > 0 {
                let from = &self.graph.stages[from].name;
                self.found.push(format!("{} was given {number} of {from}, which it does not want", stage.name));
            }
        }
        if dispatcher != Dispatcher::Broadcast {
            let is_wanted = consumers.iter().any(|(.., input)| may_have(dispatcher, input, number));
            let expected = if is_wanted { emitted } else { 0 };
            self.expect(sum, expected, number, from, "all consumers", node);
        }
    }

    /// Under broadcast: how many one consumer has.
    fn copies(&mut self, from: usize, (at, stage, input): Consumer<'_>, number: u64, node: Option<usize>, each: u64) {
        if node.is_none() && stage.scope == Scope::Node && !input.is_shared {
            for node in stage.place.nodes() {
                let found = self.tally.on(at, from, node, number);
                self.expect(found, each, number, from, &stage.name, Some(node));
            }
        } else {
            let found = self.handled(at, from, number, node);
            self.expect(found, each, number, from, &stage.name, node);
        }
    }

    fn expect(&mut self, found: u64, expected: u64, number: u64, from: usize, whom: &str, node: Option<usize>) {
        if found != expected {
            let place = node.map(|node| format!(" on node {}", node + 1)).unwrap_or_default();
            let from = &self.graph.stages[from].name;
            self.found
                .push(format!("{number} of {from} was handled {found} times by {whom}{place}, expected {expected}"));
        }
    }
}

/// An instance of a stage: of node scope on a node, else wherever it is.
type Instance = (usize, Option<usize>);

struct Least<'t> {
    tally: &'t Tally,
    /// How often each instance is given each event, at least.
    least: BTreeMap<(Instance, u64), u64>,
    found: Vec<String>,
}

impl Least<'_> {
    fn stage(&mut self, from: usize) {
        let tally = self.tally;
        let graph = tally.graph();
        let stage = &graph.stages[from];
        let consumers: Vec<_> = graph.consumers_of(from).collect();
        let instances = match stage.scope {
            Scope::Global => vec![None],
            Scope::Node => stage.place.nodes().map(Some).collect(),
        };
        for number in graph.numbers() {
            for node in &instances {
                let emitted = match stage.role {
                    Role::Source => u64::from(stage.emits.contains(&number)),
                    _ => self.least.get(&((from, *node), number)).copied().unwrap_or(0) * u64::from(stage.copies),
                };
                if emitted > 0 {
                    self.handed_out(from, &consumers, number, *node, emitted);
                }
            }
        }
    }

    fn handed_out(&mut self, from: usize, consumers: &[Consumer<'_>], number: u64, node: Option<usize>, emitted: u64) {
        let dispatcher = self.tally.graph().stages[from].dispatcher;
        let wanting: Vec<_> = consumers.iter().filter(|(.., input)| may_have(dispatcher, input, number)).collect();
        if dispatcher == Dispatcher::Broadcast {
            for (at, stage, input) in wanting {
                let is_each = node.is_none() && stage.scope == Scope::Node && !input.is_shared;
                let nodes = if is_each { stage.place.nodes().map(Some).collect() } else { vec![node] };
                nodes.into_iter().for_each(|node| self.expect(&[*at], from, number, node, emitted));
            }
        } else if !wanting.is_empty() {
            let who: Vec<_> = wanting.iter().map(|(at, ..)| *at).collect();
            self.expect(&who, from, number, node, emitted);
        }
    }

    /// One of these stages has it so often, on a node or anywhere.
    fn expect(&mut self, who: &[usize], from: usize, number: u64, node: Option<usize>, expected: u64) {
        let tally = self.tally;
        let on = |at: &usize| match node {
            Some(node) => tally.on(*at, from, node, number),
            None => tally.anywhere(*at, from, number),
        };
        let found: u64 = who.iter().map(on).sum();
        let stages = &tally.graph().stages;
        if found < expected {
            let names: Vec<_> = who.iter().map(|at| stages[*at].name.as_str()).collect();
            let (from, names) = (&stages[from].name, names.join(", "));
            self.found
                .push(format!("{number} of {from} was handled {found} times by {names}, expected {expected} or more"));
        }
        if let [only] = who {
            let node = if stages[*only].scope == Scope::Node { node } else { None };
            if node.is_some() || stages[*only].scope == Scope::Global {
                *self.least.entry(((*only, node), number)).or_default() += expected;
            }
        }
    }
}

#[cfg(test)]
mod tests;
