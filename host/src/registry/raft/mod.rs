//! Agreement by Raft: the members of a group agree on one row of commands.
//!
//! openraft is known in this directory only, and redb in `store` only. Both see commands, replies and
//! state as bytes; what they mean is decided by who implements [`Machine`].

mod codec;
pub mod dice;
mod group;
mod network;
mod store;
mod types;

pub use group::{
    ChangeError, Group, GroupError, GroupOptions, GroupStatus, ProposeError, ReadError, StatusWatch, Timing,
};
pub use network::{Peers, Unreachable};
#[cfg(test)]
pub(crate) use store::PowerDisk;
pub use store::{
    Corrupt, Directory, Files, MemoryDatabase, MemoryDisk, RecoverError, Recovered, Storage, StoreError, Survey,
    recover, recover_with, survey,
};
/// What the library logs as: a line for each call that a dead member does not answer.
pub const LOG_TARGET: &str = "openraft";

pub use types::{COMMAND_BYTES_MAX, Machine, MemberId};
