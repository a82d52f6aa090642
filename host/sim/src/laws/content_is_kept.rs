//! An event keeps its number and its content for as long as its epoch lives: what is sent, received
//! and handed to guests as (stage, epoch, seq) is what the guest emitted as that.
//!
//! Source: DESIGN 7 "a redelivered event keeps its seq"; SEMANTICS I9.

use std::collections::BTreeMap;

use super::Violation;
use crate::{
    facts::{Numbered, What},
    oracle::{Run, Subscriptions},
};

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut subscriptions = Subscriptions::default();
    let mut emitted: BTreeMap<_, Vec<&[u8]>> = BTreeMap::new();
    for fact in &run.facts {
        subscriptions.learn(fact);
        let (stream, events): (_, &Numbered) = match &fact.what {
            What::Emitted { producer, payloads } => {
                let of_epoch = emitted.entry((producer.stage, producer.epoch)).or_default();
                of_epoch.extend(payloads.iter().map(Vec::as_slice));
                continue;
            }
            What::EventsSent { stream, events }
            | What::EventsTaken { stream, events }
            | What::Called { stream, events, .. } => (*stream, events),
            _ => continue,
        };
        let source = subscriptions.get(stream).map(|subscription| (subscription.source, subscription.epoch));
        let known = source.and_then(|source| emitted.get(&source));
        let is_kept = |(seq, payload): (forebay_proto::ids::Seq, &Vec<u8>)| {
            let index = usize::try_from(seq.0).expect("few events");
            known.and_then(|known| known.get(index)) == Some(&payload.as_slice())
        };
        if events.seqs().count() != events.payloads.len() {
            return Err(Violation::at(fact, format!("numbers and events on {stream} differ in count")));
        }
        if !events.seqs().zip(&events.payloads).all(is_kept) {
            return Err(Violation::at(fact, format!("events on {stream} are not those emitted under their numbers")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use super::*;

    #[test]
    fn events_under_wrong_numbers_are_found() {
        assert_eq!(check(&subscribed([emitted(3), sent(1, 2, 1), called(2, 1, 1)])), Ok(()));
        assert!(check(&subscribed([emitted(3), sent(2, 2, 1)])).is_err());
        let mut wrong = events(0, 2, 1);
        wrong.payloads.reverse();
        assert!(check(&subscribed([emitted(3), What::EventsSent { stream: STREAM, events: wrong }])).is_err());
    }
}
