//! What a graph is made of.

use std::{fmt, ops::Range};

use crate::event::Pattern;

/// Stages of a graph.
pub const STAGES: usize = 50;

/// Nodes it runs on.
pub const NODES: usize = 3;

/// What the pipeline is called.
pub const PIPELINE: &str = "graph";

/// What may be in a graph.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// `dispatcher = "broadcast"`.
    pub has_broadcast: bool,
    /// Selections of topics.
    pub has_topics: bool,
    /// Sources may emit before all have subscribed. Then no stage under the dispatcher `demand` has selections: what
    /// nobody selects waits for a second only.
    pub may_be_early: bool,
}

impl Options {
    /// Everything.
    pub const ALL: Self = Self { has_broadcast: true, has_topics: true, may_be_early: true };

    /// What loses nothing whatever dies. Under broadcast, an event waits for a consumer that is not there for a while
    /// only, and for one that a successor of its source never heard of for a second; what nobody selects does as well.
    pub const LASTING: Self = Self { has_broadcast: false, has_topics: false, may_be_early: true };
}

/// A pipeline, drawn from a seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Which.
    pub seed: u64,
    /// Each after those it subscribes to.
    pub stages: Vec<Stage>,
    /// Whether its sources emit before all have subscribed.
    pub is_early: bool,
}

/// How a stage is placed in the graph, which follows from its edges.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Emits numbers.
    Source,
    /// Passes on what it gets, some times each.
    Relay,
    /// Takes.
    Sink,
}

/// Where a stage runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// What a node needs for it, if anything.
    pub label: Option<&'static str>,
    /// Which nodes have that.
    pub nodes: [bool; NODES],
}

impl Place {
    /// All there are: anywhere, on one node, on two.
    pub const ALL: [Self; 6] = [
        Self { label: None, nodes: [true; NODES] },
        Self { label: Some("first"), nodes: [true, false, false] },
        Self { label: Some("second"), nodes: [false, true, false] },
        Self { label: Some("third"), nodes: [false, false, true] },
        Self { label: Some("west"), nodes: [true, true, false] },
        Self { label: Some("east"), nodes: [false, true, true] },
    ];

    /// The labels of a node.
    pub fn labels(node: usize) -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().filter(move |place| place.nodes[node]).filter_map(|place| place.label)
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = usize> + use<> {
        let nodes = self.nodes;
        (0..NODES).filter(move |node| nodes[*node])
    }

    pub(crate) fn holds(&self, other: &Self) -> bool {
        other.nodes().all(|node| self.nodes[node])
    }
}

/// How many owners a stage has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// One, on one of the nodes of its place.
    Global,
    /// One on each of them.
    Node,
}

/// Who gets a stage's events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dispatcher {
    /// Each event one of its consumers.
    Demand,
    /// Each event all of them.
    Broadcast,
    /// Each event who has its partition, by key.
    Partition {
        /// How many there are.
        partitions: u32,
        /// Whether its consumers say which they have.
        is_pinned: bool,
    },
}

/// A stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Its name in the pipeline.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// How many owners it has.
    pub scope: Scope,
    /// Where.
    pub place: Place,
    /// Who gets its events. Of no meaning for a sink.
    pub dispatcher: Dispatcher,
    /// What a source emits, in rising order.
    pub emits: Range<u64>,
    /// How often a relay passes on each event.
    pub copies: u32,
    /// In how many instances it runs on each of its nodes; a source in one.
    pub instances: u32,
    /// Whom it subscribes to.
    pub inputs: Vec<Input>,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// To whom: the place in [`Graph::stages`].
    pub from: usize,
    /// What it asks for at most.
    pub max_demand: u32,
    /// When it asks for more.
    pub min_demand: u32,
    /// What it selects; empty: all.
    pub topics: Vec<Pattern>,
    /// Under broadcast, whether the consumer's instances share the events.
    pub is_shared: bool,
    /// Which partitions it has, if it says so.
    pub partitions: Vec<u32>,
}

impl Input {
    pub(crate) fn selects(&self, number: u64) -> bool {
        self.topics.is_empty() || self.topics.iter().any(|pattern| pattern.selects(number))
    }
}

impl Graph {
    /// All numbers that sources emit.
    pub fn numbers(&self) -> Range<u64> {
        let ends = self.sources().map(|(_, source)| source.emits.end);
        0..ends.max().unwrap_or_default()
    }

    /// Where events come from.
    pub fn sources(&self) -> impl Iterator<Item = (usize, &Stage)> {
        self.stages.iter().enumerate().filter(|(_, stage)| stage.role == Role::Source)
    }

    /// Who subscribes to a stage, and how.
    pub(crate) fn consumers_of(&self, from: usize) -> impl Iterator<Item = (usize, &Stage, &Input)> {
        let to_it = move |(at, stage): (usize, &'_ Stage)| {
            let input = stage.inputs.iter().position(|input| input.from == from)?;
            Some((at, input))
        };
        let found = self.stages.iter().enumerate().filter_map(to_it);
        found.map(|(at, input)| (at, &self.stages[at], &self.stages[at].inputs[input]))
    }

    /// Subscriptions.
    pub fn edges(&self) -> usize {
        self.stages.iter().map(|stage| stage.inputs.len()).sum()
    }

    /// The stages of the longest way.
    pub fn depth(&self) -> usize {
        let mut depths: Vec<usize> = Vec::new();
        for stage in &self.stages {
            let above = stage.inputs.iter().map(|input| depths[input.from]).max();
            depths.push(above.unwrap_or_default() + 1);
        }
        depths.into_iter().max().unwrap_or_default()
    }

    /// The place of a stage by its name, with or without the pipeline's before it.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        let name = name.strip_prefix(PIPELINE).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name);
        // `role-number`, see `draw`.
        let at = name.rsplit_once('-')?.1.parse::<usize>().ok()?;
        self.stages.get(at).is_some_and(|stage| stage.name == name).then_some(at)
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |role| self.stages.iter().filter(|stage| stage.role == role).count();
        write!(
            f,
            "{} sources, {} relays, {} sinks, {} subscriptions, {} deep, {} events{}",
            of(Role::Source),
            of(Role::Relay),
            of(Role::Sink),
            self.edges(),
            self.depth(),
            self.numbers().end,
            if self.is_early { ", from the start" } else { "" }
        )
    }
}
