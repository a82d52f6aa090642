//! A component under test, and the calls a host makes of its instances.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use forebay::runtime::{
    Asks, CallError, GuestDelivery, GuestOutput, Instance, InstanceSpec, Limits, LineKind, Output, Plugin, StartError,
};
use forebay_proto::{
    batch::Batch,
    ids::{Epoch, Seq, StageName},
    message::SeqRun,
};

use crate::{
    events::{self, Event},
    expect::{Outcome, contains, done, shown},
    stages::{Language, Stage},
};

/// Enough for every language; StarlingMonkey's and Python's stages need the most. Unit: bytes.
const MEMORY_BYTES: u64 = 256 << 20;
/// A call of 10,000 events must not fail because the machine is busy.
const CALL_TIME: Duration = Duration::from_secs(20);
/// Unit: lines a second; ten times as many at once. Few, so that a flood loses lines.
const LOG_LINES_PER_SECOND: u32 = 100;

/// The sources that a stage is to ask itself.
pub(crate) const ASKED: [&str; 2] = ["other", "source"];

/// A component that was loaded.
pub(crate) struct Subject {
    pub(crate) language: Language,
    pub(crate) stage: Stage,
    pub(crate) plugin: Arc<dyn Plugin>,
}

/// How an instance is started.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) config: String,
    pub(crate) restore: Option<Bytes>,
    pub(crate) limits: Limits,
}

impl Start {
    /// With this config, as JSON.
    pub(crate) fn with(config: &str) -> Self {
        let limits = Limits {
            memory_bytes: MEMORY_BYTES,
            call_time: CALL_TIME,
            log_lines_per_second: LOG_LINES_PER_SECOND,
            ..Limits::default()
        };
        Self { config: config.to_owned(), restore: None, limits }
    }

    pub(crate) fn restore(self, snapshot: impl Into<Bytes>) -> Self {
        Self { restore: Some(snapshot.into()), ..self }
    }

    fn spec(&self, stage: Stage, output: Arc<Heard>) -> InstanceSpec {
        InstanceSpec {
            pipeline: "conformance".parse().expect("a name"),
            stage: stage.name().parse().expect("a name"),
            node: "node-1".parse().expect("a name"),
            instance: 0,
            config: self.config.clone(),
            limits: self.limits,
            restore: self.restore.clone(),
            asks: Asks::of(ASKED.map(|source| source.parse().expect("a name"))),
            output,
        }
    }
}

impl Subject {
    /// Starts an instance with a config.
    pub(crate) async fn start(&self, config: &str) -> Outcome<Running> {
        self.start_with(&Start::with(config)).await
    }

    pub(crate) async fn start_with(&self, start: &Start) -> Outcome<Running> {
        let heard = Arc::new(Heard::default());
        let instance = self.plugin.start(start.spec(self.stage, Arc::clone(&heard))).await;
        let instance = done(&format!("the start with the config {}", start.config), instance)?;
        Ok(Running { instance, heard })
    }

    /// Starts an instance that must not come to be, and gives the error.
    pub(crate) async fn start_fails(&self, start: &Start) -> Outcome<StartError> {
        let result = self.plugin.start(start.spec(self.stage, Arc::default())).await;
        result.err().ok_or_else(|| format!("the start with the config {} went well, expected an error", start.config))
    }

    /// `init` must refuse this config, in a text that contains all of these.
    pub(crate) async fn refuses(&self, config: &str, parts: &[&str]) -> Outcome {
        match self.start_fails(&Start::with(config)).await? {
            StartError::Init { message, .. } => contains(&format!("the error of `init` for {config}"), &message, parts),
            other => Err(format!("config {config}: found {}, expected an error of `init`", shown(&other))),
        }
    }
}

/// A started instance, and what it said.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) instance: Box<dyn Instance>,
    heard: Arc<Heard>,
}

impl Running {
    pub(crate) async fn demand(&mut self, demand: u32) -> Outcome<Batch> {
        Ok(done(&format!("handle-demand({demand})"), self.instance.handle_demand(demand).await)?.events)
    }

    /// The payloads of what `handle-demand` gives, as text.
    pub(crate) async fn numbers(&mut self, demand: u32) -> Outcome<Vec<String>> {
        Ok(texts(&self.demand(demand).await?))
    }

    pub(crate) async fn try_deliver(&mut self, events: &[Event]) -> Result<Output, CallError> {
        self.instance.handle_events(delivery(events::batch(events))).await
    }

    pub(crate) async fn deliver(&mut self, events: &[Event]) -> Outcome<Output> {
        done(&format!("handle-events of {} events", events.len()), self.try_deliver(events).await)
    }

    pub(crate) async fn tick(&mut self) -> Outcome<Batch> {
        done("handle-tick", self.instance.handle_tick().await)
    }

    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Bytes, CallError> {
        self.instance.handle_call(Bytes::copy_from_slice(request)).await
    }

    /// The lines so far.
    pub(crate) fn lines(&self) -> Vec<(LineKind, String)> {
        self.heard.said().lines.clone()
    }

    /// The instance ends; gives the lines, and how many were dropped, which is said last when it is gone.
    pub(crate) fn end(self) -> (Vec<(LineKind, String)>, u64) {
        drop(self.instance);
        let said = self.heard.said();
        (said.lines.clone(), said.dropped)
    }
}

/// Events of a source, numbered.
pub(crate) fn delivery(events: Batch) -> GuestDelivery {
    let count = u32::try_from(events.len()).expect("a batch has fewer than 2^32 events");
    let runs = if count == 0 { Vec::new() } else { vec![SeqRun { first: Seq(7), count }] };
    let epoch = Epoch { lamport: 3, tag: 4 };
    GuestDelivery { source: "source".parse().expect("a name"), epoch, attempt: 1, runs, events }
}

/// The payloads as text; bytes that are not UTF-8 are replaced.
pub(crate) fn texts(batch: &Batch) -> Vec<String> {
    batch.iter().map(|event| String::from_utf8_lossy(event.payload).into_owned()).collect()
}

/// Remembers what an instance said.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    lines: Vec<(LineKind, String)>,
    dropped: u64,
}

impl Heard {
    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GuestOutput for Heard {
    fn line(&self, _: &StageName, kind: LineKind, line: &str) {
        self.said().lines.push((kind, line.to_owned()));
    }

    fn dropped(&self, _: &StageName, count: u64) {
        self.said().dropped += count;
    }
}
