//! The keys that say who gets which events: of a stage that produces, and of those that subscribe to it.

use std::{collections::BTreeSet, str::FromStr, time::Duration};

use super::{
    Scope, Stage, Subscription,
    fields::{Fields, Node, describe},
    problem::{Problems, quote},
};
use crate::{
    dispatch::{
        AWAY_DEFAULT, DispatcherOptions, PARTITIONS_DEFAULT, PartitionBy, PartitionOptions, numbered_partitions,
    },
    ids::PartitionName,
    select::{Deliver, PARTITIONS_MAX, PATTERNS_MAX, Pattern, Selection},
};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Demand,
    Broadcast,
    Partition,
}

const KINDS: [(&str, Kind); 3] =
    [("demand", Kind::Demand), ("broadcast", Kind::Broadcast), ("partition", Kind::Partition)];

impl Kind {
    fn of(dispatcher: &DispatcherOptions) -> Self {
        match dispatcher {
            DispatcherOptions::Demand { .. } => Self::Demand,
            DispatcherOptions::Broadcast { .. } => Self::Broadcast,
            DispatcherOptions::Partition(_) => Self::Partition,
        }
    }

    fn name(self) -> &'static str {
        KINDS[self as usize].0
    }
}

/// The key `dispatcher`: a word, or a table.
pub(super) fn dispatcher(node: &Node<'_>, problems: &mut Problems) -> Option<DispatcherOptions> {
    if node.value.as_table().is_none() {
        let expected =
            "\"demand\", \"broadcast\", \"partition\", or a table, as in { kind = \"partition\", partitions = 4 }";
        return match node.value.as_str() {
            Some(_) => node.choice(problems, &KINDS).map(|kind| options(kind, &Settings::default())),
            None => node.unexpected(problems, expected),
        };
    }
    let mut fields = node.fields(problems, "a table, as in { kind = \"partition\", partitions = 4 }")?;
    let kind =
        fields.optional(problems, "kind", |node, problems| node.choice(problems, &KINDS)).unwrap_or(Kind::Demand);
    let settings = Settings {
        shuffle: setting(&mut fields, problems, "shuffle", kind, &[Kind::Demand], |node, problems| node.flag(problems)),
        away: setting(&mut fields, problems, "away", kind, &[Kind::Broadcast, Kind::Partition], |node, problems| {
            node.duration(problems, Duration::ZERO..=Duration::from_secs(3600))
        }),
        by: setting(&mut fields, problems, "by", kind, &[Kind::Partition], by),
        partitions: setting(&mut fields, problems, "partitions", kind, &[Kind::Partition], all_partitions),
    };
    fields.finish(problems);
    Some(options(kind, &settings))
}

#[derive(Default)]
struct Settings {
    shuffle: Option<bool>,
    away: Option<Duration>,
    by: Option<PartitionBy>,
    partitions: Option<Vec<PartitionName>>,
}

fn options(kind: Kind, settings: &Settings) -> DispatcherOptions {
    let away = settings.away.unwrap_or(AWAY_DEFAULT);
    match kind {
        Kind::Demand => DispatcherOptions::Demand { max: None, shuffle: settings.shuffle.unwrap_or_default() },
        Kind::Broadcast => DispatcherOptions::Broadcast { away },
        Kind::Partition => DispatcherOptions::Partition(PartitionOptions {
            by: settings.by.clone().unwrap_or_default(),
            partitions: settings.partitions.clone().unwrap_or_else(|| numbered_partitions(PARTITIONS_DEFAULT)),
            away,
        }),
    }
}

/// A key that some kinds of dispatchers have.
fn setting<'d, T>(
    fields: &mut Fields<'d>,
    problems: &mut Problems,
    key: &'static str,
    kind: Kind,
    kinds: &[Kind],
    read: impl FnOnce(&Node<'d>, &mut Problems) -> Option<T>,
) -> Option<T> {
    fields.optional(problems, key, |node, problems| {
        if kinds.contains(&kind) {
            return read(node, problems);
        }
        let fitting: Vec<_> = kinds.iter().map(|kind| format!("`kind` {}", quote(kind.name()))).collect();
        let found = format!("there, and `kind` is {}", quote(kind.name()));
        node.problem(problems, found, format!("it only with {}", fitting.join(" or ")))
    })
}

fn by(node: &Node<'_>, problems: &mut Problems) -> Option<PartitionBy> {
    let expected = "\"key\", \"topic\", \"header:NAME\" or \"number:NAME\", the name of 1 to 255 visible characters";
    let is_name = |name: &str| (1..=255).contains(&name.len()) && !name.contains(char::is_control);
    let text = node.text(problems, expected)?;
    match (text, text.split_once(':')) {
        ("key", _) => Some(PartitionBy::Key),
        ("topic", _) => Some(PartitionBy::Topic),
        (_, Some(("header", name))) if is_name(name) => Some(PartitionBy::Header(name.to_owned())),
        (_, Some(("number", name))) if is_name(name) => Some(PartitionBy::Number(name.to_owned())),
        _ => node.unexpected(problems, expected),
    }
}

/// A count, or names.
fn all_partitions(node: &Node<'_>, problems: &mut Problems) -> Option<Vec<PartitionName>> {
    let expected = "a count from 1 to 1024, or an array of as many names";
    if node.value.as_array().is_none() {
        let max = u32::try_from(PARTITIONS_MAX).expect("1024");
        let mut ignored = Problems::default();
        return match node.integer(&mut ignored, 1..=max) {
            Some(count) => Some(numbered_partitions(count)),
            None => node.unexpected(problems, expected),
        };
    }
    match some_partitions(node, problems)? {
        names if names.is_empty() => node.problem(problems, "empty", expected),
        names => Some(names),
    }
}

/// An array of names and numbers, each once.
fn some_partitions(node: &Node<'_>, problems: &mut Problems) -> Option<Vec<PartitionName>> {
    let elements = node.elements(problems, "an array of partitions, as in [0, 2] or [\"odd\"]")?;
    if elements.len() > PARTITIONS_MAX {
        return node.problem(problems, format!("an array of {}", elements.len()), "at most 1024 partitions");
    }
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for element in &elements {
        let name = partition(element, problems)?;
        if !seen.insert(name.clone()) {
            return element.problem(
                problems,
                format!("{}, which stands there before", quote(name.as_str())),
                "each once",
            );
        }
        names.push(name);
    }
    Some(names)
}

fn partition(node: &Node<'_>, problems: &mut Problems) -> Option<PartitionName> {
    let number = node.value.as_integer().and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok());
    let name = match (number, node.value.as_str()) {
        (Some(number), _) => number.to_string().parse().ok(),
        (None, Some(text)) => text.parse().ok(),
        (None, None) => None,
    };
    let expected = "a partition's number, or its name of 1 to 63 of the characters a-z, 0-9, `.`, `_` and `-`, beginning \
                    with a letter or digit";
    name.or_else(|| node.unexpected(problems, expected))
}

/// Where the keys of a subscription stand that must fit its producer's dispatcher.
#[derive(Default)]
pub(super) struct Wishes<'d> {
    deliver: Option<Node<'d>>,
    partitions: Option<Node<'d>>,
}

/// The keys of a subscription that say what it wants.
pub(super) fn selection<'d>(fields: &mut Fields<'d>, problems: &mut Problems) -> (Selection, Wishes<'d>) {
    let mut wishes = Wishes::default();
    let here = |node: &Node<'d>| Some(Node { value: node.value, at: node.at, path: node.path.clone() });
    let deliver = fields.optional(problems, "deliver", |node, problems| {
        wishes.deliver = here(node);
        node.choice(problems, &[("each", Deliver::Each), ("shared", Deliver::Shared)])
    });
    let topics = fields.optional(problems, "topics", topics);
    let partitions = fields.optional(problems, "partitions", |node, problems| {
        wishes.partitions = here(node);
        some_partitions(node, problems)
    });
    let (topics, partitions) = (topics.unwrap_or_default(), partitions.unwrap_or_default());
    (Selection { deliver: deliver.unwrap_or_default(), topics, partitions }, wishes)
}

fn topics(node: &Node<'_>, problems: &mut Problems) -> Option<Vec<Pattern>> {
    let elements = node.elements(problems, "an array of topics, as in [\"a.b\", \"a.*\", \"a.>\"]")?;
    if elements.len() > PATTERNS_MAX {
        return node.problem(problems, format!("an array of {}", elements.len()), "at most 256 topics");
    }
    let expected =
        "a topic of 1 to 255 bytes: words with `.` between them, `*` for any one word, `>` at the end for the rest";
    let topic = |element: &Node<'_>| match Pattern::from_str(element.text(problems, expected)?) {
        Ok(pattern) => Some(pattern),
        Err(_) => element.unexpected(problems, expected),
    };
    elements.iter().map(topic).collect()
}

/// A stage of global scope has one owner after the other, on whichever node: what a broadcast keeps for one is for the next.
/// As instances that share they have the same group, so that none of it is given up.
pub(super) fn share_with_successors(stages: &mut [Stage]) {
    let broadcasts = |stage: &&Stage| Kind::of(&stage.dispatcher) == Kind::Broadcast;
    let sources: BTreeSet<_> = stages.iter().filter(broadcasts).map(|stage| stage.name.clone()).collect();
    for stage in stages.iter_mut().filter(|stage| stage.scope == Scope::Global) {
        for subscription in stage.subscribe.iter_mut().filter(|subscription| sources.contains(&subscription.to)) {
            subscription.select.deliver = Deliver::Shared;
        }
    }
}

/// Notes wishes of a subscription that its producer's dispatcher cannot fulfil.
pub(super) fn check_fit(subscription: &Subscription, wishes: &Wishes<'_>, producer: &Stage, problems: &mut Problems) {
    let kind = Kind::of(&producer.dispatcher);
    let its_key = format!("`stages.{}.dispatcher`", producer.name);
    let is_named = !subscription.select.partitions.is_empty();
    let unfit = [
        (wishes.deliver.as_ref(), Kind::Broadcast),
        (wishes.partitions.as_ref().filter(|_| is_named), Kind::Partition),
    ];
    for (node, needed) in unfit.into_iter().filter(|(_, needed)| *needed != kind) {
        let Some(node) = node else { continue };
        let found = format!("{}, and {its_key} is {}", describe(node.value), quote(kind.name()));
        node.problem::<()>(problems, found, format!("it only where {its_key} is {}", quote(needed.name())));
    }
    let (Some(node), DispatcherOptions::Partition(options)) = (&wishes.partitions, &producer.dispatcher) else {
        return;
    };
    if let Some(unknown) = subscription.select.partitions.iter().find(|name| !options.partitions.contains(name)) {
        let (first, last) = (&options.partitions[0], &options.partitions[options.partitions.len() - 1]);
        let found = format!("an array with {}, which is no partition of {its_key}", quote(unknown.as_str()));
        node.problem::<()>(problems, found, format!("some of {} to {}", quote(first.as_str()), quote(last.as_str())));
    }
}

/// Notes the second of two stages that name one partition of a producer.
pub(super) fn check_taken<'s>(
    taken: &mut Vec<(&'s Subscription, &'s Stage)>,
    subscription: &'s Subscription,
    wishes: &Wishes<'_>,
    consumer: &'s Stage,
    problems: &mut Problems,
) {
    let named = &subscription.select.partitions;
    let others = taken.iter().filter(|(other, _)| other.to == subscription.to);
    let of_both = |(other, stage): &(&'s Subscription, &'s Stage)| {
        let both = named.iter().find(|name| other.select.partitions.contains(name))?;
        Some((both.clone(), stage.name.clone()))
    };
    let both = others.filter_map(of_both).next();
    if let (Some((partition, other)), Some(node)) = (both, &wishes.partitions) {
        let found = format!("an array with {}, which stage `{other}` has", quote(partition.as_str()));
        node.problem::<()>(problems, found, "partitions that no other subscription names");
    }
    taken.push((subscription, consumer));
}
