//! Which of a stage's events are for whom: drawn from the seed, and the ground truth that laws go by.
//!
//! What an event is for shows in its payload, whose last byte counts the events of its source.

use std::collections::{BTreeMap, BTreeSet};

use forebay_proto::{
    batch::{Batch, BatchLimits, Columns},
    dispatch::{AWAY_DEFAULT, DispatcherOptions, PartitionBy, PartitionOptions, numbered_partitions},
    select::{Deliver, Selection},
    stage::Role,
};
use rand::{RngExt, rngs::SmallRng};

use crate::{
    facts::{Instance, NodeNo, StageNo},
    workload::{Scope, StagePlan},
};

/// How many topics there are.
const TOPICS: u8 = 3;
const PARTITIONS: u8 = 4;
const KEYS: u8 = 6;

/// Who of a source's consumers share their events: all, or those of a stage, or those of a stage on one node.
pub(crate) type Group = Option<(StageNo, Option<NodeNo>)>;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Demand,
    Broadcast,
    Partition,
}

/// What a stage wants of a source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    shared: bool,
    /// Empty: all.
    topics: BTreeSet<u8>,
}

impl Wish {
    pub(crate) fn selects(&self, payload: &[u8]) -> bool {
        self.topics.is_empty() || topic(payload).is_some_and(|topic| self.topics.contains(&topic))
    }
}

fn topic(payload: &[u8]) -> Option<u8> {
    payload.last().map(|last| last % TOPICS)
}

pub(crate) fn partition(payload: &[u8]) -> Option<u8> {
    payload.last().map(|last| last % PARTITIONS)
}

/// Some have none.
pub(crate) fn key(payload: &[u8]) -> Option<u8> {
    payload.last().map(|last| last % KEYS).filter(|key| *key > 0)
}

/// Of all stages. By default everything goes by demand.
#[derive(Debug, Default)]
pub(crate) struct Routing {
    kinds: BTreeMap<StageNo, Kind>,
    /// By consumer and source.
    wishes: BTreeMap<(StageNo, StageNo), Wish>,
}

impl Routing {
    pub(crate) fn random(rng: &mut SmallRng, stages: &[StagePlan]) -> Self {
        let mut routing = Self::default();
        for source in stages.iter().filter(|stage| stage.role != Role::Consumer) {
            let lot = rng.random_range(0..100);
            let (kind, has_topics) = match (source.role, lot) {
                (_, 0..50) => continue,
                (_, 50..65) => (Kind::Partition, false),
                (Role::Producer, 65..90) => (Kind::Broadcast, rng.random_bool(0.5)),
                (Role::Producer, _) => (Kind::Demand, true),
                // What it makes of an event is acknowledged by somebody, as its own source relies on.
                _ => continue,
            };
            routing.kinds.insert(source.no, kind);
            for consumer in stages.iter().filter(|stage| stage.upstreams.iter().any(|(no, ..)| *no == source.no)) {
                let wants_some = has_topics && rng.random_bool(0.5);
                let topics = (0..TOPICS).filter(|_| wants_some && rng.random_bool(0.6)).collect();
                // One that moves from node to node would not find what is kept for it.
                let shared = consumer.scope == Scope::Global || rng.random_bool(0.4);
                routing.wishes.insert((consumer.no, source.no), Wish { shared, topics });
            }
        }
        routing
    }

    pub(crate) fn kind(&self, source: StageNo) -> Kind {
        self.kinds.get(&source).copied().unwrap_or(Kind::Demand)
    }

    /// Whether every event is for somebody, whoever has left.
    pub(crate) fn is_for_all(&self, source: StageNo) -> bool {
        self.kind(source) != Kind::Broadcast && !self.has_topics(source)
    }

    /// Whether it may hold events for some of its consumers while others wait.
    pub(crate) fn holds(&self, source: StageNo) -> bool {
        self.kind(source) != Kind::Demand || self.has_topics(source)
    }

    /// Whether somebody selects by topic.
    pub(crate) fn has_topics(&self, source: StageNo) -> bool {
        self.wishes.iter().any(|((_, of), wish)| *of == source && !wish.topics.is_empty())
    }

    pub(crate) fn wish(&self, consumer: StageNo, source: StageNo) -> Wish {
        self.wishes.get(&(consumer, source)).cloned().unwrap_or_default()
    }

    pub(crate) fn group(&self, source: StageNo, consumer: Instance) -> Group {
        let is_shared = self.wish(consumer.stage, source).shared;
        (self.kind(source) == Kind::Broadcast).then_some((consumer.stage, (!is_shared).then_some(consumer.node)))
    }

    pub(crate) fn dispatcher(&self, source: StageNo) -> DispatcherOptions {
        match self.kind(source) {
            Kind::Demand => DispatcherOptions::default(),
            Kind::Broadcast => DispatcherOptions::Broadcast { away: AWAY_DEFAULT },
            Kind::Partition => DispatcherOptions::Partition(PartitionOptions {
                by: PartitionBy::Number("partition".into()),
                partitions: numbered_partitions(PARTITIONS.into()),
                away: AWAY_DEFAULT,
            }),
        }
    }

    pub(crate) fn selection(&self, consumer: StageNo, source: StageNo) -> Selection {
        let Wish { shared, topics } = self.wish(consumer, source);
        let shared = shared && self.kind(source) == Kind::Broadcast;
        let pattern = |text: String| text.parse().expect("a pattern");
        let topics = match topics.len() {
            // As a wildcard, since that is the same.
            len if len == usize::from(TOPICS) => vec![pattern("t.>".into())],
            _ => topics.iter().map(|topic| pattern(format!("t.{topic}"))).collect(),
        };
        let deliver = if shared { Deliver::Shared } else { Deliver::Each };
        Selection { deliver, topics, ..Selection::default() }
    }

    /// What a stage emits, with the topics and headers that its events are told apart by.
    pub(crate) fn dress(&self, source: StageNo, events: Batch) -> Batch {
        if events.is_empty() {
            return events;
        }
        let mut columns = Batch::from_payloads(events.iter().map(|event| event.payload)).to_columns();
        for event in events.iter() {
            columns.keys.extend(key(event.payload));
            columns.key_ends.push(u32::try_from(columns.keys.len()).expect("a byte for each event"));
        }
        if self.kinds.contains_key(&source) {
            self.add_topics(&events, &mut columns);
        }
        Batch::new(columns, &BatchLimits::default()).expect("one key, topic and header for each event")
    }

    fn add_topics(&self, events: &Batch, columns: &mut Columns) {
        columns.topics = (0..TOPICS).map(|topic| format!("t.{topic}")).collect();
        for (at, event) in (0..).zip(events.iter()) {
            columns.topic_of.push(topic(event.payload).unwrap_or_default().into());
            let partition = partition(event.payload).map(|partition| partition.to_string());
            columns.headers.extend(partition.map(|partition| (at, "partition".to_owned(), partition)));
        }
    }
}

/// For made-up runs.
#[cfg(test)]
impl Routing {
    pub(crate) fn dispatch(&mut self, source: StageNo, kind: Kind) {
        self.kinds.insert(source, kind);
    }

    pub(crate) fn want<const N: usize>(&mut self, consumer: StageNo, source: StageNo, topics: [u8; N]) {
        self.wishes.insert((consumer, source), Wish { shared: false, topics: topics.into() });
    }
}
