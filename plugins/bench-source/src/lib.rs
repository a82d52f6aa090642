//! The producer of `forebay bench`: payloads of one length, each stamped with the time it was made.
//!
//! | config          | unit   | default | meaning                              |
//! |-----------------|--------|---------|--------------------------------------|
//! | `payload_bytes` | bytes  | 16      | the length of a payload, 8 to 65,536 |
//! | `batch`         | events | none    | emit at most so many at a time       |
//!
//! A payload begins with the wall clock, in nanoseconds since 1970 as a little-endian number of 8 bytes; those that were made
//! in one call have the same. What follows is the number of the event, in the same form, as far as there is room, and zeros.

use std::time::{SystemTime, UNIX_EPOCH};

use forebay_sdk::{Context, Events, Producer, StageError};
use serde::Deserialize;

/// At least a stamp.
const PAYLOAD_BYTES: std::ops::RangeInclusive<usize> = 8..=65_536;

/// What the pipeline file may say; see the table above.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    payload_bytes: usize,
    batch: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        Self { payload_bytes: 16, batch: None }
    }
}

/// The stage.
#[derive(Debug)]
pub struct Source {
    batch: u32,
    next: u64,
    /// As the next one is, but for stamp and number.
    payload: Vec<u8>,
}

impl Producer for Source {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        let Config { payload_bytes, batch } = context.config;
        if !PAYLOAD_BYTES.contains(&payload_bytes) {
            let (min, max) = PAYLOAD_BYTES.into_inner();
            return Err(format!("`payload_bytes` is {payload_bytes}; expected {min} to {max}"));
        }
        if batch == Some(0) {
            return Err("`batch` is 0; expected at least 1 event".to_owned());
        }
        Ok(Self { batch: batch.unwrap_or(u32::MAX), next: 0, payload: vec![0; payload_bytes] })
    }

    fn handle_demand(&mut self, demand: u32, events: &mut Events) -> Result<(), StageError> {
        let count = demand.min(self.batch);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let stamp = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let (stamped, rest) = self.payload.split_at_mut(size_of::<u64>());
        stamped.copy_from_slice(&stamp.to_le_bytes());
        let numbered = rest.len().min(size_of::<u64>());
        events.reserve(count as usize, count as usize * (stamped.len() + rest.len()));
        for _ in 0..count {
            self.payload[size_of::<u64>()..][..numbered].copy_from_slice(&self.next.to_le_bytes()[..numbered]);
            events.push(&self.payload);
            self.next += 1;
        }
        Ok(())
    }
}

forebay_sdk::export_producer!(Source);

#[cfg(test)]
mod tests {
    use forebay_sdk::testing::{self, json};

    use super::*;

    #[test]
    fn payloads_have_a_stamp_and_a_number_and_the_length_that_was_asked_for() {
        let mut source = testing::producer::<Source>(json!({ "payload_bytes": 20, "batch": 3 })).unwrap();
        let payloads: Vec<Vec<u8>> = source.demand(5).unwrap().iter().map(|event| event.payload.to_vec()).collect();
        assert_eq!(payloads.len(), 3, "no more than `batch`");
        for (number, payload) in payloads.iter().enumerate() {
            assert_eq!(payload.len(), 20);
            assert!(payload[..8] == payloads[0][..8] && payload[..8] > [0; 8][..], "one stamp for all of a call");
            assert_eq!(payload[8..16], (number as u64).to_le_bytes());
        }
        let mut short = testing::producer::<Source>(json!({ "payload_bytes": 8 })).unwrap();
        assert!(short.demand(2).unwrap().iter().all(|event| event.payload.len() == 8));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (config, error) in [
            (json!({ "payload_bytes": 7 }), "`payload_bytes` is 7; expected 8 to 65536"),
            (json!({ "batch": 0 }), "`batch` is 0; expected at least 1 event"),
        ] {
            assert_eq!(testing::producer::<Source>(config).unwrap_err(), error);
        }
    }
}
