//! What a stage shows to whoever looks at it: its calls and what came of them.

use std::sync::Arc;

use forebay_proto::{
    batch::Batch,
    ids::Seq,
    stage::{Call, Rejected, Returned},
    taps::{About, Answered, Counts, Entry, Given, Kinds, cut, cut_reasons},
};

use super::{CallError, StageError, StageSpec};
use crate::node::tap::Tap;

/// Counts all events, so that whoever looks knows what was missed; keeps none itself.
#[derive(Debug)]
pub(super) struct Tapping {
    tap: Arc<Tap>,
    counts: Counts,
    /// The call that is out is one that is shown.
    shown: bool,
}

impl StageSpec {
    pub(super) fn about(&self) -> About {
        About {
            role: self.plugin.role(),
            epoch: self.epoch,
            plugin: self.plugin.digest().to_owned(),
            config: self.settings.config.clone(),
            limits: self.settings.limits,
        }
    }
}

impl Tapping {
    pub(super) fn new(tap: Arc<Tap>) -> Self {
        Self { tap, counts: Counts::default(), shown: false }
    }

    /// A call is about to be made.
    pub(super) fn calling(&mut self, call: &Call) {
        self.shown = !matches!(call, Call::HandleCall { .. } | Call::Snapshot | Call::Renew | Call::Recycle);
        let given = match call {
            Call::HandleEvents { events, .. } | Call::HandleIngest { events, .. } => events.len() as u64,
            _ => 0,
        };
        if self.tap.wants(Kinds::GIVEN)
            && let Some(entry) = entry_of(call)
        {
            self.tap.push(self.counts, Entry::Given(entry));
        }
        self.counts = self.counts.and(Counts { given, emitted: 0 });
    }

    /// What came of it; `next` is the number of the first event it emits.
    pub(super) fn returned(&mut self, returned: &Result<Returned, CallError>, next: Seq) {
        if let Ok(Returned::Snapshot(state)) = returned
            && self.tap.wants(Kinds::STATES)
        {
            self.tap.push(self.counts, Entry::State(state.clone()));
        }
        if !std::mem::take(&mut self.shown) {
            return;
        }
        if self.tap.wants(Kinds::ANSWERED) {
            self.tap.push(self.counts, Entry::Answered(answer_of(returned, next)));
        }
        let emitted = returned.as_ref().ok().and_then(outputs).map_or(0, |(events, _)| events.len() as u64);
        self.counts = self.counts.and(Counts { given: 0, emitted });
    }
}

fn entry_of(call: &Call) -> Option<Given> {
    match call {
        Call::HandleDemand { demand } => Some(Given::Demand(*demand)),
        Call::HandleEvents { source, epoch, attempt, runs, events, .. } => {
            let (source, runs, events) = (source.clone(), runs.clone(), events.clone());
            Some(Given::Events { source, epoch: *epoch, attempt: *attempt, runs, events })
        }
        Call::HandleIngest { first, events } => Some(Given::Inbox { first: *first, events: events.clone() }),
        Call::HandleTick => Some(Given::Tick),
        Call::HandleCall { .. } | Call::Snapshot | Call::Renew | Call::Recycle => None,
    }
}

fn outputs(returned: &Returned) -> Option<(&Batch, &[Rejected])> {
    match returned {
        Returned::Processed { events, rejected } => Some((events, rejected)),
        Returned::Produced { events, .. } | Returned::Ingested(events) | Returned::Ticked(events) => {
            Some((events, &[]))
        }
        _ => None,
    }
}

fn answer_of(returned: &Result<Returned, CallError>, first: Seq) -> Answered {
    match returned {
        Ok(Returned::Trapped(why)) => Answered::Lost(cut(why).to_owned()),
        Ok(returned) => {
            let (events, rejected) = outputs(returned)
                .map_or_else(Default::default, |(events, rejected)| (events.clone(), cut_reasons(rejected)));
            Answered::Done { first, events, rejected }
        }
        Err(CallError::Stage(StageError::Retry(why))) => Answered::Retry(cut(why).to_owned()),
        Err(error) => Answered::Lost(cut(&error.to_string()).to_owned()),
    }
}
