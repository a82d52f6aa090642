//! Nothing is delivered twice without an explanation. An owner sends an event again only after the
//! subscription that had it has ended or gave it back, and never after it was acknowledged there. A consumer's guest
//! gets an event of a subscription again only if it has just wanted that.
//!
//! Source: SEMANTICS 2.6 "duplicates can appear at: ... nowhere else", I13.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::{
    facts::{EventId, Fact, InstanceNo, Numbered, Seq, Side, StreamNo, What, seqs},
    oracle::{Run, Subscriptions, is_closed_by},
    routing::{Group, Routing},
};

#[derive(Default)]
struct Known {
    subscriptions: Subscriptions,
    /// The subscription that has an event now, per producing instance and those who share it.
    holder: BTreeMap<(InstanceNo, EventId, Group), StreamNo>,
    acked: BTreeSet<(StreamNo, Seq)>,
    closed: BTreeSet<StreamNo>,
    returned: BTreeSet<(StreamNo, Seq)>,
    called: BTreeSet<(StreamNo, Seq)>,
}

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut known = Known::default();
    for fact in &run.facts {
        known.subscriptions.learn(fact);
        known.closed.extend(is_closed_by(fact, Side::Producer));
        match &fact.what {
            What::EventsSent { stream, events } => known.send(fact, &run.workload.routing, *stream, events)?,
            What::AskTaken { stream, acked, .. } if !known.closed.contains(stream) => {
                known.acked.extend(seqs(acked).map(|seq| (*stream, seq)));
            }
            // Given back, it is as if the subscription had never had it.
            What::RetryTaken { stream, runs } => {
                known.returned.extend(seqs(runs).map(|seq| (*stream, seq)));
            }
            What::RetrySent { stream, runs } => {
                for seq in seqs(runs) {
                    known.called.remove(&(*stream, seq));
                }
            }
            What::Called { stream, events, .. } => known.call(fact, *stream, events)?,
            What::WantsRetry { stream, runs, .. } => {
                for seq in seqs(runs) {
                    known.called.remove(&(*stream, seq));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

impl Known {
    fn send(&mut self, fact: &Fact, routing: &Routing, stream: StreamNo, events: &Numbered) -> Result<(), Violation> {
        let producer = self.subscriptions.get(stream).and_then(|subscription| subscription.producer);
        let Some(producer) = producer else {
            return Err(Violation::at(fact, format!("events on {stream}, which nobody accepted")));
        };
        let group = self.subscriptions.group(routing, stream);
        for seq in events.seqs() {
            let event = EventId { stage: producer.stage, epoch: producer.epoch, seq };
            let Some(before) = self.holder.insert((producer.no, event, group), stream) else { continue };
            if self.acked.contains(&(before, seq)) {
                return Err(Violation::at(fact, format!("{event:?} is sent on {stream}, {before} acknowledged it")));
            }
            if !self.closed.contains(&before) && !self.returned.remove(&(before, seq)) {
                return Err(Violation::at(fact, format!("{event:?} is sent on {stream}, {before} has it")));
            }
        }
        Ok(())
    }

    fn call(&mut self, fact: &Fact, stream: StreamNo, events: &Numbered) -> Result<(), Violation> {
        for seq in events.seqs() {
            if !self.called.insert((stream, seq)) {
                return Err(Violation::at(fact, format!("event {} of {stream} comes twice to the guest", seq.0)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use forebay_proto::stage::GuestNo;

    use super::super::made_up::*;
    use super::*;

    const SECOND: StreamNo = StreamNo(2);

    fn sent_on_second() -> What {
        What::EventsSent { stream: SECOND, events: events(0, 2, 2) }
    }

    fn twice(between: impl IntoIterator<Item = What>) -> Run {
        let second = subscribed_by(SECOND);
        subscribed(second.into_iter().chain([sent(0, 2, 1)]).chain(between).chain([sent_on_second()]))
    }

    #[test]
    fn an_event_sent_to_two_at_a_time_is_found() {
        assert!(check(&twice([])).is_err());
        let closed = What::Closed { stream: STREAM, side: Side::Producer, why: "" };
        assert_eq!(check(&twice([closed])), Ok(()));
    }

    #[test]
    fn an_event_sent_after_its_acknowledgement_is_found() {
        let closed = What::Closed { stream: STREAM, side: Side::Producer, why: "" };
        assert!(check(&twice([ask_taken(7, runs(0, 2)), closed])).is_err());
    }

    #[test]
    fn an_event_that_comes_twice_to_a_guest_is_found() {
        let again = What::WantsRetry { consumer: consumer(), guest: GuestNo::FIRST, stream: STREAM, runs: runs(0, 2) };
        assert_eq!(check(&subscribed([called(0, 2, 1), again, called(0, 2, 2)])), Ok(()));
        assert!(check(&subscribed([called(0, 2, 1), called(1, 1, 2)])).is_err());
    }
}
