//! `forebay build`: the stages of a project, as components.

use std::{
    fs,
    path::{Path, PathBuf},
};

use forebay_author::{AuthorError, Built, MANIFEST, Project, rust};

use super::super::{Exit, Failure, output::print_line};

/// Build the stages of a project into plugins
///
/// Says where each plugin is: `build/STAGE.wasm` in the project. One that is up to date is not built again. The language is
/// that of `forebay.toml`; a directory that has only a `Cargo.toml` is built as a Rust stage.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Directory of the project
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Build this stage only; may be given several times
    #[arg(long, value_name = "STAGE")]
    stage: Vec<String>,
    /// Put copies of the plugins into this directory as well
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(in crate::cli) fn build(args: &Args) -> Result<Exit, Failure> {
    let bare = !args.dir.join(MANIFEST).exists() && args.dir.join("Cargo.toml").exists();
    let plugins = if bare { vec![rust::build_package(&args.dir)?] } else { project(args)? };
    for plugin in plugins {
        let place = args.out.as_ref().map_or(Ok(plugin.clone()), |out| copy(&plugin, out))?;
        print_line(&place.display().to_string());
    }
    Ok(Exit::Done)
}

fn project(args: &Args) -> Result<Vec<PathBuf>, Failure> {
    let project = Project::open(&args.dir)?;
    let stages = match args.stage.as_slice() {
        [] => project.manifest().stages.values().collect(),
        names => names.iter().map(|name| project.stage(name)).collect::<Result<Vec<_>, _>>()?,
    };
    let built = project.build_all(&stages);
    Ok(built.into_iter().map(|built| built.map(|built: Built| built.path)).collect::<Result<_, _>>()?)
}

/// Builds all stages of a project that are not up to date.
///
/// # Errors
/// [`AuthorError`], of the first stage that does not build.
pub(in crate::cli) fn build_project(directory: &Path) -> Result<Project, AuthorError> {
    let project = Project::open(directory)?;
    let stages: Vec<_> = project.manifest().stages.values().collect();
    project.build_all(&stages).into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(project)
}

fn copy(plugin: &Path, out: &Path) -> Result<PathBuf, AuthorError> {
    let failed = |attempt, path: &Path, source| AuthorError::File { attempt, path: path.to_owned(), source };
    fs::create_dir_all(out).map_err(|error| failed("make", out, error))?;
    let to = out.join(plugin.file_name().expect("a plugin is a file"));
    fs::copy(plugin, &to).map_err(|error| failed("write", &to, error))?;
    Ok(to)
}
