//! What can go wrong, by what the caller can do about it.

use forebay_proto::ids::NodeName;
use openraft::errors::{ClientWriteError, Fatal, ForwardToLeader, LinearizableReadError, RaftError};

use super::{Group, Timing};
use crate::registry::raft::{
    store::StoreError,
    types::{MemberId, Types},
};

/// Who leads, as far as this member knows.
pub(super) type Leader = Option<(MemberId, NodeName)>;

/// A member could not be started or founded.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// These times do not fit each other.
    #[error("no group can work with {timing:?}: {found}; a heartbeat, an election's minimum and maximum must rise")]
    Timing {
        /// The times.
        timing: Timing,
        /// What does not fit.
        found: String,
    },
    /// Its store cannot be opened.
    #[error("the agreement's store cannot be opened")]
    Store(#[from] StoreError),
    /// It has been in a group before.
    #[error("this member's store is not new: it belongs to a group already")]
    NotFresh,
    /// It takes no part any more.
    #[error("this member stopped: {0}")]
    Stopped(String),
}

/// A command was not agreed on, or nobody knows.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProposeError {
    /// Somebody else leads, or nobody that this member knows of. Nothing happened.
    #[error("this member does not lead the group; {}", led_by(.leader))]
    NotLeader {
        /// Whom to ask.
        leader: Leader,
    },
    /// It may have happened, or may yet.
    #[error("no agreement in time; it may have happened, or may yet")]
    Unknown,
    /// The command is too long. Nothing happened.
    #[error("a command of {bytes} bytes, at most {bytes_max} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The longest.
        bytes_max: usize,
    },
    /// This member takes no part any more. It may have happened.
    #[error("this member stopped: {0}")]
    Stopped(String),
}

/// It is not known whether this member's state is up to date.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// Somebody else leads, or nobody that this member knows of.
    #[error("this member does not lead the group; {}", led_by(.leader))]
    NotLeader {
        /// Whom to ask.
        leader: Leader,
    },
    /// Too few others confirmed in time that this member leads.
    #[error("too few members confirmed in time who leads")]
    NoQuorum,
    /// This member takes no part any more.
    #[error("this member stopped: {0}")]
    Stopped(String),
}

/// The membership was not changed, or nobody knows.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ChangeError {
    /// Somebody else leads, or nobody that this member knows of.
    #[error("this member does not lead the group; {}", led_by(.leader))]
    NotLeader {
        /// Whom to ask.
        leader: Leader,
    },
    /// The change makes no sense. Nothing happened.
    #[error("the members cannot be changed so: {0}")]
    Refused(String),
    /// It may have happened, in part too, or may yet. Ask again for the same.
    #[error("no agreement in time; the members may have changed, or may yet")]
    Unknown,
    /// This member takes no part any more. It may have happened.
    #[error("this member stopped: {0}")]
    Stopped(String),
}

fn led_by(leader: &Leader) -> String {
    match leader {
        Some((member, node)) => format!("{node} ({member}) does"),
        None => "who does is not known".to_owned(),
    }
}

fn leader(forward: ForwardToLeader<Types>) -> Leader {
    Some((MemberId(forward.leader_id?), forward.leader_node?.0))
}

/// One attempt to change the members.
pub(super) enum Attempt {
    /// Another try may work.
    Again,
    Failed(ChangeError),
}

impl Group {
    /// Why this member takes no part any more. The disk's own words come first.
    pub(super) fn why(&self, fatal: &Fatal<Types>) -> String {
        self.log.failed().unwrap_or_else(|| fatal.to_string())
    }

    pub(super) fn not_proposed(&self, error: RaftError<Types, ClientWriteError<Types>>) -> ProposeError {
        match error {
            RaftError::Fatal(fatal) => ProposeError::Stopped(self.why(&fatal)),
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
                ProposeError::NotLeader { leader: leader(forward) }
            }
            // Discarded here, but another member may have it and may bring the others to agree on it.
            RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => ProposeError::Unknown,
            // For membership changes and conditional writes only; saying too little is safe.
            RaftError::APIError(
                ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_),
            ) => ProposeError::Unknown,
        }
    }

    pub(super) fn not_read(&self, error: RaftError<Types, LinearizableReadError<Types>>) -> ReadError {
        match error {
            RaftError::Fatal(fatal) => ReadError::Stopped(self.why(&fatal)),
            RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
                ReadError::NotLeader { leader: leader(forward) }
            }
            RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => ReadError::NoQuorum,
        }
    }

    pub(super) fn not_changed(&self, error: RaftError<Types, ClientWriteError<Types>>) -> Attempt {
        use openraft::errors::ChangeMembershipError as Change;
        Attempt::Failed(match error {
            RaftError::Fatal(fatal) => ChangeError::Stopped(self.why(&fatal)),
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
                ChangeError::NotLeader { leader: leader(forward) }
            }
            RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => ChangeError::Unknown,
            RaftError::APIError(ClientWriteError::PreconditionFailed(_)) => return Attempt::Again,
            RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => match error {
                Change::InProgress(_) | Change::UncommittedLeaderLog(_) => return Attempt::Again,
                other => ChangeError::Refused(other.to_string()),
            },
        })
    }
}
