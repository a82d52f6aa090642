//! A producer of numbers whose state can move, and which tells why it ends.

use forebay_sdk::{Checkpoint, Context, Events, Producer, StageError, Terminate, info};

use numbers::{Config, Numbers};

#[path = "../../numbers.rs"]
mod numbers;

/// The stage.
#[derive(Debug)]
pub struct Checkpointed(Numbers);

impl Producer for Checkpointed {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        Numbers::new(context.config).map(Self)
    }

    fn handle_demand(&mut self, demand: u32, events: &mut Events) -> Result<(), StageError> {
        self.0.emit(demand, events)
    }
}

impl Checkpoint for Checkpointed {
    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.0.next().to_string().into_bytes())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(snapshot);
        let next = text.parse().map_err(|_| format!("snapshot `{text}`: expected a number"))?;
        self.0.resume(next);
        Ok(())
    }
}

impl Terminate for Checkpointed {
    fn terminate(&mut self, reason: &str) {
        info!("terminated: {reason}");
    }
}

forebay_sdk::export_producer!(Checkpointed, checkpoint, terminate);

#[cfg(test)]
mod tests {
    use forebay_sdk::testing::{self, Harness, Value, json};

    use super::*;

    fn start(config: Value) -> Harness<Checkpointed> {
        testing::producer(config).expect("a config that is right")
    }

    #[test]
    fn another_instance_goes_on_and_keeps_to_the_limit() {
        let config = json!({ "start": 10, "step": 2, "limit": 5 });
        let mut first = start(config.clone());
        first.demand(3).unwrap();
        let snapshot = first.snapshot().unwrap();
        assert_eq!(snapshot, b"16");
        let mut second = start(config);
        second.restore(&snapshot).unwrap();
        assert_eq!(second.demand(9).unwrap().texts(), ["16", "18"]);
    }

    #[test]
    fn a_snapshot_that_is_no_number_is_refused() {
        for wrong in ["", "abc", "1.5"] {
            let refused = start(Value::Null).restore(wrong.as_bytes()).unwrap_err();
            assert_eq!(refused, format!("snapshot `{wrong}`: expected a number"));
        }
    }

    #[test]
    fn it_tells_why_it_ends() {
        let (_, lines) = start(Value::Null).terminate("upgrade");
        assert_eq!(lines[0].message, "terminated: upgrade");
    }
}
