//! A consumer that prints one line for each delivered batch: `NODE: [1010, 1011, 1012]`.
//!
//! Payloads are shown as text; bytes that are not UTF-8 are escaped (`\xff`). The host puts what a
//! stage prints on its stdout into its own output, line by line.
//!
//! | config  | unit     | default | meaning                                                         |
//! |---------|----------|---------|-----------------------------------------------------------------|
//! | `pause` | duration | `"0ms"` | sleeps this long after each batch: `"250ms"`, `"2s"`, `"1m"`    |
//!
//! The sleep is inside the call. A guest may block there: the host runs it on a fiber, so only this
//! stage waits, and the batch is acknowledged after it.

use std::{fmt, thread, time::Duration};

use forebay_sdk::{Consumer, Context, Delivery, Rejection, StageError};
use serde::{Deserialize, Deserializer, de};

mod line;

/// What the pipeline file may say; see the table above.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    #[serde(deserialize_with = "duration")]
    pause: Duration,
}

/// The stage.
#[derive(Debug)]
pub struct Printer {
    node: String,
    pause: Duration,
}

impl Consumer for Printer {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        Ok(Self { node: context.node, pause: context.config.pause })
    }

    fn handle_events(&mut self, delivery: &Delivery) -> Result<Vec<Rejection>, StageError> {
        println!("{}", line::of(&self.node, delivery));
        if !self.pause.is_zero() {
            thread::sleep(self.pause);
        }
        Ok(Vec::new())
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_str(DurationText)
}

/// Reads a duration while serde still knows where in the config it is.
struct DurationText;

impl de::Visitor<'_> for DurationText {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number with a unit, as \"250ms\", \"2s\" or \"1m\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse_duration(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|char: char| !char.is_ascii_digit())?);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    }
}

forebay_sdk::export_consumer!(Printer);

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use forebay_sdk::testing::{self, Value, json};

    use super::*;

    #[test]
    fn takes_everything_and_pauses() {
        let mut printer = testing::Setup::new(json!({ "pause": "20ms" })).node("here").consumer::<Printer>().unwrap();
        assert_eq!(printer.stage().node, "here");
        let before = Instant::now();
        assert_eq!(printer.deliver(&testing::delivery(["a"])), Ok(vec![]));
        assert!(before.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn a_pause_has_a_unit() {
        assert_eq!(testing::consumer::<Printer>(Value::Null).unwrap().stage().pause, Duration::ZERO);
        for (text, expected) in [("250ms", 250), ("2s", 2_000), ("1m", 60_000)] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(expected)));
        }
        for wrong in ["5", "", "ms", "1.5s", "-1s", "5 s", "99999999999999999999s"] {
            let refused = testing::consumer::<Printer>(json!({ "pause": wrong })).expect_err("not a duration");
            assert!(refused.contains("at `pause`") && refused.contains("250ms"), "{refused}");
        }
    }
}
