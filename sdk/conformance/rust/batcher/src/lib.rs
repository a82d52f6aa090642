//! A producer-consumer that joins payloads, and gives what it has when the clock says so.

use forebay_sdk::{Context, Delivery, Events, Output, ProducerConsumer, StageError, Timer};
use serde::Deserialize;

/// What the pipeline file may say.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    size: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { size: 3 }
    }
}

/// The stage.
#[derive(Debug)]
pub struct Batcher {
    size: usize,
    kept: Vec<Vec<u8>>,
}

impl Batcher {
    fn emit(&mut self, events: &mut Events) {
        events.push(self.kept.join(&b','));
        self.kept.clear();
    }
}

impl ProducerConsumer for Batcher {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        match context.config.size {
            0 => Err("`size` is 0; expected at least 1".to_owned()),
            size => Ok(Self { size, kept: Vec::new() }),
        }
    }

    fn handle_events(&mut self, delivery: &Delivery, output: &mut Output) -> Result<(), StageError> {
        for event in delivery {
            self.kept.push(event.payload.to_vec());
            if self.kept.len() == self.size {
                self.emit(&mut output.events);
            }
        }
        Ok(())
    }
}

impl Timer for Batcher {
    fn handle_tick(&mut self, events: &mut Events) -> Result<(), StageError> {
        if !self.kept.is_empty() {
            self.emit(events);
        }
        Ok(())
    }
}

forebay_sdk::export_producer_consumer!(Batcher, timer);

#[cfg(test)]
mod tests {
    use forebay_sdk::testing::{self, Value, json};

    use super::*;

    #[test]
    fn joins_three_and_ticks_out_the_rest() {
        let mut batcher = testing::producer_consumer::<Batcher>(Value::Null).unwrap();
        assert!(batcher.transform(&testing::delivery(["a"])).unwrap().events.is_empty());
        assert_eq!(batcher.transform(&testing::delivery(["b", "c", ""])).unwrap().events.texts(), ["a,b,c"]);
        assert_eq!(batcher.tick().unwrap().texts(), [""]);
        assert!(batcher.tick().unwrap().is_empty());
    }

    #[test]
    fn a_size_is_at_least_1() {
        let refused = testing::producer_consumer::<Batcher>(json!({ "size": 0 })).expect_err("too small");
        assert!(refused.contains("`size` is 0; expected"), "{refused}");
    }
}
