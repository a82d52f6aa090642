//! A producer-consumer that misbehaves in a chosen way, for tests of the host.
//!
//! It emits every event once, with its topic, key and headers, until call number `at` of `handle-events`, or the call with
//! event number `event`; there, and only there, it does what `mode` says, before it emits anything.
//!
//! | config  | default | meaning                                                    |
//! |---------|---------|------------------------------------------------------------|
//! | `mode`  | `"ok"`  | those that the misbehaving producer and the misbehaving consumer have in common |
//! | `at`    | 1       | on which call, at least 1; `init_…` ignore it              |
//! | `event` | none    | instead of `at`: on the call with this event, at least 1   |

use forebay_sdk::{Context, Delivery, Output, ProducerConsumer, StageError};

pub use trouble::Config;
use trouble::{Mode, Trouble};

#[path = "../../misbehaver/src/trouble.rs"]
mod trouble;

/// What only a producer or only a consumer does wrong.
const OTHERS: &[Mode] =
    &[Mode::TooMany, Mode::BadColumns, Mode::HugeEvent, Mode::Reject, Mode::RejectOutOfRange, Mode::TickEmits];

/// The stage.
#[derive(Debug)]
pub struct MisbehavingRelay {
    trouble: Trouble,
}

impl ProducerConsumer for MisbehavingRelay {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        Ok(Self { trouble: Trouble::init(context.config, OTHERS)? })
    }

    fn handle_events(&mut self, delivery: &Delivery, output: &mut Output) -> Result<(), StageError> {
        self.trouble.call(delivery.len())?;
        for event in delivery {
            output.events.push_event(&event);
        }
        Ok(())
    }
}

forebay_sdk::export_producer_consumer!(MisbehavingRelay);

#[cfg(test)]
mod tests {
    use forebay_sdk::testing::{self, json};

    use super::*;

    #[test]
    fn passes_on_what_it_gets_but_fails_on_the_event_it_was_told() {
        let config = json!({ "mode": "error_fatal", "event": 4 });
        let mut stage = testing::producer_consumer::<MisbehavingRelay>(config).unwrap();
        let made = stage.transform(&testing::delivery(["a", "b", "c"])).unwrap();
        assert_eq!(made.events.texts(), ["a", "b", "c"]);
        assert!(matches!(stage.transform(&testing::delivery(["d"])), Err(StageError::Fatal(_))));
        assert_eq!(stage.transform(&testing::delivery(["e"])).unwrap().events.texts(), ["e"]);
    }

    #[test]
    fn a_mode_of_another_role_is_refused() {
        for mode in ["too_many", "bad_columns", "huge_event", "reject", "reject_out_of_range"] {
            let refused =
                testing::producer_consumer::<MisbehavingRelay>(json!({ "mode": mode })).expect_err("its role");
            assert!(refused.contains("another misbehaving stage"), "{refused}");
        }
    }
}
