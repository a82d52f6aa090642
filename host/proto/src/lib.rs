//! What Forebay decides, without I/O, clock or randomness: inputs and the time go in, messages to
//! send and calls to make come out. `host` does the rest.

pub mod backoff;
pub mod batch;
pub mod blob;
pub mod calls;
pub mod checkpoints;
mod chunks;
pub mod consumer;
pub mod deploy;
pub mod dispatch;
pub mod ids;
pub mod inbox;
pub mod intake;
pub mod letters;
pub mod message;
pub mod names;
pub mod orders;
mod owed;
pub mod pipeline;
pub mod poison;
pub mod producer;
pub mod rate;
pub mod recycle;
pub mod requests;
pub mod select;
pub mod stage;
pub mod supervise;
pub mod tally;
pub mod taps;
mod ticks;
pub mod wire;
