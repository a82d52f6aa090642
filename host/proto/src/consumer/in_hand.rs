//! Events between their arrival and their acknowledgement.

use std::collections::VecDeque;

use super::Consumer;
use crate::{
    ids::{Epoch, Seq, StageName, SubId},
    message::{SeqRun, push_run},
};

/// Events that were handed to the guest, until they are acknowledged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct InHand {
    pub(crate) sub: SubId,
    pub(crate) source: StageName,
    pub(crate) epoch: Epoch,
    pub(crate) runs: Vec<SeqRun>,
}

impl InHand {
    pub(super) fn count(&self) -> u32 {
        self.runs.iter().map(|run| run.count).sum()
    }

    /// The events at these places, in rising order, and the others.
    pub(crate) fn split(self, indexes: &[u32]) -> (Self, Self) {
        let (mut chosen, mut others) = (Vec::new(), Vec::new());
        let mut indexes = indexes.iter().copied().peekable();
        let mut at = 0;
        for run in &self.runs {
            for seq in run.first.0..run.end().0 {
                let side = if indexes.next_if_eq(&at).is_some() { &mut chosen } else { &mut others };
                push_number(side, Seq(seq));
                at += 1;
            }
        }
        (Self { runs: chosen, ..self.clone() }, Self { runs: others, ..self })
    }
}

impl Consumer {
    /// These are done with, and acknowledged later. Says whether their producer gives no more before.
    pub(crate) fn hold(&mut self, done: &InHand) -> bool {
        let Some(subscription) = self.subs.get_mut(&done.sub) else { return false };
        subscription.held_back += done.count();
        subscription.pending.saturating_sub(subscription.held_back) <= subscription.demand.min()
    }

    /// These are not held back any more.
    pub(crate) fn release(&mut self, done: &InHand) {
        if let Some(subscription) = self.subs.get_mut(&done.sub) {
            subscription.held_back = subscription.held_back.saturating_sub(done.count());
        }
    }
}

/// Adds a number, to the last run where it follows it.
pub(crate) fn push_number(runs: &mut Vec<SeqRun>, seq: Seq) {
    push_run(runs, SeqRun { first: seq, count: 1 });
}

/// What was processed of a source lately: it is told again after a lost subscription, since the last
/// acknowledgements may be lost with it.
#[derive(Debug)]
pub(super) struct Recent {
    pub(super) epoch: Epoch,
    pub(super) runs: VecDeque<SeqRun>,
    pub(super) events: u64,
}

impl Recent {
    /// What an acknowledgement can be under way for is bounded by what was granted.
    pub(super) fn add(&mut self, runs: &[SeqRun], events_max: u64) {
        self.runs.extend(runs);
        self.events += runs.iter().map(|run| u64::from(run.count)).sum::<u64>();
        while self.events > events_max && self.runs.len() > 1 {
            self.events -= self.runs.pop_front().map_or(0, |run| u64::from(run.count));
        }
    }
}
