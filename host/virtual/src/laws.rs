//! Laws on what consumers saw, beside those that the checker of traces knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use forebay::node::NodeEvent;
use forebay_proto::ids::{Epoch, Seq, StageName};
use forebay_trace::Record;

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
    /// What of the trace shows it, if that is where it was seen.
    pub slice: Vec<Record>,
}

impl Violation {
    pub(crate) fn new(law: &'static str, what: String) -> Self {
        Self { law, what, slice: Vec::new() }
    }
}

impl From<forebay_check::Violation> for Violation {
    fn from(violation: forebay_check::Violation) -> Self {
        let forebay_check::Violation { law, what, slice } = violation;
        Self { law, what, slice }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.what)?;
        self.slice.iter().try_for_each(|Record { t_mono, node, boot, event, .. }| {
            write!(f, "\n    {:>9.3}s  {node} {boot} {event:?}", Duration::from_nanos(*t_mono).as_secs_f64())
        })
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
    broken.into_iter().filter_map(|(law, what)| what.map(|what| Violation::new(law, what))).collect()
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

#[cfg(test)]
mod tests {
    use forebay_proto::ids::BootId;

    use super::*;

    /// Events as `(sink, lamport, number, attempt, content)`.
    fn broken(events: &[(u64, u32, u64, u32, &str)]) -> Vec<&'static str> {
        let fact = |&(sink, lamport, seq, attempt, content): &(u64, u32, u64, u32, &str)| {
            let (node, stage) = ("n1".parse().unwrap(), "sink".parse().unwrap());
            let instance = Instance { node, boot: BootId(1), stage, number: sink };
            let epoch = Epoch { lamport, tag: 0 };
            let (source, content) = ("counter".parse().unwrap(), content.to_owned());
            let handled = Handled { source, epoch, seq: Seq(seq), attempt, content };
            Fact { at: Duration::ZERO, what: What::Handled { instance, handled } }
        };
        let facts: Vec<_> = events.iter().map(fact).collect();
        check(&facts).into_iter().map(|violation| violation.law).collect()
    }

    #[test]
    fn what_is_as_it_should_be_breaks_no_law() {
        let takeover = [(1, 1, 0, 1, "x:0"), (2, 1, 1, 1, "x:1"), (1, 1, 1, 2, "x:1"), (1, 2, 0, 1, "y:0")];
        assert_eq!(broken(&takeover), Vec::<&str>::new());
    }

    #[test]
    fn two_makers_in_one_epoch_break_a_law() {
        assert_eq!(broken(&[(1, 1, 0, 1, "x:0"), (1, 1, 1, 1, "y:1")]), ["one_maker_per_epoch"]);
    }

    #[test]
    fn other_content_of_the_same_number_breaks_a_law() {
        assert_eq!(broken(&[(1, 1, 0, 1, "x:0"), (2, 1, 0, 2, "x:7")]), ["one_content_per_number"]);
    }

    #[test]
    fn a_repetition_that_is_not_said_breaks_a_law() {
        assert_eq!(broken(&[(1, 1, 0, 1, "x:0"), (2, 1, 0, 1, "x:0")]), ["first_deliveries_once"]);
    }

    #[test]
    fn first_deliveries_that_fall_break_a_law() {
        assert_eq!(broken(&[(1, 1, 5, 1, "x:5"), (1, 1, 4, 1, "x:4")]), ["first_deliveries_in_order"]);
    }

    #[test]
    fn a_panic_in_a_task_of_a_node_breaks_a_law() {
        let reason = "a bug of the host: task 7 panicked".to_owned();
        let event = NodeEvent::Stopped { stage: "sink".parse().unwrap(), reason };
        let what = What::Event { node: "n1".parse().unwrap(), event };
        let violations = check(&[Fact { at: Duration::ZERO, what }]);
        assert_eq!(violations.len(), 1, "{violations:?}");
    }
}
