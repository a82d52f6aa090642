//! Faults: what is done to a cluster, how it is undone, and how one sees that it bit.

use std::{collections::BTreeSet, fmt, time::Duration};

use forebay::{
    node::NodeEvent,
    transport::quic::simulated::{Path, Traffic},
};
use forebay_trace::Event;
use rand::{RngExt, rngs::SmallRng, seq::IndexedRandom};

use crate::{
    story::{Fact, What},
    world::{NodeNo, World},
};

/// Kinds of faults.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// Processes of a minority are killed, and start again later with what they had on disk.
    Kill,
    /// As `Kill`, of one node, and its disk is empty at the new start.
    KillAndWipe,
    /// Machines of a minority are off: unlike with `Kill`, nothing refuses what is sent there.
    PowerCut,
    /// Processes of a minority stand still (SIGSTOP) and go on later.
    Pause,
    /// One node reaches nobody, and nobody reaches it.
    Isolate,
    /// The cluster is split into a majority and a minority.
    Split,
    /// Nothing gets from one node to another; the way back is left.
    OneWay,
    /// One node hears nobody, and is heard.
    Deaf,
    /// One node is heard by nobody, and hears.
    Mute,
    /// Two nodes do not reach each other; both reach the others.
    NonTransitive,
    /// Datagrams are lost at random, everywhere.
    Loss,
    /// All paths are slow, and unevenly so.
    Delay,
    /// Datagrams arrive twice.
    Duplication,
    /// All processes are killed at once, and start again later.
    WholeCluster,
    /// One node after the other ends in good order and starts again.
    RollingRestart,
    /// The logic of a stage fails.
    StageFailure,
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 16] = [
        Self::Kill,
        Self::KillAndWipe,
        Self::PowerCut,
        Self::Pause,
        Self::Isolate,
        Self::Split,
        Self::OneWay,
        Self::Deaf,
        Self::Mute,
        Self::NonTransitive,
        Self::Loss,
        Self::Delay,
        Self::Duplication,
        Self::WholeCluster,
        Self::RollingRestart,
        Self::StageFailure,
    ];

    /// Whether it may go on while another one happens.
    pub(crate) fn is_background(self) -> bool {
        matches!(self, Self::Loss | Self::Delay | Self::Duplication)
    }

    /// For how long, as far as chance decides.
    fn lasts(self, random: &mut SmallRng) -> Duration {
        let millis = match self {
            Self::Kill | Self::KillAndWipe | Self::PowerCut => 50..4000,
            // Short ones, too: a pause that nobody notices is a fault as well.
            Self::Pause => 100..12_000,
            Self::WholeCluster => 20..2500,
            Self::RollingRestart | Self::StageFailure => 20..800,
            _ => 600..8000,
        };
        Duration::from_millis(random.random_range(millis))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A fault that is to be.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    /// Goes on at the same time.
    pub(crate) background: Option<Kind>,
    pub(crate) lasts: Duration,
    /// From its end to the next one.
    pub(crate) calm: Duration,
}

impl Plan {
    /// Carries it out, and lets its calm pass; says of each kind whether it bit.
    pub(crate) fn strike(&self, world: &mut World) -> Vec<(Kind, bool)> {
        let background = self.background.map(|kind| Fault::begin(kind, world));
        let fault = Fault::begin(self.kind, world);
        world.run_for(self.lasts);
        let faults = [Some(fault), background].into_iter().flatten();
        let struck = faults.map(|fault| (fault.kind, fault.end(world))).collect();
        world.run_for(self.calm);
        struck
    }

    pub(crate) fn draw(kind: Kind, random: &mut SmallRng) -> Self {
        let others: Vec<_> = Kind::ALL.into_iter().filter(|other| other.is_background() && *other != kind).collect();
        let background = if random.random_bool(0.2) { others.choose(random).copied() } else { None };
        // Half of them come before the cluster has recovered from the last.
        let calm = if random.random_bool(0.5) { 10..600 } else { 1500..4000 };
        let calm = Duration::from_millis(random.random_range(calm));
        Self { kind, background, lasts: kind.lasts(random), calm }
    }
}

/// A fault that is.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    id: u64,
    victims: BTreeSet<NodeNo>,
    /// How much had happened before it.
    mark: usize,
    traffic: Traffic,
}

impl Fault {
    pub(crate) fn begin(kind: Kind, world: &mut World) -> Self {
        let (mark, traffic) = (world.story().mark(), world.network().traffic());
        let victims = world.choose_victims(if kind.hits_several() { world.minority() } else { 1 });
        let names = victims.iter().map(|no| world.name(*no).to_string()).collect::<Vec<_>>().join(" and ");
        world.tell(format!("{kind} begins, of {names}"));
        let nodes = victims.iter().map(|no| world.name(*no).as_str().into()).collect();
        let id = world.trace(|id| Event::FaultBegin { id, class: kind.class().into(), nodes, detail: None });
        let fault = Self { kind, id, victims, mark, traffic };
        fault.bring_about(world);
        fault
    }

    fn bring_about(&self, world: &mut World) {
        let others: BTreeSet<NodeNo> = world.nodes().filter(|no| !self.victims.contains(no)).collect();
        match self.kind {
            Kind::Kill | Kind::KillAndWipe => self.victims.iter().for_each(|no| world.kill(*no)),
            Kind::PowerCut => self.victims.iter().for_each(|no| world.cut_power(*no)),
            Kind::Pause => self.victims.iter().for_each(|no| world.pause(*no)),
            Kind::Isolate | Kind::Split => {
                world.cut(&self.victims, &others);
                world.cut(&others, &self.victims);
            }
            Kind::Deaf => world.cut(&others, &self.victims),
            Kind::Mute => world.cut(&self.victims, &others),
            Kind::OneWay | Kind::NonTransitive => {
                let other = world.choose(&others);
                world.cut(&self.victims, &other);
                if self.kind == Kind::NonTransitive {
                    world.cut(&other, &self.victims);
                }
            }
            Kind::Loss | Kind::Delay | Kind::Duplication => {
                let path = worse_path(self.kind, world.random());
                world.network().set_default(path);
            }
            Kind::WholeCluster => world.nodes().for_each(|no| world.kill(no)),
            // One by one, at the end.
            Kind::RollingRestart => {}
            Kind::StageFailure => world.fail_stages(&self.victims),
        }
    }

    /// Undoes it. Says whether it bit: whether anybody noticed.
    pub(crate) fn end(self, world: &mut World) -> bool {
        let id = self.id;
        let bit = self.undo(world);
        world.trace(|_| Event::FaultEnd { id, bit: Some(bit) });
        bit
    }

    fn undo(self, world: &mut World) -> bool {
        let facts = world.story().told().facts[self.mark..].to_vec();
        // A dead node is noticed while it is dead, a paused one perhaps only when it goes on.
        let bit = self.has_bitten(world, &facts);
        world.tell(format!("{} ends{}", self.kind, if bit { "" } else { ", unnoticed" }));
        match self.kind {
            Kind::Kill | Kind::PowerCut => self.victims.iter().for_each(|no| world.start(*no)),
            Kind::KillAndWipe => self.victims.iter().for_each(|no| world.start_wiped(*no)),
            Kind::Pause => self.victims.iter().for_each(|no| world.resume(*no)),
            Kind::Loss | Kind::Delay | Kind::Duplication => world.network().set_default(Path::default()),
            Kind::WholeCluster => world.nodes().for_each(|no| world.start(no)),
            Kind::RollingRestart => return world.restart_one_by_one(),
            Kind::StageFailure => {}
            _ => world.network().heal(),
        }
        bit
    }

    fn has_bitten(&self, world: &World, facts: &[Fact]) -> bool {
        let now = world.network().traffic();
        let lost_peer = facts.iter().any(|fact| self.is_loss_of_a_peer(world, fact));
        match self.kind {
            Kind::Kill | Kind::KillAndWipe | Kind::PowerCut | Kind::Pause => lost_peer,
            Kind::Loss => now.lost > self.traffic.lost,
            Kind::Delay => now.sent > self.traffic.sent,
            Kind::Duplication => now.doubled > self.traffic.doubled,
            Kind::WholeCluster => world.nodes().all(|no| !world.is_up(no)),
            Kind::RollingRestart => false,
            Kind::StageFailure => {
                facts.iter().any(|fact| matches!(&fact.what, What::Event { event: NodeEvent::Restarting { .. }, .. }))
            }
            _ => now.cut > self.traffic.cut && lost_peer,
        }
    }

    /// Whether somebody lost a victim, or a victim somebody.
    fn is_loss_of_a_peer(&self, world: &World, fact: &Fact) -> bool {
        let What::Event { node, event: NodeEvent::PeerDown { peer, .. } } = &fact.what else { return false };
        self.victims.iter().any(|no| world.name(*no) == node || world.name(*no) == peer)
    }
}

impl Kind {
    /// Its kind, as the checker of traces names it.
    fn class(self) -> &'static str {
        match self {
            Self::Kill | Self::KillAndWipe | Self::WholeCluster => "kill",
            Self::PowerCut => "power",
            Self::Pause => "pause",
            Self::Isolate | Self::Split => "partition",
            Self::OneWay | Self::Deaf | Self::Mute => "one-way",
            Self::NonTransitive => "non-transitive",
            Self::Loss => "loss",
            Self::Delay => "delay",
            Self::Duplication => "duplication",
            Self::RollingRestart => "restart",
            Self::StageFailure => "stage-failure",
        }
    }

    fn hits_several(self) -> bool {
        matches!(self, Self::Kill | Self::PowerCut | Self::Pause | Self::Split)
    }
}

fn worse_path(kind: Kind, random: &mut SmallRng) -> Path {
    let millis = |millis: u64| Duration::from_millis(millis);
    match kind {
        Kind::Loss => Path { loss: random.random_range(0.02..0.35), ..Path::default() },
        Kind::Delay => {
            let (delay, jitter) = (millis(random.random_range(5..120)), millis(random.random_range(0..80)));
            Path { delay, jitter, ..Path::default() }
        }
        _ => Path { duplication: random.random_range(0.05..0.6), ..Path::default() },
    }
}
