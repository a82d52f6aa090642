//! The host's tests: one binary, since linking wasmtime is what they cost.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed; clippy knows test functions, not helpers")]

mod admin;
mod bench;
mod cache;
mod cases;
mod cli;
mod demo;
mod deploy;
mod dlq;
mod grants;
mod graphs;
mod node;
mod orders;
mod peer;
mod plugins;
mod process;
mod raft;
mod registry;
mod replays;
mod runtime;
mod tidy;
mod trace;
mod transport;
mod versions;
