//! The stages of the conformance set in Rust, compiled natively with their unit tests: they are a project of their own,
//! which `cargo test`, clippy and rustfmt here would pass by.

#![allow(unreachable_pub, clippy::duplicate_mod, reason = "each is the root of a crate of its own; two share a file")]

#[path = "../../conformance/rust/batcher/src/lib.rs"]
mod batcher;
#[path = "../../conformance/rust/checkpointed/src/lib.rs"]
mod checkpointed;
#[path = "../../conformance/rust/counter/src/lib.rs"]
mod counter;
#[path = "../../conformance/rust/double/src/lib.rs"]
mod double;
#[path = "../../conformance/rust/filter/src/lib.rs"]
mod filter;
#[path = "../../conformance/rust/misbehaver/src/lib.rs"]
mod misbehaver;
