//! What is known of a run up to the record that is looked at: who is who, and what was done to whom.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use forebay_trace::{Boot, Epoch, Event, Record, Text};

use crate::{Fact, options::Options};

/// One run of a stage's guest.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Guest {
    pub(crate) process: Process,
    pub(crate) stage: Text,
    pub(crate) epoch: Epoch,
}

/// One start of a node.
pub(crate) type Process = (Text, Boot);

/// One end of a subscription.
pub(crate) type End = (Guest, u64);

/// Events numbered together: those of a stage in an epoch. A stage that every node runs for itself
/// counts its epochs for itself, so there the process belongs to it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Lineage {
    pub(crate) stage: Text,
    pub(crate) epoch: Epoch,
    pub(crate) home: Option<Process>,
}

/// What a consumer said when it subscribed.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) from: Text,
    pub(crate) max: u64,
    pub(crate) min: u64,
    pub(crate) fact: Fact,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) options: Options,
    global: HashSet<Text>,
    subscriptions: HashMap<End, Subscription>,
    /// By node: when a pause began and, if it is over, when it ended.
    pauses: HashMap<Text, Vec<(u64, u64, Option<u64>)>>,
    /// Nodes that have said anything.
    traced: HashSet<Text>,
    /// Unit: nanoseconds, of the latest record.
    pub(crate) now: u64,
}

/// Kinds of fault that stop a process for a while.
const PAUSES: [&str; 3] = ["pause", "stop", "suspend"];

impl World {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            global: HashSet::new(),
            subscriptions: HashMap::new(),
            pauses: HashMap::new(),
            traced: HashSet::new(),
            now: 0,
        }
    }

    pub(crate) fn learn(&mut self, fact: &Fact) {
        self.now = self.now.max(fact.t_mono);
        if !self.traced.contains(&fact.node) {
            self.traced.insert(fact.node.clone());
        }
        match &fact.event {
            Event::ClaimGranted { stage, .. } | Event::ClaimApplied { stage, .. } => {
                self.global.insert(stage.clone());
            }
            Event::Owner { stage, epoch: Some(_), .. } if !self.global.contains(stage) => {
                self.global.insert(stage.clone());
            }
            Event::Subscribed { sub, from, max, min, .. } => {
                let Some(guest) = guest(fact) else { return };
                let subscription = Subscription { from: from.clone(), max: *max, min: *min, fact: fact.clone() };
                self.subscriptions.insert((guest, *sub), subscription);
            }
            Event::FaultBegin { id, class, nodes, .. } if PAUSES.contains(&&**class) => {
                for node in nodes {
                    self.pauses.entry(node.clone()).or_default().push((*id, fact.t_mono, None));
                }
            }
            Event::FaultEnd { id, .. } => {
                let all = self.pauses.values_mut().flatten();
                all.filter(|pause| pause.0 == *id).for_each(|pause| pause.2 = Some(fact.t_mono));
            }
            _ => {}
        }
    }

    /// Whether the cluster agrees on one owner of the stage. A stage's first claim comes before its
    /// first event.
    pub(crate) fn is_global(&self, stage: &Text) -> bool {
        self.global.contains(stage)
    }

    /// Whose events `record` speaks of.
    pub(crate) fn lineage(&self, record: &Record, stage: &Text, epoch: Epoch) -> Lineage {
        let home = (!self.is_global(stage)).then(|| process(record));
        Lineage { stage: stage.clone(), epoch, home }
    }

    pub(crate) fn subscription(&self, end: &End) -> Option<&Subscription> {
        self.subscriptions.get(end)
    }

    /// Whether the node stood still at some time since `since`.
    pub(crate) fn was_paused(&self, node: &Text, since: u64) -> bool {
        let pauses = self.pauses.get(node).into_iter().flatten();
        pauses.into_iter().any(|(_, _, to)| to.is_none_or(|to| to >= since))
    }

    /// Whether this node's records are here at all.
    pub(crate) fn is_traced(&self, node: &Text) -> bool {
        self.traced.contains(node)
    }

    /// Nanoseconds.
    pub(crate) fn nanos(time: Duration) -> u64 {
        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
    }
}

pub(crate) fn process(record: &Record) -> Process {
    (record.node.clone(), record.boot)
}

/// The run of a guest at whose edge this happened.
pub(crate) fn guest(record: &Record) -> Option<Guest> {
    let (stage, epoch) = match &record.event {
        Event::InstStart { stage, epoch, .. }
        | Event::InstStop { stage, epoch, .. }
        | Event::Suspended { stage, epoch, .. }
        | Event::Resumed { stage, epoch }
        | Event::Emit { stage, epoch, .. }
        | Event::Discarded { stage, epoch, .. }
        | Event::Skipped { stage, epoch, .. }
        | Event::Joined { stage, epoch, .. }
        | Event::Demand { stage, epoch, .. }
        | Event::Send { stage, epoch, .. }
        | Event::AckRecv { stage, epoch, .. }
        | Event::AckRejected { stage, epoch, .. }
        | Event::Dead { stage, epoch, .. }
        | Event::Subscribed { stage, own: epoch, .. }
        | Event::Recv { stage, own: epoch, .. }
        | Event::StaleRejected { stage, own: epoch, .. }
        | Event::Handled { stage, own: epoch, .. }
        | Event::Retry { stage, own: epoch, .. }
        | Event::AckSent { stage, own: epoch, .. }
        | Event::Cancel { stage, own: epoch, .. } => (stage, *epoch),
        _ => return None,
    };
    Some(Guest { process: process(record), stage: stage.clone(), epoch })
}
