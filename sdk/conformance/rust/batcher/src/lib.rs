//! A producer-consumer that joins payloads, and gives what it has when the clock says so.

use forebay_sdk::{Context, Delivery, Events, Output, ProducerConsumer, StageError, Timer, ask};
use serde::Deserialize;

/// What the pipeline file may say.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    size: u32,
    ask: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { size: 3, ask: None }
    }
}

/// The stage.
#[derive(Debug)]
pub struct Batcher {
    size: usize,
    /// The source that it asks for as many events as it joins.
    source: Option<String>,
    kept: Vec<Vec<u8>>,
}

impl Batcher {
    fn emit(&mut self, events: &mut Events) -> Result<(), StageError> {
        events.push(self.kept.join(&b','));
        if let Some(source) = &self.source {
            ask(source, self.kept.len() as u32)?;
        }
        self.kept.clear();
        Ok(())
    }
}

impl ProducerConsumer for Batcher {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        let Config { size, ask: source } = context.config;
        if size == 0 {
            return Err("`size` is 0; expected at least 1".to_owned());
        }
        if let Some(source) = &source {
            ask(source, size)?;
        }
        Ok(Self { size: size as usize, source, kept: Vec::new() })
    }

    fn handle_events(&mut self, delivery: &Delivery, output: &mut Output) -> Result<(), StageError> {
        for event in delivery {
            self.kept.push(event.payload.to_vec());
            if self.kept.len() == self.size {
                self.emit(&mut output.events)?;
            }
        }
        Ok(())
    }
}

impl Timer for Batcher {
    fn handle_tick(&mut self, events: &mut Events) -> Result<(), StageError> {
        if !self.kept.is_empty() {
            self.emit(events)?;
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
    fn asks_for_as_many_as_it_joins() {
        let mut batcher = testing::producer_consumer::<Batcher>(json!({ "size": 2, "ask": "source" })).unwrap();
        batcher.transform(&testing::delivery(["a", "b", "c"])).unwrap();
        batcher.tick().unwrap();
        batcher.tick().unwrap();
        assert_eq!(batcher.take_asks(), [2, 2, 1].map(|count| ("source".to_owned(), count)));
    }

    #[test]
    fn a_size_is_at_least_1() {
        let refused = testing::producer_consumer::<Batcher>(json!({ "size": 0 })).expect_err("too small");
        assert!(refused.contains("`size` is 0; expected"), "{refused}");
    }
}
