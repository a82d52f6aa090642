//! What the clusters run: numbered events from one global counter, and consumers on every node.
//!
//! Contents tell who made them: `SERIAL INSTANCE:NUMBER`, so that one event is one text for ever. The serial, which is
//! what the checker of traces looks at, says the same in one number.

use std::{
    collections::BTreeSet,
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
        GuestDelivery, InstanceSpec, Output, Plugin, Produced, Role, StageError,
        native::{Native, Resumable},
    },
};
use forebay_proto::{
    batch::Batch,
    ids::{BootId, NodeName, StageName},
    pipeline::Pipeline,
};
use rand::{RngExt, rngs::SmallRng};
use tokio::time::Instant;

use crate::{
    load::{Failing, Load},
    story::{Handled, Instance, Story, What},
};

/// One global counter, a sink on each node.
const COUNTED: &str = r#"
    name = "counted"
    [stages.counter]
    plugin = "native"
    scope = "global"
    poll = "10ms"
    checkpoint = "300ms"
    [stages.sink]
    plugin = "native"
    subscribe = [{ to = "counter", max_demand = 8, min_demand = 2 }]
"#;

/// A global stage with a state between them, so that two names move.
const DOUBLED: &str = r#"
    name = "doubled"
    [stages.counter]
    plugin = "native"
    scope = "global"
    poll = "10ms"
    checkpoint = "300ms"
    [stages.double]
    plugin = "native"
    scope = "global"
    checkpoint = "200ms"
    subscribe = [{ to = "counter", max_demand = 120, min_demand = 40 }]
    [stages.sink]
    plugin = "native"
    subscribe = [{ to = "double", max_demand = 8, min_demand = 2 }]
"#;

/// What is wanted of all instances of a run. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    story: Story,
    has_double: bool,
    /// Time between two bursts of the counter.
    interval: Duration,
    /// Events of a burst: more than all sinks together have asked for, so that each of them gets some. The dispatcher
    /// serves the largest demand first, and a slow source can so leave a sink without any for ever.
    burst: u64,
    /// The counter emits no more.
    closed: Arc<AtomicBool>,
    failing: Failing,
}

impl Workload {
    /// For a cluster of so many nodes.
    pub(crate) fn draw(story: &Story, random: &mut SmallRng, nodes: usize) -> Self {
        let interval = Duration::from_millis(random.random_range(40..300));
        let burst = 10 * u64::try_from(nodes).unwrap_or(u64::MAX);
        let (story, has_double) = (story.clone(), random.random_bool(0.5));
        Self { story, has_double, interval, burst, closed: Arc::default(), failing: Failing::default() }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    fn counter(&self, boot: BootId) -> Arc<dyn Plugin> {
        let workload = self.clone();
        Native::resumable("counter", move |spec| {
            let life = Life::begin(&workload.story, &spec.node, boot, &spec.stage);
            Ok(Counter { life, workload: workload.clone(), began: Instant::now(), begun_at: 0, count: 0 })
        })
    }

    fn double(&self, boot: BootId) -> Arc<dyn Plugin> {
        let workload = self.clone();
        Native::stateful("double", Role::ProducerConsumer, move |spec| {
            let life = Life::begin(&workload.story, &spec.node, boot, &spec.stage);
            Ok(Doubler { life, workload: workload.clone(), count: 0 })
        })
    }

    fn sink(&self, boot: BootId) -> Arc<dyn Plugin> {
        let workload = self.clone();
        Native::consumer("sink", move |spec| {
            let life = Life::begin(&workload.story, &spec.node, boot, &spec.stage);
            let workload = workload.clone();
            Ok(move |delivery: GuestDelivery| {
                workload.failing.check(&life.instance)?;
                life.handle(&delivery);
                Ok(Vec::new())
            })
        })
    }
}

impl Load for Workload {
    fn pipeline(&self, boot: BootId) -> anyhow::Result<LoadedPipeline> {
        let text = if self.has_double { DOUBLED } else { COUNTED };
        let parsed = Pipeline::parse(text, "workload.toml").context("the workload's pipeline")?;
        let mut plugins = Plugins::new();
        for stage in parsed.stages() {
            let plugin = match stage.name.as_str() {
                "counter" => self.counter(boot),
                "double" => self.double(boot),
                _ => self.sink(boot),
            };
            plugins.insert(stage.name.clone(), plugin);
        }
        LoadedPipeline::new(parsed, plugins).context("the workload's plugins")
    }

    fn labels(&self, _: usize) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn stages(&self) -> Vec<&str> {
        self.global_stages().into_iter().chain(["sink"]).collect()
    }

    fn global_stages(&self) -> Vec<&str> {
        if self.has_double { vec!["counter", "double"] } else { vec!["counter"] }
    }

    fn failing(&self) -> &Failing {
        &self.failing
    }
}

/// Counts on from where the last checkpoint was.
struct Counter {
    life: Life,
    workload: Workload,
    began: Instant,
    /// What was emitted before this instance, and with it.
    begun_at: u64,
    count: u64,
}

impl Resumable for Counter {
    fn handle_demand(&mut self, demand: u32) -> Result<Produced, StageError> {
        let Self { life, workload, began, begun_at, count } = self;
        workload.failing.check(&life.instance)?;
        // In virtual time nothing else would ever slow it down.
        let bursts = began.elapsed().as_nanos() / workload.interval.as_nanos().max(1);
        let due = u64::try_from(bursts).unwrap_or(u64::MAX).saturating_mul(workload.burst);
        let due = due.saturating_sub(*count - *begun_at).min(u64::from(demand));
        let due = if workload.closed.load(Ordering::Relaxed) { 0 } else { due };
        *count += due;
        Ok(Produced::from(life.emit(*count - due..*count)))
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.count.to_le_bytes().into())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        self.count = number_of(snapshot)?;
        self.begun_at = self.count;
        Ok(())
    }
}

/// Passes on, and counts on from where the last checkpoint was.
struct Doubler {
    life: Life,
    workload: Workload,
    count: u64,
}

impl Resumable for Doubler {
    fn handle_events(&mut self, delivery: GuestDelivery) -> Result<Output, StageError> {
        self.workload.failing.check(&self.life.instance)?;
        let events = self.life.handle(&delivery);
        self.count += events;
        Ok(Output { events: self.life.emit(self.count - events..self.count), rejections: Vec::new() })
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.count.to_le_bytes().into())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        self.count = number_of(snapshot)?;
        Ok(())
    }
}

fn number_of(snapshot: &[u8]) -> Result<u64, String> {
    snapshot.try_into().map(u64::from_le_bytes).map_err(|_| "expected 8 bytes".to_owned())
}

/// From an instance's `init` to its end, however that comes.
pub(crate) struct Life {
    story: Story,
    pub(crate) instance: Instance,
}

impl Life {
    pub(crate) fn begin(story: &Story, node: &NodeName, boot: BootId, stage: &StageName) -> Self {
        let instance = story.instance(node.clone(), boot, stage.clone());
        story.tell(What::Began { instance: instance.clone() });
        Self { story: story.clone(), instance }
    }

    /// One of several instances of a stage, of which the first stands for all.
    pub(crate) fn of_many(story: &Story, spec: &InstanceSpec, boot: BootId) -> Self {
        if spec.instance == 0 {
            return Self::begin(story, &spec.node, boot, &spec.stage);
        }
        Self { story: story.clone(), instance: story.instance(spec.node.clone(), boot, spec.stage.clone()) }
    }

    fn emit(&self, contents: std::ops::Range<u64>) -> Batch {
        for content in contents.clone() {
            self.story.tell(What::Emitted { instance: self.instance.clone(), content });
        }
        Batch::from_payloads(contents.map(|content| content_of(&self.instance, content)))
    }

    /// How many events these were.
    fn handle(&self, delivery: &GuestDelivery) -> u64 {
        let seqs = delivery.runs.iter().flat_map(|run| run.first.0..run.end().0);
        let mut count = 0;
        for (seq, event) in seqs.zip(delivery.events.iter()) {
            let handled = Handled {
                source: delivery.source.clone(),
                epoch: delivery.epoch,
                seq: forebay_proto::ids::Seq(seq),
                attempt: delivery.attempt,
                content: String::from_utf8_lossy(event.payload).into_owned(),
            };
            self.story.tell(What::Handled { instance: self.instance.clone(), handled });
            count += 1;
        }
        count
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.story.tell(What::Ended { instance: self.instance.clone() });
    }
}

/// More than any emits in a run.
const EVENTS_OF_AN_INSTANCE: u64 = 1_000_000;

/// The text of an event.
pub(crate) fn content_of(instance: &Instance, number: u64) -> String {
    format!("{} {instance}:{number}", instance.number * EVENTS_OF_AN_INSTANCE + number)
}

/// The instance that made an event, as its text names it.
pub(crate) fn maker_of(content: &str) -> &str {
    let maker = content.rsplit_once(':').map_or(content, |(maker, _)| maker);
    maker.split_once(' ').map_or(maker, |(_, maker)| maker)
}
