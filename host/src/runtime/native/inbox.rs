//! The built-in producer `inbox`: emits what is pushed into it, as it came.

use std::sync::Arc;

use forebay_proto::batch::Batch;

use super::{Native, Resumable};
use crate::runtime::{Plugin, Produced, StageError};

/// It has nothing of its own to emit, and no state: what it has not emitted is in the stage's inbox.
struct Inbox;

impl Resumable for Inbox {
    fn handle_demand(&mut self, _: u32) -> Result<Produced, StageError> {
        Ok(Produced::default())
    }

    fn handle_ingest(&mut self, events: Batch) -> Result<Batch, StageError> {
        Ok(events)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

/// A producer of what is pushed into it with `forebay ingest`.
pub fn inbox() -> Arc<dyn Plugin> {
    Native::ingesting("inbox", |_| Ok(Inbox))
}
