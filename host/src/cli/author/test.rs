//! A project's own tests, by the usual runner of its language: a part of `forebay test`.

use std::path::Path;

use forebay_author::{AuthorError, Project};

/// Runs the tests of the project in this directory.
///
/// # Errors
/// [`AuthorError`], of a test that fails, too.
pub(in crate::cli) fn test(directory: &Path) -> Result<(), AuthorError> {
    project(directory)?.test()
}

/// The project in this directory.
///
/// # Errors
/// [`AuthorError`]: there is none, or its manifest is wrong.
pub(in crate::cli) fn project(directory: &Path) -> Result<Project, AuthorError> {
    Project::open(directory)
}
