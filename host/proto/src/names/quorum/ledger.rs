//! The replicated state machine: claims, epochs, checkpoints, and the nodes of the group.
//!
//! Deterministic: the same commands at the same places of the log lead to the same ledger. Nothing
//! of it is decided by a clock.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use bytes::Bytes;

use super::{Command, End, Outcome, Proposal, Term, history};
use crate::{
    deploy::{Deployment, Offer},
    ids::{BootId, Epoch, NodeName, PipelineName, PluginName, Seq, StageName},
    inbox::InboxQueue,
    names::{Claim, Fenced, GlobalName},
    orders::OrderBook,
};

/// Number of a member of the group, never given twice: the place in the log of its admission.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MemberNo(pub u64);

impl MemberNo {
    /// The first member's number: the log's first entry makes it a voter, before any is admitted.
    pub const FOUNDER: Self = Self(1);
}

/// See the module's documentation.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ledger {
    /// Raised by a forced recovery, so that epochs of the quorum that was lost never come back.
    pub(super) generation: u16,
    pub(super) names: BTreeMap<GlobalName, Record>,
    pub(super) nodes: BTreeMap<NodeName, NodeRecord>,
    /// Members that are none any more: removed, or replaced after their data was lost.
    pub(super) retired: Vec<MemberNo>,
    /// Events from outside, for global stages.
    pub(super) inboxes: BTreeMap<GlobalName, InboxQueue>,
    /// What is to run of each pipeline that operators have deployed.
    pub(super) deployments: BTreeMap<PipelineName, Deployment>,
    /// Plugins that can be used by name.
    pub(super) offers: BTreeMap<PluginName, Offer>,
    /// What people have ordered of stages.
    pub(super) ordered: OrderBook,
}

/// What stands of one name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Record {
    pub(super) claim: Option<Claim>,
    /// The proposer's number of the claim that stands.
    pub(super) request: u64,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) history: VecDeque<Term>,
}

/// Where a new owner goes on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Checkpoint {
    /// Everything before this is processed.
    pub seq: Seq,
    /// Of the owner that made it.
    pub epoch: Epoch,
    /// What the guest of the next owner is given.
    pub snapshot: Bytes,
}

/// A node of the group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeRecord {
    /// Its number.
    pub member: MemberNo,
    /// Of its data.
    pub store: u64,
    /// Its latest start; `None` before the first.
    pub boot: Option<BootId>,
    /// Where it is reached, as far as anybody has said.
    pub addr: Option<SocketAddr>,
    /// Whether it shall own nothing.
    pub draining: bool,
    /// What it runs.
    pub pipelines: Vec<PipelineRecord>,
}

/// A pipeline as one node runs it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PipelineRecord {
    /// Its name.
    pub name: PipelineName,
    /// Of the pipeline file: `sha256:` and 64 hexadecimal digits; empty if it is not known.
    pub digest: String,
    /// Of each stage's plugin: as above, or `builtin:NAME`.
    pub plugins: Vec<(StageName, String)>,
}

/// What a command did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Applied {
    /// For its proposer.
    pub outcome: Outcome,
    /// Names whose owner or epoch is another now.
    pub changed: Vec<GlobalName>,
    /// Whether what is to run, or can be, is another now.
    pub deployed: bool,
}

impl From<Outcome> for Applied {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, changed: Vec::new(), deployed: false }
    }
}

impl Ledger {
    /// Applies the command at `index` of the log.
    pub fn apply(&mut self, index: u64, Proposal { at_ms, command }: Proposal) -> Applied {
        match command {
            Command::Admit { node, store, addr } => self.admit(index, at_ms, node, store, addr),
            Command::Boot { node, member, boot, addr, pipelines } => {
                let Some(record) = self.nodes.get_mut(&node).filter(|record| record.member == member) else {
                    return Outcome::Refused(format!("{node} is no member with number {}", member.0)).into();
                };
                let before = record.boot.replace(boot);
                record.addr = addr.or(record.addr);
                record.pipelines = pipelines;
                let changed =
                    if before == Some(boot) { Vec::new() } else { self.end_claims(&node, at_ms, &End::Restarted) };
                Applied { outcome: Outcome::Done, changed, deployed: false }
            }
            Command::Claim { name, node, boot, request } => self.claim(index, at_ms, name, node, boot, request),
            Command::Release { name, epoch, why } => self.release(at_ms, &name, epoch, why),
            Command::Checkpoint { name, epoch, previous, seq, snapshot } => {
                self.checkpoint(&name, epoch, previous, Checkpoint { seq, epoch, snapshot }).into()
            }
            Command::Vacate { node, boot, why } => {
                let is_it = self.nodes.get(&node).is_some_and(|record| record.boot == Some(boot));
                let changed = if is_it { self.end_claims(&node, at_ms, &End::Lost(why)) } else { Vec::new() };
                Applied { outcome: Outcome::Done, changed, deployed: false }
            }
            Command::Drain { node, drain } => match self.nodes.get_mut(&node) {
                Some(record) => {
                    record.draining = drain;
                    Outcome::Done.into()
                }
                None => unknown(&node).into(),
            },
            Command::Remove { node } => self.remove(at_ms, &node),
            Command::Ingest { name, client, request, count, events } => {
                self.ingest(name, client, request, count, events).into()
            }
            Command::Processed { name, epoch, upto } => self.processed(&name, epoch, upto).into(),
            Command::Deployment { pipeline, order } => {
                let applied = self.order(at_ms, pipeline.clone(), order);
                if applied.deployed {
                    self.forget_orders(&pipeline);
                }
                applied
            }
            Command::Offer { name, offer } => self.offer(name, offer),
            Command::StageOrder { name, by, order } => self.order_stage(at_ms, name, by, order),
        }
    }

    /// The claim that stands.
    pub fn claim_of(&self, name: &GlobalName) -> Option<&Claim> {
        self.names.get(name)?.claim.as_ref()
    }

    /// What stands of one name; `None` if it was never claimed.
    pub fn record(&self, name: &GlobalName) -> Option<&Record> {
        self.names.get(name)
    }

    /// All names ever claimed.
    pub fn names(&self) -> impl Iterator<Item = (&GlobalName, &Record)> {
        self.names.iter()
    }

    /// All claims that stand.
    pub fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.names.values().filter_map(|record| record.claim.as_ref())
    }

    /// All nodes of the group.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeName, &NodeRecord)> {
        self.nodes.iter()
    }

    /// One node of the group.
    pub fn node(&self, node: &NodeName) -> Option<&NodeRecord> {
        self.nodes.get(node)
    }

    /// Members that must vote no more.
    pub fn retired(&self) -> &[MemberNo] {
        &self.retired
    }

    /// How often the quorum was given up for good.
    pub fn generation(&self) -> u16 {
        self.generation
    }

    /// Begins a new life after the quorum was lost for good: one node goes on, alone, with what this
    /// ledger knows; epochs from here on are above all that the lost quorum can have given.
    pub fn recover(&mut self, survivor: &NodeName, at_ms: u64) {
        self.generation = self.generation.saturating_add(1);
        if let Some(record) = self.nodes.get_mut(survivor) {
            // There is nobody else to own anything.
            record.draining = false;
        }
        let lost: Vec<_> = self.nodes.keys().filter(|node| *node != survivor).cloned().collect();
        for node in lost {
            self.remove(at_ms, &node);
        }
    }

    fn admit(&mut self, index: u64, at_ms: u64, node: NodeName, store: u64, addr: Option<SocketAddr>) -> Applied {
        let mut changed = Vec::new();
        if let Some(record) = self.nodes.get_mut(&node) {
            if record.store == store {
                record.addr = addr.or(record.addr);
                return Outcome::Admitted(record.member).into();
            }
            let former = record.member;
            self.retired.push(former);
            changed = self.end_claims(&node, at_ms, &End::Restarted);
        }
        // The founder's number is known before there is a log.
        let is_founder = self.nodes.is_empty() && self.retired.is_empty();
        let member = if is_founder { MemberNo::FOUNDER } else { MemberNo(index) };
        let record = NodeRecord { member, store, boot: None, addr, draining: false, pipelines: Vec::new() };
        self.nodes.insert(node, record);
        Applied { outcome: Outcome::Admitted(member), changed, deployed: false }
    }

    fn claim(
        &mut self,
        index: u64,
        at_ms: u64,
        name: GlobalName,
        node: NodeName,
        boot: BootId,
        request: u64,
    ) -> Applied {
        match self.nodes.get(&node) {
            None => return unknown(&node).into(),
            Some(record) if record.boot != Some(boot) => {
                return Outcome::Refused(format!("{node} has started again since")).into();
            }
            Some(_) => {}
        }
        let draining = self.nodes.get(&node).is_some_and(|record| record.draining);
        let epoch = Epoch::of_log(self.generation, index);
        let record = self.names.entry(name.clone()).or_default();
        if let Some(claim) = &record.claim {
            if claim.node != node || claim.boot != boot {
                return Outcome::Held(claim.clone()).into();
            }
            if record.request == request {
                return Outcome::Claimed(claim.clone()).into();
            }
        }
        if draining {
            return Outcome::Refused(format!("{node} is draining")).into();
        }
        if let Some(claim) = record.claim.take() {
            history::end(&mut record.history, claim.epoch, at_ms, End::Renewed);
        }
        let progress = record.checkpoint.as_ref().map_or(Seq(0), |checkpoint| checkpoint.seq);
        let claim = Claim { name: name.clone(), node: node.clone(), boot, epoch, claimed_at_ms: at_ms, progress };
        record.claim = Some(claim.clone());
        record.request = request;
        history::begin(&mut record.history, Term { node, boot, epoch, from_ms: at_ms, end: None });
        Applied { outcome: Outcome::Claimed(claim), changed: vec![name], deployed: false }
    }

    fn release(&mut self, at_ms: u64, name: &GlobalName, epoch: Epoch, why: String) -> Applied {
        let record = self.names.get_mut(name);
        let Some(record) = record.filter(|record| record.claim.as_ref().is_some_and(|claim| claim.epoch == epoch))
        else {
            return Outcome::Done.into();
        };
        record.claim = None;
        history::end(&mut record.history, epoch, at_ms, End::Released(why));
        Applied { outcome: Outcome::Done, changed: vec![name.clone()], deployed: false }
    }

    fn checkpoint(&mut self, name: &GlobalName, epoch: Epoch, previous: Seq, new: Checkpoint) -> Outcome {
        let record = self.names.get_mut(name);
        let claim = record.as_ref().and_then(|record| record.claim.as_ref());
        let current = claim.map(|claim| (claim.epoch, claim.progress));
        // Made again because its answer was lost.
        if current == Some((epoch, new.seq)) && new.seq > previous {
            return Outcome::Done;
        }
        match record {
            Some(record) if current == Some((epoch, previous)) && new.seq > previous => {
                if let Some(claim) = &mut record.claim {
                    claim.progress = new.seq;
                }
                record.checkpoint = Some(new);
                Outcome::Done
            }
            _ => Outcome::Fenced(Fenced { name: name.clone(), epoch, previous: previous.0, current }),
        }
    }

    fn remove(&mut self, at_ms: u64, node: &NodeName) -> Applied {
        let changed = self.end_claims(node, at_ms, &End::Removed);
        match self.nodes.remove(node) {
            Some(record) => {
                self.retired.push(record.member);
                Applied { outcome: Outcome::Done, changed, deployed: false }
            }
            None => unknown(node).into(),
        }
    }

    fn end_claims(&mut self, node: &NodeName, at_ms: u64, why: &End) -> Vec<GlobalName> {
        let mut changed = Vec::new();
        for (name, record) in &mut self.names {
            if let Some(claim) = record.claim.take_if(|claim| claim.node == *node) {
                history::end(&mut record.history, claim.epoch, at_ms, why.clone());
                changed.push(name.clone());
            }
        }
        changed
    }
}

impl Record {
    /// The highest epoch ever claimed.
    pub fn last_epoch(&self) -> Epoch {
        self.history.back().map_or(Epoch::default(), |term| term.epoch)
    }

    /// The claim that stands.
    pub fn claim(&self) -> Option<&Claim> {
        self.claim.as_ref()
    }

    /// Where a new owner goes on; `None`: from the start.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// Former owners and the present one, oldest first; at most [`HISTORY_LEN`](super::HISTORY_LEN).
    pub fn history(&self) -> impl Iterator<Item = &Term> {
        self.history.iter()
    }
}

fn unknown(node: &NodeName) -> Outcome {
    Outcome::Refused(format!("{node} is no member"))
}

#[cfg(test)]
mod tests;
