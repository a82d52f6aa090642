//! A consumer that asks its source itself: for 1 event, and each time it has all it asked for, for one more than before.
//!
//! It prints what the printer prints, `NODE: [1010, 1011]`. It is for subscriptions with `ask = "manual"`.
//!
//! | config   | default | meaning                                                                  |
//! |----------|---------|--------------------------------------------------------------------------|
//! | `source` | needed  | the stage it asks, by its name in the pipeline                           |
//! | `rounds` | none    | how often it asks; without it, for ever                                  |

use forebay_sdk::{AskError, Consumer, Context, Delivery, Rejection, StageError, ask};
use serde::Deserialize;

#[path = "../../printer/src/line.rs"]
mod line;

/// What the pipeline file may say; see the table above.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    source: String,
    rounds: Option<u32>,
}

/// The stage.
#[derive(Debug)]
pub struct Asker {
    node: String,
    config: Config,
    round: u32,
    /// What it asked for and has not got. Unit: events.
    open: u32,
}

impl Asker {
    fn ask(&mut self) -> Result<(), AskError> {
        if self.open == 0 && self.config.rounds.is_none_or(|rounds| self.round < rounds) {
            self.round += 1;
            self.open = self.round;
            ask(&self.config.source, self.open)?;
        }
        Ok(())
    }
}

impl Consumer for Asker {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        let mut asker = Self { node: context.node, config: context.config, round: 0, open: 0 };
        asker.ask()?;
        Ok(asker)
    }

    fn handle_events(&mut self, delivery: &Delivery) -> Result<Vec<Rejection>, StageError> {
        println!("{}", line::of(&self.node, delivery));
        let came = u32::try_from(delivery.len()).expect("a delivery has fewer than 2^32 events");
        self.open = self
            .open
            .checked_sub(came)
            .ok_or_else(|| StageError::Fatal(format!("{came} events came, but {} were asked for", self.open)))?;
        self.ask()?;
        Ok(Vec::new())
    }
}

forebay_sdk::export_consumer!(Asker);

#[cfg(test)]
mod tests {
    use forebay_sdk::testing::{self, json};

    use super::*;

    #[test]
    fn asks_for_one_more_each_time_it_has_all() {
        let mut stage = testing::consumer::<Asker>(json!({ "source": "source", "rounds": 3 })).unwrap();
        let asked =
            |stage: &mut testing::Harness<Asker>| stage.take_asks().into_iter().map(|(_, count)| count).collect();
        let mut all: Vec<u32> = asked(&mut stage);
        for payloads in [&["a"][..], &["b"], &["c"], &["d", "e", "f"]] {
            stage.deliver(&testing::delivery(payloads)).unwrap();
            all.extend(asked(&mut stage));
        }
        assert_eq!(all, [1, 2, 3]);
    }

    #[test]
    fn more_than_it_asked_for_is_an_error() {
        let mut stage = testing::consumer::<Asker>(json!({ "source": "source" })).unwrap();
        let error = stage.deliver(&testing::delivery(["a", "b"])).unwrap_err();
        assert_eq!(error, StageError::Fatal("2 events came, but 1 were asked for".into()));
    }
}
