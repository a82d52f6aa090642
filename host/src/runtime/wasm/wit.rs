//! The records of `wit/stage.wit` as wasmtime passes them, and their counterparts in the host.
//!
//! Written by hand rather than by `bindgen!`: a plugin exports one of three roles, whose functions
//! are looked up once per component; and columns are not copied between these and the host's. What a guest is given is
//! borrowed from the batch, so that a payload is copied once, into the guest's memory.

use forebay_proto::{
    batch::{Batch, Columns},
    message::SeqRun,
};
use wasmtime::component::{ComponentType, Lift, Lower};

use super::super::{GuestDelivery, InstanceSpec, Rejection, StageError, check};

/// `types.batch`, from a guest.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct WitBatch {
    payloads: Vec<u8>,
    ends: Vec<u32>,
    topics: Vec<String>,
    #[component(name = "topic-of")]
    topic_of: Vec<u16>,
    keys: Vec<u8>,
    #[component(name = "key-ends")]
    key_ends: Vec<u32>,
    headers: Vec<(u32, String, String)>,
}

impl From<WitBatch> for Columns {
    fn from(batch: WitBatch) -> Self {
        let WitBatch { payloads, ends, topics, topic_of, keys, key_ends, headers } = batch;
        Self { payloads, ends, topics, topic_of, keys, key_ends, headers }
    }
}

/// `types.batch`, for a guest.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct WitView<'a> {
    payloads: &'a [u8],
    ends: &'a [u32],
    topics: &'a [String],
    #[component(name = "topic-of")]
    topic_of: &'a [u16],
    keys: &'a [u8],
    #[component(name = "key-ends")]
    key_ends: &'a [u32],
    headers: Vec<(u32, &'a str, &'a str)>,
}

impl<'a> WitView<'a> {
    pub(super) fn new(events: &'a Batch, scratch: &'a mut Scratch) -> Self {
        let Scratch { ends, key_ends, .. } = scratch;
        Self::counted_in(events, ends, key_ends)
    }

    /// Ends are counted anew in these rows where the view begins within its columns.
    fn counted_in(events: &'a Batch, ends: &'a mut Vec<u32>, key_ends: &'a mut Vec<u32>) -> Self {
        let view = events.view();
        Self {
            payloads: view.payloads,
            ends: counted_from(view.payload_base, view.ends, ends),
            topics: view.topics,
            topic_of: view.topic_of,
            keys: view.keys,
            key_ends: counted_from(view.key_base, view.key_ends, key_ends),
            headers: events.headers().collect(),
        }
    }
}

fn counted_from<'a>(base: u32, ends: &'a [u32], anew: &'a mut Vec<u32>) -> &'a [u32] {
    if base == 0 {
        return ends;
    }
    anew.clear();
    anew.extend(ends.iter().map(|end| end - base));
    anew
}

/// Rows that the calls of an instance use one after the other, so that none makes its own. Each grows to the largest batch
/// that came, which `limits.batch_events` bounds.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    ends: Vec<u32>,
    key_ends: Vec<u32>,
    seqs: Vec<(u64, u32)>,
}

/// `types.delivery`.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct WitDelivery<'a> {
    source: &'a str,
    epoch: u64,
    attempt: u32,
    seqs: &'a [(u64, u32)],
    events: WitView<'a>,
}

impl<'a> WitDelivery<'a> {
    pub(super) fn new(delivery: &'a GuestDelivery, scratch: &'a mut Scratch) -> Self {
        let Scratch { ends, key_ends, seqs } = scratch;
        seqs.clear();
        seqs.extend(delivery.runs.iter().map(|&SeqRun { first, count }| (first.0, count)));
        Self {
            source: delivery.source.as_str(),
            epoch: delivery.epoch.to_u64(),
            attempt: delivery.attempt,
            seqs,
            events: WitView::counted_in(&delivery.events, ends, key_ends),
        }
    }
}

/// `types.context`.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct WitContext {
    pipeline: String,
    stage: String,
    node: String,
    instance: u32,
    config: String,
    attributes: Vec<(String, String)>,
}

impl WitContext {
    pub(super) fn new(spec: &InstanceSpec) -> Self {
        Self {
            pipeline: spec.pipeline.as_str().to_owned(),
            stage: spec.stage.as_str().to_owned(),
            node: spec.node.as_str().to_owned(),
            instance: spec.instance,
            config: spec.config.clone(),
            attributes: Vec::new(),
        }
    }
}

/// `types.rejection`.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct WitRejection {
    index: u32,
    retry: bool,
    reason: String,
}

impl From<WitRejection> for Rejection {
    fn from(rejection: WitRejection) -> Self {
        let WitRejection { index, retry, reason } = rejection;
        Self { index, retry, reason: check::clean(&reason) }
    }
}

/// `types.output`.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct WitOutput {
    pub(super) events: WitBatch,
    pub(super) rejections: Vec<WitRejection>,
}

/// `types.stage-error`.
#[derive(ComponentType, Lift)]
#[component(variant)]
pub(super) enum WitStageError {
    #[component(name = "retry")]
    Retry(String),
    #[component(name = "fatal")]
    Fatal(String),
    #[component(name = "other")]
    Other(String),
}

impl From<WitStageError> for StageError {
    fn from(error: WitStageError) -> Self {
        match error {
            WitStageError::Retry(text) => Self::Retry(check::clean(&text)),
            WitStageError::Fatal(text) | WitStageError::Other(text) => Self::Fatal(check::clean(&text)),
        }
    }
}

/// `host.level`.
#[derive(ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "made by lifting, from a guest's number")]
pub(super) enum WitLevel {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

impl From<WitLevel> for tracing::Level {
    fn from(level: WitLevel) -> Self {
        match level {
            WitLevel::Trace => Self::TRACE,
            WitLevel::Debug => Self::DEBUG,
            WitLevel::Info => Self::INFO,
            WitLevel::Warn => Self::WARN,
            WitLevel::Error => Self::ERROR,
        }
    }
}

/// Parameters and results of the calls, as wasmtime's typed functions want them. A function of parameters that live for
/// ever takes any: wasmtime copies them during the call.
pub(super) mod calls {
    use super::{WitBatch, WitContext, WitDelivery, WitOutput, WitRejection, WitStageError, WitView};

    pub(in super::super) type InitParams = (WitContext,);
    pub(in super::super) type InitResult = (Result<(), String>,);
    pub(in super::super) type ProduceParams = (u32,);
    pub(in super::super) type ProduceResult = (Result<WitBatch, WitStageError>,);
    pub(in super::super) type EventsParams<'a> = (WitDelivery<'a>,);
    pub(in super::super) type ConsumeResult = (Result<Vec<WitRejection>, WitStageError>,);
    pub(in super::super) type TransformResult = (Result<WitOutput, WitStageError>,);
    pub(in super::super) type TerminateParams<'a> = (&'a str,);
    pub(in super::super) type SnapshotResult = (Result<Vec<u8>, String>,);
    pub(in super::super) type RestoreParams<'a> = (&'a [u8],);
    pub(in super::super) type RestoreResult = (Result<(), String>,);
    pub(in super::super) type IngestParams<'a> = (WitView<'a>,);
    pub(in super::super) type CallParams<'a> = (&'a [u8],);
    pub(in super::super) type CallResult = (Result<Vec<u8>, String>,);
}
