//! A producer-consumer that passes on the events whose text contains another.

use forebay_sdk::{Context, Delivery, Output, ProducerConsumer, StageError};
use serde::Deserialize;

/// What the pipeline file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    contains: String,
}

/// The stage.
#[derive(Debug)]
pub struct Filter {
    contains: String,
}

impl ProducerConsumer for Filter {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        Ok(Self { contains: context.config.contains })
    }

    fn handle_events(&mut self, delivery: &Delivery, output: &mut Output) -> Result<(), StageError> {
        for event in delivery {
            match event.text() {
                Err(_) => output.rejections.push(event.reject("not UTF-8")),
                Ok("later") => output.rejections.push(event.retry("later")),
                Ok(text) if text.contains(&self.contains) => drop(output.events.push_event(&event)),
                Ok(_) => {}
            }
        }
        Ok(())
    }
}

forebay_sdk::export_producer_consumer!(Filter);

#[cfg(test)]
mod tests {
    use forebay_sdk::testing::{self, Value, json};

    use super::*;

    #[test]
    fn passes_on_drops_and_rejects() {
        let mut filter = testing::producer_consumer::<Filter>(json!({ "contains": "ap" })).unwrap();
        let given: [&[u8]; 5] = [b"apple", b"\xff", b"pear", b"later", b"gr\xc3\xa4pe"];
        let made = filter.transform(&testing::delivery(given)).unwrap();
        assert_eq!(made.events.texts(), ["apple"]);
        let rejected: Vec<_> = made.rejections.iter().map(|r| (r.index, r.retry, r.reason.as_str())).collect();
        assert_eq!(rejected, [(1, false, "not UTF-8"), (3, true, "later")]);
    }

    #[test]
    fn passes_on_all_text_by_default() {
        let mut filter = testing::producer_consumer::<Filter>(Value::Null).unwrap();
        assert_eq!(filter.transform(&testing::delivery(["", "a"])).unwrap().events.texts(), ["", "a"]);
    }
}
