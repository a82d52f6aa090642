//! What stands in the ledger of one pipeline, and how it changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Change, Move, NewRevision, Phase, Report, Revision, Rollout, Standing};
use crate::ids::{NodeName, StageName};

/// How many revisions are remembered, and can be gone back to.
pub const REVISIONS_KEPT: usize = 16;

/// See the module's documentation.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Deployment {
    /// Oldest first. The last is the latest, also if it was taken back.
    pub(super) revisions: VecDeque<Revision>,
    /// The revision that each stage is of. Without an entry a stage does not run.
    pub(super) stages: BTreeMap<StageName, u64>,
    pub(super) rollout: Option<Rollout>,
    pub(super) paused: bool,
}

/// It is not to be so, with the reason.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct NotDeployed(pub String);

/// Of which revision a node is to run a stage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Wanted {
    /// Which.
    pub revision: u64,
    /// It is new and on trial: a fault is reported and not borne.
    pub on_trial: bool,
}

fn no(why: impl Into<String>) -> NotDeployed {
    NotDeployed(why.into())
}

impl Deployment {
    /// The latest revision's number; 0 before the first.
    pub fn latest(&self) -> u64 {
        self.revisions.back().map_or(0, |revision| revision.number)
    }

    /// Revisions, oldest first.
    pub fn revisions(&self) -> impl DoubleEndedIterator<Item = &Revision> {
        self.revisions.iter()
    }

    /// One revision, if it is remembered.
    pub fn revision(&self, number: u64) -> Option<&Revision> {
        self.revisions.iter().find(|revision| revision.number == number)
    }

    /// The revision in force: that of the stages that are not just being replaced. `None`: nothing runs.
    pub fn current(&self) -> Option<&Revision> {
        let number = match &self.rollout {
            Some(rollout) => rollout.former.values().max(),
            None => self.stages.values().max(),
        };
        self.revision(*number?)
    }

    /// What is on its way.
    pub fn rollout(&self) -> Option<&Rollout> {
        self.rollout.as_ref()
    }

    /// Whether it stands still by an operator's order.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// The revision that each stage is of, whether or not it is paused.
    pub fn stages(&self) -> &BTreeMap<StageName, u64> {
        &self.stages
    }

    /// What `node` is to run just now, as far as the stages' labels allow.
    pub fn wanted(&self, node: &NodeName) -> BTreeMap<StageName, Wanted> {
        if self.paused {
            return BTreeMap::new();
        }
        let settled =
            |(stage, revision): (&StageName, &u64)| (stage.clone(), Wanted { revision: *revision, on_trial: false });
        let mut wanted: BTreeMap<_, _> = self.stages.iter().map(settled).collect();
        let Some(rollout) = &self.rollout else { return wanted };
        let Some(step) = rollout.step().filter(|_| rollout.includes(node)) else { return wanted };
        for stage in &step.stages {
            match step.change {
                Change::Start | Change::Replace => {
                    wanted.insert(stage.clone(), Wanted { revision: rollout.revision, on_trial: true });
                }
                Change::Stop => {
                    wanted.remove(stage);
                }
            }
        }
        wanted
    }

    /// A new revision begins its way. `after` is the latest that its proposer knows of.
    ///
    /// # Errors
    /// Another one is on its way or came first, or the pipeline is paused.
    pub fn deploy(&mut self, at_ms: u64, after: u64, new: NewRevision) -> Result<(), NotDeployed> {
        let number = after.checked_add(1).ok_or_else(|| no("there is no revision after this one"))?;
        let beside = self.current().map(|revision| revision.number);
        if let Some(last) = self.revisions.back()
            && (last.number, last.text, &last.by) == (number, new.text, &new.by)
            && last.plugins == new.plugins
        {
            // Proposed again because its answer was lost.
            return Ok(());
        }
        if let Some(rollout) = &self.rollout {
            return Err(no(format!("revision {} is being rolled out; wait for it, or roll it back", rollout.revision)));
        }
        if self.paused {
            return Err(no("it is paused; resume it first"));
        }
        if self.latest() != after {
            let latest = self.latest();
            return Err(no(format!("revision {latest} came meanwhile; look at the plan again")));
        }
        if beside != new.beside {
            return Err(no("what runs is another meanwhile; look at the plan again"));
        }
        self.covers(&new)?;
        let NewRevision { text, plugins, by, why, steps, canary, beside: _ } = new;
        self.revisions.push_back(Revision { number, text, plugins, at_ms, by, why, standing: Standing::RollingOut });
        let (former, phase, reports) = (self.stages.clone(), Phase::Everywhere, BTreeMap::new());
        self.rollout = Some(Rollout { revision: number, former, steps, at: 0, phase, reports, canary });
        self.forget_old();
        Ok(())
    }

    /// Whether its steps lead from what runs to what is to run, and nowhere else.
    fn covers(&self, new: &NewRevision) -> Result<(), NotDeployed> {
        let changed = |change: fn(Change) -> bool| {
            let steps = new.steps.iter().filter(move |step| change(step.change));
            steps.flat_map(|step| &step.stages).collect::<BTreeSet<_>>()
        };
        let brought = changed(|change| change != Change::Stop);
        let stopped = changed(|change| change == Change::Stop);
        let odd = new.plugins.keys().find(|stage| !brought.contains(stage) && !self.stages.contains_key(*stage));
        let odd = odd.or_else(|| brought.iter().copied().find(|stage| !new.plugins.contains_key(*stage)));
        let odd = odd.or_else(|| stopped.iter().copied().find(|stage| new.plugins.contains_key(*stage)));
        let stays = |stage: &&StageName| !new.plugins.contains_key(*stage) && !stopped.contains(stage);
        match odd.or_else(|| self.stages.keys().find(stays)) {
            Some(stage) => {
                Err(no(format!("its steps do not say what becomes of stage `{stage}`: a bug of its proposer")))
            }
            None => Ok(()),
        }
    }

    /// A node says how a step went there. What belongs to another step changes nothing.
    pub fn report(&mut self, at_ms: u64, revision: u64, at: u32, node: NodeName, report: Report) {
        let Some(rollout) = self.rollout.as_mut().filter(|rollout| (rollout.revision, rollout.at) == (revision, at))
        else {
            return;
        };
        match report {
            Report::Failed(why) => self.back(at_ms, revision, format!("on {node}: {why}")),
            other => {
                rollout.reports.insert(node, other);
            }
        }
    }

    /// The leader's word of what comes next. What belongs to another step changes nothing.
    pub fn advance(&mut self, at_ms: u64, revision: u64, at: u32, to: Move) {
        let Some(rollout) = self.rollout.as_mut().filter(|rollout| (rollout.revision, rollout.at) == (revision, at))
        else {
            return;
        };
        match to {
            Move::Canary(node) if rollout.step().is_some() => rollout.phase = Phase::Canary(node),
            Move::Canary(_) => {}
            Move::Everywhere => rollout.phase = Phase::Everywhere,
            Move::Back(why) => self.back(at_ms, revision, why),
            Move::Next => self.next(at_ms),
        }
    }

    fn next(&mut self, at_ms: u64) {
        let Some(rollout) = &mut self.rollout else { return };
        let revision = rollout.revision;
        if let Some(step) = rollout.step() {
            for stage in &step.stages {
                match step.change {
                    Change::Start | Change::Replace => drop(self.stages.insert(stage.clone(), revision)),
                    Change::Stop => drop(self.stages.remove(stage)),
                }
            }
        }
        rollout.at += 1;
        rollout.reports.clear();
        let replaces = rollout.step().is_some_and(|step| step.change == Change::Replace);
        rollout.phase = if replaces { Phase::Pending } else { Phase::Everywhere };
        if rollout.step().is_none() {
            self.rollout = None;
            self.finish(at_ms, revision);
        }
    }

    /// What did not change is of the new revision, too.
    fn finish(&mut self, at_ms: u64, revision: u64) {
        let Some(found) = self.revisions.iter_mut().find(|found| found.number == revision) else { return };
        found.standing = Standing::RolledOut { at_ms };
        self.stages = found.plugins.keys().map(|stage| (stage.clone(), revision)).collect();
    }

    /// Takes a revision back that is on its way. Nothing if it is not.
    pub fn back(&mut self, at_ms: u64, revision: u64, why: String) {
        let Some(rollout) = self.rollout.take_if(|rollout| rollout.revision == revision) else { return };
        self.stages = rollout.former;
        if let Some(found) = self.revisions.iter_mut().find(|found| found.number == revision) {
            found.standing = Standing::RolledBack { at_ms, why };
        }
    }

    /// Lets all stages end in good order, or start again where they were.
    ///
    /// # Errors
    /// A revision is on its way.
    pub fn pause(&mut self, paused: bool) -> Result<(), NotDeployed> {
        match &self.rollout {
            Some(rollout) if paused => {
                Err(no(format!("revision {} is being rolled out; wait for it, or roll it back", rollout.revision)))
            }
            _ => {
                self.paused = paused;
                Ok(())
            }
        }
    }

    /// Lets all stages end in good order, for good. What was deployed stays known, so that it can be deployed again.
    pub fn undeploy(&mut self, at_ms: u64) {
        if let Some(rollout) = &self.rollout {
            self.back(at_ms, rollout.revision, "it was undeployed".to_owned());
        }
        self.stages.clear();
        self.paused = false;
    }

    /// The oldest go, but for those that are needed.
    fn forget_old(&mut self) {
        let former = self.rollout.iter().flat_map(|rollout| rollout.former.values());
        let needed: Vec<u64> = self.stages.values().chain(former).copied().collect();
        while self.revisions.len() > REVISIONS_KEPT {
            let Some(oldest) = self.revisions.iter().position(|revision| !needed.contains(&revision.number)) else {
                return;
            };
            self.revisions.remove(oldest);
        }
    }
}

#[cfg(test)]
mod tests;
