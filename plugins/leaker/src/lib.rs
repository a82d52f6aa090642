//! A producer of consecutive integers that leaks memory, as some languages' bindings do, for tests of the host.
//!
//! | config           | unit  | default | meaning                                                          |
//! |------------------|-------|---------|------------------------------------------------------------------|
//! | `limit`          | events| none    | emit this many, then none                                        |
//! | `leak_bytes`     | bytes | 1024    | kept of each event for good                                      |
//! | `snapshots_fail` | calls | 0       | so many first calls of `snapshot` of an instance fail            |
//!
//! Its checkpoint is the next number, as text. It logs its start, and its state when that is restored.

use std::hint::black_box;

use forebay_sdk::{Checkpoint, Context, Events, Producer, StageError, info};
use serde::Deserialize;

/// What the pipeline file may say; see the table above.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    limit: Option<u64>,
    leak_bytes: usize,
    snapshots_fail: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { limit: None, leak_bytes: 1024, snapshots_fail: 0 }
    }
}

/// The stage.
#[derive(Debug)]
pub struct Leaker {
    config: Config,
    next: u64,
    snapshots: u32,
}

impl Producer for Leaker {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        info!("started");
        Ok(Self { config: context.config, next: 0, snapshots: 0 })
    }

    fn handle_demand(&mut self, demand: u32, events: &mut Events) -> Result<(), StageError> {
        let left = self.config.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.next));
        for _ in 0..u64::from(demand).min(left) {
            events.push_format(format_args!("{}", self.next));
            self.next += 1;
            // Written to, or an allocator may not ask for memory.
            Vec::leak(black_box(vec![1_u8; self.config.leak_bytes]));
        }
        Ok(())
    }
}

impl Checkpoint for Leaker {
    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        self.snapshots = self.snapshots.saturating_add(1);
        if self.snapshots <= self.config.snapshots_fail {
            return Err(format!("told to fail in snapshot {}", self.snapshots));
        }
        Ok(self.next.to_string().into_bytes())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(snapshot).unwrap_or_default();
        self.next = text
            .parse()
            .map_err(|_| format!("snapshot `{}`: expected the next number, as text", snapshot.escape_ascii()))?;
        info!("restored: {}", self.next);
        Ok(())
    }
}

forebay_sdk::export_producer!(Leaker, checkpoint);

#[cfg(test)]
mod tests {
    use forebay_sdk::testing::{self, json};

    use super::*;

    #[test]
    fn goes_on_where_another_was() {
        let mut first = testing::producer::<Leaker>(json!({ "limit": 3, "snapshots_fail": 1 })).unwrap();
        assert_eq!(first.demand(2).unwrap().texts(), ["0", "1"]);
        assert_eq!(first.snapshot().unwrap_err(), "told to fail in snapshot 1");
        let state = first.snapshot().unwrap();
        let mut second = testing::producer::<Leaker>(json!({ "limit": 3 })).unwrap();
        second.restore(&state).unwrap();
        assert_eq!(second.demand(2).unwrap().texts(), ["2"]);
        assert!(second.restore(b"x").unwrap_err().contains("expected the next number"));
    }
}
