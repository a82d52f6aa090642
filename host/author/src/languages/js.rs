//! JavaScript and TypeScript: node runs what the SDK brings along (`sdk/js/tool`), with the packages of the project.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::{AuthorError, Engine, Language, Project, Stage, tools};

/// The oldest node that has all the SDK uses.
const NODE_MAJOR_MIN: u32 = 20;
/// What the tools of the SDK exit with when the author's code is at fault and stderr says how.
const AT_FAULT: i32 = 3;

/// A package a project must have, with the version these tools were tried with.
struct Package {
    name: &'static str,
    version: &'static str,
}

const ESBUILD: Package = Package { name: "esbuild", version: "0.28" };
const TYPESCRIPT: Package = Package { name: "typescript", version: "7" };
const QUICKJS: [Package; 1] = [Package { name: "componentize-qjs", version: "0.4.5" }];
/// The second is imported by the first, which does not say so; with 0.26 it reads no WIT.
const STARLINGMONKEY: [Package; 2] = [
    Package { name: "@bytecodealliance/componentize-js", version: "0.23.0" },
    Package { name: "@bytecodealliance/preview2-shim", version: "0.25.0" },
];

pub(super) fn build(project: &Project, stage: &Stage) -> Result<Vec<u8>, AuthorError> {
    let node = Node::find(project)?;
    node.expect(&ESBUILD)?;
    let engine = project.manifest().engine;
    let packages: &[Package] = match engine {
        Engine::QuickJs => &QUICKJS,
        Engine::StarlingMonkey => &STARLINGMONKEY,
    };
    packages.iter().try_for_each(|package| node.expect(package).map(drop))?;
    let source = project.source(stage);
    if project.language() == Language::Ts {
        node.check_types(&source)?;
    }
    let generated = project.generated(stage)?;
    let mut command = node.tool("build.mjs");
    command.args(["--stage", &stage.name, "--engine", engine.name()]);
    command.arg("--source").arg(below(project, &source));
    command.args(stage.role.iter().flat_map(|role| ["--role", role.name()]));
    command.args(stage.optional.iter().flat_map(|optional| ["--optional", optional.name()]));
    said_about(&source, &mut command)?;
    let component = generated.join(format!("{}.wasm", stage.name));
    let bytes = fs::read(&component).map_err(|error| AuthorError::file("read", &component, error))?;
    // It is kept in `build/`; a second copy would only take room.
    fs::remove_file(&component).map_err(|error| AuthorError::file("remove", &component, error))?;
    Ok(bytes)
}

pub(super) fn test(project: &Project) -> Result<(), AuthorError> {
    let node = Node::find(project)?;
    if project.language() == Language::Ts {
        node.expect(&ESBUILD)?;
        node.check_types(project.directory())?;
    }
    let mut command = node.tool("test.mjs");
    let status = command.stdin(Stdio::null()).status().map_err(|error| failed(&command, &error, ""))?;
    if status.success() { Ok(()) } else { Err(failed(&command, &status, "")) }
}

/// Node, and the packages it finds from a project's directory.
struct Node<'a> {
    project: &'a Project,
    program: PathBuf,
    language: &'static str,
}

impl<'a> Node<'a> {
    fn find(project: &'a Project) -> Result<Self, AuthorError> {
        let language = project.language().name();
        let missing = |what: String| AuthorError::Missing {
            what,
            language,
            install: format!("install node {NODE_MAJOR_MIN} or later with npm, from https://nodejs.org or your system"),
        };
        let wanted = format!("node {NODE_MAJOR_MIN} or later");
        let program = tools::find("node", &[]).ok_or_else(|| missing(wanted.clone()))?;
        let version = tools::output(Command::new(&program).arg("--version"))?;
        let version = String::from_utf8_lossy(&version).trim().to_owned();
        if major(&version).is_none_or(|major| major < NODE_MAJOR_MIN) {
            return Err(missing(format!("{wanted} (not {version}, which is {})", program.display())));
        }
        let node = Self { project, program, language };
        node.expect_sdk()?;
        Ok(node)
    }

    /// The SDK is linked into `node_modules` by `npm install`, as every package is that package.json names by its path.
    fn expect_sdk(&self) -> Result<(), AuthorError> {
        let directory = self.project.directory();
        if self.folder("@forebay/sdk").is_some() {
            return Ok(());
        }
        let install = match self.is_listed("@forebay/sdk") {
            true => format!("run `npm install` in {}", directory.display()),
            false => format!("run `npm install --save-dev file:.forebay/sdk/js` in {}", directory.display()),
        };
        Err(AuthorError::Missing { what: "the package `@forebay/sdk`".to_owned(), language: self.language, install })
    }

    fn expect(&self, package: &Package) -> Result<PathBuf, AuthorError> {
        let Package { name, version } = package;
        self.folder(name).ok_or_else(|| {
            let directory = self.project.directory().display();
            let install = match self.is_listed(name) {
                true => format!("run `npm install` in {directory}"),
                false => format!("run `npm install --save-dev --save-exact {name}@{version}` in {directory}"),
            };
            AuthorError::Missing { what: format!("the package `{name}`"), language: self.language, install }
        })
    }

    /// Where node would find a package: in `node_modules` of the project or of a folder above it.
    fn folder(&self, package: &str) -> Option<PathBuf> {
        let folders = self.project.directory().ancestors().map(|above| above.join("node_modules").join(package));
        folders.into_iter().find(|folder| folder.join("package.json").is_file())
    }

    fn is_listed(&self, package: &str) -> bool {
        let text = fs::read_to_string(self.project.directory().join("package.json"));
        text.is_ok_and(|text| text.contains(&format!("\"{package}\"")))
    }

    /// A script of the SDK, run in the project's directory.
    fn tool(&self, script: &str) -> Command {
        let path = self.project.sdk("js").join("tool").join(script);
        let mut command = self.command();
        command.arg(below(self.project, &path));
        command
    }

    /// Without colours: what is said may end in an error's text.
    fn check_types(&self, source: &Path) -> Result<(), AuthorError> {
        let compiler = self.expect(&TYPESCRIPT)?.join("bin/tsc");
        let mut command = self.command();
        command.arg(below(self.project, &compiler)).args(["--noEmit", "--pretty", "false"]);
        let output = command.output().map_err(|error| failed(&command, &error, ""))?;
        if output.status.success() {
            return Ok(());
        }
        let said = text_of(&output);
        // Without a tsconfig.json it prints how it is called, which helps nobody.
        match said.contains("error TS") {
            true => Err(at_fault(source, format!("its types do not fit:\n{said}"))),
            false => Err(failed(&command, &output.status, &said)),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(self.project.directory()).stdin(Stdio::null());
        command
    }
}

/// Runs a tool of the SDK on a source. Warnings go to stderr.
fn said_about(source: &Path, command: &mut Command) -> Result<(), AuthorError> {
    let output = command.output().map_err(|error| failed(command, &error, ""))?;
    let said = text_of(&output);
    if output.status.success() {
        if !said.is_empty() {
            eprintln!("{said}");
        }
        return Ok(());
    }
    match output.status.code() {
        Some(AT_FAULT) => Err(at_fault(source, said)),
        _ => Err(failed(command, &output.status, &said)),
    }
}

fn at_fault(source: &Path, problem: String) -> AuthorError {
    AuthorError::Source { source_file: source.to_owned(), problem }
}

fn failed(command: &Command, status: &dyn std::fmt::Display, said: &str) -> AuthorError {
    let words = command.get_args().map(OsStr::to_string_lossy);
    let words: Vec<_> = std::iter::once("node".into()).chain(words).collect();
    AuthorError::Failed { command: words.join(" "), status: status.to_string(), said: said.to_owned() }
}

fn text_of(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

/// A path as it can be typed in the project's directory.
fn below<'a>(project: &Project, path: &'a Path) -> &'a Path {
    path.strip_prefix(project.directory()).unwrap_or(path)
}

/// Of `v20.20.2`: 20.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}
