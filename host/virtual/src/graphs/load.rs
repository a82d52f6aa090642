//! The stages of a graph as closures: sources that emit their numbers once, relays and sinks that look at what they get.

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use forebay::{
    node::{LoadedPipeline, Plugins},
    runtime::{
        GuestDelivery, Output, Plugin, Produced, StageError,
        native::{Native, Resumable},
    },
};
use forebay_graphs::{Graph, Place, Role, Scope, Stage, key_of, topic_of};
use forebay_proto::{
    batch::{Batch, BatchLimits, Columns},
    ids::BootId,
    pipeline::Pipeline,
};
use tokio::time::Instant;

use crate::{
    load::{Failing, Load},
    story::Story,
    workload::Life,
};

/// What is wanted of all instances of a run.
#[derive(Debug)]
pub(super) struct GraphLoad {
    graph: Graph,
    story: Story,
    /// Sources emit.
    is_open: Arc<AtomicBool>,
    /// Time between two events of a source; zero: as fast as they are asked for.
    interval: Duration,
    failing: Failing,
}

impl GraphLoad {
    /// Sources wait until [`GraphLoad::open`], unless the graph says otherwise.
    pub(super) fn new(graph: Graph, story: Story, interval: Duration) -> Self {
        let is_open = Arc::new(AtomicBool::new(graph.is_early));
        Self { graph, story, is_open, interval, failing: Failing::default() }
    }

    pub(super) fn open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    fn plugin(&self, stage: &Stage, boot: BootId) -> Arc<dyn Plugin> {
        let (story, failing) = (self.story.clone(), self.failing.clone());
        let copies = stage.copies;
        match stage.role {
            Role::Source => {
                let (numbers, interval, is_open) = (stage.emits.clone(), self.interval, Arc::clone(&self.is_open));
                Native::resumable("source", move |spec| {
                    let life = Life::begin(&story, &spec.node, boot, &spec.stage);
                    let (failing, is_open) = (failing.clone(), Arc::clone(&is_open));
                    Ok(Source {
                        life,
                        failing,
                        is_open,
                        interval,
                        began: Instant::now(),
                        next: numbers.clone(),
                        given: 0,
                    })
                })
            }
            Role::Relay => Native::producer_consumer("relay", move |spec| {
                let life = Life::of_many(&story, spec, boot);
                let failing = failing.clone();
                Ok(move |delivery: GuestDelivery| {
                    failing.check(&life.instance)?;
                    Ok(Output { events: relayed(&delivery, copies)?, rejections: Vec::new() })
                })
            }),
            Role::Sink => Native::consumer("sink", move |spec| {
                let life = Life::of_many(&story, spec, boot);
                let failing = failing.clone();
                Ok(move |delivery: GuestDelivery| {
                    failing.check(&life.instance)?;
                    relayed(&delivery, 0).map(|_| Vec::new())
                })
            }),
        }
    }
}

impl Load for GraphLoad {
    fn pipeline(&self, boot: BootId) -> anyhow::Result<LoadedPipeline> {
        let plugin = |stage: &Stage| forebay_graphs::Plugin {
            plugin: "native".to_owned(),
            settings: if stage.role == Role::Source { "poll = \"10ms\"\ncheckpoint = \"300ms\"\n" } else { "" }
                .to_owned(),
        };
        let parsed = Pipeline::parse(&self.graph.pipeline(plugin), "graph.toml").context("the graph's pipeline")?;
        let mut plugins = Plugins::new();
        for (stage, settings) in self.graph.stages.iter().zip(parsed.stages()) {
            plugins.insert(settings.name.clone(), self.plugin(stage, boot));
        }
        LoadedPipeline::new(parsed, plugins).context("the graph's plugins")
    }

    fn labels(&self, node: usize) -> BTreeSet<String> {
        Place::labels(node).map(str::to_owned).collect()
    }

    fn stages(&self) -> Vec<&str> {
        self.graph.stages.iter().map(|stage| stage.name.as_str()).collect()
    }

    fn global_stages(&self) -> Vec<&str> {
        let global = self.graph.stages.iter().filter(|stage| stage.scope == Scope::Global);
        global.map(|stage| stage.name.as_str()).collect()
    }

    fn failing(&self) -> &Failing {
        &self.failing
    }
}

/// Emits its numbers, from where the last checkpoint was.
struct Source {
    life: Life,
    failing: Failing,
    is_open: Arc<AtomicBool>,
    interval: Duration,
    began: Instant,
    next: Range<u64>,
    /// By this instance.
    given: u64,
}

impl Resumable for Source {
    fn handle_demand(&mut self, demand: u32) -> Result<Produced, StageError> {
        self.failing.check(&self.life.instance)?;
        if !self.is_open.load(Ordering::Relaxed) {
            // The pace is that of an open source.
            self.began = Instant::now();
            return Ok(Produced::default());
        }
        let due = match self.interval.as_nanos() {
            0 => u64::MAX,
            interval => u64::try_from(self.began.elapsed().as_nanos() / interval).unwrap_or(u64::MAX),
        };
        let count = due.saturating_sub(self.given).min(u64::from(demand)).min(self.next.end - self.next.start);
        let numbers = self.next.start..self.next.start + count;
        (self.next.start, self.given) = (numbers.end, self.given + count);
        let mut columns = Columns::default();
        for number in numbers {
            push(&mut columns, number.to_string().as_bytes(), &topic_of(number), key_of(number).as_bytes());
        }
        Ok(Produced { events: batch(columns)?, finished: false })
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.next.start.to_le_bytes().into())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let bytes = snapshot.try_into().map_err(|_| "expected 8 bytes".to_owned())?;
        self.next.start = u64::from_le_bytes(bytes);
        Ok(())
    }
}

/// So many of each event, as they came.
///
/// # Errors
/// One has come with what is not its own: the topic and the key of a number are given.
fn relayed(delivery: &GuestDelivery, copies: u32) -> Result<Batch, StageError> {
    let mut columns = Columns::default();
    for event in delivery.events.iter() {
        let text = String::from_utf8_lossy(event.payload);
        let is_whole = text
            .parse::<u64>()
            .is_ok_and(|number| event.topic == Some(&*topic_of(number)) && event.key == key_of(number).as_bytes());
        if !is_whole {
            return Err(StageError::Fatal(format!(
                "`{text}` came with topic {:?} and key {:?}",
                event.topic, event.key
            )));
        }
        for _ in 0..copies {
            push(&mut columns, event.payload, event.topic.unwrap_or_default(), event.key);
        }
    }
    batch(columns)
}

fn batch(columns: Columns) -> Result<Batch, StageError> {
    Batch::new(columns, &BatchLimits::default()).map_err(|error| StageError::Fatal(error.to_string()))
}

/// One more event.
fn push(columns: &mut Columns, payload: &[u8], topic: &str, key: &[u8]) {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a few bytes for each of some hundred events");
    columns.payloads.extend_from_slice(payload);
    columns.ends.push(length(&columns.payloads));
    columns.keys.extend_from_slice(key);
    columns.key_ends.push(length(&columns.keys));
    let at = columns.topics.iter().position(|known| known == topic).unwrap_or_else(|| {
        columns.topics.push(topic.to_owned());
        columns.topics.len() - 1
    });
    columns.topic_of.push(u16::try_from(at).expect("nine topics"));
}
