//! What runs met, in numbers: a set of runs that never met some trouble proves nothing about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::AddAssign,
    time::Duration,
};

use forebay::{node::NodeEvent, transport::quic::simulated::Traffic};

use crate::{
    fault::Kind,
    story::{Fact, What},
};

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Runs.
    pub runs: u64,
    /// Faults by kind, and how many of them somebody noticed.
    pub faults: BTreeMap<Kind, (u64, u64)>,
    /// Claims by another node than that which had the name before.
    pub takeovers: u64,
    /// Claims of nodes that had the name before.
    pub reclaims: u64,
    /// Two owners that met.
    pub conflicts: u64,
    /// Messages that were refused because of their epoch.
    pub stale: u64,
    /// Events emitted or sent in an epoch after a later one was granted.
    pub zombies: u64,
    /// Checkpoints that were refused.
    pub fenced: u64,
    /// Records of traces.
    pub records: u64,
    /// Events handled, and how many of them were marked as repeated.
    pub handled: u64,
    /// See `handled`.
    pub repeated: u64,
    /// Datagrams.
    pub datagrams: u64,
    /// Virtual time of all runs.
    pub elapsed: Duration,
    /// The longest that a healed cluster took to be whole.
    pub slowest_recovery: Duration,
}

impl Coverage {
    pub(crate) fn count_fault(&mut self, kind: Kind, bit: bool) {
        let (all, noticed) = self.faults.entry(kind).or_default();
        *all += 1;
        *noticed += u64::from(bit);
    }

    pub(crate) fn count_recovery(&mut self, took: Duration) {
        self.slowest_recovery = self.slowest_recovery.max(took);
    }

    pub(crate) fn count_story(&mut self, facts: &[Fact], elapsed: Duration, traffic: Traffic) {
        self.runs += 1;
        self.elapsed += elapsed;
        self.datagrams += traffic.sent;
        let mut owners = BTreeMap::new();
        let mut conflicts = BTreeSet::new();
        for fact in facts {
            match &fact.what {
                What::Event { event: NodeEvent::Owner(claim), .. } => {
                    match owners.insert(claim.name.clone(), claim.node.clone()) {
                        Some(before) if before != claim.node => self.takeovers += 1,
                        Some(_) => self.reclaims += 1,
                        None => {}
                    }
                }
                What::Event { event: NodeEvent::Conflict { winner, loser }, .. } => {
                    conflicts.insert((winner.epoch, loser.epoch));
                }
                What::Handled { handled, .. } => {
                    self.handled += 1;
                    self.repeated += u64::from(handled.attempt > 1);
                }
                _ => {}
            }
        }
        self.conflicts += conflicts.len() as u64;
    }

    pub(crate) fn count_trace(&mut self, trace: &forebay_check::Coverage) {
        self.stale += trace.stale;
        self.zombies += trace.zombies;
        self.fenced += trace.fenced;
        self.records += trace.records;
    }

    /// Kinds of trouble that these runs have not met. Of fewer than some fifty that is no wonder.
    pub fn missing(&self) -> Vec<String> {
        let unmet = Kind::ALL.into_iter().filter(|kind| self.faults.get(kind).is_none_or(|(_, noticed)| *noticed == 0));
        let mut missing: Vec<_> = unmet.map(|kind| format!("no {kind} that anybody noticed")).collect();
        let counts =
            [("takeover", self.takeovers), ("claim renewed", self.reclaims), ("event repeated", self.repeated)];
        missing.extend(counts.iter().filter(|(_, count)| *count == 0).map(|(what, _)| format!("no {what}")));
        missing
    }
}

impl AddAssign for Coverage {
    fn add_assign(&mut self, other: Self) {
        for (kind, (all, noticed)) in other.faults {
            let sum = self.faults.entry(kind).or_default();
            *sum = (sum.0 + all, sum.1 + noticed);
        }
        self.runs += other.runs;
        self.takeovers += other.takeovers;
        self.reclaims += other.reclaims;
        self.conflicts += other.conflicts;
        self.stale += other.stale;
        self.zombies += other.zombies;
        self.fenced += other.fenced;
        self.records += other.records;
        self.handled += other.handled;
        self.repeated += other.repeated;
        self.datagrams += other.datagrams;
        self.elapsed += other.elapsed;
        self.slowest_recovery = self.slowest_recovery.max(other.slowest_recovery);
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} runs, {:.0} s of virtual time; faults noticed/all:", self.runs, self.elapsed.as_secs_f64())?;
        for (kind, (all, noticed)) in &self.faults {
            write!(f, " {kind} {noticed}/{all}")?;
        }
        let Self { takeovers, reclaims, conflicts, stale, zombies, fenced, .. } = self;
        let Self { handled, repeated, datagrams, records, slowest_recovery, .. } = self;
        write!(
            f,
            "; takeovers {takeovers}, reclaims {reclaims}, conflicts {conflicts}, refused stale messages {stale}, \
             zombies {zombies}, refused checkpoints {fenced}, events {handled}, repeated {repeated}, \
             datagrams {datagrams}, records {records}, slowest recovery {slowest_recovery:?}"
        )
    }
}
