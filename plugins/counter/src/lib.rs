//! A producer of consecutive integers, as decimal text: `1000`, `1001`, `1002`, …
//!
//! | config          | unit    | default | meaning                                                      |
//! |-----------------|---------|---------|--------------------------------------------------------------|
//! | `start`         |         | 0       | the first number                                             |
//! | `step`          |         | 1       | added each time; not 0, may be negative                      |
//! | `limit`         | numbers | none    | emit this many, then none                                    |
//! | `payload_bytes` | bytes   | none    | pad with leading zeros to this length, at most 16 MiB        |
//! | `rate`          | numbers a second | none | at most this many in the mean, 1 to 1,000,000,000      |
//!
//! With `rate` it emits fewer than it is asked for when it is ahead of the clock; the stage's `poll` is how soon it is asked
//! again. What it could not emit for want of demand it makes up for, a second's worth at most.
//!
//! Its checkpoint is the next number, as text: another instance with the same config goes on from there.

use std::time::Instant;

use forebay_sdk::{Checkpoint, Context, Events, Producer, StageError};
use serde::Deserialize;

use pace::{Pace, RATE_MAX};

mod pace;

/// What the pipeline file may say; see the table above.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    start: i64,
    step: i64,
    limit: Option<u64>,
    payload_bytes: Option<usize>,
    rate: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        Self { start: 0, step: 1, limit: None, payload_bytes: None, rate: None }
    }
}

/// Payloads are padded to at most this. Unit: bytes. Four times what a host takes in one batch by
/// default: enough to test the refusal, too little to use up a guest's memory.
const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// The stage.
#[derive(Debug)]
pub struct Counter {
    config: Config,
    /// Wider than a number, so that it can stand one step past the last one.
    next: i128,
    /// Without one it emits as fast as it is asked to.
    pace: Option<Pace>,
}

impl Counter {
    /// How many numbers have been emitted, by this instance and those before it.
    fn emitted(&self) -> i128 {
        (self.next - i128::from(self.config.start)) / i128::from(self.config.step)
    }

    fn left(&self) -> i128 {
        self.config.limit.map_or(i128::MAX, |limit| i128::from(limit) - self.emitted())
    }

    fn emit(&mut self, events: &mut Events) -> Result<(), StageError> {
        let Ok(number) = i64::try_from(self.next) else {
            return Err(StageError::Fatal(format!("{} is past the numbers of 64 bits; set `limit`", self.next)));
        };
        match self.config.payload_bytes {
            None => events.push_format(format_args!("{number}")),
            Some(bytes) => events.push(padded(number, bytes)),
        };
        self.next += i128::from(self.config.step);
        Ok(())
    }
}

/// The number with leading zeros; as long as it needs when `bytes` is too few.
fn padded(number: i64, bytes: usize) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let digits = number.unsigned_abs().to_string();
    let zeros = "0".repeat(bytes.saturating_sub(sign.len() + digits.len()));
    [sign, &zeros, &digits].concat()
}

impl Producer for Counter {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        let config = context.config;
        if config.step == 0 {
            return Err("`step` is 0; expected a number to add, as 1 or -1".to_owned());
        }
        if let Some(bytes) = config.payload_bytes.filter(|bytes| !(1..=PAYLOAD_BYTES_MAX).contains(bytes)) {
            return Err(format!("`payload_bytes` is {bytes}; expected 1 to {PAYLOAD_BYTES_MAX}"));
        }
        if let Some(rate) = config.rate.filter(|rate| !(1..=RATE_MAX).contains(rate)) {
            return Err(format!("`rate` is {rate}; expected 1 to {RATE_MAX} numbers a second"));
        }
        Ok(Self { next: config.start.into(), pace: config.rate.map(Pace::new), config })
    }

    fn handle_demand(&mut self, demand: u32, events: &mut Events) -> Result<(), StageError> {
        let due = self.pace.as_mut().map_or(demand, |pace| pace.take(demand, Instant::now()));
        for _ in 0..i128::from(due).min(self.left()) {
            // What fits is emitted; the error comes with the next demand.
            if let Err(error) = self.emit(events) {
                return if events.is_empty() { Err(error) } else { Ok(()) };
            }
        }
        Ok(())
    }
}

impl Checkpoint for Counter {
    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.next.to_string().into_bytes())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(snapshot).unwrap_or_default();
        let unusable = || format!("snapshot `{}`: expected the next number, as text", snapshot.escape_ascii());
        let next: i128 = text.parse().map_err(|_| unusable())?;
        // One step past a number of 64 bits is the furthest a counter gets.
        if next.unsigned_abs() > 1 << 64 {
            return Err(unusable());
        }
        self.next = next;
        Ok(())
    }
}

forebay_sdk::export_producer!(Counter, checkpoint);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay_sdk::testing::{self, Value, json};

    use super::*;

    fn start(config: Value) -> testing::Harness<Counter> {
        testing::producer(config).expect("a valid config")
    }

    #[test]
    fn counts_from_zero_by_default() {
        let mut counter = start(Value::Null);
        assert_eq!(counter.demand(3).unwrap().texts(), ["0", "1", "2"]);
        assert_eq!(counter.demand(2).unwrap().texts(), ["3", "4"]);
    }

    #[test]
    fn a_step_may_be_negative_and_a_payload_padded() {
        let mut counter = start(json!({ "start": 5, "step": -10, "payload_bytes": 4 }));
        assert_eq!(counter.demand(3).unwrap().texts(), ["0005", "-005", "-015"]);
        let mut short = start(json!({ "start": 12345, "payload_bytes": 2 }));
        assert_eq!(short.demand(1).unwrap().texts(), ["12345"]);
    }

    #[test]
    fn emits_no_more_than_its_limit() {
        let mut counter = start(json!({ "start": 10, "step": 5, "limit": 3 }));
        assert_eq!(counter.demand(2).unwrap().len(), 2);
        assert_eq!(counter.demand(2).unwrap().texts(), ["20"]);
        assert!(counter.demand(2).unwrap().is_empty());
    }

    #[test]
    fn a_rate_is_kept_by_the_clock_however_much_is_asked_for() {
        let mut counter = start(json!({ "rate": 1000 }));
        let began = Instant::now();
        assert!(counter.demand(50).unwrap().is_empty(), "nothing is due yet");
        let mut emitted = Vec::new();
        while emitted.len() < 50 {
            emitted.extend(counter.demand(50).unwrap().texts().iter().map(ToString::to_string));
        }
        let expected: Vec<_> = (0..emitted.len()).map(|number| number.to_string()).collect();
        assert_eq!(emitted, expected);
        assert!(began.elapsed() >= Duration::from_millis(50), "{:?}", began.elapsed());
    }

    #[test]
    fn a_restored_counter_goes_on_and_keeps_to_the_limit() {
        let config = json!({ "start": 10, "limit": 5 });
        let mut first = start(config.clone());
        first.demand(3).unwrap();
        let snapshot = first.snapshot().unwrap();
        assert_eq!(snapshot, b"13");
        let mut second = start(config);
        second.restore(&snapshot).unwrap();
        assert_eq!(second.demand(9).unwrap().texts(), ["13", "14"]);
    }

    #[test]
    fn a_snapshot_that_is_no_number_is_refused() {
        for snapshot in [&b""[..], b"12a", b"\xff", b"99999999999999999999999999"] {
            let refused = start(Value::Null).restore(snapshot).expect_err("no number of 64 bits");
            assert!(refused.contains("expected the next number"), "{refused}");
        }
    }

    #[test]
    fn the_last_number_is_emitted_and_the_next_is_fatal() {
        let mut counter = start(json!({ "start": i64::MAX - 1 }));
        assert_eq!(counter.demand(5).unwrap().len(), 2);
        assert!(matches!(counter.demand(1), Err(StageError::Fatal(reason)) if reason.contains("64 bits")));
        let snapshot = counter.snapshot().unwrap();
        start(Value::Null).restore(&snapshot).expect("its own snapshot");
    }

    #[test]
    fn a_wrong_config_stops_the_start() {
        let refused = |config| testing::producer::<Counter>(config).expect_err("a config that is wrong");
        assert!(refused(json!({ "strat": 1 })).contains("unknown field `strat`"));
        assert!(refused(json!({ "step": 0 })).contains("`step` is 0"));
        assert!(refused(json!({ "payload_bytes": 0 })).contains("expected 1 to"));
        assert!(refused(json!({ "limit": -1 })).contains("at `limit`"));
        assert!(refused(json!({ "rate": 0 })).contains("`rate` is 0"));
    }
}
