//! A producer's guest is never asked for more than its consumers wait for, and never twice for the
//! same, except for what it left open, and then not before the polling interval is over. Of a source that holds events
//! for some consumers while others wait, by topics, partitions or groups, only the first is seen from outside.
//!
//! Source: DESIGN 7 "the guest is never asked for more than is wanted"; GenStage, where demand is
//! handed to `handle_demand` once.

use std::{collections::BTreeMap, time::Duration};

use forebay_proto::stage::Role;

use super::Violation;
use crate::{
    facts::{Fact, Instance, InstanceNo, Side, StreamNo, What},
    oracle::{Run, Subscriptions, is_closed_by},
    routing::Group,
};

#[derive(Default)]
struct Open {
    group: Group,
    granted: u64,
    sent: u64,
}

#[derive(Default)]
struct Producer {
    streams: BTreeMap<StreamNo, Open>,
    /// Asked for, neither emitted nor handed back by wanting to be asked again.
    outstanding: u64,
    answered_at: Option<Duration>,
}

impl Producer {
    /// Where all get an event, those who share it that wait for the fewest.
    fn wanted(&self) -> u64 {
        let mut wanted: BTreeMap<Group, u64> = BTreeMap::new();
        for open in self.streams.values() {
            *wanted.entry(open.group).or_default() += open.granted.saturating_sub(open.sent);
        }
        wanted.into_values().min().unwrap_or_default()
    }

    fn ask(
        &mut self,
        fact: &Fact,
        who: Instance,
        demand: u64,
        poll: Option<Duration>,
        is_held: bool,
    ) -> Result<(), Violation> {
        let (wanted, outstanding) = (self.wanted(), self.outstanding);
        if outstanding + demand <= wanted {
            self.outstanding += demand;
            return Ok(());
        }
        if is_held && demand <= wanted {
            self.outstanding += demand;
            return Ok(());
        }
        let waited = self.answered_at.zip(poll).is_some_and(|(at, poll)| fact.at >= at + poll);
        if waited && demand <= wanted.min(outstanding) {
            return Ok(());
        }
        let what = format!(
            "guest of {who} is asked for {demand}; consumers wait for {wanted}, {outstanding} were asked for already"
        );
        Err(Violation::at(fact, what))
    }
}

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut subscriptions = Subscriptions::default();
    let mut producers: BTreeMap<InstanceNo, Producer> = BTreeMap::new();
    for fact in &run.facts {
        subscriptions.learn(fact);
        let closed = is_closed_by(fact, Side::Producer);
        let closed = closed.and_then(|stream| Some((stream, subscriptions.get(stream)?.producer?)));
        if let Some((stream, producer)) = closed {
            producers.entry(producer.no).or_default().streams.remove(&stream);
        }
        match &fact.what {
            What::Joined { stream, producer } => {
                let group = subscriptions.group(&run.workload.routing, *stream);
                producers.entry(producer.no).or_default().streams.insert(*stream, Open { group, ..Open::default() });
            }
            What::AskTaken { stream, granted, .. } => {
                if let Some(open) = open_of(&mut producers, &subscriptions, *stream) {
                    open.granted = *granted;
                }
            }
            What::EventsSent { stream, events } => {
                if let Some(open) = open_of(&mut producers, &subscriptions, *stream) {
                    open.sent += events.seqs().count() as u64;
                }
            }
            What::Demanded { producer, demand } => {
                let plan = run.workload.stage(producer.stage);
                // Each of several guests has its own interval.
                let poll = if plan.is_pooled() { plan.poll.and(Some(Duration::ZERO)) } else { plan.poll };
                let is_held = run.workload.routing.holds(producer.stage);
                let known = producers.entry(producer.no).or_default();
                known.ask(fact, *producer, u64::from(*demand), poll, is_held)?;
            }
            What::Answered { producer, retry } => {
                let producer = producers.entry(producer.no).or_default();
                match retry {
                    Some(demand) => producer.outstanding = producer.outstanding.saturating_sub(u64::from(*demand)),
                    None => producer.answered_at = Some(fact.at),
                }
            }
            What::Emitted { producer, payloads } if run.workload.stage(producer.stage).role == Role::Producer => {
                let producer = producers.entry(producer.no).or_default();
                producer.outstanding = producer.outstanding.saturating_sub(payloads.len() as u64);
            }
            _ => {}
        }
    }
    Ok(())
}

fn open_of<'a>(
    producers: &'a mut BTreeMap<InstanceNo, Producer>,
    subscriptions: &Subscriptions,
    stream: StreamNo,
) -> Option<&'a mut Open> {
    let producer = subscriptions.get(stream)?.producer?;
    producers.get_mut(&producer.no)?.streams.get_mut(&stream)
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use super::*;

    fn demanded(demand: u32) -> What {
        What::Demanded { producer: producer(), demand }
    }

    fn answered() -> What {
        What::Answered { producer: producer(), retry: None }
    }

    #[test]
    fn asking_for_more_than_is_wanted_is_found() {
        assert_eq!(check(&subscribed([ask_taken(5, vec![]), demanded(5)])), Ok(()));
        assert!(check(&subscribed([ask_taken(5, vec![]), demanded(6)])).is_err());
        let closed = What::Closed { stream: STREAM, side: Side::Producer, why: "" };
        assert!(check(&subscribed([ask_taken(5, vec![]), closed, demanded(5)])).is_err());
    }

    #[test]
    fn asking_twice_for_the_same_is_found_unless_it_was_polled() {
        let facts = [ask_taken(5, vec![]), demanded(5), answered(), demanded(5)];
        assert!(check(&subscribed(facts.clone())).is_err());
        let mut run = subscribed(facts);
        run.facts.last_mut().unwrap().at += Duration::from_secs(1);
        assert_eq!(check(&run), Ok(()));
    }
}
