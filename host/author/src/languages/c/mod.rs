//! C and C++: each source becomes an object, the objects and the SDK a core module, and that a component.
//!
//! Objects are looked into before they are linked, so that a function the stage lacks, or has although the manifest does
//! not list it, is named as its author writes it. Linkers name their own symbols only.

mod compiler;
mod functions;
mod native;

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use compiler::Compiler;

use super::wasm;
use crate::{AuthorError, Language, Optional, Project, Role, Stage, component, tools};

/// Linear memory set aside for the C stack. Unit: bytes. As Rust's; `zig cc` would take 16 MiB, which counts against the
/// stage's memory limit.
const STACK_BYTES: usize = 1 << 20;

pub(super) fn build(project: &Project, stage: &Stage) -> Result<Vec<u8>, AuthorError> {
    let language = project.language();
    let sources = sources(project, stage)?;
    let compiler = Compiler::find(project.directory(), language)?;
    let made = project.generated(stage)?;
    let mut objects = Vec::new();
    for source in &sources {
        let object = made.join(format!("{}.o", file_name(source)));
        tools::run(compile(&compiler, project, stage, language, source, &object).args(author_flags(project)?))?;
        objects.push(object);
    }
    functions::check(project, stage, &objects)?;
    let sdk = made.join("sdk.o");
    let sdk_source = project.sdk("c").join("src/forebay.c");
    tools::run(&mut compile(&compiler, project, stage, Language::C, &sdk_source, &sdk))?;
    objects.push(sdk);
    let core = link(&compiler, project, language, &objects, &made.join("core.wasm"))?;
    component::componentize(core, project, stage, |interface, function| {
        format!(
            "exports no `{function}` of `{interface}`; the SDK in .forebay does, so it was changed: remove .forebay"
        )
    })
}

pub(super) fn test(project: &Project) -> Result<(), AuthorError> {
    native::test(project)
}

fn link(
    compiler: &Compiler,
    project: &Project,
    language: Language,
    objects: &[PathBuf],
    core: &Path,
) -> Result<Vec<u8>, AuthorError> {
    let mut command = compiler.command(language);
    command.current_dir(project.directory()).args(["-mexec-model=reactor", "-O2"]);
    command.arg(format!("-Wl,-z,stack-size={STACK_BYTES}")).args(objects).arg("-o").arg(core);
    tools::run(&mut command)?;
    let linked = fs::read(core).map_err(|error| AuthorError::file("read", core, error))?;
    // Names of functions stay: a trap in the node's log is then told with the author's own.
    Ok(wasm::without_debug_sections(&linked).unwrap_or(linked))
}

/// The command that compiles one file, without the author's flags.
fn compile(
    compiler: &Compiler,
    project: &Project,
    stage: &Stage,
    language: Language,
    source: &Path,
    object: &Path,
) -> Command {
    let mut command = compiler.command(language);
    // zig sets NDEBUG at -O2, which takes the author's `assert` away.
    command.current_dir(project.directory()).args([standard(language), "-O2", "-UNDEBUG"]);
    if language == Language::Cpp {
        command.args(["-fno-exceptions", "-fno-rtti"]);
    }
    command.args(defines(stage)).arg(include(project)).arg("-c").arg(relative(project, source)).arg("-o").arg(object);
    command
}

fn standard(language: Language) -> &'static str {
    if language == Language::Cpp { "-std=c++23" } else { "-std=c11" }
}

fn include(project: &Project) -> OsString {
    let mut flag = OsString::from("-I");
    flag.push(relative(project, &project.sdk("c").join("include")));
    flag
}

/// What the SDK's sources are told of a stage.
fn defines(stage: &Stage) -> Vec<String> {
    let role = match stage.role {
        Some(Role::Producer) => "PRODUCER",
        Some(Role::ProducerConsumer) => "PRODUCER_CONSUMER",
        // A manifest without a role is refused when it is read.
        Some(Role::Consumer) | None => "CONSUMER",
    };
    let optional = stage.optional.iter().map(|optional| match optional {
        Optional::Checkpoint => "-DFOREBAY_OPTIONAL_CHECKPOINT",
        Optional::Timer => "-DFOREBAY_OPTIONAL_TIMER",
        Optional::Ingest => "-DFOREBAY_OPTIONAL_INGEST",
        Optional::Call => "-DFOREBAY_OPTIONAL_CALL",
        Optional::Terminate => "-DFOREBAY_OPTIONAL_TERMINATE",
        Optional::Demand => "-DFOREBAY_OPTIONAL_DEMAND",
    });
    [format!("-DFOREBAY_ROLE_{role}")].into_iter().chain(optional.map(str::to_owned)).collect()
}

/// The flags in `compile_flags.txt`, one a line, which editors (clangd) read too.
fn author_flags(project: &Project) -> Result<Vec<String>, AuthorError> {
    let path = project.directory().join("compile_flags.txt");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(AuthorError::file("read", path, error)),
    }
}

/// The files of a stage: the one the manifest names, or those of the directory it names, without tests.
fn sources(project: &Project, stage: &Stage) -> Result<Vec<PathBuf>, AuthorError> {
    let source = project.source(stage);
    if !source.is_dir() {
        return if source.is_file() { Ok(vec![source]) } else { Err(no_source(project, stage)) };
    }
    let entries = fs::read_dir(&source).map_err(|error| AuthorError::file("read", &source, error))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| is_source(project.language(), file) && !file_name(file).starts_with("test_"));
    files.sort();
    if files.is_empty() { Err(no_source(project, stage)) } else { Ok(files) }
}

fn no_source(project: &Project, stage: &Stage) -> AuthorError {
    let problem = format!(
        "expected the {} source of the stage `{}` here; write it, or say in {} where it is: source = \"FILE\"",
        project.language(),
        stage.name,
        crate::MANIFEST
    );
    AuthorError::Source { source_file: project.source(stage), problem }
}

fn is_source(language: Language, file: &Path) -> bool {
    let extension = file.extension().unwrap_or_default();
    match language {
        Language::Cpp => ["cpp", "cc", "cxx"].iter().any(|known| extension == *known),
        _ => extension == "c",
    }
}

/// As the author would type it, so that compilers and `__FILE__` name it so.
fn relative<'a>(project: &Project, path: &'a Path) -> &'a Path {
    path.strip_prefix(project.directory()).unwrap_or(path)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
