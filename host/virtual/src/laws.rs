//! Laws on what consumers saw, beside those that the checker of traces knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use forebay::node::NodeEvent;
use forebay_proto::ids::{Epoch, Seq, StageName};

use crate::{
    story::{Fact, Handled, Instance, What},
    workload::maker_of,
};

/// A law that was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Its name.
    pub law: &'static str,
    /// By whom, and how one sees it.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.what)
    }
}

pub(crate) fn check(facts: &[Fact]) -> Vec<Violation> {
    let handled: Vec<_> = facts.iter().filter_map(as_handled).collect();
    let broken = [
        ("one_maker_per_epoch", one_maker_per_epoch(&handled)),
        ("one_content_per_number", one_content_per_number(&handled)),
        ("first_deliveries_once", first_deliveries_once(&handled)),
        ("first_deliveries_in_order", first_deliveries_in_order(&handled)),
        ("no_bug_of_the_host", no_bug_of_the_host(facts)),
    ];
    broken.into_iter().filter_map(|(law, what)| what.map(|what| Violation { law, what })).collect()
}

fn as_handled(fact: &Fact) -> Option<(&Fact, &Instance, &Handled)> {
    match &fact.what {
        What::Handled { instance, handled } => Some((fact, instance, handled)),
        _ => None,
    }
}

type Seen<'a> = (&'a Fact, &'a Instance, &'a Handled);

/// All events of one epoch of a stage are of one instance (I1).
fn one_maker_per_epoch(handled: &[Seen<'_>]) -> Option<String> {
    let mut makers: BTreeMap<(&StageName, Epoch), &str> = BTreeMap::new();
    handled.iter().find_map(|(fact, _, event)| {
        let maker = maker_of(&event.content);
        let first = *makers.entry((&event.source, event.epoch)).or_insert(maker);
        (first != maker).then(|| format!("{fact}; others of that epoch are of {first}"))
    })
}

/// One number of one epoch is one event for ever.
fn one_content_per_number(handled: &[Seen<'_>]) -> Option<String> {
    let mut contents: BTreeMap<(&StageName, Epoch, Seq), &str> = BTreeMap::new();
    handled.iter().find_map(|(fact, _, event)| {
        let first = *contents.entry((&event.source, event.epoch, event.seq)).or_insert(&event.content);
        (first != event.content).then(|| format!("{fact}; it was `{first}` before"))
    })
}

/// What is not marked as a repetition is none (I13).
fn first_deliveries_once(handled: &[Seen<'_>]) -> Option<String> {
    let mut seen = BTreeSet::new();
    let firsts = handled.iter().filter(|(.., event)| event.attempt <= 1);
    firsts
        .filter(|(.., event)| !seen.insert((&event.source, event.epoch, event.seq)))
        .map(|(fact, ..)| format!("{fact}; it had been handled before, and that is not said"))
        .next()
}

/// First deliveries to one instance rise within an epoch (I12).
fn first_deliveries_in_order(handled: &[Seen<'_>]) -> Option<String> {
    let mut last: BTreeMap<(&Instance, &StageName, Epoch), Seq> = BTreeMap::new();
    let firsts = handled.iter().filter(|(.., event)| event.attempt <= 1);
    firsts
        .filter_map(|(fact, instance, event)| {
            let before = last.insert((instance, &event.source, event.epoch), event.seq)?;
            (before >= event.seq).then(|| format!("{fact}; number {} came before it", before.0))
        })
        .next()
}

/// No task of a node panicked.
fn no_bug_of_the_host(facts: &[Fact]) -> Option<String> {
    let is_bug = |event: &NodeEvent| match event {
        NodeEvent::Restarting { reason, .. } | NodeEvent::GaveUp { reason, .. } | NodeEvent::Stopped { reason, .. } => {
            reason.contains("a bug of the host")
        }
        _ => false,
    };
    facts.iter().find(|fact| matches!(&fact.what, What::Event { event, .. } if is_bug(event))).map(Fact::to_string)
}
