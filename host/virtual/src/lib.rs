//! The test bed in virtual time: whole nodes, real QUIC, real TLS, and faults, all from a seed.
//!
//! ```text
//! seed -> cluster (machine), workload, faults        (world, fault)
//!      -> faults, one after the other and over each other
//!      -> all faults off: within a bound there must be one owner, and events everywhere
//!      -> the counter ends: everything that is left must arrive
//!      -> the laws, on the story of all that happened          (laws)
//! ```
//!
//! What is real: the node (`forebay::node`), quinn, rustls with certificates of both sides, the registry. What is
//! not: the network, which is [`forebay::transport::quic::simulated`]; guests, which are closures, because
//! wasmtime's time limits follow the wall clock; and time, which is tokio's paused clock, one for each machine.
//!
//! What this bed does not cover: more than one thread in a node; a process that stops between two instructions
//! rather than between two polls of its tasks; machines whose clocks run at different speeds; signals, files and
//! sockets of the system. `host/faults` runs real processes for those.
//!
//! A seed gives the same cluster, the same faults and the same fate of the n-th datagram. What is not repeated
//! exactly: keys and TLS randomness are fresh in each process (a signature may be a byte longer, nothing depends on
//! it so far), and whatever takes its order from a `HashMap` or its chance from the system.

mod coverage;
mod fault;
pub mod graphs;
pub mod growth;
mod laws;
mod load;
mod machine;
pub mod progress;
mod run;
mod story;
mod workload;
mod world;

pub use coverage::Coverage;
pub use fault::Kind;
pub use laws::Violation;
pub use run::{Keys, Report};
