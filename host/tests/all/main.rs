//! The host's tests: one binary, since linking wasmtime is what they cost.

mod plugins;
mod runtime;
