//! What openraft is told to work with, and the two names that everybody here uses.

use std::fmt;

use bytes::Bytes;
use forebay_proto::ids::NodeName;
use openraft::type_config::alias;

use super::dice::Runtime;

/// The longest command, in bytes.
///
/// A command travels in one frame of at most 8 MiB, together with what says where it belongs.
pub const COMMAND_BYTES_MAX: usize = 4 << 20;

/// The number of a member in its group. Never used again: a node that lost its data gets a new one, or it
/// could vote twice in one term.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MemberId(pub u64);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.0)
    }
}

/// The state that all members of a group have in common.
///
/// What must hold of every implementation:
/// - It is deterministic: the same commands with the same indices give the same replies and the same
///   state, on every member and at every start. No clock, no chance, no order of a hash map.
/// - `restore` of what `snapshot` gave leaves a state that answers all later commands the same.
/// - Nothing panics on what a command or a snapshot holds.
///
/// It is called from one task at a time.
pub trait Machine: Send + Sync + 'static {
    /// Carries out a command that is agreed on. `index` is its place in the log: it rises, with gaps.
    ///
    /// Never fails: a command that makes no sense changes nothing and gets a reply that says so.
    fn apply(&mut self, index: u64, command: &[u8]) -> Vec<u8>;

    /// The whole state.
    fn snapshot(&self) -> Vec<u8>;

    /// Replaces the whole state.
    ///
    /// # Errors
    /// The snapshot cannot be understood, and why. The member stops then.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String>;
}

/// A command, as openraft carries it.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Command(pub(super) Bytes);

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a membership says of a member besides its number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Named(pub(super) NodeName);

/// openraft's storage suite makes members out of nothing; nobody else does.
#[cfg(test)]
impl Default for Named {
    fn default() -> Self {
        Self("unnamed".parse().expect("a name"))
    }
}

openraft::declare_raft_types!(
    /// The types of our groups.
    pub(super) Types:
        D = Command,
        R = Bytes,
        NodeId = u64,
        Node = Named,
        Term = u64,
        AsyncRuntime = Runtime,
);

pub(super) type Vote = alias::VoteOf<Types>;
pub(super) type LeaderId = alias::LeaderIdOf<Types>;
pub(super) type LogId = alias::LogIdOf<Types>;
pub(super) type Entry = alias::EntryOf<Types>;
pub(super) type Payload = alias::PayloadOf<Types>;
pub(super) type Membership = openraft::Membership<u64, Named>;
pub(super) type StoredMembership = alias::StoredMembershipOf<Types>;
pub(super) type SnapshotMeta = alias::SnapshotMetaOf<Types>;
pub(super) type Snapshot = alias::SnapshotOf<Types, Bytes>;
pub(super) type AppendRequest = openraft::raft::AppendEntriesRequest<Types>;
pub(super) type AppendResponse = openraft::raft::AppendEntriesResponse<Types>;
pub(super) type VoteRequest = openraft::raft::VoteRequest<Types>;
pub(super) type VoteResponse = openraft::raft::VoteResponse<Types>;
pub(super) type SnapshotResponse = openraft::raft::SnapshotResponse<Types>;
pub(super) type TransferRequest = openraft::raft::TransferLeaderRequest<Types>;
pub(super) type TransferResponse = openraft::raft::TransferLeaderResponse<Types>;
