//! The consumer of `forebay bench`: counts, and measures how old the events are that it is given.
//!
//! | config    | unit | default | meaning                                                                        |
//! |-----------|------|---------|--------------------------------------------------------------------------------|
//! | `latency` |      | `false` | note the age of each event; payloads must begin with a stamp of `bench-source` |
//!
//! To the request `{}` it answers `{"events":3,"bytes":48,"latency":[[60159,2],[61023,1]]}`: all events and their bytes since its
//! start, and of the ages since the last such request how many there were of each, in nanoseconds to three digits.

use std::{
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use forebay_sdk::{Call, Consumer, Context, Delivery, Rejection, StageError};
use hdrhistogram::Histogram;
use serde::Deserialize;

/// No event is older, or none that is of interest. Unit: nanoseconds.
const AGE_MAX: u64 = 60_000_000_000;

/// What the pipeline file may say; see the table above.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    latency: bool,
}

/// The stage.
#[derive(Debug)]
pub struct Sink {
    events: u64,
    bytes: u64,
    ages: Option<Histogram<u64>>,
}

impl Sink {
    fn note_ages(&mut self, delivery: &Delivery) -> Result<(), StageError> {
        let Some(ages) = &mut self.ages else { return Ok(()) };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        for event in delivery {
            let Some(stamp) = event.payload.first_chunk() else {
                let found = event.payload.len();
                return Err(StageError::Fatal(format!(
                    "a payload of {found} bytes; expected a stamp of 8 at its start"
                )));
            };
            ages.saturating_record(now.saturating_sub(u64::from_le_bytes(*stamp)));
        }
        Ok(())
    }

    fn answer(&mut self) -> String {
        let mut line = format!(r#"{{"events":{},"bytes":{},"latency":["#, self.events, self.bytes);
        if let Some(ages) = &mut self.ages {
            for (no, found) in ages.iter_recorded().enumerate() {
                let comma = if no == 0 { "" } else { "," };
                let (age, count) = (found.value_iterated_to(), found.count_at_value());
                write!(line, "{comma}[{age},{count}]").expect("writing to memory does not fail");
            }
            ages.reset();
        }
        line.push_str("]}");
        line
    }
}

impl Consumer for Sink {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        let new = || Histogram::new_with_max(AGE_MAX, 3).map_err(|error| error.to_string());
        let ages = context.config.latency.then(new).transpose()?;
        Ok(Self { events: 0, bytes: 0, ages })
    }

    fn handle_events(&mut self, delivery: &Delivery) -> Result<Vec<Rejection>, StageError> {
        for event in delivery {
            self.events += 1;
            self.bytes += event.payload.len() as u64;
        }
        self.note_ages(delivery)?;
        Ok(Vec::new())
    }
}

impl Call for Sink {
    fn handle_call(&mut self, request: &[u8]) -> Result<Vec<u8>, String> {
        match request.trim_ascii() {
            b"{}" => Ok(self.answer().into_bytes()),
            other => Err(format!("unknown request: {}; expected {{}}", other.escape_ascii())),
        }
    }
}

forebay_sdk::export_consumer!(Sink, call);

#[cfg(test)]
mod tests {
    use forebay_sdk::testing::{self, Value, json};

    use super::*;

    fn stamped(age_ns: u64) -> Vec<u8> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        (now - age_ns).to_le_bytes().to_vec()
    }

    #[test]
    fn it_counts_all_and_tells_each_age_once() {
        let mut sink = testing::consumer::<Sink>(json!({ "latency": true })).unwrap();
        let second = 1_000_000_000;
        sink.deliver(&testing::delivery([stamped(second), stamped(second)])).unwrap();
        sink.deliver(&testing::delivery([stamped(2 * second)])).unwrap();
        let answer = String::from_utf8(sink.ask(b"{}").unwrap()).unwrap();
        assert!(answer.starts_with(r#"{"events":3,"bytes":24,"latency":[[1"#), "{answer}");
        assert!(answer.contains(",[2"), "{answer}");
        assert_eq!(sink.ask(b"{}").unwrap(), br#"{"events":3,"bytes":24,"latency":[]}"#);
    }

    #[test]
    fn without_latency_payloads_may_be_anything() {
        let mut sink = testing::consumer::<Sink>(Value::Null).unwrap();
        sink.deliver(&testing::delivery(["", "abc"])).unwrap();
        assert_eq!(sink.ask(b"{}").unwrap(), br#"{"events":2,"bytes":3,"latency":[]}"#);
    }

    #[test]
    fn a_payload_without_a_stamp_is_refused_where_ages_are_wanted() {
        let mut sink = testing::consumer::<Sink>(json!({ "latency": true })).unwrap();
        assert!(sink.deliver(&testing::delivery(["short"])).is_err());
    }
}
