//! Builds the stage of one cargo package, and finds its component.
//!
//! Cargo does the work. What is added is that each thing which can be missing is named together with
//! what to do about it: a package, the crate type, the target, a toolchain at all.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde::Deserialize;

use super::toolchain::{Choice, Toolchain, ToolchainError};
use crate::component::is_component;

/// Why no component was built. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The directory has no `Cargo.toml`.
    #[error("{} holds no Cargo.toml; name the directory of a stage's package", .directory.display())]
    NoManifest {
        /// The directory.
        directory: PathBuf,
    },
    /// Its `Cargo.toml` is that of a workspace only.
    #[error("{} is a workspace without a package; name the directory of one stage's package", .manifest.display())]
    NoPackage {
        /// The manifest.
        manifest: PathBuf,
    },
    /// The package builds no library that can become a component.
    #[error(
        "package `{package}` has no library of type cdylib; add to its Cargo.toml: [lib] crate-type = [\"cdylib\"]"
    )]
    NotCdylib {
        /// The package.
        package: String,
    },
    /// No toolchain builds components.
    #[error("no toolchain to build a component with")]
    Toolchain(#[from] ToolchainError),
    /// A program could not be run, or its output not read.
    #[error("could not run `{program}`; is Rust installed and on PATH?")]
    Run {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// `cargo metadata` refused the package.
    #[error("`cargo metadata` failed for {}: {stderr}", .manifest.display())]
    Metadata {
        /// The manifest.
        manifest: PathBuf,
        /// What cargo said.
        stderr: String,
    },
    /// Cargo's output was not what it documents.
    #[error("could not understand the output of `{command}`; is this cargo older than 1.95?")]
    Output {
        /// The command.
        command: &'static str,
        /// Where it is not JSON.
        source: serde_json::Error,
    },
    /// The build failed; cargo has said why on stderr.
    #[error("cargo could not build package `{package}`; its messages are above")]
    Failed {
        /// The package.
        package: String,
    },
    /// The build worked but made no `.wasm` file.
    #[error("cargo built package `{package}` but named no .wasm file; expected one from its cdylib")]
    NoArtifact {
        /// The package.
        package: String,
    },
    /// The file cannot be read.
    #[error("could not read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is a core module.
    #[error("{} is no component; expected the linker wasm-component-ld, is another set in .cargo/config.toml?", .path.display())]
    NotComponent {
        /// The file.
        path: PathBuf,
    },
}

/// Builds the stage whose package is in `directory`, and gives the path of its component.
///
/// Blocks until cargo is done. Cargo's messages go to stderr. The first build with Debian's packages
/// takes about a minute, as it builds the standard library too.
///
/// # Errors
/// [`BuildError`], by what the caller can do.
pub(super) fn build(directory: &Path, choice: Choice) -> Result<PathBuf, BuildError> {
    let manifest = directory.join("Cargo.toml");
    let manifest =
        fs::canonicalize(&manifest).map_err(|_| BuildError::NoManifest { directory: directory.to_owned() })?;
    let package = cdylib_in(&metadata(&manifest)?, &manifest)?;
    let toolchain = Toolchain::find(choice, directory)?;
    let mut command = toolchain.build_command(&[]);
    command.args(["--release", "--message-format=json-render-diagnostics", "--manifest-path"]).arg(&manifest);
    command.current_dir(directory).stdout(Stdio::piped());
    let path = artifact_of(command, &package)?;
    check_component(path)
}

/// The package and the target that becomes the component.
#[derive(Debug, PartialEq)]
struct Package {
    id: String,
    name: String,
    target: String,
}

fn metadata(manifest: &Path) -> Result<Vec<u8>, BuildError> {
    let mut command = Command::new("cargo");
    command.args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"]).arg(manifest);
    let output = command.output().map_err(|source| BuildError::Run { program: "cargo".into(), source })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(BuildError::Metadata { manifest: manifest.to_owned(), stderr })
}

/// Finds the package of a manifest and its cdylib in the output of `cargo metadata`.
fn cdylib_in(json: &[u8], manifest: &Path) -> Result<Package, BuildError> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Described>,
    }
    #[derive(Deserialize)]
    struct Described {
        id: String,
        name: String,
        manifest_path: PathBuf,
        targets: Vec<Target>,
    }
    let metadata: Metadata =
        serde_json::from_slice(json).map_err(|source| BuildError::Output { command: "cargo metadata", source })?;
    let found = metadata.packages.into_iter().find(|package| package.manifest_path == manifest);
    let Some(Described { id, name, targets, .. }) = found else {
        return Err(BuildError::NoPackage { manifest: manifest.to_owned() });
    };
    match targets.into_iter().find(Target::is_cdylib) {
        Some(target) => Ok(Package { id, name, target: target.name }),
        None => Err(BuildError::NotCdylib { package: name }),
    }
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

impl Target {
    fn is_cdylib(&self) -> bool {
        self.crate_types.iter().any(|kind| kind == "cdylib")
    }
}

fn artifact_of(mut command: Command, package: &Package) -> Result<PathBuf, BuildError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let run = |source| BuildError::Run { program: program.clone(), source };
    let mut cargo = Reaped(command.spawn().map_err(run)?);
    let stdout = cargo.0.stdout.take().expect("stdout is piped");
    let path = artifact_in(stdout, package);
    if !cargo.0.wait().map_err(run)?.success() {
        return Err(BuildError::Failed { package: package.name.clone() });
    }
    path.map_err(run)?.ok_or_else(|| BuildError::NoArtifact { package: package.name.clone() })
}

/// A child that does not outlive its owner when reading its output fails.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // Both fail when it has ended by itself, which is what mostly happens.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Finds the component in cargo's messages, one JSON object a line. Reads all of them, so that cargo
/// is never stopped by a full pipe. Lines that are not JSON come from build tools and are passed over.
fn artifact_in(messages: impl Read, package: &Package) -> io::Result<Option<PathBuf>> {
    #[derive(Deserialize)]
    struct Message {
        reason: String,
        package_id: Option<String>,
        target: Option<Target>,
        #[serde(default)]
        filenames: Vec<PathBuf>,
    }
    let mut found = None;
    for line in BufReader::new(messages).lines() {
        let Ok(message) = serde_json::from_str::<Message>(&line?) else { continue };
        let of_package = message.reason == "compiler-artifact"
            && message.package_id.as_ref() == Some(&package.id)
            && message.target.is_some_and(|target| target.name == package.target && target.is_cdylib());
        if of_package {
            found = message.filenames.into_iter().find(|file| file.extension().is_some_and(|end| end == "wasm"));
        }
    }
    Ok(found)
}

fn check_component(path: PathBuf) -> Result<PathBuf, BuildError> {
    let mut start = [0; 8];
    let read = fs::File::open(&path).and_then(|mut file| file.read_exact(&mut start));
    match read {
        Err(source) => Err(BuildError::Read { path, source }),
        Ok(()) if !is_component(&start) => Err(BuildError::NotComponent { path }),
        Ok(()) => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, file: &str, text: &str) {
        let path = directory.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn error_for(manifest: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "Cargo.toml", manifest);
        write(directory.path(), "src/lib.rs", "");
        build(directory.path(), Choice::Either).expect_err("nothing to build a component from").to_string()
    }

    #[test]
    fn a_directory_without_a_manifest_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = build(directory.path(), Choice::Either).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{} holds no Cargo.toml", directory.path().display())), "{error}");
    }

    #[test]
    fn a_package_that_is_no_cdylib_is_told_what_to_add() {
        let error = error_for("[package]\nname = \"hello\"\nedition = \"2024\"\n[workspace]\n");
        assert!(error.contains("`hello`") && error.contains("crate-type = [\"cdylib\"]"), "{error}");
    }

    #[test]
    fn a_workspace_is_no_stage() {
        assert!(error_for("[workspace]\nresolver = \"3\"\n").contains("workspace without a package"));
    }

    #[test]
    fn what_cargo_says_of_a_broken_manifest_is_passed_on() {
        let error = error_for("[package]\nname = 7\n");
        assert!(error.contains("cargo metadata") && error.contains("name"), "{error}");
    }

    fn package() -> Package {
        Package { id: "path+file:///s#hello@0.1.0".into(), name: "hello".into(), target: "hello".into() }
    }

    #[test]
    fn the_component_is_that_of_the_cdylib_of_the_package() {
        let line = |id: &str, kind: &str, file: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"{id}","target":{{"name":"hello","crate_types":["{kind}"]}},"filenames":["/t/{file}"]}}"#
            )
        };
        let id = &package().id;
        let messages = [
            r#"{"reason":"build-script-executed","package_id":"other"}"#.to_owned(),
            "a line of a build tool".to_owned(),
            line("other", "cdylib", "other.wasm"),
            line(id, "bin", "bin.wasm"),
            line(id, "cdylib", "hello.wasm"),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let found = artifact_in(messages.join("\n").as_bytes(), &package()).unwrap();
        assert_eq!(found, Some(PathBuf::from("/t/hello.wasm")));
        assert_eq!(artifact_in(messages[..4].join("\n").as_bytes(), &package()).unwrap(), None);
    }

    #[test]
    fn a_core_module_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hello.wasm");
        fs::write(&path, b"\0asm\x01\0\0\0").unwrap();
        assert!(matches!(check_component(path.clone()), Err(BuildError::NotComponent { .. })));
        fs::write(&path, b"\0asm\x0d\0\x01\0").unwrap();
        assert_eq!(check_component(path.clone()).unwrap(), path);
        fs::write(&path, b"").unwrap();
        assert!(matches!(check_component(path), Err(BuildError::Read { .. })));
    }
}
