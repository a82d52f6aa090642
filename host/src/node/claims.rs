//! Names of this node: claiming those that are due, losing and giving up, and telling who owns what.
//!
//! Claims and releases are agreed on in tasks of their own, since that takes as long as the group takes.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use forebay_proto::{
    consumer::Owner,
    ids::{Epoch, NodeName},
    message::Reason,
    names::{Change, Claim, GlobalName},
    wire::{Agreement, Frame, Names},
};
use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};

use super::{Expelled, core::Core, counters::Count, directory::StageKey, event::NodeEvent, stage::Order};
use crate::{registry::ClaimError, wall::now_ms};

/// The pause before a claim is made again that the group did not answer, or refused.
const CLAIM_AGAIN: Duration = Duration::from_millis(100);

/// Claims that are under way at a time; the others stay due. A node that comes to own much must not fill
/// the places that its peers have for requests.
const CLAIMS_MAX: usize = 16;

/// Why a name is given up that an operator wants elsewhere.
const DRAINED: &str = "an operator drains the node";

/// What is under way of names.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) tasks: JoinSet<Done>,
    /// Being claimed.
    claiming: BTreeSet<GlobalName>,
    /// Whether the group can be reached, so that there is a point in claiming.
    pub(super) quorum: bool,
    /// Since when that is so. Unit: milliseconds since 1970.
    pub(super) quorum_since_ms: u64,
    /// Owned names that an operator wants moved to other nodes, one after the other.
    to_drain: VecDeque<GlobalName>,
    pub(super) draining: bool,
}

/// Something was agreed on, or not.
#[derive(Debug)]
pub(super) enum Done {
    Claimed(GlobalName, Result<Claim, ClaimError>),
    /// With the reason, and whether it was agreed on.
    Released(GlobalName, Epoch, String, bool),
}

impl Claims {
    pub(super) fn new(agreement: Agreement) -> Self {
        let quorum = agreement == Agreement::Islands;
        let (tasks, claiming, to_drain) = (JoinSet::new(), BTreeSet::new(), VecDeque::new());
        Self { tasks, claiming, quorum, quorum_since_ms: now_ms(), to_drain, draining: false }
    }
}

impl Core {
    /// A node that ends, or that the group cannot hear, claims nothing; one that claims enough nothing more.
    pub(super) fn may_claim(&self) -> bool {
        !self.ending && self.claims.quorum && !self.claims.draining && self.claims.claiming.len() < CLAIMS_MAX
    }

    pub(super) fn claim_due(&mut self) {
        while let Some(name) = self.placement.poll(self.now()).filter(|_| self.may_claim()).cloned() {
            if self.stage_mut(&name).is_none_or(|state| state.running.is_some()) {
                // The instance that lost the name is still draining; its exit lifts the bar.
                self.placement.bar(&name, Duration::MAX);
                continue;
            }
            self.begin_claim(&name);
        }
    }

    /// Claims a name; once it is granted, its stage starts.
    pub(super) fn begin_claim(&mut self, name: &GlobalName) {
        let now = self.now();
        self.placement.on_owner(now, name, true);
        if self.claims.claiming.insert(name.clone()) {
            let (registry, name) = (Arc::clone(&self.registry), name.clone());
            self.claims.tasks.spawn(async move {
                let claimed = registry.claim(&name).await;
                Done::Claimed(name, claimed)
            });
        }
    }

    pub(super) fn begin_release(&mut self, name: &GlobalName, epoch: Epoch, why: &str) {
        self.tracer.released(name, epoch);
        self.release_after(Duration::ZERO, name.clone(), epoch, why.to_owned());
    }

    fn release_after(&mut self, wait: Duration, name: GlobalName, epoch: Epoch, why: String) {
        let registry = Arc::clone(&self.registry);
        self.claims.tasks.spawn(async move {
            tokio::time::sleep(wait).await;
            let agreed = registry.release(&name, epoch, &why).await;
            Done::Released(name, epoch, why, agreed)
        });
    }

    /// A name that is not given up stays ours, for our lease is renewed: nobody else could have it.
    fn on_released(&mut self, name: GlobalName, epoch: Epoch, why: String, agreed: bool) {
        let is_ours = self.own_epoch(&name) == Some(epoch);
        let is_idle = !self.is_running(&name) && !self.claims.claiming.contains(&name);
        if !agreed && is_ours && is_idle && !self.ending {
            self.release_after(CLAIM_AGAIN, name.clone(), epoch, why);
        }
        self.review(&name);
    }

    /// The epoch of the claim of this process that stands.
    pub(super) fn own_epoch(&self, name: &GlobalName) -> Option<Epoch> {
        let claim = self.registry.lookup(name)?;
        (claim.node == self.name && claim.boot == self.boot).then_some(claim.epoch)
    }

    pub(super) fn on_claim(&mut self, done: Result<Done, JoinError>) {
        let (name, claimed) = match done {
            Ok(Done::Claimed(name, claimed)) => (name, claimed),
            Ok(Done::Released(name, epoch, why, agreed)) => return self.on_released(name, epoch, why, agreed),
            Err(error) => return tracing::error!(%error, "a bug of the host: a claim's task has failed"),
        };
        self.claims.claiming.remove(&name);
        match claimed {
            Ok(claim) if self.ending || self.claims.draining || !self.is_idle(&name) => {
                let why = match (self.claims.draining, self.ending) {
                    (true, _) => DRAINED,
                    (_, true) => "the node is ending",
                    _ if self.is_running(&name) => "an earlier instance of its stage still runs",
                    _ => "it is not to run any more",
                };
                self.begin_release(&name, claim.epoch, why);
            }
            Ok(claim) if self.registry.lookup(&name).is_some_and(|standing| standing.epoch == claim.epoch) => {
                let epoch = claim.epoch;
                self.tracer.granted(&claim);
                self.report(NodeEvent::Owner(claim));
                self.start_stage(&name, epoch);
            }
            // It was taken away before its stage could start.
            Ok(_) => self.review(&name),
            Err(ClaimError::Held(_)) => {
                self.counters.one(Count::HeldClaims);
                self.review(&name);
            }
            Err(error @ (ClaimError::Refused(_) | ClaimError::Unknown(_))) => {
                let is_refused = matches!(error, ClaimError::Refused(_));
                self.counters.one(if is_refused { Count::RefusedClaims } else { Count::UnansweredClaims });
                tracing::debug!(%name, %error, "a claim came to nothing");
                self.placement.bar(&name, self.now() + CLAIM_AGAIN);
                self.put_off(&name);
            }
        }
    }

    /// A stage of ours does not run and cannot have its new epoch now: it is claimed in time, unless an
    /// operator wants its name elsewhere.
    pub(super) fn put_off(&mut self, name: &GlobalName) {
        if let Some(epoch) = self.own_epoch(name).filter(|_| self.claims.draining && !self.is_running(name)) {
            self.begin_release(name, epoch, DRAINED);
        }
        self.review(name);
    }

    /// Whether there is such a stage, and it does not run.
    fn is_idle(&mut self, name: &GlobalName) -> bool {
        self.stage_mut(name).is_some_and(|state| state.running.is_none())
    }

    fn is_running(&mut self, name: &GlobalName) -> bool {
        self.stage_mut(name).is_some_and(|state| state.running.is_some())
    }

    /// Looks who owns a name now, and claims it in time if nobody does. A claim of ours whose stage
    /// does not run is as good as none: that of a proposal whose answer was lost.
    pub(super) fn review(&mut self, name: &GlobalName) {
        let standing = self.registry.lookup(name);
        let idle = self.stage_mut(name).is_some_and(|state| state.running.is_none() && state.restart_at.is_none());
        let is_ours = standing.as_ref().is_some_and(|claim| claim.node == self.name && claim.boot == self.boot);
        let is_owned = standing.is_some() && !(is_ours && idle && !self.claims.claiming.contains(name));
        self.placement.on_owner(self.now(), name, is_owned || self.claims.claiming.contains(name));
    }

    pub(super) fn on_change(&mut self, change: Change) {
        match change {
            Change::Checkpoint { name, epoch, previous, seq } => self.tracer.checkpoint(&name, epoch, previous, seq),
            Change::Current => self.start_node_stages(),
            Change::Ordered(name) => self.tell_ordered(&name),
            Change::Announce => self.announce(),
            Change::Share(name) => self.share(&name),
            Change::Conflict { winner, loser } => {
                self.counters.one(Count::Conflicts);
                self.report(NodeEvent::Conflict { winner, loser });
            }
            Change::Lost { claim, to } => self.lose(claim, to),
            Change::Owner { name, claim } => {
                self.tracer.owner(&name, claim.as_ref());
                self.review(&name);
                let owner = claim.and_then(|claim| self.reachable(claim));
                // Of a stage here its consumers hear once it runs.
                let runs = self.is_running(&name);
                let owner = owner.filter(|owner| owner.node != self.name || runs);
                self.tell_consumers(&name, owner.as_ref());
                self.drain_behind(&name);
            }
            Change::Quorum { holds, why } => {
                self.claims.quorum = holds;
                self.claims.quorum_since_ms = now_ms();
                if !holds {
                    self.counters.one(Count::QuorumLosses);
                }
                self.tracer.quorum(holds);
                self.report(NodeEvent::Quorum { holds, why });
            }
            Change::Leads { leads, term } => self.tracer.role(leads, term),
            Change::Addresses(addresses) => addresses.into_iter().for_each(|addr| self.dial_hearsay(addr)),
            Change::Draining(draining) => self.on_drain_order(draining),
            Change::Removed(why) => self.expel(Expelled::Removed(why)),
            Change::Failed(why) => self.expel(Expelled::Failed(why)),
        }
    }

    /// An owner, unless there is no connection to its node: its consumers wait for one, or for another
    /// owner.
    pub(super) fn reachable(&self, claim: Claim) -> Option<Owner> {
        let reachable = claim.node == self.name || self.links.contains_key(&claim.node);
        reachable.then_some(Owner { node: claim.node, epoch: claim.epoch })
    }

    /// A node has come or gone: tells those here that consume from its stages.
    pub(super) fn review_owners(&mut self, peer: &NodeName) {
        let names: Vec<_> = self.pipelines.iter().flat_map(|pipeline| pipeline.all_global_names()).collect();
        for name in names {
            let claim = self.registry.lookup(&name).filter(|claim| claim.node == *peer);
            if let Some(claim) = claim {
                let owner = self.reachable(claim);
                self.tell_consumers(&name, owner.as_ref());
            }
        }
    }

    fn expel(&mut self, expelled: Expelled) {
        let (Expelled::Removed(why) | Expelled::Failed(why)) = &expelled;
        self.report(NodeEvent::Expelled(why.clone()));
        self.expelled = Some(expelled);
    }

    fn lose(&mut self, claim: Claim, to: Option<Claim>) {
        self.tracer.lost(&claim, to.as_ref());
        let deadline = Instant::now() + self.drain_timeout;
        let fenced = self.registry.agreement() == Agreement::Quorum;
        if fenced {
            self.counters.one(Count::FencedOwners);
        }
        let Some(state) = self.stage_mut(&claim.name).filter(|state| state.epoch == claim.epoch) else { return };
        state.restart_at = None;
        let owner = to.as_ref().map_or("nobody".to_owned(), |claim| claim.node.to_string());
        let reason = Reason::Shutdown(Some(format!("{owner} owns the name")));
        if fenced {
            // Nothing it says is accepted any more, so there is nothing to hand out.
            state.order(Order::Stop(reason));
            return self.report(NodeEvent::Fenced { claim, to });
        }
        state.stop_at = Some(deadline);
        state.order(Order::Drain(reason));
    }

    /// Tells every peer what this node could run and what it claims.
    pub(super) fn announce(&self) {
        let names = self.names();
        self.links.values().for_each(|link| link.send(Frame::Names(names.clone())));
    }

    /// Tells every peer how far a stage of ours is.
    fn share(&self, name: &GlobalName) {
        if let Some(checkpoint) = self.registry.shared_checkpoint(name) {
            self.links.values().for_each(|link| link.offer(Frame::Checkpoint(checkpoint.clone())));
        }
    }

    pub(super) fn names(&self) -> Names {
        let candidates = self.placement.names().filter(|_| !self.claims.draining && !self.ending).cloned().collect();
        // In quorum mode the group knows.
        let claims = if self.registry.agreement() == Agreement::Islands { self.registry.own() } else { Vec::new() };
        Names { candidates, claims }
    }

    /// Gives up the name of a stage that will not run here, until `until`.
    pub(super) fn leave(&mut self, key: &StageKey, until: Duration, why: &str) {
        let Some(state) = self.stage_mut(key).filter(|state| state.is_global()) else { return };
        let epoch = state.epoch;
        state.supervisor = forebay_proto::supervise::Supervisor::new(state.settings.restart);
        self.placement.bar(key, until);
        self.begin_release(key, epoch, why);
    }

    fn on_drain_order(&mut self, draining: bool) {
        self.report(NodeEvent::DrainOrdered(draining));
        self.claims.draining = draining;
        self.claims.to_drain.clear();
        if draining {
            let running: Vec<_> = self.pipelines.iter().flat_map(|pipeline| pipeline.owned()).collect();
            self.claims.to_drain.extend(running);
        }
        self.announce();
        self.drain_next();
    }

    /// Begins to move the next name to another node, unless one is under way.
    pub(super) fn drain_next(&mut self) {
        let is_draining = |stage: &super::pipelines::StageState| stage.running.is_some() && stage.drains.is_some();
        if self.pipelines.iter().flat_map(|pipeline| pipeline.stages.values()).any(is_draining) {
            return;
        }
        let deadline = Instant::now() + self.drain_timeout;
        while let Some(name) = self.claims.to_drain.pop_front() {
            let Some(state) = self.stage_mut(&name) else { continue };
            let was_to_restart = state.restart_at.take().is_some();
            if state.running.is_some() {
                state.drains = Some(DRAINED);
                state.stop_at = Some(deadline);
                state.order(Order::Drain(Reason::Shutdown(Some("the node is being drained".to_owned()))));
                return;
            }
            if was_to_restart {
                self.leave(&name, Duration::ZERO, DRAINED);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
