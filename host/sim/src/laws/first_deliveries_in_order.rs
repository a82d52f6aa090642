//! On one subscription, events that are delivered for the first time come in the order of their
//! numbers: when sent, when received and when the guest gets them.
//!
//! Source: DESIGN 7 "per subscription, events arrive in seq order except redeliveries"; SEMANTICS I12.

use std::collections::BTreeMap;

use super::Violation;
use crate::{
    facts::{Seq, What},
    oracle::Run,
};

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut last: BTreeMap<_, Seq> = BTreeMap::new();
    for fact in &run.facts {
        let (stream, events, at) = match &fact.what {
            What::EventsSent { stream, events } => (*stream, events, "sent"),
            What::EventsTaken { stream, events } => (*stream, events, "received"),
            What::Called { stream, events, .. } => (*stream, events, "handed to the guest"),
            _ => continue,
        };
        if events.attempt > 1 {
            continue;
        }
        for seq in events.seqs() {
            if let Some(before) = last.insert((stream, at), seq).filter(|before| *before >= seq) {
                let what = format!("event {} of {stream} is {at} after {}", seq.0, before.0);
                return Err(Violation::at(fact, what));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use super::*;

    #[test]
    fn first_deliveries_out_of_order_are_found() {
        assert_eq!(check(&subscribed([sent(3, 2, 1), sent(0, 2, 2), sent(5, 1, 1)])), Ok(()));
        assert!(check(&subscribed([sent(3, 2, 1), sent(0, 2, 1)])).is_err());
        assert!(check(&subscribed([called(3, 2, 1), called(4, 1, 1)])).is_err());
    }
}
