//! The commands of the `forebay` binary, one file per group.

pub mod cluster;
