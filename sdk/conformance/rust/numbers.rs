//! Numbers as events: what `counter` and `checkpointed` share.

use forebay_sdk::{Events, StageError};
use serde::Deserialize;

/// What the pipeline file may say.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    start: i64,
    step: i64,
    limit: Option<u64>,
    payload_bytes: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self { start: 0, step: 1, limit: None, payload_bytes: None }
    }
}

/// Counts on.
#[derive(Debug)]
pub(crate) struct Numbers {
    config: Config,
    /// Wider than a number, so that it can stand one step past the last one.
    next: i128,
    /// How many the limit leaves.
    left: u64,
}

impl Numbers {
    pub(crate) fn new(config: Config) -> Result<Self, String> {
        if config.step == 0 {
            return Err("`step` is 0; expected a number to add, as 1 or -1".to_owned());
        }
        Ok(Self { next: config.start.into(), left: config.limit.unwrap_or(u64::MAX), config })
    }

    pub(crate) fn next(&self) -> i128 {
        self.next
    }

    /// Goes on from another number; the limit counts on.
    #[allow(dead_code, reason = "of the two stages that share this file one jumps")]
    pub(crate) fn jump(&mut self, next: i64) {
        self.next = next.into();
    }

    /// Goes on where an earlier instance with the same config was; what that one emitted counts.
    #[allow(dead_code, reason = "of the two stages that share this file one resumes")]
    pub(crate) fn resume(&mut self, next: i128) {
        let emitted = (next - i128::from(self.config.start)) / i128::from(self.config.step);
        let emitted = u64::try_from(emitted).unwrap_or(0);
        self.left = self.config.limit.map_or(u64::MAX, |limit| limit.saturating_sub(emitted));
        self.next = next;
    }

    /// Emits the next numbers: as many as are asked for and the limit leaves.
    pub(crate) fn emit(&mut self, demand: u32, events: &mut Events) -> Result<(), StageError> {
        let width = self.config.payload_bytes.unwrap_or(0);
        for _ in 0..u64::from(demand).min(self.left) {
            let Ok(number) = i64::try_from(self.next) else {
                // What fits is emitted; the error comes with the next demand.
                let error = StageError::Fatal(format!("{} is past the numbers of 64 bits; set `limit`", self.next));
                return if events.is_empty() { Err(error) } else { Ok(()) };
            };
            match width {
                0 => events.push_format(format_args!("{number}")),
                _ => events.push(padded(&number.to_string(), width)),
            };
            self.next += i128::from(self.config.step);
            self.left -= 1;
        }
        Ok(())
    }
}

/// The digits with leading zeros; as long as they are when `width` is less.
fn padded(digits: &str, width: usize) -> Vec<u8> {
    let mut payload = vec![b'0'; width.saturating_sub(digits.len())];
    payload.extend_from_slice(digits.as_bytes());
    payload
}
