//! A message of an old epoch changes nothing: at a producer all stays as it was, and no guest ever
//! sees its events.
//!
//! Source: DESIGN 6 "a message of an older epoch is refused by whoever sees it"; SEMANTICS 2.4 and
//! 2.9, where matching acknowledgements without the epoch loses events.

use super::Violation;
use crate::{
    facts::{Side, What},
    node::FORGED,
    oracle::{Run, Subscriptions},
};

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut subscriptions = Subscriptions::default();
    for fact in &run.facts {
        subscriptions.learn(fact);
        match &fact.what {
            What::Forged { stream, to: Side::Producer, before, after, .. } if before != after => {
                let what = format!("a message of an old epoch on {stream} turns {before:?} into {after:?}");
                return Err(Violation::at(fact, what));
            }
            What::Called { consumer, stream, epoch, events, .. } => {
                let other = subscriptions.get(*stream).is_none_or(|subscription| subscription.epoch != *epoch);
                if other || events.payloads.iter().any(|payload| payload == FORGED) {
                    let what = format!("{consumer}: guest gets events of another epoch than that of {stream}");
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
    use crate::facts::Visible;

    fn forged(unacked: usize) -> What {
        let visible = |unacked| Visible { unacked, buffered: 0, queued: 0 };
        let (before, after) = (visible(3), visible(unacked));
        What::Forged { stream: STREAM, to: Side::Producer, epoch: epoch(1), before, after }
    }

    #[test]
    fn an_old_ack_that_counts_is_found() {
        assert_eq!(check(&subscribed([forged(3)])), Ok(()));
        assert!(check(&subscribed([forged(2)])).is_err());
    }

    #[test]
    fn events_of_an_old_epoch_in_a_guest_are_found() {
        let mut call = called(0, 1, 1);
        assert_eq!(check(&subscribed([call.clone()])), Ok(()));
        if let What::Called { epoch: of, .. } = &mut call {
            *of = epoch(1);
        }
        assert!(check(&subscribed([call])).is_err());
        let mut call = called(0, 1, 1);
        if let What::Called { events, .. } = &mut call {
            events.payloads = vec![FORGED.to_vec()];
        }
        assert!(check(&subscribed([call])).is_err());
    }
}
