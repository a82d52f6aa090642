//! What a stage's state machine tells of its guest and of what it was told in vain, for the log and the counters.

use forebay_proto::stage::Notice;

use super::{Count, NodeEvent, StageTask};

impl StageTask {
    /// The guest was lost, or another has taken its place.
    pub(super) fn of_guest(&mut self, notice: Notice) {
        let stage = self.spec.settings.name.clone();
        match notice {
            Notice::Trapped { why } => {
                self.spec.counters.one(Count::TrappedCalls);
                self.count(format!("its plugin did not survive a call; the events are tried again: {why}"));
            }
            Notice::LostInRequest { why } => {
                self.spec.counters.one(Count::TrappedCalls);
                self.count(format!(
                    "its plugin did not survive a request, and another instance takes its place: {why}"
                ));
            }
            Notice::NoSnapshot { why } => {
                self.spec.counters.one(Count::MissedSnapshots);
                self.count(format!("its state is not put on record: {why}"));
            }
            Notice::Recycled { before_bytes, after_bytes } => {
                self.spec.counters.one(Count::RecycledInstances);
                self.report(NodeEvent::Recycled { stage, before_bytes, after_bytes });
            }
            Notice::Resized { instances } => self.report(NodeEvent::Resized { stage, instances }),
            Notice::NotRecycled { why } => {
                self.spec.counters.one(Count::FailedRecyclings);
                self.count(format!("it takes much memory, and no fresh instance can take its place: {why}"));
            }
            _ => {}
        }
    }

    /// Somebody told the stage to do what it cannot do.
    pub(super) fn in_vain(&mut self, notice: Notice) {
        match notice {
            Notice::AskCut { source, asked, granted } => {
                self.count(format!("its plugin asked `{source}` for {asked} events, max_demand allows {granted}"));
            }
            Notice::AskRefused { source, why } => self.count(format!("its plugin cannot ask `{source}`: {why}")),
            Notice::NotAConsumer { source } => self.count(format!("a producer cannot subscribe to `{source}`")),
            Notice::NotAProducer => self.count("a consumer has no demand mode".to_owned()),
            Notice::NothingToSuspend => self.count("a producer consumes nothing that could be suspended".to_owned()),
            _ => {}
        }
    }
}
