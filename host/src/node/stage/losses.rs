//! Events that a stage loses or does without, counted one by one and told together.

use std::time::Duration;

use forebay_proto::{
    ids::StageName,
    select::InstanceId,
    stage::{Notice, Rejected},
    tally::Tally,
};
use tokio::time::Instant;

use super::{Count, StageTask};

/// What was lost lately, by what it is told as.
#[derive(Debug, Default)]
pub(super) struct Losses {
    tally: Tally<Loss>,
    /// Of the first that belonged to no partition, of those that are not told yet.
    unroutable: Option<String>,
}

/// Why events are lost. What is told in one line is one kind.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Loss {
    Dropped,
    Discarded,
    GivenUp(StageName, Option<InstanceId>),
    Unroutable,
    Unwanted,
}

impl Losses {
    /// When something is to be told; times of the tally count from `started`.
    pub(super) fn due_at(&self, started: Instant) -> Option<Instant> {
        self.tally.timeout().map(|at| started + at)
    }
}

impl StageTask {
    pub(super) fn lost(&mut self, notice: Notice) {
        let (kind, count, what) = match notice {
            Notice::Dropped { count, .. } => (Loss::Dropped, count, Count::DroppedEvents),
            Notice::Discarded { count } => (Loss::Discarded, count, Count::DiscardedEvents),
            Notice::GivenUp { consumer, instance, count } => {
                (Loss::GivenUp(consumer, instance), count, Count::GivenUpEvents)
            }
            Notice::Unroutable { count, found } => {
                self.losses.unroutable.get_or_insert(found);
                (Loss::Unroutable, count, Count::UnroutableEvents)
            }
            Notice::Unwanted { count } => (Loss::Unwanted, count, Count::UnwantedEvents),
            _ => return,
        };
        self.spec.counters.many(what, count);
        let now = self.started.elapsed();
        if let Some(count) = self.losses.tally.add(now, kind.clone(), count) {
            self.tell_loss(&kind, count, None);
        }
    }

    pub(super) fn rejected(&mut self, rejected: Vec<Rejected>) {
        self.spec.counters.many(Count::RejectedEvents, rejected.len() as u64);
        for Rejected { index, reason, .. } in rejected {
            self.count(format!("event {index} of a batch was rejected: {reason}"));
        }
    }

    /// Tells what was lost since it was told last.
    pub(super) fn tell_losses(&mut self) {
        let now = self.started.elapsed();
        for (kind, count) in self.losses.tally.due(now) {
            self.tell_loss(&kind, count, Some(forebay_proto::tally::TOLD_EVERY));
        }
    }

    /// At its end.
    pub(super) fn tell_rest(&mut self) {
        for (kind, count) in self.losses.tally.rest() {
            self.tell_loss(&kind, count, Some(forebay_proto::tally::TOLD_EVERY));
        }
    }

    /// `within`: how many came together; `None`: as they came.
    fn tell_loss(&mut self, kind: &Loss, count: u64, within: Option<Duration>) {
        let within = within.map(|within| format!(" within {}", humantime::format_duration(within))).unwrap_or_default();
        let told = match kind {
            Loss::Dropped => format!("it could not keep up, {count} events dropped{within}"),
            Loss::Discarded => format!("buffer full, {count} events discarded{within}"),
            Loss::GivenUp(consumer, instance) => {
                let on = instance.as_ref().map(|instance| format!(" on {instance}")).unwrap_or_default();
                format!("`{consumer}`{on} was lost, {count} events kept for it are discarded{within}")
            }
            Loss::Unroutable => {
                let found = self.losses.unroutable.take().unwrap_or_default();
                format!("{count} events belong to no partition{within}; of the first: {found}")
            }
            // As its consumers have it: nothing is amiss.
            Loss::Unwanted => {
                let stage = &self.spec.settings.name;
                return tracing::debug!(%stage, count, "events that nobody selects");
            }
        };
        self.count(told);
    }
}
