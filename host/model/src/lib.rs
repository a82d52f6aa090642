//! Forebay's agreement as a model: claims, epochs, checkpoints and delivery of one stage, small enough
//! that every order of events can be tried.
//!
//! ```text
//!                      Grant                      Batch
//!             Record --------->  Host (2 of)  ------------->  Consumer
//!   Claim,      ^                 |      ^                      |
//!   Vacate -----+<----------------+      +----------------------+
//!                     Proposal               Acknowledgement
//! ```
//!
//! The quorum is one linearizable [`record::Record`]: that is what Raft gives, and Raft has its own proofs.
//! The network delivers whatever was ever sent not at all, once or many times, in any order. Hosts
//! may act at any time on what they last knew. See `README.md` for what is left out.

pub mod consumer;
pub mod event;
pub mod host;
pub mod model;
pub mod properties;
pub mod record;
pub mod variant;
pub mod world;
