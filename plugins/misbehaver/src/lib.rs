//! A producer that misbehaves in a chosen way, for tests of the host.
//!
//! It emits `0`, `1`, `2`, … until call number `at` of `handle-demand`; there, and only there, it does
//! what `mode` says. A new instance counts its calls from 1 again.
//!
//! | config | default | meaning                                                    |
//! |--------|---------|------------------------------------------------------------|
//! | `mode` | `"ok"`  | what to do wrong, see below                                |
//! | `at`   | 1       | on which call, at least 1; `init_…` ignore it              |
//! | `event`| none    | instead of `at`: on the call with this event, at least 1   |
//!
//! | mode          | what it does                                                                       |
//! |---------------|------------------------------------------------------------------------------------|
//! | `ok`          | nothing wrong                                                                      |
//! | `panic`       | panics                                                                             |
//! | `unreachable` | aborts: a trap without a word                                                      |
//! | `loop`        | spins for ever                                                                     |
//! | `grow`        | allocates 1 MiB at a time for ever                                                 |
//! | `recurse`     | calls itself for ever                                                              |
//! | `too_many`    | emits one event more than was asked for                                            |
//! | `bad_columns` | returns one event whose `ends` is past the end of `payloads`                       |
//! | `error_retry` | fails with `retry`; the next call works                                            |
//! | `error_fatal` | fails with `fatal`                                                                 |
//! | `init_error`  | `init` fails                                                                       |
//! | `init_panic`  | `init` panics                                                                      |
//! | `sleep`       | sleeps for an hour inside the call                                                 |
//! | `log_flood`   | logs 100,000 lines with control characters and one of 1 MiB, then goes on          |
//! | `huge_event`  | emits one event of 16 MiB                                                          |
//!
//! Each tick emits one event, `tick`. To the request `next` it answers the next number; `panic` makes it panic, `loop`
//! spin for ever, and `huge` answer 2 MiB; any other request is refused.
//!
//! The modes `reject`, `reject_out_of_range` and `tick_emits` are those of stages that consume.

use forebay_sdk::{Call, Context, Events, Producer, StageError, Timer};

pub use trouble::Config;
use trouble::{Mode, Trouble};

mod trouble;

/// The stage.
#[derive(Debug)]
pub struct Misbehaver {
    trouble: Trouble,
    next: u64,
}

/// Unit: bytes. Four times what a host takes in one batch by default.
const HUGE_EVENT_BYTES: usize = 16 << 20;

/// Unit: bytes. Twice what a host takes.
const HUGE_ANSWER_BYTES: usize = 2 << 20;

impl Misbehaver {
    fn emit(&mut self, count: u32, events: &mut Events) {
        for _ in 0..count {
            events.push_format(format_args!("{}", self.next));
            self.next += 1;
        }
    }
}

impl Producer for Misbehaver {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        let trouble = Trouble::init(context.config, &[Mode::Reject, Mode::RejectOutOfRange, Mode::TickEmits])?;
        Ok(Self { trouble, next: 0 })
    }

    fn handle_demand(&mut self, demand: u32, events: &mut Events) -> Result<(), StageError> {
        match self.trouble.call(demand as usize)? {
            Mode::TooMany => self.emit(demand.saturating_add(1), events),
            Mode::HugeEvent => drop(events.push(vec![b'x'; HUGE_EVENT_BYTES])),
            Mode::BadColumns => {
                events.push("five.");
                events.columns_mut().ends[0] = 6;
            }
            _ => self.emit(demand, events),
        }
        Ok(())
    }
}

impl Timer for Misbehaver {
    fn handle_tick(&mut self, events: &mut Events) -> Result<(), StageError> {
        events.push("tick");
        Ok(())
    }
}

impl Call for Misbehaver {
    fn handle_call(&mut self, request: &[u8]) -> Result<Vec<u8>, String> {
        match request {
            b"next" => Ok(self.next.to_string().into_bytes()),
            b"panic" => panic!("told to panic in a call"),
            b"loop" => trouble::spin(),
            b"huge" => Ok(vec![b'x'; HUGE_ANSWER_BYTES]),
            other => Err(format!("unknown request: {}", other.escape_ascii())),
        }
    }
}

forebay_sdk::export_producer!(Misbehaver, timer, call);

#[cfg(test)]
mod tests {
    use forebay_sdk::testing::{self, Harness, json};

    use super::*;

    fn start(mode: &str, at: u32) -> Harness<Misbehaver> {
        testing::producer(json!({ "mode": mode, "at": at })).expect("a mode of the producer")
    }

    #[test]
    fn behaves_by_default() {
        let mut stage = testing::producer::<Misbehaver>(json!(null)).unwrap();
        assert_eq!(stage.demand(2).unwrap().texts(), ["0", "1"]);
        assert_eq!(stage.demand(1).unwrap().texts(), ["2"]);
    }

    #[test]
    fn fails_once_on_the_call_it_was_told() {
        let mut stage = start("error_retry", 2);
        assert_eq!(stage.demand(1).unwrap().texts(), ["0"]);
        assert_eq!(stage.demand(1).unwrap_err(), StageError::Retry("told to fail in call 2".into()));
        assert_eq!(stage.demand(1).unwrap().texts(), ["1"]);
        assert!(matches!(start("error_fatal", 1).demand(1), Err(StageError::Fatal(_))));
    }

    #[test]
    #[should_panic(expected = "told to panic in call 1")]
    fn panics() {
        drop(start("panic", 1).demand(1));
    }

    #[test]
    fn fails_once_on_the_event_it_was_told() {
        let config = json!({ "mode": "error_retry", "event": 5 });
        let mut stage = testing::producer::<Misbehaver>(config).unwrap();
        assert_eq!(stage.demand(4).unwrap().len(), 4);
        assert!(stage.demand(2).is_err());
        assert_eq!(stage.demand(5).unwrap().len(), 5, "only there");
    }

    #[test]
    #[should_panic(expected = "told to panic in init")]
    fn panics_in_init() {
        start("init_panic", 1);
    }

    #[test]
    #[should_panic(expected = "emitted 4 events for a demand of 3")]
    fn emits_too_many() {
        drop(start("too_many", 1).demand(3));
    }

    #[test]
    #[should_panic(expected = "the last of column `ends` is 6, but there are 5 bytes")]
    fn returns_bad_columns() {
        drop(start("bad_columns", 1).demand(3));
    }

    #[test]
    fn emits_a_huge_event() {
        assert_eq!(start("huge_event", 1).demand(9).unwrap().iter().map(|e| e.payload.len()).sum::<usize>(), 16 << 20);
    }

    #[test]
    fn floods_the_log_and_goes_on() {
        let mut stage = start("log_flood", 1);
        assert_eq!(stage.demand(1).unwrap().len(), 1);
        let lines = stage.take_logs();
        assert_eq!(lines.len(), 100_001);
        assert!(lines[0].message.contains('\x1b') && lines[100_000].message.len() == 1 << 20);
    }

    #[test]
    fn ticks_and_answers() {
        let mut stage = start("ok", 1);
        assert_eq!(stage.tick().unwrap().texts(), ["tick"]);
        stage.demand(3).unwrap();
        assert_eq!(stage.ask(b"next").unwrap(), b"3");
        assert_eq!(stage.ask(b"what\xff").unwrap_err(), "unknown request: what\\xff");
    }

    #[test]
    fn a_mode_it_has_not_is_refused() {
        let refused = |config| testing::producer::<Misbehaver>(config).expect_err("no mode of the producer");
        assert!(refused(json!({ "mode": "explode" })).contains("at `mode`: unknown variant `explode`"));
        assert!(refused(json!({ "mode": "reject" })).contains("another misbehaving stage"));
        assert!(refused(json!({ "mode": "init_error" })).contains("told to fail in init"));
        assert!(refused(json!({ "at": 0 })).contains("at `at`"));
    }
}
