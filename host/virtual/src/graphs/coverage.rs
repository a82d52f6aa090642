//! What runs of graphs met, in numbers.

use std::{collections::BTreeMap, fmt, ops::AddAssign, time::Duration};

use forebay_graphs::{Dispatcher, Graph, Role, Scope};

use crate::fault::Kind;

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Runs.
    pub runs: u64,
    /// Parts of graphs, by what they are.
    pub parts: BTreeMap<&'static str, u64>,
    /// Events emitted by sources.
    pub emitted: u64,
    /// Events handled by stages.
    pub handled: u64,
    /// Of them, by sinks.
    pub arrived: u64,
    /// Of them, marked as repeated.
    pub repeated: u64,
    /// Faults by kind, and how many of them somebody noticed.
    pub faults: BTreeMap<Kind, (u64, u64)>,
    /// Virtual time of all runs.
    pub elapsed: Duration,
    /// The longest from when sources might emit, or all faults were off, until all was handled.
    pub slowest: Duration,
}

/// What 100 graphs and more must have.
const PARTS: [&str; 10] = [
    "demand",
    "broadcast",
    "partition by share",
    "partition by name",
    "stages on every node",
    "several sources",
    "copies",
    "topics",
    "shared",
    "from the start",
];

impl Coverage {
    pub(super) fn count_graph(&mut self, graph: &Graph) {
        self.runs += 1;
        self.emitted += graph.numbers().end;
        let mut count =
            |part: &'static str, is_there: bool| *self.parts.entry(part).or_default() += u64::from(is_there);
        count("from the start", graph.is_early);
        for stage in &graph.stages {
            if stage.role != Role::Sink {
                count(
                    match stage.dispatcher {
                        Dispatcher::Demand => "demand",
                        Dispatcher::Broadcast => "broadcast",
                        Dispatcher::Partition { is_pinned: false, .. } => "partition by share",
                        Dispatcher::Partition { is_pinned: true, .. } => "partition by name",
                    },
                    true,
                );
            }
            count("stages on every node", stage.scope == Scope::Node);
            count("several sources", stage.inputs.len() > 1);
            count("copies", stage.copies > 1);
            for input in &stage.inputs {
                count("topics", !input.topics.is_empty());
                count("shared", input.is_shared);
            }
        }
    }

    pub(super) fn count_fault(&mut self, kind: Kind, bit: bool) {
        let (all, noticed) = self.faults.entry(kind).or_default();
        *all += 1;
        *noticed += u64::from(bit);
    }

    /// What none of these runs had; of few runs that is no wonder.
    pub fn missing(&self) -> Vec<&'static str> {
        PARTS.into_iter().filter(|part| self.parts.get(part).is_none_or(|count| *count == 0)).collect()
    }
}

impl AddAssign for Coverage {
    fn add_assign(&mut self, other: Self) {
        for (part, count) in other.parts {
            *self.parts.entry(part).or_default() += count;
        }
        for (kind, (all, noticed)) in other.faults {
            let sum = self.faults.entry(kind).or_default();
            *sum = (sum.0 + all, sum.1 + noticed);
        }
        self.runs += other.runs;
        self.emitted += other.emitted;
        self.handled += other.handled;
        self.arrived += other.arrived;
        self.repeated += other.repeated;
        self.elapsed += other.elapsed;
        self.slowest = self.slowest.max(other.slowest);
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, emitted, handled, arrived, repeated, elapsed, slowest, .. } = self;
        write!(f, "{runs} runs, {:.0} s of virtual time;", elapsed.as_secs_f64())?;
        for (part, count) in &self.parts {
            write!(f, " {part} {count},")?;
        }
        write!(
            f,
            " emitted {emitted}, handled {handled}, by sinks {arrived}, repeated {repeated}, slowest {slowest:?}"
        )?;
        if !self.faults.is_empty() {
            write!(f, "; faults noticed/all:")?;
        }
        self.faults.iter().try_for_each(|(kind, (all, noticed))| write!(f, " {kind} {noticed}/{all}"))
    }
}
