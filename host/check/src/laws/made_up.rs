//! Made-up traces, to see each law find what it is for.

use std::{collections::HashMap, sync::Arc};

use forebay_trace::{Boot, Epoch, Event, Record, Run, Text};

use super::{Found, Law};
use crate::{Fact, options::Options, world::World};

pub(crate) const SOURCE: &str = "p/source";
pub(crate) const SINK: &str = "p/sink";
/// The consumer's own epoch.
const OWN: Epoch = Epoch(100);
const SUB: u64 = 1;

/// What happens, and on which node.
pub(crate) type Said = (&'static str, Event);

/// One thing each millisecond; every node in its only boot.
pub(crate) fn facts(story: impl IntoIterator<Item = Said>) -> Vec<Fact> {
    let mut counts: HashMap<&str, u64> = HashMap::new();
    let fact = |(at, (node, event)): (u64, Said)| {
        let next = counts.entry(node).or_default();
        *next += 1;
        let (t_mono, n) = (at * 1_000_000, *next - 1);
        Arc::new(Record { t_mono, t_wall: 0, node: node.into(), boot: Boot(1), n, event })
    };
    (0..).zip(story).map(fact).collect()
}

/// What a law says of a trace; empty if it holds.
pub(super) fn judge(law: Box<dyn Law>, options: Options, story: impl IntoIterator<Item = Said>) -> Vec<String> {
    judge_facts(law, options, &facts(story))
}

pub(super) fn judge_facts(mut law: Box<dyn Law>, options: Options, facts: &[Fact]) -> Vec<String> {
    let (mut world, mut found) = (World::new(options), Found { law: "this", violations: Vec::new() });
    for fact in facts {
        world.learn(fact);
        law.see(fact, &world, &mut found);
    }
    law.end(&world, &mut found);
    let explained = found.violations.iter().all(|violation| !violation.slice.is_empty());
    assert!(explained, "each violation shows records: {:?}", found.violations);
    found.violations.into_iter().map(|violation| violation.what).collect()
}

/// Asserts that a law holds for one trace.
macro_rules! holds {
    ($story:expr $(, $field:ident: $value:expr)* $(,)?) => {{
        #[allow(clippy::needless_update, reason = "not every test sets an option")]
        let options = crate::Options { $($field: $value,)* ..crate::Options::default() };
        let found = crate::laws::made_up::judge(Box::new(super::new()), options, $story);
        assert!(found.is_empty(), "{found:#?}");
    }};
}

/// Asserts that a law is broken by a trace, and that it says so.
macro_rules! breaks {
    ($story:expr, $says:expr $(, $field:ident: $value:expr)* $(,)?) => {{
        #[allow(clippy::needless_update, reason = "not every test sets an option")]
        let options = crate::Options { $($field: $value,)* ..crate::Options::default() };
        let found = crate::laws::made_up::judge(Box::new(super::new()), options, $story);
        assert!(found.iter().any(|what| what.contains($says)), "expected {:?} in {found:#?}", $says);
    }};
}

pub(super) use {breaks, holds};

pub(crate) fn runs(first: u64, count: u64) -> Vec<Run> {
    vec![Run { first, count }]
}

/// Payloads of the tests are the numbers of their events, and 1000.
fn serials(first: u64, count: u64) -> Vec<Run> {
    runs(1000 + first, count)
}

pub(crate) fn started_node(node: &'static str) -> Said {
    (node, Event::NodeStart {})
}

pub(crate) fn granted(node: &'static str, epoch: u64) -> Said {
    (node, Event::ClaimGranted { stage: SOURCE.into(), epoch: Epoch(epoch), ckpt: None })
}

pub(crate) fn granted_with(node: &'static str, epoch: u64, ckpt: Option<u64>) -> Said {
    (node, Event::ClaimGranted { stage: SOURCE.into(), epoch: Epoch(epoch), ckpt })
}

pub(crate) fn started(node: &'static str, epoch: u64, ckpt: Option<u64>) -> Said {
    (node, Event::InstStart { stage: SOURCE.into(), epoch: Epoch(epoch), digest: None, ckpt })
}

pub(crate) fn stopped(node: &'static str, epoch: u64) -> Said {
    (node, Event::InstStop { stage: SOURCE.into(), epoch: Epoch(epoch), reason: "ordered: shutdown".into() })
}

pub(crate) fn emitted(node: &'static str, epoch: u64, first: u64, count: u64) -> Said {
    let (stage, epoch, serials) = (SOURCE.into(), Epoch(epoch), serials(first, count));
    (node, Event::Emit { stage, epoch, first, count, asked: Some(count), serials })
}

pub(crate) fn skipped(node: &'static str, epoch: u64, first: u64) -> Said {
    (node, Event::Skipped { stage: SOURCE.into(), epoch: Epoch(epoch), first, count: 1 })
}

pub(crate) fn demanded(node: &'static str, epoch: u64, granted: u64) -> Said {
    (node, Event::Demand { stage: SOURCE.into(), epoch: Epoch(epoch), sub: SUB, granted })
}

pub(crate) fn sent(node: &'static str, epoch: u64, to: &str, first: u64, count: u64, attempt: u32) -> Said {
    let (stage, epoch, consumer, to) = (SOURCE.into(), Epoch(epoch), SINK.into(), to.into());
    let (runs, serials) = (runs(first, count), serials(first, count));
    (node, Event::Send { stage, epoch, sub: SUB, consumer, to, attempt, runs, serials })
}

pub(crate) fn acked(node: &'static str, epoch: u64, from: &str, first: u64, count: u64) -> Said {
    let (stage, epoch, consumer, from) = (SOURCE.into(), Epoch(epoch), SINK.into(), from.into());
    (node, Event::AckRecv { stage, epoch, sub: SUB, consumer, from, runs: runs(first, count) })
}

pub(crate) fn subscribed(node: &'static str, epoch: u64, from: &str, max: u64, min: u64) -> Said {
    let (stage, source, epoch, from) = (SINK.into(), SOURCE.into(), Epoch(epoch), from.into());
    (node, Event::Subscribed { stage, own: OWN, source, epoch, sub: SUB, from, max, min })
}

pub(crate) fn received(node: &'static str, epoch: u64, first: u64, count: u64, attempt: u32) -> Said {
    let (stage, source, epoch) = (SINK.into(), SOURCE.into(), Epoch(epoch));
    let (runs, serials) = (runs(first, count), serials(first, count));
    (node, Event::Recv { stage, own: OWN, source, epoch, sub: SUB, attempt, runs, serials })
}

pub(crate) fn stale_rejected(node: &'static str, found: u64, epoch: u64) -> Said {
    let (stage, source, epoch, found) = (SINK.into(), SOURCE.into(), Epoch(epoch), Epoch(found));
    (node, Event::StaleRejected { stage, own: OWN, source, epoch, sub: SUB, found })
}

pub(crate) fn handled(node: &'static str, epoch: u64, first: u64, count: u64, attempt: u32) -> Said {
    let (stage, source, epoch) = (SINK.into(), SOURCE.into(), Epoch(epoch));
    let (runs, serials) = (runs(first, count), serials(first, count));
    (node, Event::Handled { stage, own: OWN, source, epoch, sub: SUB, attempt, runs, serials })
}

/// Handled at the first attempt.
pub(crate) fn handled_at(node: &'static str, epoch: u64, first: u64, count: u64) -> Said {
    handled(node, epoch, first, count, 1)
}

pub(crate) fn said_acked(node: &'static str, epoch: u64, first: u64, count: u64, granted: u64) -> Said {
    let (stage, source, epoch) = (SINK.into(), SOURCE.into(), Epoch(epoch));
    (node, Event::AckSent { stage, own: OWN, source, epoch, sub: SUB, runs: runs(first, count), granted })
}

pub(crate) fn fault(id: u64, class: &str, nodes: &[&str]) -> Said {
    let nodes: Vec<Text> = nodes.iter().map(|node| (*node).into()).collect();
    ("fault", Event::FaultBegin { id, class: class.into(), nodes, detail: None })
}

pub(crate) fn fault_over(id: u64) -> Said {
    ("fault", Event::FaultEnd { id, bit: Some(true) })
}

pub(crate) fn checkpointed(node: &'static str, epoch: u64, prev: Option<u64>, seq: u64) -> Said {
    (node, Event::CkptApplied { stage: SOURCE.into(), epoch: Epoch(epoch), prev, seq, digest: None })
}

pub(crate) fn proposed(node: &'static str, epoch: u64, prev: Option<u64>, seq: u64) -> Said {
    (node, Event::CkptProposed { stage: SOURCE.into(), epoch: Epoch(epoch), prev, seq })
}

pub(crate) fn fenced(node: &'static str, epoch: u64, current: u64) -> Said {
    (node, Event::CkptFenced { stage: SOURCE.into(), epoch: Epoch(epoch), current: Epoch(current) })
}
