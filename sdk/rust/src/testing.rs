//! Runs a stage in a plain `cargo test`: no WebAssembly, no host.
//!
//! A [`Harness`] makes the calls a host makes, refuses what a host refuses, and keeps what the stage
//! logged and what it asked its sources for.
//!
//! ```
//! # use forebay_sdk::{Context, Events, Producer, StageError};
//! # struct Ticks(u64);
//! # impl Producer for Ticks {
//! #     type Config = ();
//! #     fn init(_: Context<()>) -> Result<Self, String> { Ok(Self(0)) }
//! #     fn handle_demand(&mut self, demand: u32, events: &mut Events) -> Result<(), StageError> {
//! #         for _ in 0..demand { events.push_format(format_args!("{}", self.0)); self.0 += 1; }
//! #         forebay_sdk::info!("at {}", self.0);
//! #         Ok(())
//! #     }
//! # }
//! use forebay_sdk::testing::{self, json};
//!
//! let mut stage = testing::producer::<Ticks>(json!(null)).unwrap();
//! assert_eq!(stage.demand(3).unwrap().texts(), ["0", "1", "2"]);
//! assert_eq!(stage.take_logs()[0].message, "at 3");
//! ```

use std::{cell::RefCell, fmt};

pub use serde_json::{Value, json};

use crate::{
    __private as private, Batch, Call, Checkpoint, Consumer, Delivery, Events, Ingest, Output, Producer,
    ProducerConsumer, Rejection, StageError, Terminate, Timer, bindings::host::types, log::Level,
};

/// Starts a producer with a config; the rest of its context is that of [`Setup`].
///
/// # Errors
/// What `init` says, or what is wrong with the config.
pub fn producer<S: Producer>(config: Value) -> Result<Harness<S>, String> {
    Setup::new(config).producer()
}

/// Starts a consumer with a config; the rest of its context is that of [`Setup`].
///
/// # Errors
/// What `init` says, or what is wrong with the config.
pub fn consumer<S: Consumer>(config: Value) -> Result<Harness<S>, String> {
    Setup::new(config).consumer()
}

/// Starts a producer-consumer with a config; the rest of its context is that of [`Setup`].
///
/// # Errors
/// What `init` says, or what is wrong with the config.
pub fn producer_consumer<S: ProducerConsumer>(config: Value) -> Result<Harness<S>, String> {
    Setup::new(config).producer_consumer()
}

/// A delivery of these payloads, as the first of source `source`: epoch 1, attempt 1, numbers from 0.
///
/// Topics, keys and other numbers: [`Source::send`].
pub fn delivery<P: AsRef<[u8]>>(payloads: impl IntoIterator<Item = P>) -> Delivery {
    let mut events = Events::default();
    for payload in payloads {
        events.push(payload);
    }
    Source::default().send(events)
}

/// The context a stage is started with: pipeline `pipeline`, stage `stage`, node `node`, instance 0,
/// no attributes, unless set otherwise.
#[derive(Clone, Debug)]
pub struct Setup {
    context: types::Context,
}

impl Setup {
    /// A context with this config; `Value::Null` is a pipeline file without one.
    pub fn new(config: Value) -> Self {
        let context = types::Context {
            pipeline: "pipeline".into(),
            stage: "stage".into(),
            node: "node".into(),
            instance: 0,
            config: config.to_string(),
            attributes: Vec::new(),
        };
        Self { context }
    }

    /// Sets the pipeline's name.
    pub fn pipeline(mut self, name: &str) -> Self {
        self.context.pipeline = name.into();
        self
    }

    /// Sets the stage's name.
    pub fn stage(mut self, name: &str) -> Self {
        self.context.stage = name.into();
        self
    }

    /// Sets the node's name.
    pub fn node(mut self, name: &str) -> Self {
        self.context.node = name.into();
        self
    }

    /// Sets which instance of the stage this is.
    pub fn instance(mut self, instance: u32) -> Self {
        self.context.instance = instance;
        self
    }

    /// Adds an attribute.
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.context.attributes.push((name.into(), value.into()));
        self
    }

    /// Starts a producer.
    ///
    /// # Errors
    /// What `init` says, or what is wrong with the config.
    pub fn producer<S: Producer>(self) -> Result<Harness<S>, String> {
        Harness::start(|| private::start_producer(self.context))
    }

    /// Starts a consumer.
    ///
    /// # Errors
    /// What `init` says, or what is wrong with the config.
    pub fn consumer<S: Consumer>(self) -> Result<Harness<S>, String> {
        Harness::start(|| private::start_consumer(self.context))
    }

    /// Starts a producer-consumer.
    ///
    /// # Errors
    /// What `init` says, or what is wrong with the config.
    pub fn producer_consumer<S: ProducerConsumer>(self) -> Result<Harness<S>, String> {
        Harness::start(|| private::start_producer_consumer(self.context))
    }
}

/// Where deliveries come from: numbers events as the source's host does.
#[derive(Clone, Debug)]
pub struct Source {
    /// The source's name.
    pub name: String,
    /// The epoch of its claim.
    pub epoch: u64,
    /// Which attempt the next delivery is.
    pub attempt: u32,
    /// The number of the next event.
    pub next_seq: u64,
}

impl Default for Source {
    fn default() -> Self {
        Self { name: "source".into(), epoch: 1, attempt: 1, next_seq: 0 }
    }
}

impl Source {
    /// Numbers events and makes a delivery of them.
    pub fn send(&mut self, events: Events) -> Delivery {
        let count = u32::try_from(events.len()).expect("a test sends fewer than 2^32 events");
        let first = self.next_seq;
        self.next_seq += u64::from(count);
        Delivery::new(types::Delivery {
            source: self.name.clone(),
            epoch: self.epoch,
            attempt: self.attempt,
            seqs: vec![(first, count)],
            events: events.into_columns(),
        })
    }
}

/// One line a stage logged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// What it says.
    pub message: String,
}

/// What a producer-consumer made of one delivery.
#[derive(Debug)]
pub struct Transformed {
    /// The events to pass on.
    pub events: Batch,
    /// The delivered events that could not be processed.
    pub rejections: Vec<Rejection>,
}

/// A started stage, and the calls a host makes.
#[derive(Debug)]
pub struct Harness<S> {
    stage: S,
    logs: Vec<LogLine>,
    asks: Vec<(String, u32)>,
}

impl<S> Harness<S> {
    fn start(init: impl FnOnce() -> Result<S, String>) -> Result<Self, String> {
        let (mut logs, mut asks) = (Vec::new(), Vec::new());
        let stage = heard(&mut logs, &mut asks, init)?;
        Ok(Self { stage, logs, asks })
    }

    fn call<R, E>(&mut self, call: impl FnOnce(&mut S) -> Result<R, E>) -> Result<R, E> {
        heard(&mut self.logs, &mut self.asks, || call(&mut self.stage))
    }

    /// The stage itself, to look at its state.
    pub fn stage(&self) -> &S {
        &self.stage
    }

    /// The lines logged since the start or the last call of this function.
    pub fn take_logs(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.logs)
    }

    /// What the stage [asked](crate::ask) for since the start or the last call of this function: source and count, in
    /// order. What a call asked for that failed is not there: a host lets go of it too.
    pub fn take_asks(&mut self) -> Vec<(String, u32)> {
        std::mem::take(&mut self.asks)
    }
}

impl<S: Producer> Harness<S> {
    /// Asks for up to `demand` events.
    ///
    /// # Errors
    /// The stage's.
    ///
    /// # Panics
    /// If the host would refuse the events: more than `demand`, or columns that contradict each other.
    pub fn demand(&mut self, demand: u32) -> Result<Batch, StageError> {
        let mut events = Events::default();
        self.call(|stage| stage.handle_demand(demand, &mut events))?;
        let emitted = events.len();
        assert!(emitted <= demand as usize, "the stage emitted {emitted} events for a demand of {demand}");
        Ok(checked(events))
    }
}

impl<S: Consumer> Harness<S> {
    /// Hands over one batch.
    ///
    /// # Errors
    /// The stage's.
    ///
    /// # Panics
    /// If the host would refuse a rejection: its index is outside the batch.
    pub fn deliver(&mut self, delivery: &Delivery) -> Result<Vec<Rejection>, StageError> {
        let rejections = self.call(|stage| stage.handle_events(delivery))?;
        check_rejections(&rejections, delivery.len());
        Ok(rejections)
    }
}

impl<S: ProducerConsumer> Harness<S> {
    /// Hands over one batch and gives what the stage makes of it.
    ///
    /// # Errors
    /// The stage's.
    ///
    /// # Panics
    /// If the host would refuse the output: columns that contradict each other, or a rejection whose
    /// index is outside the batch.
    pub fn transform(&mut self, delivery: &Delivery) -> Result<Transformed, StageError> {
        let mut output = Output::default();
        self.call(|stage| stage.handle_events(delivery, &mut output))?;
        check_rejections(&output.rejections, delivery.len());
        Ok(Transformed { events: checked(output.events), rejections: output.rejections })
    }
}

impl<S: Checkpoint> Harness<S> {
    /// Takes a snapshot.
    ///
    /// # Errors
    /// The stage's.
    pub fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        self.call(Checkpoint::snapshot)
    }

    /// Hands over a snapshot.
    ///
    /// # Errors
    /// The stage's.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        self.call(|stage| stage.restore(snapshot))
    }
}

impl<S: Timer> Harness<S> {
    /// Says that the `tick` interval has passed.
    ///
    /// # Errors
    /// The stage's.
    ///
    /// # Panics
    /// If the columns of the emitted events contradict each other.
    pub fn tick(&mut self) -> Result<Batch, StageError> {
        let mut events = Events::default();
        self.call(|stage| stage.handle_tick(&mut events))?;
        Ok(checked(events))
    }
}

impl<S: Ingest> Harness<S> {
    /// Pushes events in from outside.
    ///
    /// # Errors
    /// The stage's.
    ///
    /// # Panics
    /// If the columns of the emitted events contradict each other.
    pub fn ingest(&mut self, incoming: Events) -> Result<Batch, StageError> {
        let mut events = Events::default();
        self.call(|stage| stage.handle_ingest(&incoming.into(), &mut events))?;
        Ok(checked(events))
    }
}

impl<S: Call> Harness<S> {
    /// Asks the stage something.
    ///
    /// # Errors
    /// The stage's.
    pub fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>, String> {
        self.call(|stage| stage.handle_call(request))
    }
}

impl<S: Terminate> Harness<S> {
    /// Ends the stage in good order; gives it back with what it logged.
    pub fn terminate(mut self, reason: &str) -> (S, Vec<LogLine>) {
        logged(&mut self.logs, || self.stage.terminate(reason));
        (self.stage, self.logs)
    }
}

fn checked(events: Events) -> Batch {
    let columns = events.into_columns();
    let count = columns.ends.len();
    check_ends("ends", &columns.ends, columns.payloads.len(), count);
    if !(columns.key_ends.is_empty() && columns.keys.is_empty()) {
        check_ends("key-ends", &columns.key_ends, columns.keys.len(), count);
    }
    let topics = columns.topics.len();
    let named = columns.topic_of.iter().all(|&topic| usize::from(topic) < topics);
    let all_or_none = columns.topic_of.len() == if topics == 0 { 0 } else { count };
    assert!(named && all_or_none, "column `topic-of` is {:?} for {topics} topics, {count} events", columns.topic_of);
    let of_events = columns.headers.iter().all(|(event, ..)| (*event as usize) < count);
    assert!(of_events && columns.headers.is_sorted_by_key(|(event, ..)| *event), "headers: {:?}", columns.headers);
    Batch::new(columns)
}

fn check_ends(column: &str, ends: &[u32], bytes: usize, events: usize) {
    assert!(ends.len() == events, "column `{column}` has {} entries for {events} events", ends.len());
    assert!(ends.is_sorted(), "column `{column}` falls: {ends:?}");
    let last = ends.last().map_or(0, |&end| end as usize);
    assert!(last == bytes, "the last of column `{column}` is {last}, but there are {bytes} bytes");
}

fn check_rejections(rejections: &[Rejection], events: usize) {
    for rejection in rejections {
        assert!((rejection.index as usize) < events, "{rejection:?} names none of the {events} events");
    }
}

thread_local! {
    /// Lines logged by the call that runs on this thread; `None` outside a call.
    static LINES: RefCell<Option<Vec<LogLine>>> = const { RefCell::new(None) };
    /// What the call that runs on this thread asked for.
    static ASKS: RefCell<Vec<(String, u32)>> = const { RefCell::new(Vec::new()) };
}

/// A call with what the stage logged and, if it went well, asked for.
fn heard<R, E>(
    logs: &mut Vec<LogLine>,
    asks: &mut Vec<(String, u32)>,
    call: impl FnOnce() -> Result<R, E>,
) -> Result<R, E> {
    ASKS.set(Vec::new());
    let result = logged(logs, call);
    let asked = ASKS.take();
    if result.is_ok() {
        asks.extend(asked);
    }
    result
}

fn logged<R>(logs: &mut Vec<LogLine>, call: impl FnOnce() -> R) -> R {
    LINES.set(Some(Vec::new()));
    let result = call();
    logs.extend(LINES.take().unwrap_or_default());
    result
}

/// Takes one line from [`log`](crate::log::log). A line from outside a call of a harness, as when a
/// test calls the stage's own functions, goes to stderr, where `cargo test` shows it on failure.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn record(level: Level, message: &str) {
    LINES.with_borrow_mut(|lines| match lines {
        Some(lines) => lines.push(LogLine { level, message: message.to_owned() }),
        None => eprintln!("{level}: {message}"),
    });
}

/// Takes one call of [`ask`](crate::ask).
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn record_ask(source: &str, count: u32) {
    ASKS.with_borrow_mut(|asks| asks.push((source.to_owned(), count)));
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}
