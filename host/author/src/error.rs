//! What can go wrong between source and component, said so that an author knows what to do.

use std::{io, path::PathBuf};

/// Why there is no project, or no component.
#[derive(Debug, thiserror::Error)]
pub enum AuthorError {
    /// The directory is no project.
    #[error("{} holds no {}; `forebay new NAME --lang LANGUAGE --role ROLE` makes a project", .directory.display(), crate::MANIFEST)]
    NoProject {
        /// The directory.
        directory: PathBuf,
    },
    /// `forebay.toml` says something that cannot be.
    #[error("{}: {problem}", .path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Which key, what was found, what was expected.
        problem: String,
    },
    /// A name was asked for that is not there, or may not be taken.
    #[error("{0}")]
    Usage(String),
    /// A program or package the language needs is not there.
    #[error("{what} is needed to build {language} stages and was not found; {install}")]
    Missing {
        /// What, as `componentize-py`.
        what: String,
        /// For which language.
        language: &'static str,
        /// How to get it: commands.
        install: String,
    },
    /// A program was there and failed; what it had to say is on stderr already or in `said`.
    #[error("{command} failed ({status}){}", after(.said))]
    Failed {
        /// The command, as it could be typed.
        command: String,
        /// Its exit status.
        status: String,
        /// What it said, when that was kept; empty when it went to stderr.
        said: String,
    },
    /// The author's code does not fit what `forebay.toml` says of it.
    #[error("{}: {problem}", .source_file.display())]
    Source {
        /// The author's file or directory.
        source_file: PathBuf,
        /// What is missing or too much, in the language's words, and what to do.
        problem: String,
    },
    /// A Rust stage was not built.
    #[error(transparent)]
    Cargo(#[from] crate::rust::BuildError),
    /// A file cannot be read or written.
    #[error("cannot {attempt} {}", .path.display())]
    File {
        /// `read`, `write`, `make`, ...
        attempt: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A core module did not become a component, for a reason that is not the author's.
    #[error("stage `{stage}`: the module cannot be made a component: {problem}")]
    Component {
        /// The stage.
        stage: String,
        /// What the tool said.
        problem: String,
    },
}

fn after(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(":\n{}", text.trim_end()) }
}

impl AuthorError {
    /// A file could not be dealt with.
    pub(crate) fn file(attempt: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File { attempt, path: path.into(), source }
    }
}
