//! The ground truth of a run, and how often each kind of trouble really occurred in it.

use std::{collections::BTreeMap, fmt, ops::AddAssign};

use forebay_proto::{ids::Epoch, message::Demand};

use crate::{
    facts::{EventId, Exit, Fact, Fault, Instance, NodeNo, Side, StageNo, StreamNo, Visible, What},
    routing::{Group, Kind, Routing},
    workload::Workload,
};

/// A run that is over: what laws are checked on.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) facts: Vec<Fact>,
    pub(crate) workload: Workload,
    pub(crate) ending: Ending,
}

/// How the cluster was left. Only living nodes.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    pub(crate) nodes: Vec<NodeEnding>,
}

#[derive(Debug)]
pub(crate) struct NodeEnding {
    pub(crate) node: NodeNo,
    /// Nodes of one group can all reach each other, and nobody else.
    pub(crate) group: u8,
    /// Who owns each stage, as this node knows it.
    pub(crate) owners: BTreeMap<StageNo, Option<(NodeNo, Epoch)>>,
    pub(crate) running: Vec<InstanceEnding>,
}

#[derive(Debug)]
pub(crate) struct InstanceEnding {
    pub(crate) instance: Instance,
    pub(crate) visible: Visible,
    /// All that it emits can be processed by consumers within reach.
    pub(crate) is_wanted: bool,
    /// What it is subscribed to, by streams open at both ends.
    pub(crate) sources: Vec<Instance>,
}

/// A subscription, as its consumer began it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscription {
    pub(crate) consumer: Instance,
    pub(crate) source: StageNo,
    pub(crate) epoch: Epoch,
    pub(crate) demand: Demand,
    /// Who accepted it.
    pub(crate) producer: Option<Instance>,
}

/// What is known of all subscriptions at some point of the log. Feed it every fact in order.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions(BTreeMap<StreamNo, Subscription>);

impl Subscriptions {
    pub(crate) fn learn(&mut self, fact: &Fact) {
        match &fact.what {
            What::Subscribed { stream, consumer, source, epoch, demand } => {
                let (consumer, source, epoch, demand) = (*consumer, *source, *epoch, *demand);
                self.0.insert(*stream, Subscription { consumer, source, epoch, demand, producer: None });
            }
            What::Joined { stream, producer } => {
                if let Some(subscription) = self.0.get_mut(stream) {
                    subscription.producer = Some(*producer);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn get(&self, stream: StreamNo) -> Option<&Subscription> {
        self.0.get(&stream)
    }

    /// With whom the consumer of a subscription shares its source's events.
    pub(crate) fn group(&self, routing: &Routing, stream: StreamNo) -> Group {
        self.get(stream).and_then(|subscription| routing.group(subscription.source, subscription.consumer))
    }

    pub(crate) fn event(&self, stream: StreamNo, seq: forebay_proto::ids::Seq) -> Option<EventId> {
        let Subscription { source: stage, epoch, .. } = *self.get(stream)?;
        Some(EventId { stage, epoch, seq })
    }
}

macro_rules! coverage {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// How often each kind of trouble occurred.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub struct Coverage {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Coverage {
            /// Names and figures, in a fixed order.
            pub fn rows(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field)),*]
            }
        }

        impl AddAssign for Coverage {
            fn add_assign(&mut self, other: Self) {
                $(self.$field += other.$field;)*
            }
        }
    };
}

coverage! {
    /// Claims of a name by another node than the last to claim it.
    takeovers,
    /// Claims of a name again by its owner, after a failure.
    reclaims,
    /// Owners that lost their name to another when islands met.
    conflicts,
    /// Messages with events that were sent before.
    redeliveries,
    /// Connections given up because a cut lasted.
    cuts_that_bit,
    /// Cuts that were healed before anybody gave up.
    cuts_survived,
    /// Refusals because of an old epoch.
    stale_refusals,
    /// Subscriptions refused because the stage does not run there.
    not_owner_refusals,
    /// Messages of an old epoch put into a stage.
    forged,
    /// Guest calls that trapped.
    traps,
    /// Guests that gave way to fresh ones for their memory.
    recycled,
    /// Guest calls that were to be repeated.
    retries,
    /// Nodes that died.
    crashes,
    /// Nodes that stood still.
    pauses,
    /// Stages that drained to the end.
    drained,
    /// Stages that did not finish draining in time.
    drains_cut,
    /// Names given up after too many failures.
    releases,
    /// Runs in which the cluster stayed split.
    final_splits,
    /// Runs without any fault.
    faultless,
    /// Calls of stages that gather.
    gathered,
    /// Calls of stages with a limit.
    limited,
    /// Asks of guests.
    asked,
    /// Stages whose events all get.
    broadcasts,
    /// Stages whose events have partitions.
    partitioned,
    /// Stages of whose events some topics are selected.
    selected,
    /// Events emitted.
    emitted,
    /// Events processed, repetitions included.
    processed,
}

impl Coverage {
    pub(crate) fn of(run: &Run) -> Self {
        let mut coverage = Self::default();
        let mut last_owner: BTreeMap<StageNo, NodeNo> = BTreeMap::new();
        for fact in &run.facts {
            coverage.count(&fact.what, &mut last_owner);
            coverage.count_flow(&run.workload, &fact.what);
        }
        let cuts = run.facts.iter().filter(|fact| matches!(fact.what, What::Fault(Fault::Cut(..)))).count() as u64;
        coverage.cuts_survived = cuts.saturating_sub(coverage.cuts_that_bit);
        let routing = &run.workload.routing;
        for no in run.workload.stages.iter().map(|stage| stage.no) {
            coverage.broadcasts += u64::from(routing.kind(no) == Kind::Broadcast);
            coverage.partitioned += u64::from(routing.kind(no) == Kind::Partition);
            coverage.selected += u64::from(routing.has_topics(no));
        }
        coverage.faultless = u64::from(run.workload.is_faultless);
        coverage.final_splits = u64::from(run.workload.groups.iter().any(|group| *group != run.workload.groups[0]));
        coverage
    }

    fn count_flow(&mut self, workload: &Workload, what: &What) {
        let (What::Called { consumer: who, .. } | What::Demanded { producer: who, .. }) = what else {
            self.asked += u64::from(matches!(what, What::Asked { .. }));
            return;
        };
        let flow = &workload.stage(who.stage).flow;
        self.gathered += u64::from(flow.batch.is_some());
        self.limited += u64::from(flow.rate.is_some());
    }

    fn count(&mut self, what: &What, last_owner: &mut BTreeMap<StageNo, NodeNo>) {
        match what {
            What::Claimed { stage, node, .. } => match last_owner.insert(*stage, *node) {
                Some(last) if last == *node => self.reclaims += 1,
                Some(_) => self.takeovers += 1,
                None => {}
            },
            What::Lost { .. } => self.conflicts += 1,
            What::EventsSent { events, .. } if events.attempt > 1 => self.redeliveries += 1,
            What::Disconnected { by_silence: true, .. } => self.cuts_that_bit += 1,
            What::Refused { stale: true, .. } => self.stale_refusals += 1,
            What::Refused { stale: false, .. } => self.not_owner_refusals += 1,
            What::Forged { .. } => self.forged += 1,
            What::Trapped { .. } => self.traps += 1,
            What::Recycled { .. } => self.recycled += 1,
            What::WantsRetry { .. } | What::Answered { retry: Some(_), .. } => self.retries += 1,
            What::Fault(Fault::Crash(_)) => self.crashes += 1,
            What::Fault(Fault::Pause(..)) => self.pauses += 1,
            What::Ended { exit: Exit::Drained, .. } => self.drained += 1,
            What::Ended { exit: Exit::Cut, .. } => self.drains_cut += 1,
            What::Released { .. } => self.releases += 1,
            What::Emitted { payloads, .. } => self.emitted += payloads.len() as u64,
            What::Processed { runs, .. } => self.processed += crate::facts::seqs(runs).count() as u64,
            _ => {}
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.rows() {
            writeln!(f, "{count:>10}  {}", name.replace('_', " "))?;
        }
        Ok(())
    }
}

/// The stream that `side` closes by this fact.
pub(crate) fn is_closed_by(fact: &Fact, side: Side) -> Option<StreamNo> {
    match fact.what {
        What::Closed { stream, side: closed, .. } if closed == side => Some(stream),
        _ => None,
    }
}
