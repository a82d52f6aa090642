//! What Forebay decides, without I/O, clock or randomness: inputs and the time go in, messages to
//! send and calls to make come out. `host` does the rest.

pub mod batch;
pub mod ids;
pub mod message;
pub mod pipeline;
pub mod supervise;
