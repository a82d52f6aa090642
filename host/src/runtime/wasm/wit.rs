//! The records of `wit/stage.wit` as wasmtime passes them, and their counterparts in the host.
//!
//! Written by hand rather than by `bindgen!`: a plugin exports one of three roles, whose functions
//! are looked up once per component; and columns are moved, not copied, between these and the host's.

use forebay_proto::{
    batch::{Batch, Columns},
    message::SeqRun,
};
use wasmtime::component::{ComponentType, Lift, Lower};

use super::super::{GuestDelivery, InstanceSpec, Rejection, StageError, check};

/// `types.batch`.
#[derive(ComponentType, Lift, Lower)]
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

impl From<Columns> for WitBatch {
    fn from(columns: Columns) -> Self {
        let Columns { payloads, ends, topics, topic_of, keys, key_ends, headers } = columns;
        Self { payloads, ends, topics, topic_of, keys, key_ends, headers }
    }
}

impl From<WitBatch> for Columns {
    fn from(batch: WitBatch) -> Self {
        let WitBatch { payloads, ends, topics, topic_of, keys, key_ends, headers } = batch;
        Self { payloads, ends, topics, topic_of, keys, key_ends, headers }
    }
}

/// `types.delivery`.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct WitDelivery {
    source: String,
    epoch: u64,
    attempt: u32,
    seqs: Vec<(u64, u32)>,
    events: WitBatch,
}

impl WitDelivery {
    pub(super) fn new(delivery: &GuestDelivery) -> Self {
        let run = |&SeqRun { first, count }: &SeqRun| (first.0, count);
        Self {
            source: delivery.source.as_str().to_owned(),
            epoch: delivery.epoch.to_u64(),
            attempt: delivery.attempt,
            seqs: delivery.runs.iter().map(run).collect(),
            events: Batch::to_columns(&delivery.events).into(),
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

/// Parameters and results of the calls, as wasmtime's typed functions want them.
pub(super) mod calls {
    use super::{WitBatch, WitContext, WitDelivery, WitOutput, WitRejection, WitStageError};

    pub(in super::super) type InitParams = (WitContext,);
    pub(in super::super) type InitResult = (Result<(), String>,);
    pub(in super::super) type ProduceParams = (u32,);
    pub(in super::super) type ProduceResult = (Result<WitBatch, WitStageError>,);
    pub(in super::super) type EventsParams = (WitDelivery,);
    pub(in super::super) type ConsumeResult = (Result<Vec<WitRejection>, WitStageError>,);
    pub(in super::super) type TransformResult = (Result<WitOutput, WitStageError>,);
    pub(in super::super) type TerminateParams = (String,);
    pub(in super::super) type SnapshotResult = (Result<Vec<u8>, String>,);
    pub(in super::super) type RestoreParams = (Vec<u8>,);
    pub(in super::super) type RestoreResult = (Result<(), String>,);
    pub(in super::super) type IngestParams = (WitBatch,);
    pub(in super::super) type CallParams = (Vec<u8>,);
    pub(in super::super) type CallResult = (Result<Vec<u8>, String>,);
}
