//! Zig: one command makes the core module; the root of it is written here and pulls in the author's file.

use std::{ffi::OsString, fs, path::Path, process::Command};

use super::wasm;
use crate::{AuthorError, Project, Stage, component, sdk, tools};

/// The version the SDK is written for: Zig's standard library changes from one to the next.
const VERSION: &str = "0.17.0";

/// How Zig is called: `zig` on `PATH`, or the package `ziglang` of a Python, first that of the project.
pub(super) fn find(directory: &Path) -> Option<Vec<OsString>> {
    let own = [directory.join(".venv/bin")];
    if let Some(zig) = tools::find("zig", &[]) {
        return Some(vec![zig.into()]);
    }
    let pythons = ["python3", "python"].into_iter().filter_map(|name| tools::find(name, &own));
    pythons.filter(|python| has_ziglang(python)).map(|python| vec![python.into(), "-m".into(), "ziglang".into()]).next()
}

fn has_ziglang(python: &Path) -> bool {
    let found = "import importlib.util, sys; sys.exit(importlib.util.find_spec('ziglang') is None)";
    tools::output(Command::new(python).args(["-c", found])).is_ok()
}

pub(super) fn build(project: &Project, stage: &Stage) -> Result<Vec<u8>, AuthorError> {
    check_source(project, stage)?;
    let zig = zig(project)?;
    let made = project.generated(stage)?;
    sdk::write_if_other(&made.join("root.zig"), root(stage).as_bytes())?;
    let core = made.join("core.wasm");
    let mut command = command(&zig, project);
    // Names of functions are wanted, debug information is not: see below.
    command.args(["build-exe", "-target", "wasm32-freestanding", "-fno-entry", "-rdynamic", "-O", "ReleaseSafe"]);
    command.args(["--stack", "1048576"]).args(modules(project, stage)?).arg(flag("-femit-bin=", &core));
    tools::run(&mut command)?;
    let linked = fs::read(&core).map_err(|error| AuthorError::file("read", &core, error))?;
    let core = wasm::without_debug_sections(&linked).unwrap_or(linked);
    component::componentize(core, project, stage, |interface, function| {
        format!(
            "exports no `{function}` of `{interface}`; the SDK in .forebay does, so it was changed: remove .forebay"
        )
    })
}

pub(super) fn test(project: &Project) -> Result<(), AuthorError> {
    let zig = zig(project)?;
    let mut failed = Vec::new();
    for stage in project.manifest().stages.values() {
        check_source(project, stage)?;
        println!("{}", stage.name);
        let mut command = command(&zig, project);
        command.arg("test").args(["--dep", "forebay"]);
        command.arg(flag("-Mroot=", &project.source(stage))).arg(flag("-Mforebay=", &sdk_root(project)));
        let status = command.status().map_err(|error| AuthorError::Usage(format!("zig cannot be run: {error}")))?;
        if !status.success() {
            failed.push(stage.name.as_str());
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(AuthorError::Usage(format!("tests failed: {}", failed.join(", ")))) }
}

/// Zig, of the version the SDK is for.
fn zig(project: &Project) -> Result<Vec<OsString>, AuthorError> {
    let missing = |what: String| AuthorError::Missing {
        what,
        language: "zig",
        install: format!(
            "pip install ziglang=={VERSION}, or get it from https://ziglang.org/download and put it on PATH"
        ),
    };
    let zig = find(project.directory()).ok_or_else(|| missing(format!("Zig {VERSION}")))?;
    let said = tools::output(command(&zig, project).arg("version"))?;
    let version = String::from_utf8_lossy(&said).trim().to_owned();
    if is_right_version(&version) { Ok(zig) } else { Err(missing(format!("Zig {VERSION} (there is {version})"))) }
}

/// Whether a version differs in nothing but fixes.
fn is_right_version(version: &str) -> bool {
    let minor = |version: &str| version.splitn(3, '.').take(2).map(str::to_owned).collect::<Vec<_>>();
    minor(version) == minor(VERSION)
}

fn command(zig: &[OsString], project: &Project) -> Command {
    let mut command = Command::new(zig.first().map_or_else(|| "zig".into(), Clone::clone));
    command.args(zig.iter().skip(1)).current_dir(project.directory());
    command
}

fn check_source(project: &Project, stage: &Stage) -> Result<(), AuthorError> {
    let source_file = project.source(stage);
    if source_file.is_file() {
        return Ok(());
    }
    let problem = format!(
        "expected the zig source of the stage `{}` here; write it, or say in {} where it is: source = \"FILE\"",
        stage.name,
        crate::MANIFEST
    );
    Err(AuthorError::Source { source_file, problem })
}

fn sdk_root(project: &Project) -> std::path::PathBuf {
    project.sdk("zig").join("src/forebay.zig")
}

/// The root, the author's file as the module `stage`, and the SDK.
fn modules(project: &Project, stage: &Stage) -> Result<Vec<OsString>, AuthorError> {
    let root = project.generated(stage)?.join("root.zig");
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    Ok([
        words(&["--dep", "stage", "--dep", "forebay"]),
        vec![flag("-Mroot=", &root)],
        words(&["--dep", "forebay"]),
        vec![flag("-Mstage=", &project.source(stage)), flag("-Mforebay=", &sdk_root(project))],
    ]
    .concat())
}

fn flag(name: &str, path: &Path) -> OsString {
    let mut word = OsString::from(name);
    word.push(path);
    word
}

/// What exports the author's file as the manifest says.
fn root(stage: &Stage) -> String {
    let role = stage.role.map_or("consumer", crate::Role::name).replace('-', "_");
    let optional: Vec<_> = stage.optional.iter().map(|optional| format!(".{} = true", optional.name())).collect();
    format!(
        "//! Written by `forebay` from {} for the stage `{}`.\nconst forebay = @import(\"forebay\");\n\n\
         pub const panic = forebay.panic;\npub const std_options = forebay.std_options;\n\n\
         comptime {{\n    forebay.exportStage(@import(\"stage\"), .{role}, .{{ {} }});\n}}\n",
        crate::MANIFEST,
        stage.name,
        optional.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Optional, Role};

    #[test]
    fn the_root_says_what_the_manifest_says() {
        let optional = vec![Optional::Checkpoint, Optional::Call];
        let stage = Stage { name: "meter".into(), role: Some(Role::ProducerConsumer), source: None, optional };
        let root = root(&stage);
        let line =
            "forebay.exportStage(@import(\"stage\"), .producer_consumer, .{ .checkpoint = true, .call = true });";
        assert!(root.contains(line) && root.contains("the stage `meter`"), "{root}");
    }

    #[test]
    fn versions_that_differ_in_fixes_only_will_do() {
        assert!(is_right_version("0.17.0") && is_right_version("0.17.3") && is_right_version("0.17.1-dev.2+ab"));
        assert!(!is_right_version("0.16.0") && !is_right_version("0.18.0-dev.1") && !is_right_version(""));
    }

    #[test]
    fn the_sdk_is_written_against_the_wit_of_this_binary() {
        let line = format!("pub const wit_version = \"{}\";", crate::world::WIT_VERSION);
        assert!(crate::sdk::file("sdk/zig/src/abi.zig").unwrap().contains(&line));
    }
}
