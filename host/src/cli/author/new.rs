//! `forebay new`: a project that builds, tests and runs as it is.

use std::path::PathBuf;

use forebay_author::{Language, New, Role};

use super::super::{Exit, Failure, output::print_line};

/// Make a project for a stage of your own
///
/// Makes a folder NAME with a stage that builds, tests and runs as it is: `cd NAME`, then `forebay run`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of the project and of its stage: small letters, digits and hyphens
    name: String,
    /// Language: rust, c, cpp, zig, go, js, ts or python
    #[arg(long, value_name = "LANGUAGE")]
    lang: Language,
    /// What the stage is: producer, consumer or producer-consumer
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// Folder in which the project's folder is made
    #[arg(long, value_name = "DIR", default_value = ".")]
    inside: PathBuf,
}

pub(in crate::cli) fn new(args: &Args) -> Result<Exit, Failure> {
    let Args { name, lang, role, inside } = args;
    let made = forebay_author::new(&New { name, language: *lang, role: *role, inside })?;
    print_line(&format!(
        "made {}: a {role} in {lang}\nnext: cd {0} && forebay run      (its README.md says more)",
        made.display()
    ));
    Ok(Exit::Done)
}
