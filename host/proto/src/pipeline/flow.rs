//! The keys that say how much a stage handles at once, how fast, and who asks for it.

use std::{ops::RangeInclusive, time::Duration};

use super::{PluginRef, Subscription, fields::Node, problem::Problems};
use crate::{
    consumer::{AskMode, GatherBy, Gathering, WhenFull},
    rate::RateLimit,
    stage::{Concurrency, MAX_INSTANCES},
};

const TIMES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
const PERS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);

/// The key `batch`, of a stage with these subscriptions. `None` inside: off.
pub(super) fn batch<'s>(
    node: &Node<'_>,
    subscriptions: impl IntoIterator<Item = &'s Subscription>,
    problems: &mut Problems,
) -> Option<Option<Gathering>> {
    if node.value.as_str() == Some("off") {
        return Some(None);
    }
    let mut fields = node.fields(problems, "a table, as in { size = 100, timeout = \"1s\" }, or \"off\"")?;
    let expected = "how many events a batch has, from 1 to 65536";
    let size =
        fields.required(problems, "size", expected, |node, problems| node.integer(problems, 1..=Gathering::SIZE_MAX));
    let timeout = fields.optional(problems, "timeout", |node, problems| node.duration(problems, TIMES));
    let by = fields.optional(problems, "by", by);
    fields.finish(problems);
    let size = size?;
    let mut count = 0;
    for (at, subscription) in subscriptions.into_iter().enumerate() {
        let max = subscription.demand.max();
        if max < size {
            let found = format!("contradictory: size is {size}, and max_demand of `subscribe[{at}]` is {max}");
            return node.problem(problems, found, "a size of at most max_demand, as what waits counts as asked for");
        }
        count += 1;
    }
    // A subscription that is wrong in itself was told.
    if count == 0 && problems.is_empty() {
        return node.problem(problems, "set, and `subscribe` is not", "it on a stage that subscribes to another");
    }
    Some(Some(Gathering { size, timeout: timeout.unwrap_or(Gathering::TIMEOUT_DEFAULT), by }))
}

fn by(node: &Node<'_>, problems: &mut Problems) -> Option<GatherBy> {
    match node.value.as_str() {
        Some("key") => Some(GatherBy::Key),
        Some("topic") => Some(GatherBy::Topic),
        Some(text) if text.len() > "header:".len() && text.starts_with("header:") => {
            Some(GatherBy::Header(text["header:".len()..].to_owned()))
        }
        _ => node.unexpected(problems, "\"key\", \"topic\", or \"header:\" and the name of a header"),
    }
}

/// The key `concurrency`, of a stage with these subscriptions.
pub(super) fn concurrency<'s>(
    node: &Node<'_>,
    plugin: Option<&PluginRef>,
    subscriptions: impl IntoIterator<Item = &'s Subscription>,
    problems: &mut Problems,
) -> Option<Concurrency> {
    let range = 1..=MAX_INSTANCES;
    let concurrency = if node.value.as_table().is_some() {
        let mut fields = node.fields(problems, "a table")?;
        let instances =
            fields.optional(problems, "instances", |node, problems| node.integer(problems, range)).unwrap_or(1);
        let by = fields.optional(problems, "by", lanes_by).unwrap_or(Some(GatherBy::Key));
        fields.finish(problems);
        Concurrency { instances, by }
    } else {
        let mut ignored = Problems::default();
        let Some(instances) = node.integer(&mut ignored, range) else {
            let expected = format!("how many instances, from 1 to {MAX_INSTANCES}, or a table, as in {EXAMPLE}");
            return node.unexpected(problems, expected);
        };
        Concurrency { instances, ..Concurrency::default() }
    };
    if concurrency.instances == 1 {
        return Some(concurrency);
    }
    let mut subscriptions = subscriptions.into_iter().enumerate().peekable();
    if subscriptions.peek().is_none() && matches!(plugin, Some(PluginRef::Builtin(_))) {
        return node.problem(problems, "more than 1, and the plugin is a built-in source", "one instance of it");
    }
    match subscriptions.find(|(_, subscription)| subscription.ask == AskMode::Manual) {
        Some((at, _)) => {
            let found = format!("more than 1, and ask of `subscribe[{at}]` is \"manual\"");
            node.problem(problems, found, "one instance where the plugin asks, so that it is given what it asked for")
        }
        None => Some(concurrency),
    }
}

const EXAMPLE: &str = "{ instances = 4, by = \"header:user\" }";

fn lanes_by(node: &Node<'_>, problems: &mut Problems) -> Option<Option<GatherBy>> {
    if node.value.as_str() == Some("none") {
        return Some(None);
    }
    let mut ignored = Problems::default();
    let found = by(node, &mut ignored);
    let expected = "\"key\", \"topic\", \"header:\" and the name of a header, or \"none\"";
    found.map(Some).or_else(|| node.unexpected(problems, expected))
}

/// The key `rate_limit`. `None` inside: off.
pub(super) fn rate_limit(node: &Node<'_>, problems: &mut Problems) -> Option<Option<RateLimit>> {
    if node.value.as_str() == Some("off") {
        return Some(None);
    }
    let mut fields = node.fields(problems, "a table, as in { events = 1000, per = \"1s\" }, or \"off\"")?;
    let expected = "how many events, from 1 to 10000000";
    let events = fields.required(problems, "events", expected, |node, problems| node.integer(problems, 1..=10_000_000));
    let per = fields.optional(problems, "per", |node, problems| node.duration(problems, PERS));
    fields.finish(problems);
    Some(Some(RateLimit { events: events?, per: per.unwrap_or(Duration::from_secs(1)) }))
}

/// The key `ask`.
pub(super) fn ask(node: &Node<'_>, problems: &mut Problems) -> Option<AskMode> {
    node.choice(problems, &[("auto", AskMode::Auto), ("manual", AskMode::Manual)])
}

/// A plugin that asks gets what it asked for.
pub(super) fn check_ask(node: &Node<'_>, ask: AskMode, when_full: WhenFull, problems: &mut Problems) -> Option<()> {
    if ask == AskMode::Auto || when_full == WhenFull::Block {
        return Some(());
    }
    let word = if when_full == WhenFull::DropOldest { "drop-oldest" } else { "drop-newest" };
    let found = format!("contradictory: ask is \"manual\", and when_full is \"{word}\"");
    node.problem(problems, found, "when_full = \"block\" where the plugin asks, as no more comes than it asked for")
}
