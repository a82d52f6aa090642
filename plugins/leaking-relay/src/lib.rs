//! A producer-consumer that passes on what it gets and leaks memory, for tests of the host. It has no checkpoint.
//!
//! | config       | unit  | default | meaning                          |
//! |--------------|-------|---------|----------------------------------|
//! | `leak_bytes` | bytes | 1024    | kept of each event for good      |
//!
//! It logs its start, and its end.

use std::hint::black_box;

use forebay_sdk::{Context, Delivery, Output, ProducerConsumer, StageError, Terminate, info};
use serde::Deserialize;

/// What the pipeline file may say; see the table above.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    leak_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { leak_bytes: 1024 }
    }
}

/// The stage.
#[derive(Debug)]
pub struct LeakingRelay {
    leak_bytes: usize,
}

impl ProducerConsumer for LeakingRelay {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        info!("started");
        Ok(Self { leak_bytes: context.config.leak_bytes })
    }

    fn handle_events(&mut self, delivery: &Delivery, output: &mut Output) -> Result<(), StageError> {
        for event in delivery {
            output.events.push_event(&event);
            Vec::leak(black_box(vec![1_u8; self.leak_bytes]));
        }
        Ok(())
    }
}

impl Terminate for LeakingRelay {
    fn terminate(&mut self, reason: &str) {
        info!("terminated: {reason}");
    }
}

forebay_sdk::export_producer_consumer!(LeakingRelay, terminate);

#[cfg(test)]
mod tests {
    use forebay_sdk::testing::{self, json};

    use super::*;

    #[test]
    fn passes_on_what_it_gets() {
        let mut stage = testing::producer_consumer::<LeakingRelay>(json!({ "leak_bytes": 10 })).unwrap();
        let made = stage.transform(&testing::delivery(["a", "b"])).unwrap();
        assert_eq!(made.events.texts(), ["a", "b"]);
    }
}
