//! In any time as long as `per` a stage with a rate limit handles at most `events` and the burst: a tenth of them, or one
//! whole batch.
//!
//! Events that a guest is given again are not counted here: they do not wait, and others wait the longer.
//! Source: Broadway's `rate_limiting`; `forebay_proto::rate`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::Violation;
use crate::{
    facts::{Instance, InstanceNo, Seq, StreamNo, What},
    oracle::Run,
};

#[derive(Default)]
struct Handled {
    given: BTreeSet<(StreamNo, Seq)>,
    /// When, and how many.
    events: Vec<(Duration, u64)>,
}

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut all: BTreeMap<InstanceNo, Handled> = BTreeMap::new();
    for fact in &run.facts {
        let who: &Instance = match &fact.what {
            What::Called { consumer: who, .. } | What::Emitted { producer: who, .. } => who,
            _ => continue,
        };
        let plan = run.workload.stage(who.stage);
        let Some(limit) = plan.flow.rate else { continue };
        let handled = all.entry(who.no).or_default();
        let count = match &fact.what {
            What::Called { stream, events, .. } => {
                events.seqs().filter(|seq| handled.given.insert((*stream, *seq))).count()
            }
            What::Emitted { payloads, .. } if plan.upstreams.is_empty() => payloads.len(),
            _ => 0,
        };
        handled.events.push((fact.at, count as u64));
        let burst = limit.burst(plan.flow.batch.as_ref().map_or(0, |batch| batch.size));
        let most = u64::from(limit.events) + u64::from(burst);
        let within = handled.events.iter().rev().take_while(|(at, _)| *at + limit.per > fact.at);
        let sum: u64 = within.map(|(_, count)| count).sum();
        if sum > most {
            let what = format!("{who} handles {sum} events in {:?}; {most} are allowed with the burst", limit.per);
            return Err(Violation::at(fact, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use forebay_proto::rate::RateLimit;

    use super::super::made_up::*;
    use super::*;

    fn limited(whats: impl IntoIterator<Item = What>) -> Run {
        let mut run = subscribed(whats);
        for stage in &mut run.workload.stages {
            stage.flow.rate = Some(RateLimit { events: 4, per: Duration::from_millis(3) });
        }
        run
    }

    #[test]
    fn more_events_than_allowed_in_a_time_are_found() {
        assert_eq!(check(&limited([called(0, 3, 1), called(3, 4, 1)])), Ok(()), "four, one at once, two while late");
        assert!(check(&limited([called(0, 3, 1), called(3, 5, 1)])).is_err());
        assert_eq!(check(&limited([called(0, 3, 1), called(0, 3, 1)])), Ok(()), "the same again");
        let pause = || What::Calm;
        assert_eq!(check(&limited([called(0, 3, 1), pause(), pause(), called(3, 5, 1)])), Ok(()));
        assert!(check(&limited([emitted(5), emitted(3)])).is_err());
    }
}
