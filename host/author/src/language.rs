//! The languages a stage can be written in.

use std::{fmt, str::FromStr};

/// A language with an SDK.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Language {
    /// Rust, by cargo.
    Rust,
    /// C, by clang or `zig cc`.
    C,
    /// C++, by clang or `zig c++`.
    Cpp,
    /// Zig.
    Zig,
    /// Go, the usual compiler.
    Go,
    /// JavaScript.
    Js,
    /// TypeScript.
    Ts,
    /// Python.
    Python,
}

/// What runs JavaScript inside a component.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Engine {
    /// Small and quick to compile.
    #[default]
    QuickJs,
    /// Firefox's engine: large, complete.
    StarlingMonkey,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 8] = [Self::Rust, Self::C, Self::Cpp, Self::Zig, Self::Go, Self::Js, Self::Ts, Self::Python];

    /// Its name on the command line and in `forebay.toml`.
    pub fn name(self) -> &'static str {
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

    /// Whether its tools use one processor, and may run side by side.
    pub(crate) fn uses_one_processor(self) -> bool {
        matches!(self, Self::Js | Self::Ts | Self::Python)
    }

    /// The folders below `sdk/` that its projects are given.
    pub(crate) fn sdk_folders(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &["rust"],
            Self::C | Self::Cpp => &["c"],
            Self::Zig => &["zig"],
            Self::Go => &["go"],
            Self::Js | Self::Ts => &["js"],
            Self::Python => &["python"],
        }
    }

    /// Where the templates of its projects are, from the top of the repository.
    pub(crate) fn templates(self) -> &'static str {
        match self {
            Self::Rust => "sdk/rust/templates",
            Self::C => "sdk/c/templates",
            Self::Cpp => "sdk/c/templates-cpp",
            Self::Zig => "sdk/zig/templates",
            Self::Go => "sdk/go/templates",
            Self::Js => "sdk/js/templates",
            Self::Ts => "sdk/js/templates-ts",
            Self::Python => "sdk/python/templates",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|language| language.name() == text);
        found.ok_or_else(|| {
            format!("unknown language `{text}`; expected one of {}", Self::ALL.map(Self::name).join(", "))
        })
    }
}

impl Engine {
    /// Its name in `forebay.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::QuickJs => "quickjs",
            Self::StarlingMonkey => "starlingmonkey",
        }
    }
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::QuickJs, Self::StarlingMonkey].into_iter().find(|engine| engine.name() == text);
        found.ok_or_else(|| format!("unknown engine `{text}`; expected quickjs or starlingmonkey"))
    }
}
