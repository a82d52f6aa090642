//! `forebay test`: a project's own tests, by the usual runner of its language.

use std::path::PathBuf;

use forebay_author::Project;

use super::super::{Exit, Failure};

/// Run the tests of a project, by the usual runner of its language
///
/// Those are `cargo test`, `go test`, `node --test`, pytest or unittest, `zig test`, or a program compiled with the
/// system's C or C++ compiler. They need no wasm: the SDK's harness makes the calls that a host makes.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Directory of the project
    #[arg(default_value = ".")]
    dir: PathBuf,
}

pub(in crate::cli) fn test(args: &Args) -> Result<Exit, Failure> {
    Project::open(&args.dir)?.test()?;
    Ok(Exit::Done)
}
