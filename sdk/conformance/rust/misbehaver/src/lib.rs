//! A consumer that does wrong when it is told to.

use std::hint::black_box;

use forebay_sdk::{Consumer, Context, Delivery, Event, Rejection, StageError, info};
use serde::Deserialize;

/// What the pipeline file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    mode: Mode,
}

/// What to do wrong.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nothing.
    #[default]
    Ok,
    /// Fail, so that the call is made again.
    Retry,
    /// Fail for good.
    Fatal,
    /// Fail in another way.
    Other,
    /// Panic.
    Trap,
    /// Loop for ever.
    Spin,
    /// Take memory until it is refused.
    Allocate,
    /// Reject an event that is not there.
    Outside,
    /// Reject an event twice.
    Twice,
    /// Log far too much.
    Flood,
    /// Fail to start.
    Init,
}

/// The stage.
#[derive(Debug)]
pub struct Misbehaver {
    mode: Mode,
}

impl Misbehaver {
    fn misbehave(&self, event: &Event<'_>, rejections: &mut Vec<Rejection>) -> Result<(), StageError> {
        match self.mode {
            Mode::Ok | Mode::Init => {}
            Mode::Retry => return Err(StageError::Retry("told to".into())),
            Mode::Fatal => return Err(StageError::Fatal("told to".into())),
            Mode::Other => return Err(StageError::Other("told to".into())),
            Mode::Trap => panic!("told to trap"),
            Mode::Spin => loop {
                black_box(());
            },
            Mode::Allocate => allocate(),
            Mode::Outside => rejections.push(Rejection { index: u32::MAX, retry: false, reason: "told to".into() }),
            Mode::Twice => rejections.extend([event.reject("told to"), event.reject("told to")]),
            Mode::Flood => (0..10_000).for_each(|line| info!("line {line}")),
        }
        Ok(())
    }
}

/// Takes memory, and touches it, until it is refused; then Rust aborts.
fn allocate() {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(vec![1_u8; 1 << 20]));
    }
}

impl Consumer for Misbehaver {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        match context.config.mode {
            Mode::Init => Err("told to fail".to_owned()),
            mode => Ok(Self { mode }),
        }
    }

    fn handle_events(&mut self, delivery: &Delivery) -> Result<Vec<Rejection>, StageError> {
        let mut rejections = Vec::new();
        for event in delivery {
            info!("{}", String::from_utf8_lossy(event.payload));
            match event.payload {
                b"go" => self.misbehave(&event, &mut rejections)?,
                b"no" => rejections.push(event.reject("no")),
                _ => {}
            }
        }
        Ok(rejections)
    }
}

forebay_sdk::export_consumer!(Misbehaver);

#[cfg(test)]
mod tests {
    use forebay_sdk::testing::{self, Harness, json};

    use super::*;

    fn start(mode: &str) -> Harness<Misbehaver> {
        testing::consumer(json!({ "mode": mode })).expect("a mode there is")
    }

    fn go(mode: &str) -> Result<Vec<Rejection>, StageError> {
        start(mode).deliver(&testing::delivery(["go"]))
    }

    #[test]
    fn logs_what_it_gets_and_rejects_no() {
        let mut stage = start("ok");
        let rejections = stage.deliver(&testing::delivery(["a", "no", "go"])).unwrap();
        assert_eq!(rejections, [Rejection { index: 1, retry: false, reason: "no".into() }]);
        let logged: Vec<_> = stage.take_logs().into_iter().map(|line| line.message).collect();
        assert_eq!(logged, ["a", "no", "go"]);
    }

    #[test]
    fn fails_as_it_is_told() {
        assert_eq!(go("retry").unwrap_err(), StageError::Retry("told to".into()));
        assert_eq!(go("fatal").unwrap_err(), StageError::Fatal("told to".into()));
        assert_eq!(go("other").unwrap_err(), StageError::Other("told to".into()));
        assert_eq!(go("twice").unwrap().len(), 2);
    }

    #[test]
    #[should_panic(expected = "told to trap")]
    fn panics() {
        drop(go("trap"));
    }

    #[test]
    #[should_panic(expected = "names none of the 1 events")]
    fn rejects_what_is_not_there() {
        drop(go("outside"));
    }

    #[test]
    fn a_mode_that_is_not_there_is_refused_with_all_there_are() {
        let refused = |mode: &str| testing::consumer::<Misbehaver>(json!({ "mode": mode })).expect_err("no start");
        let text = refused("explode");
        assert!(text.contains("at `mode`") && text.contains("`allocate`") && text.contains("expected"), "{text}");
        assert!(refused("init").contains("told to fail"));
    }
}
