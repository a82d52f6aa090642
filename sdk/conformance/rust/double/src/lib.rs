//! A producer-consumer that emits every event several times in place.

use forebay_sdk::{Context, Delivery, Output, ProducerConsumer, StageError};
use serde::Deserialize;

/// What the pipeline file may say.
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
            copies @ 0..=1000 => Ok(Self { copies }),
            copies => Err(format!("`copies` is {copies}; expected 0 to 1000")),
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
    fn copies_stand_in_place_with_topic_key_and_headers() {
        let mut events = Events::default();
        events.push("a").topic("t").key("k").header("n", "1");
        events.push("b");
        let mut double = testing::producer_consumer::<Double>(Value::Null).unwrap();
        let made = double.transform(&testing::Source::default().send(events)).unwrap();
        assert_eq!(made.events.texts(), ["a", "a", "b", "b"]);
        let second = made.events.iter().nth(1).unwrap();
        assert_eq!((second.topic, second.key), (Some("t"), &b"k"[..]));
        assert_eq!(second.headers().collect::<Vec<_>>(), [("n", "1")]);
    }

    #[test]
    fn copies_are_0_to_1000() {
        let mut none = testing::producer_consumer::<Double>(json!({ "copies": 0 })).unwrap();
        assert!(none.transform(&testing::delivery(["a"])).unwrap().events.is_empty());
        let refused = testing::producer_consumer::<Double>(json!({ "copies": 1001 })).expect_err("out of range");
        assert!(refused.contains("`copies` is 1001; expected 0 to 1000"), "{refused}");
    }
}
