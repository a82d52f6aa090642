//! A node of a Forebay cluster: runs stages written as WebAssembly components and joins them with
//! those of other nodes over QUIC. `forebay-proto` decides; this crate does.

pub mod cases;
mod chain;
mod checksum;
pub mod cli;
pub mod config;
pub mod disk;
pub mod dlq;
pub mod inbox;
pub mod node;
pub mod registry;
pub mod runtime;
pub mod signature;
pub mod transport;
mod wall;
mod watched;
