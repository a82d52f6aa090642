//! A consumer that misbehaves in a chosen way, for tests of the host.
//!
//! It prints what the printer prints, until call number `at` of `handle-events`; there, and only
//! there, it does what `mode` says. A new instance counts its calls from 1 again.
//!
//! | config | default | meaning                                                    |
//! |--------|---------|------------------------------------------------------------|
//! | `mode` | `"ok"`  | what to do wrong, see below                                |
//! | `at`   | 1       | on which call, at least 1; `init_…` ignore it              |
//! | `event`| none    | instead of `at`: on the call with this event, at least 1   |
//!
//! | mode                  | what it does                                                               |
//! |-----------------------|----------------------------------------------------------------------------|
//! | `ok`                  | nothing wrong                                                              |
//! | `panic`               | panics                                                                     |
//! | `unreachable`         | aborts: a trap without a word                                              |
//! | `loop`                | spins for ever                                                             |
//! | `grow`                | allocates 1 MiB at a time for ever                                         |
//! | `recurse`             | calls itself for ever                                                      |
//! | `error_retry`         | fails with `retry`; the next call works                                    |
//! | `error_fatal`         | fails with `fatal`                                                         |
//! | `init_error`          | `init` fails                                                               |
//! | `init_panic`          | `init` panics                                                              |
//! | `sleep`               | sleeps for an hour inside the call, before it prints                       |
//! | `log_flood`           | logs 100,000 lines with control characters and one of 1 MiB, then goes on  |
//! | `reject`              | prints, then rejects the first event for good                              |
//! | `reject_out_of_range` | prints, then rejects an event that was not delivered                       |
//! | `tick_emits`          | emits an event at each tick; in other modes a tick prints `NODE: tick`     |
//!
//! What it does wrong otherwise happens before it prints: a batch that failed is not in the output.
//! The modes `too_many`, `bad_columns` and `huge_event` are those of the misbehaving producer.

use forebay_sdk::{Consumer, Context, Delivery, Events, Rejection, StageError, Timer};

pub use trouble::Config;
use trouble::{Mode, Trouble};

#[path = "../../printer/src/line.rs"]
mod line;
#[path = "../../misbehaver/src/trouble.rs"]
mod trouble;

/// The stage.
#[derive(Debug)]
pub struct MisbehavingConsumer {
    node: String,
    trouble: Trouble,
    tick_emits: bool,
}

impl Consumer for MisbehavingConsumer {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        let tick_emits = context.config.mode == Mode::TickEmits;
        let trouble = Trouble::init(context.config, &[Mode::TooMany, Mode::BadColumns, Mode::HugeEvent])?;
        Ok(Self { node: context.node, trouble, tick_emits })
    }

    fn handle_events(&mut self, delivery: &Delivery) -> Result<Vec<Rejection>, StageError> {
        let mode = self.trouble.call(delivery.len())?;
        println!("{}", line::of(&self.node, delivery));
        Ok(match mode {
            Mode::Reject => delivery.iter().take(1).map(|event| event.reject("told to reject it")).collect(),
            Mode::RejectOutOfRange => {
                let index = u32::try_from(delivery.len()).expect("a delivery has fewer than 2^32 events");
                vec![Rejection { index, retry: false, reason: "told to reject what is not there".into() }]
            }
            _ => Vec::new(),
        })
    }
}

impl Timer for MisbehavingConsumer {
    fn handle_tick(&mut self, events: &mut Events) -> Result<(), StageError> {
        if self.tick_emits {
            events.push("told to emit it");
        } else {
            println!("{}: tick", self.node);
        }
        Ok(())
    }
}

forebay_sdk::export_consumer!(MisbehavingConsumer, timer);

#[cfg(test)]
mod tests {
    use forebay_sdk::testing::{self, Harness, json};

    use super::*;

    fn start(mode: &str, at: u32) -> Harness<MisbehavingConsumer> {
        testing::consumer(json!({ "mode": mode, "at": at })).expect("a mode of the consumer")
    }

    #[test]
    fn behaves_by_default() {
        let mut stage = testing::consumer::<MisbehavingConsumer>(json!(null)).unwrap();
        assert_eq!(stage.deliver(&testing::delivery(["a", "b"])), Ok(vec![]));
    }

    #[test]
    fn rejects_the_first_event_of_the_call_it_was_told() {
        let mut stage = start("reject", 2);
        let delivery = testing::delivery(["a", "b"]);
        assert_eq!(stage.deliver(&delivery), Ok(vec![]));
        let expected = Rejection { index: 0, retry: false, reason: "told to reject it".into() };
        assert_eq!(stage.deliver(&delivery), Ok(vec![expected]));
        assert_eq!(stage.deliver(&delivery), Ok(vec![]));
    }

    #[test]
    #[should_panic(expected = "names none of the 2 events")]
    fn rejects_an_event_that_is_not_there() {
        drop(start("reject_out_of_range", 1).deliver(&testing::delivery(["a", "b"])));
    }

    #[test]
    fn fails_once() {
        let mut stage = start("error_retry", 1);
        let delivery = testing::delivery(["a"]);
        assert!(matches!(stage.deliver(&delivery), Err(StageError::Retry(_))));
        assert_eq!(stage.deliver(&delivery), Ok(vec![]));
    }

    #[test]
    fn fails_with_the_batch_that_has_the_event_it_was_told() {
        let config = json!({ "mode": "error_retry", "event": 3 });
        let mut stage = testing::consumer::<MisbehavingConsumer>(config).unwrap();
        let two = testing::delivery(["a", "b"]);
        assert_eq!(stage.deliver(&two), Ok(vec![]));
        assert!(matches!(stage.deliver(&two), Err(StageError::Retry(_))));
        assert_eq!(stage.deliver(&two), Ok(vec![]));
    }

    #[test]
    fn a_mode_of_the_producer_is_refused() {
        for mode in ["too_many", "bad_columns", "huge_event"] {
            let refused = testing::consumer::<MisbehavingConsumer>(json!({ "mode": mode })).expect_err("wrong role");
            assert!(refused.contains("another misbehaving stage"), "{refused}");
        }
    }
}
