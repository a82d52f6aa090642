//! Tests of the crate from outside, in one binary: linking wasmtime is what tests cost here.

mod transport;
