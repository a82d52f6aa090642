//! A consumer that greets everybody whose name it is handed.

use forebay_sdk::{Consumer, Context, Delivery, Rejection, StageError};
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

impl __Type__ {
    fn greet(&self, name: &str) -> String {
        format!("{}, {name}!", self.greeting)
    }
}

impl Consumer for __Type__ {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        Ok(Self { greeting: context.config.greeting })
    }

    /// What is rejected becomes a dead letter; everything else is acknowledged once this returns.
    fn handle_events(&mut self, delivery: &Delivery) -> Result<Vec<Rejection>, StageError> {
        let mut rejections = Vec::new();
        for event in delivery {
            match event.text() {
                Ok(name) => println!("{}", self.greet(name)),
                Err(_) => rejections.push(event.reject("a name is UTF-8")),
            }
        }
        Ok(rejections)
    }
}

forebay_sdk::export_consumer!(__Type__);

#[cfg(test)]
mod tests {
    use forebay_sdk::testing::{self, json};

    use super::*;

    #[test]
    fn greets() {
        assert_eq!(__Type__ { greeting: "hi".to_owned() }.greet("Ada"), "hi, Ada!");
    }

    #[test]
    fn what_is_no_text_is_rejected() {
        let mut stage = testing::consumer::<__Type__>(json!({ "greeting": "hi" })).unwrap();
        let rejections = stage.deliver(&testing::delivery([&b"Ada"[..], b"\xff"])).unwrap();
        assert_eq!(rejections.len(), 1);
        assert_eq!(rejections[0].index, 1);
    }
}
