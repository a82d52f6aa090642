//! Rust: cargo builds the component, for the target `wasm32-wasip2`.

mod cargo;
mod sdk;
pub mod toolchain;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{AuthorError, Project, Stage, tools};
pub use cargo::BuildError;
pub(super) use sdk::unpacked;
use toolchain::Choice;

/// Set to any value, the toolchain is Debian's, even where rustup's has the target: to try the other way.
const DEBIAN_VARIABLE: &str = "FOREBAY_RUST_DEBIAN";

pub(super) fn build(project: &Project, stage: &Stage) -> Result<Vec<u8>, AuthorError> {
    let path = build_package(&project.source(stage))?;
    fs::read(&path).map_err(|error| AuthorError::file("read", path, error))
}

/// Builds the package in a directory, which need not be a project, and gives the path of its component.
///
/// # Errors
/// [`AuthorError::Cargo`].
pub fn build_package(directory: &Path) -> Result<PathBuf, AuthorError> {
    let debian = std::env::var_os(DEBIAN_VARIABLE).is_some();
    let choice = if debian { Choice::Debian } else { Choice::Either };
    Ok(cargo::build(directory, choice)?)
}

/// `cargo test` where the project's packages are.
pub(super) fn test(project: &Project) -> Result<(), AuthorError> {
    let top = project.directory().to_owned();
    let folders: BTreeSet<_> = match top.join("Cargo.toml").is_file() {
        true => [top].into(),
        false => project.manifest().stages.values().map(|stage| project.source(stage)).collect(),
    };
    let cargo = tools::find("cargo", &[]).ok_or_else(|| AuthorError::Missing {
        what: "cargo".to_owned(),
        language: "Rust",
        install: "install Rust, see https://rustup.rs".to_owned(),
    })?;
    folders.iter().try_for_each(|folder| tools::run(Command::new(&cargo).arg("test").current_dir(folder)))
}
