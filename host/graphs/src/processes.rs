//! A graph on three real `forebay node` processes on loopback, fed by `forebay-client` and judged by their traces.
//!
//! Sources are inboxes, relays the sample component `double`, sinks print. The nodes find each other by orders on their
//! standard input, since the system chooses their ports.

mod node;
mod run;

use std::{io, path::PathBuf, time::Duration};

pub use run::{Report, Setup, run};

/// Why a graph could not be run to its end. That events are missing is no error, see [`Report::violations`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Files of the run.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was attempted.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A command that makes keys, or a node, could not be started or waited for.
    #[error("cannot run {what}")]
    Process {
        /// Which.
        what: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A command that makes keys failed.
    #[error("{what} failed: {text}")]
    Command {
        /// Which.
        what: String,
        /// What it said.
        text: String,
    },
    /// A node ended by itself.
    #[error("node {node} has ended by itself; its log is {}", log.display())]
    Ended {
        /// Which.
        node: String,
        /// Where it logs.
        log: PathBuf,
    },
    /// Something did not come about.
    #[error("{what} did not come about within {within:?}")]
    Late {
        /// What.
        what: String,
        /// How long was waited.
        within: Duration,
    },
    /// A source did not take its events.
    #[error("cannot push the events of {stage}")]
    Push {
        /// Which.
        stage: String,
        /// What the node says.
        #[source]
        source: forebay_client::Error,
    },
    /// Traces cannot be read.
    #[error("cannot read the traces")]
    Traces(#[from] forebay_check::MergeError),
}
