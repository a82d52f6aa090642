//! The built-in stages that `forebay bench` compares its components with: the same work as `plugins/bench-source`,
//! `bench-sink` and `double` with one copy, without a guest.

use std::sync::Arc;

use forebay_proto::batch::{Batch, BatchLimits, Columns};
use hdrhistogram::Histogram;
use serde::Deserialize;

use super::{Native, Resumable, config};
use crate::{
    runtime::{GuestDelivery, Output, Plugin, Produced, Role, StageError},
    wall,
};

/// Bytes of the stamp at the start of a payload.
const STAMP_BYTES: usize = size_of::<u64>();

/// No event is older, or none that is of interest. Unit: nanoseconds.
const AGE_MAX: u64 = 60_000_000_000;

/// What the pipeline file may say of the source.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SourceConfig {
    payload_bytes: usize,
    batch: Option<u32>,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self { payload_bytes: 16, batch: None }
    }
}

/// A producer of stamped payloads.
pub fn bench_source() -> Arc<dyn Plugin> {
    Native::producer("bench-source", |spec| {
        let SourceConfig { payload_bytes, batch } = config(spec)?;
        if !(STAMP_BYTES..=65_536).contains(&payload_bytes) {
            return Err(format!("`payload_bytes` is {payload_bytes}; expected {STAMP_BYTES} to 65536"));
        }
        let (mut payload, mut next) = (vec![0; payload_bytes], 0);
        Ok(move |demand: u32| {
            let count = demand.min(batch.unwrap_or(u32::MAX)) as usize;
            Ok(Produced::from(made(&mut payload, &mut next, count)?))
        })
    })
}

fn made(payload: &mut [u8], next: &mut u64, count: usize) -> Result<Batch, StageError> {
    let (stamp, rest) = payload.split_at_mut(STAMP_BYTES);
    stamp.copy_from_slice(&wall::now_ns().to_le_bytes());
    let (numbered, bytes) = (rest.len().min(STAMP_BYTES), STAMP_BYTES + rest.len());
    let mut columns = Columns::default();
    columns.ends.reserve(count);
    let mut payloads = Vec::with_capacity(count * bytes);
    for _ in 0..count {
        payload[STAMP_BYTES..][..numbered].copy_from_slice(&next.to_le_bytes()[..numbered]);
        payloads.extend_from_slice(payload);
        columns.ends.push(u32::try_from(payloads.len()).unwrap_or(u32::MAX));
        *next += 1;
    }
    columns.payloads = payloads;
    Batch::new(columns, &BatchLimits::default()).map_err(|error| StageError::Fatal(error.to_string()))
}

/// What the pipeline file may say of the sink.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SinkConfig {
    latency: bool,
}

struct Sink {
    events: u64,
    bytes: u64,
    ages: Option<Histogram<u64>>,
}

/// A consumer that counts, and measures how old events are.
pub fn bench_sink() -> Arc<dyn Plugin> {
    Native::ticking("bench-sink", Role::Consumer, |spec| {
        let SinkConfig { latency } = config(spec)?;
        let new = || Histogram::new_with_max(AGE_MAX, 3).map_err(|error| error.to_string());
        Ok(Sink { events: 0, bytes: 0, ages: latency.then(new).transpose()? })
    })
}

impl Resumable for Sink {
    fn handle_events(&mut self, delivery: GuestDelivery) -> Result<Output, StageError> {
        let now = self.ages.is_some().then(wall::now_ns);
        for event in delivery.events.iter() {
            self.events += 1;
            self.bytes += event.payload.len() as u64;
            if let (Some(now), Some(ages)) = (now, &mut self.ages) {
                let stamp = event.payload.first_chunk().map_or(now, |stamp| u64::from_le_bytes(*stamp));
                ages.saturating_record(now.saturating_sub(stamp));
            }
        }
        Ok(Output::default())
    }

    fn handle_call(&mut self, _request: &[u8]) -> Result<Vec<u8>, String> {
        let recorded = |ages: &Histogram<u64>| -> Vec<(u64, u64)> {
            ages.iter_recorded().map(|found| (found.value_iterated_to(), found.count_at_value())).collect()
        };
        let latency = self.ages.as_ref().map_or_else(Vec::new, recorded);
        self.ages.iter_mut().for_each(Histogram::reset);
        let answer = serde_json::json!({ "events": self.events, "bytes": self.bytes, "latency": latency });
        Ok(answer.to_string().into_bytes())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _snapshot: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

/// A producer-consumer that passes on what it is given.
pub fn bench_relay() -> Arc<dyn Plugin> {
    Native::producer_consumer("bench-relay", |_spec| {
        Ok(|delivery: GuestDelivery| Ok(Output { events: delivery.events, ..Output::default() }))
    })
}
