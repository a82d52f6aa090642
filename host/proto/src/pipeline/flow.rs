//! The keys that say how much a stage handles at once, how fast, and who asks for it.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    ManifestError, PluginRef, Problem, Subscription,
    fields::{Fields, Node},
    problem::Problems,
    syntax,
};
use crate::{
    consumer::{AskMode, GatherBy, Gathering, WhenFull},
    rate::RateLimit,
    stage::{Concurrency, MAX_INSTANCES},
};

const TIMES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
const EVENTS: RangeInclusive<u32> = 1..=10_000_000;
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
    let events = fields.required(problems, "events", expected, |node, problems| node.integer(problems, EVENTS));
    let per = fields.optional(problems, "per", |node, problems| node.duration(problems, PERS));
    fields.finish(problems);
    Some(Some(RateLimit { events: events?, per: per.unwrap_or(Duration::from_secs(1)) }))
}

/// A limit as it is given by hand: as the key `rate_limit` has it, or shorter.
pub(super) fn parse_rate(text: &str) -> Result<Option<RateLimit>, String> {
    let text = text.trim();
    if text == "off" {
        return Ok(None);
    }
    if text.starts_with('{') {
        let text = format!("rate_limit = {text}");
        let told = |error: ManifestError| error.problems().first().map_or_else(|| error.to_string(), short);
        let document = syntax::parse(&text, "LIMIT").map_err(told)?;
        let (mut fields, mut problems) = (Fields::root(&document), Problems::default());
        let rate = fields.optional(&mut problems, "rate_limit", rate_limit);
        fields.finish(&mut problems);
        problems.into_result(&text, "LIMIT").map_err(told)?;
        return Ok(rate.flatten());
    }
    let expected = || {
        "expected `off`, EVENTS/TIME as in `100/s` or `5/250ms`, or as in the pipeline file { events = 100, per = \"1s\" }; \
         1 to 10000000 events, in 1ms to 1day"
            .to_owned()
    };
    let (events, per) = text.split_once('/').ok_or_else(expected)?;
    let events = events.trim().parse().ok().filter(|events| EVENTS.contains(events)).ok_or_else(expected)?;
    let per = per.trim();
    // One of the unit, where no number stands before it.
    let one = if per.starts_with(|c: char| c.is_ascii_digit()) { "" } else { "1" };
    let per = humantime::parse_duration(&format!("{one}{per}")).ok().filter(|per| PERS.contains(per));
    Ok(Some(RateLimit { events, per: per.ok_or_else(expected)? }))
}

fn short(problem: &Problem) -> String {
    match problem.key.as_str() {
        "" => format!("{}; expected {}", problem.found, problem.expected),
        key => format!("`{key}` is {}; expected {}", problem.found, problem.expected),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_given_by_hand_is_that_of_the_file_or_shorter() {
        let limit = |events, millis| Ok(Some(RateLimit { events, per: Duration::from_millis(millis) }));
        assert_eq!(parse_rate("off"), Ok(None));
        assert_eq!(parse_rate(" 100/s "), limit(100, 1000));
        assert_eq!(parse_rate("5/250ms"), limit(5, 250));
        assert_eq!(parse_rate("1/m"), limit(1, 60_000));
        assert_eq!(parse_rate("{ events = 7, per = \"2s\" }"), limit(7, 2000));
        assert_eq!(parse_rate("{ events = 7 }"), limit(7, 1000));
        for written in ["100/1s", "5/250ms", "1/1m", "86400/1day"] {
            assert_eq!(parse_rate(written).unwrap().unwrap().to_string(), written);
        }
    }

    #[test]
    fn what_is_no_limit_is_refused_with_what_is_one() {
        for text in ["", "on", "100", "0/s", "10000001/s", "-1/s", "5/", "5/0s", "5/2days", "5/1us", "a/s", "1/2/s"] {
            let told = parse_rate(text).unwrap_err();
            assert!(told.starts_with("expected `off`, EVENTS/TIME"), "{text}: {told}");
        }
        let told = parse_rate("{ events = 0 }").unwrap_err();
        assert!(told.starts_with("`rate_limit.events` is"), "{told}");
        assert!(parse_rate("{ per = \"1s\" }").unwrap_err().contains("missing"));
        assert!(parse_rate("{ events = 1 }\nplugin = 1").unwrap_err().contains("`plugin`"));
        assert!(parse_rate("{").unwrap_err().contains("expected"));
    }
}
