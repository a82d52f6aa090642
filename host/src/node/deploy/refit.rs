//! The core's part: stages start, are replaced by others, and end, as they are to run now.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use forebay_proto::{
    ids::{Epoch, StageName},
    message::Reason,
};
use tokio::time::Instant;

use super::{Fit, standings::Standing};
use crate::node::{
    core::Core,
    directory::StageKey,
    event::NodeEvent,
    pipelines::{Fitted, RunningPipeline},
    stage::{Exit, Order},
};

impl Core {
    /// Brings a pipeline to what is to run of it.
    pub(in crate::node) fn on_fit(&mut self, fit: Fit) {
        if self.ending {
            return;
        }
        let Fit { pipeline: name, stages, number } = fit;
        if !self.pipelines.iter().any(|pipeline| pipeline.name == name) {
            self.pipelines.push(RunningPipeline::empty(name.clone()));
        }
        let Some(pipeline) = self.pipelines.iter_mut().find(|pipeline| pipeline.name == name) else { return };
        let fitted: BTreeMap<StageName, Fitted> =
            stages.into_iter().map(|fitted| (fitted.settings.name.clone(), fitted)).collect();
        pipeline.wanted = fitted.keys().cloned().collect();
        let labels = &self.labels;
        // What this node has no labels for, now, is known all the same.
        pipeline.retain_elsewhere(|stage| fitted.contains_key(stage));
        let (mut started, mut replaced, mut retired) = (Vec::new(), Vec::new(), Vec::new());
        for stage in pipeline.stages.keys() {
            if fitted.get(stage).is_none_or(|fitted| !fitted.may_run_with(labels)) {
                retired.push(pipeline.key(stage));
            }
        }
        for (stage, fitted) in fitted {
            let key = pipeline.key(&stage);
            if !fitted.may_run_with(labels) || !pipeline.stages.contains_key(&stage) {
                if fitted.may_run_with(labels) {
                    started.push(key);
                }
                pipeline.set(fitted, labels);
            } else {
                replaced.push((key, fitted));
            }
        }
        pipeline.put_in_order();
        let order: Vec<_> = pipeline.in_order().map(|stage| stage.name.clone()).collect();
        started.sort_by_key(|key| order.iter().position(|stage| *stage == key.stage));
        started.iter().for_each(|key| self.begin(key));
        replaced.into_iter().for_each(|(key, fitted)| self.replace(&key, fitted));
        retired.iter().for_each(|key| self.retire(key));
        self.standings.fit(&name, number);
        self.stages_changed();
    }

    /// A stage that is new here.
    fn begin(&mut self, key: &StageKey) {
        self.stands(key, None);
        let now = self.now();
        match self.stage_mut(key).map(|state| state.is_global()) {
            Some(true) => {
                self.placement.add(now, key.clone());
                self.review(key);
            }
            Some(false) => self.start_stage(key, Epoch { lamport: 1, tag: 0 }),
            None => {}
        }
    }

    fn replace(&mut self, key: &StageKey, fitted: Fitted) {
        let deadline = Instant::now() + self.drain_timeout;
        let Some(state) = self.stage_mut(key) else { return };
        state.retired = false;
        let is_ending = state.next.is_some() || state.stop_at.is_some();
        if fitted.is_like(state) && !is_ending {
            state.revision = fitted.revision;
            state.put_on_trial(fitted.on_trial);
            // What failed on trial and is kept all the same is borne from now on.
            if state.held && !fitted.on_trial {
                state.next = Some(fitted);
                return self.succeed(key);
            }
            return self.stands(key, None);
        }
        state.restart_at = None;
        state.next = Some(fitted);
        if state.running.is_none() {
            return self.succeed(key);
        }
        state.stop_at = Some(deadline);
        state.order(Order::Drain(Reason::Shutdown(Some("another version takes its place".to_owned()))));
    }

    fn retire(&mut self, key: &StageKey) {
        let deadline = Instant::now() + self.drain_timeout;
        let Some(state) = self.stage_mut(key) else { return };
        state.next = None;
        state.retired = true;
        state.restart_at = None;
        if state.running.is_none() {
            return self.succeed(key);
        }
        state.stop_at = Some(deadline);
        self.drain_retired(key);
    }

    /// Lets a stage end that is not to run any more, once what it consumes has: sources hand out what they have, and
    /// somebody has to take it.
    fn drain_retired(&mut self, key: &StageKey) {
        let Some(pipeline) = self.pipelines.iter().find(|pipeline| pipeline.name == key.pipeline) else { return };
        let Some(state) = pipeline.stages.get(&key.stage).filter(|state| state.retired) else { return };
        let is_there = |source: &StageName| match pipeline.stages.get(source) {
            // It stays, and gives what it has to others.
            _ if pipeline.wanted.contains(source) => false,
            Some(state) if !state.is_global() => state.running.is_some(),
            // Of any node.
            _ => self.registry.lookup(&pipeline.key(source)).is_some(),
        };
        if !state.settings.subscribe.iter().any(|subscription| is_there(&subscription.to)) {
            state.order(Order::Drain(Reason::Shutdown(Some("it is not to run any more".to_owned()))));
        }
    }

    /// A stage has ended, here or elsewhere: what waited for that goes on to its end.
    pub(in crate::node) fn drain_behind(&mut self, key: &StageKey) {
        let Some(pipeline) = self.pipelines.iter().find(|pipeline| pipeline.name == key.pipeline) else { return };
        let behind = pipeline.consumers_of(&key.stage).filter(|state| state.retired && state.running.is_some());
        let behind: Vec<_> = behind.map(|state| pipeline.key(&state.settings.name)).collect();
        behind.iter().for_each(|key| self.drain_retired(key));
    }

    /// Whether a stage that has ended is another's place now, or was on trial: then nothing else is to be done.
    pub(in crate::node) fn after_refit(&mut self, key: &StageKey, exit: &Exit) -> bool {
        let Some(state) = self.stage_mut(key) else { return true };
        let stage = key.stage.clone();
        if state.next.is_some() || state.retired {
            let reason = match exit {
                Exit::Ordered(reason) | Exit::Cancelled(reason) => reason.to_string(),
                Exit::Failed(why) => why.clone(),
            };
            self.report(NodeEvent::Stopped { stage, reason });
            self.succeed(key);
            return true;
        }
        match exit {
            Exit::Failed(why) if state.is_on_trial() => {
                state.held = true;
                let why = why.clone();
                self.stands(key, Some(why.clone()));
                // The name stays ours, and nothing is started under it before the group has decided.
                self.placement.bar(key, Duration::MAX);
                self.report(NodeEvent::Stopped { stage, reason: format!("a new version failed: {why}") });
                true
            }
            _ => false,
        }
    }

    /// Has what comes next take the place of a stage that does not run, or nothing.
    fn succeed(&mut self, key: &StageKey) {
        self.placement.bar(key, Duration::ZERO);
        let Some(state) = self.stage_mut(key) else { return };
        let (was_global, epoch) = (state.is_global(), state.epoch);
        let Some(next) = state.next.take() else { return self.remove(key, was_global, epoch) };
        state.become_next(next);
        let is_global = state.is_global();
        self.stands(key, None);
        if was_global && !is_global {
            self.placement.remove(key);
            self.begin_release(key, epoch, "every node has its own from now on");
        }
        self.stages_changed();
        let now = self.now();
        match (is_global, was_global) {
            (false, _) => self.start_stage(key, Epoch { lamport: epoch.lamport + 1, ..epoch }),
            (true, false) => {
                self.placement.add(now, key.clone());
                self.review(key);
            }
            // Ours already: at once, for its consumers wait.
            (true, true) if self.own_epoch(key).is_some() && self.may_claim() => self.begin_claim(key),
            (true, true) => self.put_off(key),
        }
        self.drain_next();
    }

    fn remove(&mut self, key: &StageKey, was_global: bool, epoch: Epoch) {
        if was_global {
            self.placement.remove(key);
            if self.own_epoch(key) == Some(epoch) {
                self.begin_release(key, epoch, "it is not to run any more");
            }
        }
        self.tell_consumers(key, None);
        if let Some(pipeline) = self.pipelines.iter_mut().find(|pipeline| pipeline.name == key.pipeline) {
            pipeline.stages.remove(&key.stage);
            pipeline.put_in_order();
        }
        self.pipelines.retain(|pipeline| pipeline.in_order().next().is_some());
        self.standings.remove(key);
        self.drain_behind(key);
        self.stages_changed();
        self.drain_next();
    }

    /// Says how a stage stands.
    pub(in crate::node) fn stands(&mut self, key: &StageKey, failed: Option<String>) {
        let standings = Arc::clone(&self.standings);
        let Some(state) = self.stage_mut(key) else { return };
        let (revision, is_global, former) = (state.revision, state.is_global(), state.former);
        let (vitals, runs) = (Arc::clone(&state.vitals), state.running.is_some());
        standings.set(key, Standing { revision, is_global, vitals, runs, former, failed });
    }

    /// Tells those who look from outside which stages there are.
    fn stages_changed(&mut self) {
        self.announce();
        self.open_doors();
    }
}
