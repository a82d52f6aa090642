//! At the end every serial a source was to give out was processed at least once, or given up on record;
//! none more often than the budget allows. And where the run ended drained: what was emitted in an
//! epoch that ended in good order was processed.
//!
//! Source: SEMANTICS I9, I14. Serials need traces with `FOREBAY_TRACE_SERIALS` and a
//! [`Truth`](crate::Truth).

use std::collections::HashMap;

use forebay_trace::{Event, Run, Text};

use super::{Fact, Found, Law, World};
use crate::{
    ranges::Ranges,
    world::{Lineage, guest},
};

#[derive(Default)]
struct Emitted {
    all: Ranges,
    discarded: u64,
    stop: Option<Fact>,
}

#[derive(Default)]
struct NothingIsLost {
    /// Serials processed, by source; and how many came again.
    serials: HashMap<Text, Ranges>,
    repeated: HashMap<Text, u64>,
    takeovers: HashMap<Text, u64>,
    emitted: HashMap<Lineage, Emitted>,
    done: HashMap<Lineage, Ranges>,
    last: Option<Fact>,
}

pub(super) fn new() -> impl Law {
    NothingIsLost::default()
}

impl Law for NothingIsLost {
    fn see(&mut self, fact: &Fact, world: &World, found: &mut Found) {
        let _ = found;
        match &fact.event {
            Event::ClaimGranted { stage, .. } => *self.takeovers.entry(stage.clone()).or_default() += 1,
            Event::Emit { stage, epoch, first, count, .. } => {
                let emitted = self.emitted.entry(world.lineage(fact, stage, *epoch)).or_default();
                emitted.all.insert(Run { first: *first, count: *count });
            }
            Event::Discarded { stage, epoch, count } => {
                self.emitted.entry(world.lineage(fact, stage, *epoch)).or_default().discarded += count;
            }
            Event::InstStop { reason, .. } if !reason.starts_with("failed") => {
                let Some(guest) = guest(fact) else { return };
                let lineage = world.lineage(fact, &guest.stage, guest.epoch);
                if let Some(emitted) = self.emitted.get_mut(&lineage) {
                    emitted.stop = Some(fact.clone());
                }
            }
            Event::Handled { source, epoch, runs, serials, .. } => {
                self.processed(world.lineage(fact, source, *epoch), runs, serials);
            }
            Event::Dead { stage, epoch, runs, serials, .. } => {
                self.processed(world.lineage(fact, stage, *epoch), runs, serials);
            }
            _ => return,
        }
        self.last = Some(fact.clone());
    }

    fn end(&mut self, world: &World, found: &mut Found) {
        self.judge_truths(world, found);
        if world.options.drained {
            self.judge_emitted(found);
        }
    }
}

impl NothingIsLost {
    fn processed(&mut self, lineage: Lineage, runs: &[Run], serials: &[Run]) {
        let known = self.serials.entry(lineage.stage.clone()).or_default();
        let mut repeated = 0;
        for run in serials {
            repeated += run.count - known.missing_count(*run);
            known.insert(*run);
        }
        *self.repeated.entry(lineage.stage.clone()).or_default() += repeated;
        let done = self.done.entry(lineage).or_default();
        runs.iter().for_each(|run| {
            done.insert(*run);
        });
    }

    fn judge_truths(&self, world: &World, found: &mut Found) {
        let none = Ranges::default();
        for truth in &world.options.truths {
            let processed = self.serials.get(&truth.source).unwrap_or(&none);
            if let Some(serial) = processed.missing(truth.serials) {
                let (source, lost) = (&truth.source, processed.missing_count(truth.serials));
                let what = format!("{lost} serials of {source} were never processed, {serial} is the first");
                found.broken(what, &self.last);
            }
            let Some(budget) = world.options.repeats_max else { continue };
            let repeated = self.repeated.get(&truth.source).copied().unwrap_or_default();
            let takeovers = self.takeovers.get(&truth.source).copied().unwrap_or_default().saturating_sub(1);
            if repeated > budget.saturating_mul(takeovers) {
                let what = format!("{repeated} serials of {} came again in {takeovers} takeovers", truth.source);
                found.broken(what, &self.last);
            }
        }
    }

    fn judge_emitted(&self, found: &mut Found) {
        let none = Ranges::default();
        for (lineage, Emitted { all, discarded, stop }) in &self.emitted {
            let Some(stop) = stop else { continue };
            let done = self.done.get(lineage).unwrap_or(&none);
            let lost: u64 = all.runs().map(|run| done.missing_count(run)).sum();
            if lost > *discarded {
                let first = all.runs().find_map(|run| done.missing(run)).unwrap_or_default();
                let Lineage { stage, epoch, .. } = lineage;
                let what =
                    format!("{lost} events of {stage} in epoch {epoch} were never processed, {first} is the first");
                found.broken(what, [stop]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use crate::Truth;
    use forebay_trace::Run;

    fn truth(first: u64, count: u64) -> Vec<Truth> {
        vec![Truth { source: SOURCE.into(), serials: Run { first, count } }]
    }

    #[test]
    fn a_serial_that_was_never_processed_is_found() {
        let story = || [granted("a", 1), handled_at("b", 1, 0, 5), granted("c", 2), handled_at("b", 2, 4, 6)];
        holds!(story(), truths: truth(1000, 10));
        breaks!(story(), "1 serials of p/source were never processed, 1010", truths: truth(1000, 11));
    }

    #[test]
    fn more_repetitions_than_the_budget_are_found() {
        let story = || [granted("a", 1), handled_at("b", 1, 0, 5), granted("c", 2), handled_at("b", 2, 3, 6)];
        holds!(story(), truths: truth(1000, 9), repeats_max: Some(2));
        breaks!(story(), "2 serials", truths: truth(1000, 9), repeats_max: Some(1));
    }

    #[test]
    fn an_event_of_a_drained_epoch_that_was_not_processed_is_found() {
        let story = || vec![granted("a", 1), emitted("a", 1, 0, 5), handled_at("b", 1, 0, 4), stopped("a", 1)];
        breaks!(story(), "1 events of p/source", drained: true);
        holds!(story());
        holds!(story().into_iter().take(3), drained: true);
        holds!([handled_at("b", 1, 4, 1)].into_iter().chain(story()), drained: false);
        let whole = [granted("a", 1), emitted("a", 1, 0, 5), handled_at("b", 1, 0, 5), stopped("a", 1)];
        holds!(whole, drained: true);
    }
}
