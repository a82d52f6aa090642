//! What can go wrong, in terms of whether events were taken.

use std::{
    error, fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Events were not confirmed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No node runs on this data directory. Nothing was taken.
    NoNode(PathBuf),
    /// Only the user that runs the node may ask it. Nothing was taken.
    NotAllowed(PathBuf),
    /// No connection to the node can be made by the way that was given. Nothing was taken.
    NotConnected {
        /// Why.
        why: String,
        /// Whether trying again is of no use, since we are not let in.
        lasting: bool,
    },
    /// There is no room just now: the inbox is full, or a disk. Nothing was taken.
    Full(String),
    /// Nobody owns the stage just now. Nothing was taken.
    Unavailable(String),
    /// The events cannot be taken. Nothing was taken.
    Refused(String),
    /// Whether they were taken is not known; [`Client::resume`](crate::Client::resume) asks again.
    Unanswered {
        /// For how long it was tried.
        within: Duration,
        /// What came instead of an answer, the last time.
        why: String,
    },
    /// The node does not know whether they were taken. Told within [`Error::Unanswered`].
    Unknown(String),
    /// The connection failed. After a request was sent, told within [`Error::Unanswered`].
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn of_connecting(data: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Self::NoNode(data.to_owned()),
            io::ErrorKind::PermissionDenied => Self::NotAllowed(data.to_owned()),
            _ => Self::Io { what: format!("cannot connect to the node on {}", data.display()), source },
        }
    }

    /// Whether trying again soon is of no use: nobody is there, or we are not let in.
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(self, Self::NotAllowed(_) | Self::NotConnected { lasting: true, .. })
    }

    /// Whether it came before anything was sent.
    pub(crate) fn is_before_sending(&self) -> bool {
        matches!(self, Self::NoNode(_) | Self::NotAllowed(_) | Self::NotConnected { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNode(data) => {
                write!(f, "no node runs on {}; start it, or name the data directory of one that runs", data.display())
            }
            Self::NotAllowed(data) => {
                write!(f, "not allowed to ask the node on {}: only the user that runs it may", data.display())
            }
            Self::NotConnected { why, .. } => f.write_str(why),
            Self::Full(why) | Self::Unavailable(why) | Self::Refused(why) | Self::Unknown(why) => f.write_str(why),
            Self::Unanswered { within, why } => {
                write!(f, "after {:.1} s it is not known whether the events were taken: {why}", within.as_secs_f64())
            }
            Self::Io { what, source } => write!(f, "{what}: {source}"),
        }
    }
}

impl error::Error for Error {}
