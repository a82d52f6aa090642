//! The conformance set: which languages, which stages, and where their components are.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use forebay::runtime::Role;

/// A language; its folder has its name.
pub(crate) use forebay_author::Language;

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

/// What stands in a log line that tells where a stage failed: the beginning and the ending of the author's file,
/// whatever folder the compiler names before it.
pub(crate) fn source_file(language: Language) -> [&'static str; 2] {
    match language {
        Language::Rust => ["misbehaver", ".rs"],
        Language::C => ["misbehaver", ".c"],
        Language::Cpp => ["misbehaver", ".cpp"],
        Language::Zig => ["misbehaver", ".zig"],
        Language::Go => ["misbehaver", ".go"],
        Language::Js => ["misbehaver", ".js"],
        Language::Ts => ["misbehaver", ".ts"],
        Language::Python => ["misbehaver", ".py"],
    }
}

/// Where the component of a stage in this language is.
pub(crate) fn component(language: Language, directory: &Path, stage: Stage) -> PathBuf {
    directory.join(language.name()).join(format!("{stage}.wasm"))
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
