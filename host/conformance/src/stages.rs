//! The conformance set: which languages, which stages, and where their components are.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use forebay::runtime::Role;

/// A language, by the name of its folder.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Language {
    Rust,
    C,
    Cpp,
    Zig,
    Go,
    Js,
    Ts,
    Python,
}

/// A stage of the set, by the name of its component.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    Counter,
    Double,
    Filter,
    Batcher,
    Checkpointed,
    Misbehaver,
}

impl Language {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Cpp => "cpp",
            Self::Zig => "zig",
            Self::Go => "go",
            Self::Js => "js",
            Self::Ts => "ts",
            Self::Python => "python",
        }
    }

    /// What stands in a log line that tells where a stage failed: the beginning and the ending of the author's file,
    /// whatever folder the compiler names before it.
    pub(crate) fn source_file(self) -> [&'static str; 2] {
        match self {
            Self::Rust => ["misbehaver", ".rs"],
            Self::C => ["misbehaver", ".c"],
            Self::Cpp => ["misbehaver", ".cpp"],
            Self::Zig => ["misbehaver", ".zig"],
            Self::Go => ["misbehaver", ".go"],
            Self::Js => ["misbehaver", ".js"],
            Self::Ts => ["misbehaver", ".ts"],
            Self::Python => ["misbehaver", ".py"],
        }
    }

    /// Where the component of one of its stages is.
    pub(crate) fn component(self, directory: &Path, stage: Stage) -> PathBuf {
        directory.join(self.name()).join(format!("{stage}.wasm"))
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Stage {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Counter, Self::Double, Self::Filter, Self::Batcher, Self::Checkpointed, Self::Misbehaver];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Double => "double",
            Self::Filter => "filter",
            Self::Batcher => "batcher",
            Self::Checkpointed => "checkpointed",
            Self::Misbehaver => "misbehaver",
        }
    }

    pub(crate) fn role(self) -> Role {
        match self {
            Self::Counter | Self::Checkpointed => Role::Producer,
            Self::Double | Self::Filter | Self::Batcher => Role::ProducerConsumer,
            Self::Misbehaver => Role::Consumer,
        }
    }

    /// The optional interfaces it exports or imports, but `terminate`: that one shows only when it is called.
    pub(crate) fn optional(self) -> &'static [&'static str] {
        match self {
            Self::Counter => &["call", "ingest"],
            Self::Checkpointed => &["checkpoint"],
            Self::Batcher => &["demand", "timer"],
            Self::Double | Self::Filter | Self::Misbehaver => &[],
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
