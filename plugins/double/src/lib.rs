//! A producer-consumer that emits every event several times in place, with its topic, key and headers.
//!
//! | config   | unit   | default | meaning                                    |
//! |----------|--------|---------|--------------------------------------------|
//! | `copies` | events | 2       | how often each event is emitted, 1 to 1000 |

use forebay_sdk::{Context, Delivery, Output, ProducerConsumer, StageError};
use serde::Deserialize;

/// What the pipeline file may say; see the table above.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    copies: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { copies: 2 }
    }
}

/// The stage.
#[derive(Debug)]
pub struct Double {
    copies: usize,
}

impl ProducerConsumer for Double {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        match context.config.copies {
            copies @ 1..=1000 => Ok(Self { copies }),
            copies => Err(format!("`copies` is {copies}; expected 1 to 1000")),
        }
    }

    fn handle_events(&mut self, delivery: &Delivery, output: &mut Output) -> Result<(), StageError> {
        let bytes: usize = delivery.iter().map(|event| event.payload.len()).sum();
        output.events.reserve(delivery.len() * self.copies, bytes * self.copies);
        for event in delivery {
            for _ in 0..self.copies {
                output.events.push_event(&event);
            }
        }
        Ok(())
    }
}

forebay_sdk::export_producer_consumer!(Double);

#[cfg(test)]
mod tests {
    use forebay_sdk::{
        Events,
        testing::{self, Value, json},
    };

    use super::*;

    #[test]
    fn every_event_is_emitted_twice_in_place() {
        let mut double = testing::producer_consumer::<Double>(Value::Null).unwrap();
        let made = double.transform(&testing::delivery(["a", "b"])).unwrap();
        assert_eq!(made.events.texts(), ["a", "a", "b", "b"]);
        assert!(made.rejections.is_empty());
    }

    #[test]
    fn copies_keep_topic_key_and_headers() {
        let mut events = Events::default();
        events.push("a").topic("t").key("k").header("n", "1").header("n", "2");
        events.push("b").topic("u");
        let mut double = testing::producer_consumer::<Double>(json!({ "copies": 3 })).unwrap();
        let made = double.transform(&testing::Source::default().send(events)).unwrap();
        assert_eq!(made.events.texts(), ["a", "a", "a", "b", "b", "b"]);
        let third = made.events.iter().nth(2).unwrap();
        assert_eq!((third.topic, third.key), (Some("t"), &b"k"[..]));
        assert_eq!(third.headers().collect::<Vec<_>>(), [("n", "1"), ("n", "2")]);
        let fourth = made.events.iter().nth(3).unwrap();
        assert_eq!((fourth.topic, fourth.key, fourth.headers().len()), (Some("u"), &b""[..], 0));
    }

    #[test]
    fn copies_are_1_to_1000() {
        for copies in [0, 1001] {
            let refused = testing::producer_consumer::<Double>(json!({ "copies": copies })).expect_err("out of range");
            assert!(refused.contains("expected 1 to 1000"), "{refused}");
        }
        assert!(testing::producer_consumer::<Double>(json!({ "copies": 1000 })).is_ok());
    }
}
