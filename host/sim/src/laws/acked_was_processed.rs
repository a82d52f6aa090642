//! Nothing is acknowledged to its source that was not processed, or kept as a dead letter.
//!
//! Source: DESIGN 7 "a consumer's host acknowledges a batch after the guest has returned";
//! SEMANTICS I5, and 2.9, where acknowledging on receipt loses events.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::{
    facts::{EventId, What, seqs},
    oracle::Run,
};

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut processed = BTreeSet::new();
    // By which subscription an event came last to each guest.
    let mut streams = BTreeMap::new();
    for fact in &run.facts {
        match &fact.what {
            What::Processed { stream, runs, .. } => processed.extend(seqs(runs).map(|seq| (*stream, seq))),
            What::Called { consumer, stream, source, epoch, events, .. } => {
                let event = |seq| EventId { stage: *source, epoch: *epoch, seq };
                streams.extend(events.seqs().map(|seq| ((consumer.no, event(seq)), *stream)));
            }
            What::Lettered { consumer, source, epoch, runs } => {
                for seq in seqs(runs) {
                    let event = EventId { stage: *source, epoch: *epoch, seq };
                    processed.extend(streams.get(&(consumer.no, event)).map(|stream| (*stream, seq)));
                }
            }
            What::AskSent { stream, acked, .. } | What::AskTaken { stream, acked, .. } => {
                if let Some(seq) = seqs(acked).find(|seq| !processed.contains(&(*stream, *seq))) {
                    let what = format!("event {} of {stream} is acknowledged and was not processed", seq.0);
                    return Err(Violation::at(fact, what));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use super::*;

    #[test]
    fn an_ack_before_processing_is_found() {
        assert_eq!(check(&subscribed([processed(0, 2), ask_taken(7, runs(0, 2))])), Ok(()));
        assert!(check(&subscribed([processed(0, 2), ask_taken(7, runs(0, 3))])).is_err());
    }
}
