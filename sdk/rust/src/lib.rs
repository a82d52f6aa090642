#![doc = include_str!("../README.md")]

pub use batch::{Batch, Delivery, Event, Iter};
pub use context::Context;
pub use demand::{AskError, ask};
pub use events::{Events, Pushed};
pub use stage::{
    Call, Checkpoint, Consumer, Ingest, Output, Producer, ProducerConsumer, Rejection, StageError, Terminate, Timer,
};

mod batch;
#[doc(hidden)]
pub mod bindings;
mod context;
mod demand;
mod events;
mod export;
pub mod log;
mod stage;
pub mod testing;

/// What the export macros expand to; no part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::{
        bindings,
        export::{Slot, start_consumer, start_producer, start_producer_consumer},
    };
}
