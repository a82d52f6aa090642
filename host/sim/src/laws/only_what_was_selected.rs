//! A consumer is never sent an event whose topic it did not select.
//!
//! Source: DESIGN 7, topics; GenStage's selectors.

use super::Violation;
use crate::{
    facts::What,
    oracle::{Run, Subscriptions},
};

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut subscriptions = Subscriptions::default();
    for fact in &run.facts {
        subscriptions.learn(fact);
        let What::EventsSent { stream, events } = &fact.what else { continue };
        let Some(subscription) = subscriptions.get(*stream) else { continue };
        let wish = run.workload.routing.wish(subscription.consumer.stage, subscription.source);
        if let Some((seq, _)) = events.seqs().zip(&events.payloads).find(|(_, payload)| !wish.selects(payload)) {
            let what = format!("event {} is sent on {stream}, which does not want it: {wish:?}", seq.0);
            return Err(Violation::at(fact, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use super::*;

    #[test]
    fn an_event_that_was_not_selected_is_found() {
        // Payloads are digits: "0" has the first topic, "1" the second.
        let mut run = subscribed([sent(0, 1, 1)]);
        run.workload.routing.want(SINK, SOURCE, [0]);
        assert_eq!(check(&run), Ok(()));
        run.workload.routing.want(SINK, SOURCE, [1, 2]);
        assert!(check(&run).is_err());
    }
}
