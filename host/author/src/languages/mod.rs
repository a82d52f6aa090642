//! What each language needs to become a component, one module each, behind the same functions.

use crate::{AuthorError, Language, Project, Stage};

mod c;
mod go;
mod js;
mod python;
pub mod rust;
mod wasm;
mod zig;

/// Builds a stage and gives the bytes of its component. What compilers say goes to stderr.
pub(crate) fn build(project: &Project, stage: &Stage) -> Result<Vec<u8>, AuthorError> {
    match project.language() {
        Language::Rust => rust::build(project, stage),
        Language::C | Language::Cpp => c::build(project, stage),
        Language::Zig => zig::build(project, stage),
        Language::Go => go::build(project, stage),
        Language::Js | Language::Ts => js::build(project, stage),
        Language::Python => python::build(project, stage),
    }
}

/// Runs the project's own tests with the language's usual runner.
pub(crate) fn test(project: &Project) -> Result<(), AuthorError> {
    match project.language() {
        Language::Rust => rust::test(project),
        Language::C | Language::Cpp => c::test(project),
        Language::Zig => zig::test(project),
        Language::Go => go::test(project),
        Language::Js | Language::Ts => js::test(project),
        Language::Python => python::test(project),
    }
}

/// Where the source of a stage is when the manifest does not say: a path below the project's directory.
pub(crate) fn default_source(language: Language, stage: &str) -> String {
    let ident = stage.replace('-', "_");
    match language {
        Language::Rust | Language::Go => ".".to_owned(),
        Language::C => format!("{ident}.c"),
        Language::Cpp => format!("{ident}.cpp"),
        Language::Zig => format!("{ident}.zig"),
        Language::Js => format!("{stage}.js"),
        Language::Ts => format!("{stage}.ts"),
        Language::Python => format!("{ident}.py"),
    }
}

/// What a file of an SDK becomes in a project. All but one stay as they are.
pub(crate) fn unpacked(folder: &str, path: &str, bytes: &[u8]) -> Vec<u8> {
    if folder == "rust" { rust::unpacked(path, bytes) } else { bytes.to_vec() }
}
