//! What the misbehaving stages can do wrong. They share this file.

use std::{
    fmt,
    hint::black_box,
    num::{NonZeroU32, NonZeroU64},
    thread,
    time::Duration,
};

use forebay_sdk::{StageError, info};
use serde::Deserialize;

/// What the pipeline file may say; see the crate's table.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What to do wrong.
    pub(crate) mode: Mode,
    /// On which call.
    pub(crate) at: NonZeroU32,
    /// On which event, instead of on which call.
    pub(crate) event: Option<NonZeroU64>,
}

impl Default for Config {
    fn default() -> Self {
        Self { mode: Mode::Ok, at: NonZeroU32::MIN, event: None }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    Ok,
    Panic,
    Unreachable,
    Loop,
    Grow,
    Recurse,
    TooMany,
    BadColumns,
    ErrorRetry,
    ErrorFatal,
    InitError,
    InitPanic,
    Sleep,
    LogFlood,
    HugeEvent,
    Reject,
    RejectOutOfRange,
    TickEmits,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Counts calls and events, and does wrong what a producer and a consumer can both do wrong.
#[derive(Debug)]
pub(crate) struct Trouble {
    config: Config,
    calls: u32,
    events: u64,
}

impl Trouble {
    /// Does wrong what is done wrong at the start.
    ///
    /// # Errors
    /// In mode `init_error`, and for a mode of `others`: those of the other role.
    pub(crate) fn init(config: Config, others: &[Mode]) -> Result<Self, String> {
        match config.mode {
            Mode::InitError => Err("told to fail in init".to_owned()),
            Mode::InitPanic => panic!("told to panic in init"),
            mode if others.contains(&mode) => Err(format!("mode {mode} is for another misbehaving stage")),
            _ => Ok(Self { config, calls: 0, events: 0 }),
        }
    }

    /// Counts one call, with so many events. Gives the mode when this call is the one, after doing wrong what both roles
    /// can.
    ///
    /// # Errors
    /// In the modes that say so.
    pub(crate) fn call(&mut self, events: usize) -> Result<Mode, StageError> {
        let before = self.events;
        self.calls = self.calls.saturating_add(1);
        self.events = before.saturating_add(events as u64);
        let is_it = match self.config.event {
            Some(event) => (before + 1..=self.events).contains(&event.get()),
            None => self.calls == self.config.at.get(),
        };
        if !is_it {
            return Ok(Mode::Ok);
        }
        match self.config.mode {
            Mode::Panic => panic!("told to panic in call {}", self.calls),
            Mode::Unreachable => std::process::abort(),
            Mode::Loop => spin(),
            Mode::Grow => grow(),
            Mode::Recurse => drop(black_box(recurse(0))),
            Mode::ErrorRetry => return Err(StageError::Retry(format!("told to fail in call {}", self.calls))),
            Mode::ErrorFatal => return Err(StageError::Fatal(format!("told to end in call {}", self.calls))),
            Mode::Sleep => thread::sleep(Duration::from_secs(60 * 60)),
            Mode::LogFlood => flood(),
            _ => {}
        }
        Ok(self.config.mode)
    }
}

pub(crate) fn spin() -> ! {
    loop {
        black_box(());
    }
}

fn grow() {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1_u8; 1 << 20]));
    }
}

// Not a tail call: the array is used after the call, so every level keeps its frame.
#[expect(unconditional_recursion, reason = "it is there to use up the stack")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    recurse(depth + 1) + black_box(frame)[0]
}

/// Unit: lines. Far more than any rate limit lets through.
const FLOOD_LINES: u32 = 100_000;

/// Unit: bytes. The host cuts at 8 KiB.
const LONG_LINE_BYTES: usize = 1 << 20;

fn flood() {
    for line in 0..FLOOD_LINES {
        info!("flood {line}\x1b[31m\r\n\x07\0forged line");
    }
    info!("{}", "x".repeat(LONG_LINE_BYTES));
}
