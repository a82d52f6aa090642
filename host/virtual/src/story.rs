//! What happened in a run, of all nodes, in the order in which it happened.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use forebay::{
    node::{NodeEvent, Observer},
    runtime::{GuestOutput, LineKind},
};
use forebay_proto::ids::{BootId, Epoch, NodeName, Seq, StageName};

/// An instance of a stage: where, in which start of the node, and the how-manieth in the whole run.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Instance {
    pub(crate) node: NodeName,
    pub(crate) boot: BootId,
    pub(crate) stage: StageName,
    pub(crate) number: u64,
}

/// One thing that happened, when, and to which start of which node. Faults are nobody's.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) at: Duration,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Something wrong is done to the cluster, or is over.
    Fault(String),
    /// A node starts.
    Boot { node: NodeName, boot: BootId },
    /// A node has ended by itself, as it was told to; perhaps with stages that still had something to hand out.
    Exited { node: NodeName, cut_short: Vec<StageName> },
    /// A node reports.
    Event { node: NodeName, event: NodeEvent },
    /// A stage's logic begins.
    Began { instance: Instance },
    /// A stage's logic is no more.
    Ended { instance: Instance },
    /// A stage gave this content to its host.
    Emitted { instance: Instance, content: u64 },
    /// A consuming stage was given this event.
    Handled { instance: Instance, handled: Handled },
}

/// An event as a consuming stage sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Handled {
    pub(crate) source: StageName,
    pub(crate) epoch: Epoch,
    pub(crate) seq: Seq,
    pub(crate) attempt: u32,
    pub(crate) content: String,
}

/// Where facts go, and the time they get. Clones are the same story.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
pub(crate) struct Told {
    now: Duration,
    instances: u64,
    /// Those that have begun and not ended.
    live: BTreeSet<Instance>,
    pub(crate) facts: Vec<Fact>,
}

impl Story {
    pub(crate) fn tell(&self, what: What) {
        let mut told = self.told();
        let at = told.now;
        match &what {
            What::Began { instance } => drop(told.live.insert(instance.clone())),
            // Buried already, with its node.
            What::Ended { instance } if !told.live.remove(instance) => return,
            _ => {}
        }
        told.facts.push(Fact { at, what });
    }

    /// It is so late now.
    pub(crate) fn set_now(&self, now: Duration) {
        self.told().now = now;
    }

    /// How much was told; what comes later stands from there on.
    pub(crate) fn mark(&self) -> usize {
        self.told().facts.len()
    }

    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node was killed, and its instances with it: in an order of their own, since the tasks of a runtime are
    /// dropped in none.
    pub(crate) fn bury(&self, node: &NodeName) {
        let of_node: Vec<_> = self.told().live.iter().filter(|instance| instance.node == *node).cloned().collect();
        of_node.into_iter().for_each(|instance| self.tell(What::Ended { instance }));
    }

    /// The instances of a stage that have begun and not ended, the oldest first.
    pub(crate) fn live(&self, stage: &str) -> Vec<Instance> {
        let mut live: Vec<_> =
            self.told().live.iter().filter(|instance| instance.stage.as_str() == stage).cloned().collect();
        live.sort_by_key(|instance| instance.number);
        live
    }

    /// A name for one more instance.
    pub(crate) fn instance(&self, node: NodeName, boot: BootId, stage: StageName) -> Instance {
        let mut told = self.told();
        told.instances += 1;
        Instance { node, boot, stage, number: told.instances }
    }
}

impl GuestOutput for Story {
    fn line(&self, _: &StageName, _: LineKind, _: &str) {}

    fn dropped(&self, _: &StageName, _: u64) {}
}

impl Observer for Story {
    fn event(&self, node: &NodeName, event: &NodeEvent) {
        self.tell(What::Event { node: node.clone(), event: event.clone() });
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}#{}", self.node, self.stage, self.number)
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3}s  {}", self.at.as_secs_f64(), self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => write!(f, "--  {fault}"),
            Self::Boot { node, boot } => write!(f, "{node}  starts, boot {:x}", boot.0),
            Self::Exited { node, cut_short } if cut_short.is_empty() => write!(f, "{node}  has ended in good order"),
            Self::Exited { node, cut_short } => {
                let stages: Vec<_> = cut_short.iter().map(StageName::as_str).collect();
                write!(f, "{node}  has ended, with something left at {}", stages.join(", "))
            }
            Self::Event { node, event } => write!(f, "{node}  {event}"),
            Self::Began { instance } => write!(f, "{}  {instance} begins", instance.node),
            Self::Ended { instance } => write!(f, "{}  {instance} is no more", instance.node),
            Self::Emitted { instance, content } => write!(f, "{}  {instance} emits {content}", instance.node),
            Self::Handled { instance, handled } => {
                let Handled { source, epoch, seq, attempt, content } = handled;
                write!(f, "{}  {instance} handles {source}@{epoch} number {} `{content}`", instance.node, seq.0)?;
                if *attempt > 1 { write!(f, ", attempt {attempt}") } else { Ok(()) }
            }
        }
    }
}

impl Fact {
    /// Whether it is one of the many that a story is too long with.
    pub(crate) fn is_event_of_the_data(&self) -> bool {
        matches!(self.what, What::Emitted { .. } | What::Handled { .. })
    }
}
