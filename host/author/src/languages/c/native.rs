//! The project's own tests: `test_NAME.c` with the stage NAME and the SDK's harness, compiled for this machine.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::super::zig;
use crate::{AuthorError, Language, Project, Stage, tools};

/// A compiler for this machine: C, C++.
struct Native {
    c: Vec<OsString>,
    cpp: Vec<OsString>,
}

/// Builds and runs all tests, the later ones too when an earlier one fails.
pub(super) fn test(project: &Project) -> Result<(), AuthorError> {
    let tests = tests(project)?;
    let native = find(project)?;
    let mut failed = Vec::new();
    for (file, stage) in &tests {
        println!("{}", super::file_name(file));
        let program = build(project, &native, stage, file)?;
        let status = Command::new(&program).current_dir(project.directory()).status();
        if !status.map_err(|error| AuthorError::file("run", &program, error))?.success() {
            failed.push(super::file_name(file));
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(AuthorError::Usage(format!("tests failed: {}", failed.join(", "))))
}

/// The tests of a project, each with the stage it is for.
fn tests(project: &Project) -> Result<Vec<(PathBuf, &Stage)>, AuthorError> {
    let directory = project.directory();
    let entries = fs::read_dir(directory).map_err(|error| AuthorError::file("read", directory, error))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| super::file_name(file).starts_with("test_") && super::is_source(project.language(), file));
    files.sort();
    if files.is_empty() {
        let kind = if project.language() == Language::Cpp { "cpp" } else { "c" };
        let text = format!("{} has no tests; expected a file test_STAGE.{kind}", directory.display());
        return Err(AuthorError::Usage(text));
    }
    let stages: Vec<_> = project.manifest().stages.values().collect();
    files.into_iter().map(|file| Ok((file.clone(), stage_of(&stages, &file)?))).collect()
}

/// The stage a test is for: `test_rain_gauge.c` tests `rain-gauge`; of one stage all do.
fn stage_of<'a>(stages: &[&'a Stage], test: &Path) -> Result<&'a Stage, AuthorError> {
    let stem = test.file_stem().unwrap_or_default().to_string_lossy();
    let ident = stem.trim_start_matches("test_");
    match stages {
        [only] => Ok(only),
        _ => stages.iter().find(|stage| stage.name.replace('-', "_") == ident).copied().ok_or_else(|| {
            let problem = format!("tests no stage of {}; expected a name as test_STAGE", crate::MANIFEST);
            AuthorError::Source { source_file: test.to_owned(), problem }
        }),
    }
}

fn build(project: &Project, native: &Native, stage: &Stage, test: &Path) -> Result<PathBuf, AuthorError> {
    let made = project.generated(stage)?;
    let sdk = project.sdk("c").join("src");
    let language = project.language();
    let own = super::author_flags(project)?;
    let mut objects = Vec::new();
    let sources = super::sources(project, stage)?.into_iter().chain([test.to_owned()]).map(|file| (language, file));
    let of_sdk = ["forebay.c", "testing.c"].map(|file| (Language::C, sdk.join(file)));
    for (language, source) in sources.chain(of_sdk) {
        let object = made.join(format!("native-{}.o", super::file_name(&source)));
        let mut command = native.command(project, language);
        command.args([super::standard(language), "-g", "-O1"]).args(super::defines(stage));
        command.arg(super::include(project)).args(if source.starts_with(&sdk) { &[] } else { own.as_slice() });
        command.arg("-c").arg(super::relative(project, &source)).arg("-o").arg(&object);
        tools::run(&mut command)?;
        objects.push(object);
    }
    let program = made.join(test.file_stem().unwrap_or_default());
    tools::run(native.command(project, language).args(&objects).arg("-o").arg(&program))?;
    Ok(program)
}

impl Native {
    /// The compiler, with what `CFLAGS` or `CXXFLAGS` adds, as `-fsanitize=address,undefined`.
    fn command(&self, project: &Project, language: Language) -> Command {
        let (words, variable) = if language == Language::Cpp { (&self.cpp, "CXXFLAGS") } else { (&self.c, "CFLAGS") };
        let mut command = Command::new(words.first().map_or_else(|| "cc".into(), Clone::clone));
        let flags = std::env::var(variable).unwrap_or_default();
        command.current_dir(project.directory()).args(words.iter().skip(1)).args(flags.split_whitespace());
        command
    }
}

/// `$CC` and `$CXX`, else the compilers of this machine, else Zig's.
fn find(project: &Project) -> Result<Native, AuthorError> {
    let zig = zig::find(project.directory());
    let one = |variable: &str, names: &[&str], mode: &str| -> Option<Vec<OsString>> {
        if let Some(named) = std::env::var(variable).ok().filter(|named| !named.trim().is_empty()) {
            return Some(named.split_whitespace().map(OsString::from).collect());
        }
        let found = names.iter().find_map(|name| tools::find(name, &[])).map(|program| vec![program.into_os_string()]);
        found.or_else(|| Some(zig.iter().flatten().cloned().chain([mode.into()]).collect()).filter(|_| zig.is_some()))
    };
    let native = one("CC", &["cc", "clang", "gcc"], "cc").zip(one("CXX", &["c++", "clang++", "g++"], "c++"));
    native.map(|(c, cpp)| Native { c, cpp }).ok_or_else(|| AuthorError::Missing {
        what: "a compiler for this machine, to run the tests".to_owned(),
        language: project.language().name(),
        install: "install gcc or clang (apt-get install g++), or pip install ziglang, or set CC and CXX".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    fn stage(name: &str) -> Stage {
        Stage { name: name.into(), role: Some(Role::Consumer), source: None, optional: vec![] }
    }

    #[test]
    fn a_test_belongs_to_the_stage_it_is_named_after() {
        let (gauge, printer) = (stage("rain-gauge"), stage("printer"));
        let both = [&gauge, &printer];
        assert_eq!(stage_of(&both, Path::new("/p/test_rain_gauge.c")).unwrap().name, "rain-gauge");
        let error = stage_of(&both, Path::new("/p/test_gauge.c")).unwrap_err().to_string();
        assert!(error.contains("test_gauge.c") && error.contains("test_STAGE"), "{error}");
    }

    #[test]
    fn every_test_is_for_the_only_stage() {
        let only = stage("printer");
        assert_eq!(stage_of(&[&only], Path::new("/p/test_more.cpp")).unwrap().name, "printer");
    }
}
