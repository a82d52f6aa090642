//! A guest that asks itself is given no more events than it asked for and gave back to get again.
//!
//! Source: GenStage's `{:manual, state}`.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::{
    facts::{InstanceNo, Seq, StageNo, StreamNo, What, seqs},
    oracle::Run,
};

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut ends: BTreeMap<StreamNo, (InstanceNo, StageNo)> = BTreeMap::new();
    let mut asked: BTreeMap<(InstanceNo, StageNo), i64> = BTreeMap::new();
    // A call may be repeated.
    let mut given = BTreeSet::new();
    let mut last_call: BTreeMap<StreamNo, Vec<Seq>> = BTreeMap::new();
    for fact in &run.facts {
        let (end, change) = match &fact.what {
            What::Subscribed { stream, consumer, source, .. } => {
                let plan = run.workload.stage(consumer.stage);
                // What one with a state forgets comes again, too, and is not in the log.
                if plan.flow.manual.is_some() && plan.checkpoint.is_none() {
                    ends.insert(*stream, (consumer.no, *source));
                }
                continue;
            }
            What::Asked { consumer, source, count } => (Some((consumer.no, *source)), i64::from(*count)),
            What::RetrySent { stream, runs } => {
                let back = seqs(runs).filter(|seq| given.remove(&(*stream, *seq))).count();
                (ends.get(stream).copied(), back as i64)
            }
            // What it did not process comes again, also where nothing can be said on its subscription any more.
            What::Processed { stream, runs, .. } => {
                let done: BTreeSet<_> = seqs(runs).collect();
                let called = last_call.remove(stream).unwrap_or_default();
                let back = called.iter().filter(|seq| !done.contains(seq) && given.remove(&(*stream, **seq))).count();
                (ends.get(stream).copied(), back as i64)
            }
            What::Called { stream, events, .. } => {
                last_call.insert(*stream, events.seqs().collect::<Vec<_>>());
                let new = events.seqs().filter(|seq| given.insert((*stream, *seq))).count();
                (ends.get(stream).copied(), -(new as i64))
            }
            _ => continue,
        };
        let Some(end) = end else { continue };
        let left = asked.entry(end).or_default();
        *left += change;
        if *left < 0 {
            let what = format!("{} is given {} events of {} that its guest did not ask for", end.0, -*left, end.1);
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
    fn events_that_the_guest_did_not_ask_for_are_found() {
        let asked = |count| What::Asked { consumer: consumer(), source: SOURCE, count };
        let given = |first, count| called(first, count, 1);
        let again = || What::RetrySent { stream: STREAM, runs: runs(0, 1) };
        let manual = |whats: Vec<What>| {
            let mut run = subscribed(whats);
            run.workload.stages[1].flow.manual = Some(3);
            check(&run)
        };
        assert_eq!(manual(vec![asked(3), given(0, 3)]), Ok(()));
        assert!(manual(vec![asked(3), given(0, 4)]).is_err());
        assert_eq!(manual(vec![asked(3), given(0, 3), again(), given(0, 1)]), Ok(()));
        let again_at_the_end = vec![asked(3), given(0, 3), processed(0, 2), given(2, 1), given(3, 1)];
        assert!(manual(again_at_the_end).is_err());
        assert_eq!(manual(vec![asked(3), given(0, 3), processed(0, 2), given(3, 1)]), Ok(()));
        assert_eq!(check(&subscribed([given(0, 4)])), Ok(()), "one that asks by itself");
    }
}
