//! A producer-consumer that makes a greeting of every name it is handed.

use forebay_sdk::{Context, Delivery, Output, ProducerConsumer, StageError};
use serde::Deserialize;

/// What the pipeline file may say under `config`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    greeting: String,
}

/// The stage.
pub struct __Type__ {
    greeting: String,
}

impl ProducerConsumer for __Type__ {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        Ok(Self { greeting: context.config.greeting })
    }

    /// Emits fewer, as many or more events than it is handed. What is rejected becomes a dead letter.
    fn handle_events(&mut self, delivery: &Delivery, output: &mut Output) -> Result<(), StageError> {
        for event in delivery {
            match event.text() {
                Ok(name) => {
                    output.events.push(format!("{}, {name}!", self.greeting)).key(event.key);
                }
                Err(_) => output.rejections.push(event.reject("a name is UTF-8")),
            }
        }
        Ok(())
    }
}

forebay_sdk::export_producer_consumer!(__Type__);

#[cfg(test)]
mod tests {
    use forebay_sdk::testing::{self, json};

    use super::*;

    #[test]
    fn greets_names_and_rejects_what_is_none() {
        let mut stage = testing::producer_consumer::<__Type__>(json!({ "greeting": "hi" })).unwrap();
        let made = stage.transform(&testing::delivery([&b"Ada"[..], b"\xff"])).unwrap();
        assert_eq!(made.events.texts(), ["hi, Ada!"]);
        assert_eq!(made.rejections[0].index, 1);
    }
}
