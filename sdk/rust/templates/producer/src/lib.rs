//! A producer of greetings: `hello 1`, `hello 2`, …

use forebay_sdk::{Checkpoint, Context, Events, Producer, StageError};
use serde::Deserialize;

/// What the pipeline file may say under `config`.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    greeting: String,
    /// Emit so many, then none; without it, there is no end.
    limit: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self { greeting: "hello".to_owned(), limit: None }
    }
}

/// The stage.
pub struct __Type__ {
    config: Config,
    emitted: u64,
}

impl Producer for __Type__ {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        Ok(Self { config: context.config, emitted: 0 })
    }

    /// `demand` events are wanted: emit as many, or fewer.
    fn handle_demand(&mut self, demand: u32, events: &mut Events) -> Result<(), StageError> {
        let left = self.config.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.emitted));
        for _ in 0..left.min(demand.into()) {
            self.emitted += 1;
            events.push(format!("{} {}", self.config.greeting, self.emitted));
        }
        Ok(())
    }
}

/// Another instance goes on where this one was: on an upgrade, and on another node.
impl Checkpoint for __Type__ {
    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.emitted.to_string().into_bytes())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let number = std::str::from_utf8(snapshot).ok().and_then(|text| text.parse().ok());
        self.emitted = number.ok_or("the snapshot is no number")?;
        Ok(())
    }
}

forebay_sdk::export_producer!(__Type__, checkpoint);

#[cfg(test)]
mod tests {
    use forebay_sdk::testing::{self, json};

    use super::*;

    #[test]
    fn emits_what_is_asked_for_up_to_its_limit() {
        let mut stage = testing::producer::<__Type__>(json!({ "greeting": "hi", "limit": 3 })).unwrap();
        assert_eq!(stage.demand(2).unwrap().texts(), ["hi 1", "hi 2"]);
        assert_eq!(stage.demand(2).unwrap().texts(), ["hi 3"]);
    }

    #[test]
    fn another_instance_goes_on() {
        let mut first = testing::producer::<__Type__>(json!({})).unwrap();
        first.demand(5).unwrap();
        let mut second = testing::producer::<__Type__>(json!({})).unwrap();
        second.restore(&first.snapshot().unwrap()).unwrap();
        assert_eq!(second.demand(1).unwrap().texts(), ["hello 6"]);
    }
}
