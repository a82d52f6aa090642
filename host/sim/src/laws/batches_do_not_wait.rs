//! No event of a stage that gathers waits for others longer than its timeout, unless the guest is busy.
//!
//! Judged where nothing but the guest's calls takes time: in runs without faults, for consumers without a rate limit. What
//! the guest does besides events (ticks, snapshots, being replaced) is not in the log; up to three such calls come
//! between two with events.
//! Source: Broadway's `:batch_timeout`.

use std::{collections::BTreeMap, time::Duration};

use forebay_proto::stage::Role;

use super::Violation;
use crate::{
    facts::{InstanceNo, Seq, StreamNo, What},
    oracle::Run,
};

#[derive(Default)]
struct Calls {
    /// From, and up to.
    past: Vec<(Duration, Duration)>,
    since: Option<Duration>,
}

impl Calls {
    /// How long the guest had no call with events between these times, and how many it had.
    fn idle(&self, from: Duration, upto: Duration) -> (Duration, u32) {
        let within = self.past.iter().rev().take_while(|(_, end)| *end > from);
        let (busy, count) = within.fold((Duration::ZERO, 0), |(busy, count), (start, end)| {
            (busy + (*end).min(upto).saturating_sub((*start).max(from)), count + 1)
        });
        (upto.saturating_sub(from).saturating_sub(busy), count)
    }
}

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    if !run.workload.is_faultless {
        return Ok(());
    }
    let mut taken: BTreeMap<(StreamNo, Seq), Duration> = BTreeMap::new();
    let mut calls: BTreeMap<InstanceNo, Calls> = BTreeMap::new();
    for fact in &run.facts {
        match &fact.what {
            What::EventsTaken { stream, events } => {
                taken.extend(events.seqs().map(|seq| ((*stream, seq), fact.at)));
            }
            What::Processed { consumer, .. } => {
                let calls = calls.entry(consumer.no).or_default();
                if let Some(since) = calls.since.take() {
                    calls.past.push((since, fact.at));
                }
            }
            What::Called { consumer, stream, events, .. } => {
                let calls = calls.entry(consumer.no).or_default();
                calls.since = Some(fact.at);
                let plan = run.workload.stage(consumer.stage);
                let (Some(batch), None, Role::Consumer) = (&plan.flow.batch, plan.flow.rate, plan.role) else {
                    continue;
                };
                let came = events.seqs().filter_map(|seq| taken.get(&(*stream, seq))).min();
                let Some(due) = came.map(|came| *came + batch.timeout) else { continue };
                let (idle, count) = calls.idle(due, fact.at);
                let allowed = 3 * (count + 2) * Duration::from_micros(plan.manners.slow_us);
                if idle > allowed {
                    let what = format!("{consumer} is idle for {idle:?} while events of {stream} are overdue");
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
    use forebay_proto::consumer::Gathering;

    use super::super::made_up::*;
    use super::*;

    /// The call comes so many milliseconds after the events, which may wait for 2.
    fn called_after(wait: u64, between: Vec<What>) -> Result<(), Violation> {
        let taken = What::EventsTaken { stream: STREAM, events: events(0, 1, 1) };
        let mut run = subscribed([taken].into_iter().chain(between).chain([called(0, 1, 1)]));
        let last = run.facts.len() - 1;
        run.facts[last].at = run.facts[2].at + Duration::from_millis(wait);
        run.workload.stages[1].flow.batch = Some(Gathering { size: 9, timeout: Duration::from_millis(2), by: None });
        run.workload.is_faultless = true;
        check(&run)
    }

    #[test]
    fn an_event_that_waits_while_the_guest_is_idle_is_found() {
        assert_eq!(called_after(2, vec![]), Ok(()));
        assert_eq!(called_after(8, vec![]), Ok(()), "six other calls of a millisecond each may come between");
        assert!(called_after(9, vec![]).is_err());
    }

    #[test]
    fn a_guest_that_is_busy_is_waited_for() {
        let busy = || {
            let mut between = vec![called(5, 1, 1)];
            between.extend(std::iter::repeat_with(|| What::Calm).take(20));
            between.push(processed(5, 1));
            between
        };
        assert_eq!(called_after(25, busy()), Ok(()));
        assert!(called_after(60, busy()).is_err());
    }
}
