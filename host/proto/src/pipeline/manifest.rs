//! The pipeline file: what its keys are, what they may hold, and how they become a [`Pipeline`].
//!
//! In three steps, each only if the one before found nothing wrong: the TOML syntax, every key and
//! value, and what must hold between stages.

use std::{
    collections::{BTreeMap, HashMap},
    str::FromStr,
    time::Duration,
};

use super::{
    Buffer, Limits, ManifestError, Pipeline, Scope, Stage, Subscription,
    fields::{Fields, Node},
    flow, grants, graph, json, plugin,
    problem::{Found, Problems, nearest, quote},
    routing, syntax, units,
};
use crate::{
    batch::BatchLimits,
    consumer::{CancelMode, WhenFull},
    ids::{NameError, StageName},
    message::Demand,
    producer::{DemandMode, Keep},
    recycle::Recycle,
    stage::{Ack, RetryPolicy},
    supervise::{RestartPolicy, When},
};

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn parse(text: &str, file: &str) -> Result<Pipeline, ManifestError> {
    // Some editors of Windows begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let document = syntax::parse(text, file)?;
    let mut problems = Problems::default();
    let pipeline = read(Fields::root(&document), &mut problems);
    problems.into_result(text, file)?;
    Ok(pipeline.expect("no pipeline without a problem"))
}

/// The whole file. `None` only after noting a problem.
fn read(mut file: Fields<'_>, problems: &mut Problems) -> Option<Pipeline> {
    let name = file.required(problems, "name", "the pipeline's name", name);
    let stages = file.required(problems, "stages", "at least one table such as `[stages.counter]`", stages);
    file.finish(problems);
    if !problems.is_empty() {
        return None;
    }
    let (name, stages) = (name?, stages?);
    let edges = check_subscriptions(&stages, problems);
    check_wishes(&stages, problems);
    if !problems.is_empty() {
        return None;
    }
    let upstream_order = check_cycle(&stages, &edges, problems)?;
    let mut stages: Vec<_> = stages.into_iter().map(|read| read.stage).collect();
    routing::share_with_successors(&mut stages);
    Some(Pipeline { name, stages, upstream_order })
}

/// A stage with where its subscriptions stand, for errors that need other stages.
struct ReadStage<'d> {
    stage: Stage,
    /// One for each of `stage.subscribe`.
    targets: Vec<Target<'d>>,
}

/// Where a subscription's keys stand.
struct Target<'d> {
    to: Node<'d>,
    wishes: routing::Wishes<'d>,
}

fn stages<'d>(node: &Node<'d>, problems: &mut Problems) -> Option<Vec<ReadStage<'d>>> {
    let expected = "a table with one table for each stage, such as `[stages.counter]`";
    let entries = node.fields(problems, expected)?.entries();
    if entries.is_empty() {
        return node.problem(problems, "empty", "at least one table such as `[stages.counter]`");
    }
    let mut stages = Vec::new();
    for (key, node) in entries {
        if problems.is_full() {
            break;
        }
        stages.extend(stage(key, &node, problems));
    }
    Some(stages)
}

fn stage<'d>(key: &str, node: &Node<'d>, problems: &mut Problems) -> Option<ReadStage<'d>> {
    let name = key.parse().map_err(|error: NameError| {
        let found = Found { found: error.to_string(), ..Found::default() };
        problems.push(node.at, found);
    });
    let mut fields = node.fields(problems, "a table with the stage's settings")?;
    let plugin = fields.required(problems, "plugin", plugin::EXPECTED, plugin::read);
    let follow = plugin::follow(&mut fields, plugin.as_ref(), problems);
    let grants = fields.optional(problems, "grants", |node, problems| {
        let grants = grants::read(node, problems)?;
        plugin::may_be_granted(node, plugin.as_ref(), problems)?;
        Some(grants)
    });
    let scope = fields.optional(problems, "scope", |node, problems| {
        node.choice(problems, &[("global", Scope::Global), ("node", Scope::Node)])
    });
    let labels = fields.optional(problems, "labels", labels);
    let config = fields.optional(problems, "config", json::from_table);
    let subscribe = fields.optional(problems, "subscribe", subscriptions).unwrap_or_default();
    let dispatcher = fields.optional(problems, "dispatcher", routing::dispatcher);
    let subscriptions = || subscribe.iter().map(|(subscription, _)| subscription);
    let batch = fields.optional(problems, "batch", |node, problems| flow::batch(node, subscriptions(), problems));
    let rate_limit = fields.optional(problems, "rate_limit", flow::rate_limit);
    let concurrency = fields.optional(problems, "concurrency", |node, problems| {
        flow::concurrency(node, plugin.as_ref(), subscriptions(), problems)
    });
    let buffer = fields.optional(problems, "buffer", buffer);
    let restart = fields.optional(problems, "restart", restart);
    let limits = fields.optional(problems, "limits", limits);
    let poll = fields.optional(problems, "poll", interval);
    let tick = fields.optional(problems, "tick", interval);
    let ack = fields.optional(problems, "ack", |node, problems| {
        node.choice(problems, &[("late", Ack::Late), ("early", Ack::Early)])
    });
    let checkpoint = fields.optional(problems, "checkpoint", interval);
    let retry = fields.optional(problems, "retry", retry);
    let memory_bytes = limits.unwrap_or_default().memory_bytes;
    let recycle = fields.optional(problems, "recycle", |node, problems| recycle(node, memory_bytes, problems));
    let demand = fields.optional(problems, "demand", |node, problems| {
        node.choice(problems, &[("forward", DemandMode::Forward), ("accumulate", DemandMode::Accumulate)])
    });
    fields.finish(problems);
    let (subscribe, targets) = subscribe.into_iter().unzip();
    let stage = Stage {
        name: name.ok()?,
        plugin: plugin?,
        follow,
        grants: grants.unwrap_or_default(),
        scope: scope.unwrap_or_default(),
        labels: labels.unwrap_or_default(),
        config: config.unwrap_or_else(|| "{}".to_owned()),
        subscribe,
        dispatcher: dispatcher.unwrap_or_default(),
        batch: batch.flatten(),
        rate_limit: rate_limit.flatten(),
        concurrency: concurrency.unwrap_or_default(),
        buffer: buffer.unwrap_or_default(),
        restart: restart.unwrap_or_default(),
        limits: limits.unwrap_or_default(),
        poll: poll.unwrap_or(Some(POLL_DEFAULT)),
        tick: tick.flatten(),
        demand: demand.unwrap_or_default(),
        ack: ack.unwrap_or_default(),
        checkpoint: checkpoint.unwrap_or(Some(CHECKPOINT_DEFAULT)),
        retry: retry.unwrap_or_default(),
        recycle: recycle.unwrap_or_default(),
    };
    Some(ReadStage { stage, targets })
}

/// A page of memory: no guest has less.
const LIMIT_MIN: u64 = 64 << 10;

/// Ten times a second: soon enough for people, and nothing for a processor.
const POLL_DEFAULT: Duration = Duration::from_millis(100);

/// What a successor makes again is at most what was made in this time; a record costs the group one entry.
const CHECKPOINT_DEFAULT: Duration = Duration::from_secs(1);

fn name<T: FromStr<Err = NameError>>(node: &Node<'_>, problems: &mut Problems) -> Option<T> {
    match node.text(problems, "a name, as a string")?.parse() {
        Ok(name) => Some(name),
        Err(_) => node.unexpected(
            problems,
            "1 to 63 of the characters a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit",
        ),
    }
}

fn labels(node: &Node<'_>, problems: &mut Problems) -> Option<Vec<String>> {
    let elements = node.elements(problems, "an array of labels, as in [\"gpu\", \"zone=a\"]")?;
    let expected = "a label: 1 to 63 of the characters a-z, A-Z, 0-9, `-`, `_`, `.`, `/` and `=`";
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '=');
    let label = |element: &Node<'_>| match element.text(problems, expected)? {
        text if (1..=63).contains(&text.len()) && text.chars().all(is_part) => Some(text.to_owned()),
        _ => element.unexpected(problems, expected),
    };
    Some(elements.iter().filter_map(label).collect())
}

fn subscriptions<'d>(node: &Node<'d>, problems: &mut Problems) -> Option<Vec<(Subscription, Target<'d>)>> {
    let elements = node.elements(problems, "an array of tables, as in [{ to = \"counter\" }]")?;
    Some(elements.iter().filter_map(|element| subscription(element, problems)).collect())
}

fn subscription<'d>(node: &Node<'d>, problems: &mut Problems) -> Option<(Subscription, Target<'d>)> {
    let mut fields = node.fields(problems, "a table, as in { to = \"counter\" }")?;
    let to = fields.required(problems, "to", "the name of the stage to subscribe to", |node, problems| {
        let name = name(node, problems)?;
        Some((name, Node { value: node.value, at: node.at, path: node.path.clone() }))
    });
    let max = fields.optional(problems, "max_demand", |node, problems| node.integer(problems, 1..=Demand::MAX_ALLOWED));
    let min = fields.optional(problems, "min_demand", |node, problems| node.integer(problems, 0..=9_999_999));
    let cancel = fields.optional(problems, "cancel", |node, problems| {
        use CancelMode::*;
        node.choice(problems, &[("permanent", Permanent), ("transient", Transient), ("temporary", Temporary)])
    });
    let when_full = fields.optional(problems, "when_full", |node, problems| {
        use WhenFull::*;
        node.choice(problems, &[("block", Block), ("drop-oldest", DropOldest), ("drop-newest", DropNewest)])
    });
    let ask = fields.optional(problems, "ask", flow::ask).unwrap_or_default();
    let (select, wishes) = routing::selection(&mut fields, problems);
    fields.finish(problems);
    let demand = match Demand::new(max.unwrap_or(Demand::MAX_DEFAULT), min) {
        Ok(demand) => demand,
        Err(error) => {
            let found = format!("contradictory: min_demand is {} and max_demand {}", error.min, error.max);
            return node.problem(problems, found, "a min_demand below max_demand, which is 1000 by default");
        }
    };
    let (name, to) = to?;
    let (cancel, when_full) = (cancel.unwrap_or_default(), when_full.unwrap_or_default());
    flow::check_ask(node, ask, when_full, problems)?;
    Some((Subscription { to: name, demand, cancel, when_full, ask, select }, Target { to, wishes }))
}

fn buffer(node: &Node<'_>, problems: &mut Problems) -> Option<Buffer> {
    let mut fields = node.fields(problems, "a table, as in { size = 10000, keep = \"last\" }")?;
    let size = fields.optional(problems, "size", |node, problems| node.integer(problems, 0..=10_000_000));
    let keep = fields.optional(problems, "keep", |node, problems| {
        node.choice(problems, &[("first", Keep::First), ("last", Keep::Last)])
    });
    fields.finish(problems);
    Some(Buffer { size: size.map(u64::from), keep: keep.unwrap_or_default() })
}

fn restart(node: &Node<'_>, problems: &mut Problems) -> Option<RestartPolicy> {
    let default = RestartPolicy::default();
    let mut fields = node.fields(problems, "a table, as in { policy = \"permanent\", max = 10, within = \"5m\" }")?;
    let when = fields.optional(problems, "policy", |node, problems| {
        use When::*;
        node.choice(problems, &[("permanent", Permanent), ("transient", Transient), ("temporary", Temporary)])
    });
    let max = fields.optional(problems, "max", |node, problems| node.integer(problems, 0..=1000));
    let within = fields.optional(problems, "within", |node, problems| node.duration(problems, MILLISECOND..=DAY));
    let backoff = fields.optional(problems, "backoff", |node, problems| node.duration(problems, MILLISECOND..=HOUR));
    let backoff_max =
        fields.optional(problems, "backoff_max", |node, problems| node.duration(problems, MILLISECOND..=HOUR));
    fields.finish(problems);
    let policy = RestartPolicy {
        when: when.unwrap_or(default.when),
        max: max.unwrap_or(default.max),
        within: within.unwrap_or(default.within),
        backoff: backoff.unwrap_or(default.backoff),
        backoff_max: backoff_max.unwrap_or(default.backoff_max),
    };
    check_backoff(node, policy.backoff, policy.backoff_max, problems)?;
    Some(policy)
}

fn limits(node: &Node<'_>, problems: &mut Problems) -> Option<Limits> {
    let default = Limits::default();
    let mut fields = node.fields(problems, "a table, as in { memory = \"64MiB\", call_time = \"5s\" }")?;
    let memory = fields.optional(problems, "memory", |node, problems| node.bytes(problems, LIMIT_MIN..=4 << 30));
    let call_time =
        fields.optional(problems, "call_time", |node, problems| node.duration(problems, MILLISECOND..=HOUR));
    let tables = fields.optional(problems, "table_elements", |node, problems| node.integer(problems, 1..=10_000_000));
    let lines =
        fields.optional(problems, "log_lines_per_second", |node, problems| node.integer(problems, 1..=1_000_000));
    let events_max = BatchLimits::default().events_max;
    let bytes_max = BatchLimits::default().bytes_max;
    let events = fields.optional(problems, "batch_events", |node, problems| node.integer(problems, 1..=events_max));
    let bytes =
        fields.optional(problems, "batch_bytes", |node, problems| node.bytes(problems, 1024..=bytes_max.into()));
    fields.finish(problems);
    let bytes = bytes.map(|bytes| u32::try_from(bytes).expect("checked against a u32"));
    Some(Limits {
        memory_bytes: memory.unwrap_or(default.memory_bytes),
        call_time: call_time.unwrap_or(default.call_time),
        table_elements: tables.unwrap_or(default.table_elements),
        log_lines_per_second: lines.unwrap_or(default.log_lines_per_second),
        batch: BatchLimits { events_max: events.unwrap_or(events_max), bytes_max: bytes.unwrap_or(bytes_max) },
    })
}

fn retry(node: &Node<'_>, problems: &mut Problems) -> Option<RetryPolicy> {
    let default = RetryPolicy::default();
    let mut fields = node.fields(problems, "a table, as in { attempts = 5, backoff = \"200ms\" }")?;
    let attempts = fields.optional(problems, "attempts", |node, problems| node.integer(problems, 1..=1000));
    let backoff = fields.optional(problems, "backoff", |node, problems| node.duration(problems, MILLISECOND..=HOUR));
    let backoff_max =
        fields.optional(problems, "backoff_max", |node, problems| node.duration(problems, MILLISECOND..=HOUR));
    fields.finish(problems);
    let policy = RetryPolicy {
        attempts: attempts.unwrap_or(default.attempts),
        backoff: backoff.unwrap_or(default.backoff),
        backoff_max: backoff_max.unwrap_or(default.backoff_max),
    };
    check_backoff(node, policy.backoff, policy.backoff_max, problems)?;
    Some(policy)
}

fn recycle(node: &Node<'_>, memory_bytes: u64, problems: &mut Problems) -> Option<Recycle> {
    match node.value.as_str() {
        Some("auto") => return Some(Recycle::Auto),
        Some("off") => return Some(Recycle::Off),
        _ => {}
    }
    let mark = node.size().filter(|bytes| *bytes >= LIMIT_MIN);
    match mark {
        Some(mark) if mark < memory_bytes => Some(Recycle::At(mark)),
        Some(mark) => {
            let [mark, memory] = [mark, memory_bytes].map(units::bytes);
            let found = format!("{mark}, and `limits.memory` is {memory}");
            node.problem(problems, found, "a size below `limits.memory`")
        }
        None => node.unexpected(problems, "a size, as in \"48MiB\", from 64KiB on, \"auto\" or \"off\""),
    }
}

/// The first pause must not be above the longest.
fn check_backoff(node: &Node<'_>, backoff: Duration, max: Duration, problems: &mut Problems) -> Option<()> {
    if backoff <= max {
        return Some(());
    }
    let found = format!("contradictory: backoff is {backoff:?} and backoff_max {max:?}");
    node.problem(problems, found, "a backoff of at most backoff_max, which is 30s by default")
}

/// `None` inside: off.
fn interval(node: &Node<'_>, problems: &mut Problems) -> Option<Option<Duration>> {
    if node.value.as_str() == Some("off") {
        return Some(None);
    }
    let text = node.value.as_str().and_then(|text| humantime::parse_duration(text).ok());
    match text.filter(|poll| (MILLISECOND..=HOUR).contains(poll)) {
        Some(poll) => Some(Some(poll)),
        None => node.unexpected(problems, "a duration with its unit, as in \"100ms\", from 1ms to 1h, or \"off\""),
    }
}

/// The producers of each stage, as indexes. Notes those that are unknown, twice there, or itself.
fn check_subscriptions(stages: &[ReadStage<'_>], problems: &mut Problems) -> Vec<Vec<usize>> {
    let index_of: HashMap<&str, usize> = stages.iter().enumerate().map(|(n, s)| (s.stage.name.as_str(), n)).collect();
    stages.iter().enumerate().map(|(index, stage)| producers(index, stage, &index_of, problems)).collect()
}

fn producers(
    index: usize,
    ReadStage { stage, targets }: &ReadStage<'_>,
    index_of: &HashMap<&str, usize>,
    problems: &mut Problems,
) -> Vec<usize> {
    let mut producers = BTreeMap::new();
    for (subscription, Target { to: node, .. }) in stage.subscribe.iter().zip(targets) {
        if problems.is_full() {
            break;
        }
        let to = subscription.to.as_str();
        match index_of.get(to) {
            None => unknown_stage(node, to, &stage.name, index_of, problems),
            Some(&found) if found == index => {
                let found = format!("{}, the stage itself", quote(to));
                node.problem::<()>(problems, found, "another stage");
            }
            Some(&found) => {
                if let Some(first) = producers.insert(found, &node.path) {
                    let found = format!("{}, as is `{first}`", quote(to));
                    node.problem::<()>(problems, found, "each stage once; raise `max_demand` to get more of it");
                }
            }
        }
    }
    producers.into_keys().collect()
}

/// Notes what subscriptions want and their producers do not give.
fn check_wishes(stages: &[ReadStage<'_>], problems: &mut Problems) {
    let mut taken = Vec::new();
    for ReadStage { stage, targets } in stages {
        for (subscription, target) in stage.subscribe.iter().zip(targets) {
            let producer = stages.iter().find(|producer| producer.stage.name == subscription.to);
            if let Some(producer) = producer.filter(|_| !problems.is_full()) {
                routing::check_fit(subscription, &target.wishes, &producer.stage, problems);
                routing::check_taken(&mut taken, subscription, &target.wishes, stage, problems);
            }
        }
    }
}

fn unknown_stage(node: &Node<'_>, to: &str, own: &StageName, index_of: &HashMap<&str, usize>, problems: &mut Problems) {
    // Sorted, so that of equally near names always the same is proposed.
    let mut others: Vec<&str> = index_of.keys().copied().filter(|&name| name != own.as_str()).collect();
    others.sort_unstable();
    let found = Found {
        key: node.path.clone(),
        found: format!("{}, which is no stage of this file", quote(to)),
        expected: "the name of a stage".to_owned(),
        nearest: nearest(to, others),
    };
    problems.push(node.at, found);
}

fn check_cycle(stages: &[ReadStage<'_>], edges: &[Vec<usize>], problems: &mut Problems) -> Option<Vec<usize>> {
    let cycle = match graph::upstream_order(edges) {
        Ok(order) => return Some(order),
        Err(cycle) => cycle,
    };
    // Told from the stage that comes first in the file.
    let first = (0..cycle.len()).min_by_key(|&at| cycle[at]).expect("a cycle has a stage");
    let name = |at: usize| stages[cycle[(first + at) % cycle.len()]].stage.name.as_str();
    let shown = cycle.len().min(10);
    let mut path: Vec<&str> = (0..shown).map(name).collect();
    path.extend((shown < cycle.len()).then_some("..."));
    path.push(name(0));
    let from = &stages[cycle[first]];
    let edge = from.stage.subscribe.iter().position(|subscription| subscription.to.as_str() == name(1));
    let node = &from.targets[edge.expect("the cycle follows subscriptions")].to;
    let found = format!("part of a cycle: {}", path.join(" subscribes to "));
    node.problem(problems, found, "subscriptions that lead to a source")
}

/// Every key the file's tables were asked for, for the test of the documentation.
#[cfg(test)]
pub(super) fn keys_asked_for(text: &str) -> std::collections::BTreeSet<String> {
    let document = syntax::parse(text, "test.toml").expect("TOML");
    let mut problems = Problems::default();
    read(Fields::root(&document), &mut problems);
    problems.asked
}
