//! An event's attempt is one more than how often its owner has sent it before, to those who share it; within a message, one
//! more for each time the guest wanted the call again.
//!
//! So an attempt above 1 stands exactly on redeliveries. Source: DESIGN 7 "with `attempt` raised";
//! SEMANTICS I13.

use std::collections::BTreeMap;

use super::Violation;
use crate::{
    facts::{EventId, Seq, StreamNo, What, seqs},
    oracle::{Run, Subscriptions},
    routing::Group,
};

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut subscriptions = Subscriptions::default();
    let mut sends: BTreeMap<(EventId, Group), u32> = BTreeMap::new();
    // What attempt the next call of an event is.
    let mut calls: BTreeMap<(StreamNo, Seq), u32> = BTreeMap::new();
    for fact in &run.facts {
        subscriptions.learn(fact);
        match &fact.what {
            What::EventsSent { stream, events } => {
                let group = subscriptions.group(&run.workload.routing, *stream);
                for event in events.seqs().filter_map(|seq| subscriptions.event(*stream, seq)) {
                    let sent = sends.entry((event, group)).or_default();
                    *sent += 1;
                    if events.attempt != *sent {
                        let what = format!("{event:?} is sent as attempt {}, it is the {sent}.", events.attempt);
                        return Err(Violation::at(fact, what));
                    }
                }
            }
            What::EventsTaken { stream, events } => {
                calls.extend(events.seqs().map(|seq| ((*stream, seq), events.attempt)));
            }
            What::WantsRetry { stream, runs, .. } => {
                for seq in seqs(runs) {
                    *calls.entry((*stream, seq)).or_default() += 1;
                }
            }
            What::Called { stream, events, .. } => {
                let expected = |seq: &Seq| calls.get(&(*stream, *seq)) == Some(&events.attempt);
                if let Some(seq) = events.seqs().find(|seq| !expected(seq)) {
                    let due = calls.get(&(*stream, seq));
                    let what = format!("event {} of {stream}: attempt {}, due is {due:?}", seq.0, events.attempt);
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
    use forebay_proto::stage::GuestNo;

    use super::super::made_up::*;
    use super::*;

    #[test]
    fn a_redelivery_that_says_it_is_the_first_is_found() {
        assert_eq!(check(&subscribed([sent(0, 2, 1), sent(0, 2, 2)])), Ok(()));
        assert!(check(&subscribed([sent(0, 2, 1), sent(1, 1, 1)])).is_err());
        assert!(check(&subscribed([sent(0, 2, 2)])).is_err());
    }

    #[test]
    fn a_repeated_call_that_says_it_is_the_first_is_found() {
        let taken = || What::EventsTaken { stream: STREAM, events: events(0, 2, 1) };
        let again =
            || What::WantsRetry { consumer: consumer(), guest: GuestNo::FIRST, stream: STREAM, runs: runs(0, 2) };
        assert_eq!(check(&subscribed([taken(), called(0, 2, 1), again(), called(0, 2, 2)])), Ok(()));
        assert!(check(&subscribed([taken(), called(0, 2, 1), again(), called(0, 2, 1)])).is_err());
    }
}
