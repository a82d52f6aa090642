//! A consumer that counts, and proves by a hash what it got in which order.
//!
//! At its end it prints one line of JSON:
//! `{"events":3,"bytes":9,"sha256":"…"}`, where `bytes` and `sha256` are of every payload followed by
//! a newline. So the same numbers come from a file with one payload a line, by `wc -lc` and
//! `sha256sum`. To the request `{}` it answers with that line as it stands.
//!
//! | config  | unit   | default | meaning                                                              |
//! |---------|--------|---------|----------------------------------------------------------------------|
//! | `every` | events | none    | prints such a line after each so many events too, at least 1         |

use std::{fmt::Write, num::NonZeroU64};

use forebay_sdk::{Call, Consumer, Context, Delivery, Rejection, StageError, Terminate};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// What the pipeline file may say; see the table above.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    every: Option<NonZeroU64>,
}

/// The stage.
#[derive(Debug)]
pub struct Tally {
    every: Option<NonZeroU64>,
    count: Count,
}

/// What was counted so far.
#[derive(Debug, Default)]
struct Count {
    events: u64,
    bytes: u64,
    hash: Sha256,
}

impl Count {
    fn add(&mut self, payload: &[u8]) {
        self.events += 1;
        self.bytes += payload.len() as u64 + 1;
        self.hash.update(payload);
        self.hash.update(b"\n");
    }

    fn line(&self) -> String {
        let mut line = format!(r#"{{"events":{},"bytes":{},"sha256":""#, self.events, self.bytes);
        for byte in self.hash.clone().finalize() {
            write!(line, "{byte:02x}").expect("writing to memory does not fail");
        }
        line.push_str("\"}");
        line
    }
}

impl Tally {
    /// Counts the events; gives the lines that are due.
    fn take(&mut self, delivery: &Delivery) -> Vec<String> {
        let mut lines = Vec::new();
        for event in delivery {
            self.count.add(event.payload);
            if self.every.is_some_and(|every| self.count.events.is_multiple_of(every.get())) {
                lines.push(self.count.line());
            }
        }
        lines
    }
}

impl Consumer for Tally {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        Ok(Self { every: context.config.every, count: Count::default() })
    }

    fn handle_events(&mut self, delivery: &Delivery) -> Result<Vec<Rejection>, StageError> {
        for line in self.take(delivery) {
            println!("{line}");
        }
        Ok(Vec::new())
    }
}

impl Terminate for Tally {
    fn terminate(&mut self, _reason: &str) {
        println!("{}", self.count.line());
    }
}

impl Call for Tally {
    fn handle_call(&mut self, request: &[u8]) -> Result<Vec<u8>, String> {
        match request.trim_ascii() {
            b"{}" => Ok(self.count.line().into_bytes()),
            other => Err(format!("unknown request: {}; expected {{}}", other.escape_ascii())),
        }
    }
}

forebay_sdk::export_consumer!(Tally, terminate, call);

#[cfg(test)]
mod tests {
    use forebay_sdk::testing::{self, Value, json};

    use super::*;

    #[test]
    fn the_line_is_what_wc_and_sha256sum_say() {
        // printf '1\n22\n333\n' | sha256sum
        let sum = "1d685e541db65fd2dcee8d583733afd4ace8210cfc54193312eed6a64387c78d";
        let mut tally = testing::consumer::<Tally>(Value::Null).unwrap();
        tally.deliver(&testing::delivery(["1", "22"])).unwrap();
        tally.deliver(&testing::delivery(["333"])).unwrap();
        let (tally, _) = tally.terminate("the test is over");
        assert_eq!(tally.count.line(), format!(r#"{{"events":3,"bytes":9,"sha256":"{sum}"}}"#));
    }

    #[test]
    fn no_event_is_the_hash_of_nothing() {
        // sha256sum < /dev/null
        let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Count::default().line(), format!(r#"{{"events":0,"bytes":0,"sha256":"{sum}"}}"#));
    }

    #[test]
    fn prints_every_so_many_events() {
        let config = Config { every: NonZeroU64::new(2) };
        let mut tally = Tally { every: config.every, count: Count::default() };
        assert_eq!(tally.take(&testing::delivery(["a"])), [""; 0]);
        let lines = tally.take(&testing::delivery(["b", "c", "d"]));
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with(r#"{"events":2,"bytes":4,"#), "{lines:?}");
        assert!(lines[1].starts_with(r#"{"events":4,"bytes":8,"#), "{lines:?}");
    }

    #[test]
    fn tells_its_count_when_it_is_asked() {
        let mut tally = testing::consumer::<Tally>(Value::Null).unwrap();
        tally.deliver(&testing::delivery(["a"])).unwrap();
        assert!(tally.ask(b"{}\n").unwrap().starts_with(br#"{"events":1,"bytes":2,"#));
        assert_eq!(tally.ask(b"sum").unwrap_err(), "unknown request: sum; expected {}");
    }

    #[test]
    fn every_is_at_least_one() {
        assert!(testing::consumer::<Tally>(json!({ "every": 0 })).expect_err("0 is never due").contains("at `every`"));
    }
}
