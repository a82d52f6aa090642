//! Python: componentize-py makes a component of the author's module, our package `forebay` and a few lines of glue.
//!
//! It runs CPython inside of WebAssembly, imports the glue there, and keeps the memory as the component's start. The
//! glue therefore is where a stage is checked: what it has to say to the author comes out on stderr, marked.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{AuthorError, Optional, Project, Stage, sdk, tools, world};

/// The first version whose bindings our glue knows.
const OLDEST: (u32, u32) = (0, 25);
const INSTALL: &str = "pip install componentize-py";
/// What the glue's lines for the author begin with: `MARK` in `sdk/python/forebay/component.py`.
const MARK: &str = "forebay: ";
/// The module that componentize-py is given.
const GLUE: &str = "forebay_glue";

pub(super) fn build(project: &Project, stage: &Stage) -> Result<Vec<u8>, AuthorError> {
    let componentize_py = componentize_py(project.directory())?;
    let source = project.source(stage);
    let (folder, module) = module(&source)?;
    let made = project.generated(stage)?;
    sdk::write_if_other(&made.join(format!("{GLUE}.py")), glue(stage, module).as_bytes())?;
    let component = made.join("component.wasm");
    let mut command = componentize_py.command();
    command.arg("-q").arg("-d").arg(project.wit(stage)).args(["-w", world::WORLD]);
    command.args(["componentize", GLUE]);
    for path in [&*made, &project.sdk("python"), folder, project.directory()] {
        command.arg("-p").arg(path);
    }
    command.arg("-o").arg(&component);
    if let Some(environment) = environment(project.directory(), &componentize_py.program) {
        // Where it looks for the packages a stage imports.
        command.env("VIRTUAL_ENV", environment);
    }
    let said = tools::output(&mut command).map_err(|error| explained(error, &source))?;
    eprint!("{}", String::from_utf8_lossy(&said));
    let bytes = fs::read(&component).map_err(|error| AuthorError::file("read", &component, error))?;
    fs::remove_file(&component).map_err(|error| AuthorError::file("remove", &component, error))?;
    Ok(bytes)
}

pub(super) fn test(project: &Project) -> Result<(), AuthorError> {
    let python = python(project.directory())?;
    let has_pytest = tools::output(Command::new(&python).args(["-c", "import pytest"])).is_ok();
    let runner = if has_pytest { "pytest" } else { "unittest" };
    let mut path = OsString::from(project.sdk("python"));
    path.push(":");
    path.push(project.directory());
    if let Some(more) = std::env::var_os("PYTHONPATH") {
        path.push(":");
        path.push(more);
    }
    let mut command = Command::new(&python);
    tools::run(command.args(["-m", runner]).current_dir(project.directory()).env("PYTHONPATH", path))
}

/// How componentize-py is started: its own program, or a Python that has it as a module.
struct ComponentizePy {
    program: PathBuf,
    arguments: &'static [&'static str],
}

impl ComponentizePy {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.arguments);
        command
    }
}

fn componentize_py(project: &Path) -> Result<ComponentizePy, AuthorError> {
    let missing =
        |what| AuthorError::Missing { what, language: "Python", install: format!("install it with `{INSTALL}`") };
    let program = tools::find("componentize-py", &[programs(&project.join(".venv"))]);
    let program = program.map(|program| ComponentizePy { program, arguments: &[] });
    let module = || Some(ComponentizePy { program: python(project).ok()?, arguments: &["-m", "componentize_py"] });
    let found = program.or_else(module).ok_or_else(|| missing("componentize-py".to_owned()))?;
    let said = tools::output(found.command().arg("--version"));
    let said = said.map_err(|_| missing("componentize-py".to_owned()))?;
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    match version(&said) {
        Some(version) if version >= OLDEST => Ok(found),
        _ => Err(missing(format!(
            "componentize-py {}.{} or later (found {} which says `{said}`)",
            OLDEST.0,
            OLDEST.1,
            found.program.display()
        ))),
    }
}

/// The first two numbers of `componentize-py 0.25.1`.
fn version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.split_whitespace().last()?.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn python(project: &Path) -> Result<PathBuf, AuthorError> {
    let folders = [programs(&project.join(".venv"))];
    let found = tools::find("python3", &folders).or_else(|| tools::find("python", &folders));
    found.ok_or_else(|| AuthorError::Missing {
        what: "Python 3.10 or later".to_owned(),
        language: "Python",
        install: "install it with your system's package manager, as `apt-get install python3 python3-venv`".to_owned(),
    })
}

fn programs(environment: &Path) -> PathBuf {
    environment.join("bin")
}

/// The virtual environment whose packages a stage may import: the active one, the project's, or that of the tool.
fn environment(project: &Path, program: &Path) -> Option<PathBuf> {
    let own = project.join(".venv");
    let active = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let of_tool = program.parent().and_then(Path::parent).map(Path::to_owned);
    let environments = [Some(own), active, of_tool].into_iter().flatten();
    environments.into_iter().find(|folder| folder.join("pyvenv.cfg").is_file())
}

/// The folder to import from, and the name to import: of `src/greeter.py` or of the package `src/greeter/`.
fn module(source: &Path) -> Result<(&Path, &str), AuthorError> {
    let wrong = |problem: String| AuthorError::Source { source_file: source.to_owned(), problem };
    let is_package = source.is_dir();
    let name = if is_package { source.file_name() } else { source.file_stem() };
    let name = name.and_then(|name| name.to_str()).unwrap_or_default();
    let identifier = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !identifier || name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(wrong(format!("`{name}` is no name Python can import; use letters, digits and `_`")));
    }
    let folder = source.parent().ok_or_else(|| wrong("it is in no folder".to_owned()))?;
    Ok((folder, name))
}

fn glue(stage: &Stage, module: &str) -> String {
    let role = stage.role.map(|role| role.name()).unwrap_or_default();
    let optional: Vec<_> = stage.optional.iter().map(|optional| format!("\"{}\"", optional.name())).collect();
    // componentize-py imports every interface of the world, and so does what it makes: it is there only where it is listed.
    let demand = if stage.optional.contains(&Optional::Demand) { ["demand, ", ", demand"] } else { [""; 2] };
    format!(
        r#"# Written by `forebay build` for the stage `{name}`. componentize-py imports this module.
from componentize_py_types import Err
from wit_world.imports import {import}host, types

from forebay import component

globals().update(component.load("{module}", "{role}", [{optional}], component.Bindings(host, types, Err{bound})))
"#,
        name = stage.name,
        optional = optional.join(", "),
        import = demand[0],
        bound = demand[1],
    )
}

/// What the glue had to say, if it was that which failed.
fn explained(error: AuthorError, source: &Path) -> AuthorError {
    let AuthorError::Failed { said, .. } = &error else { return error };
    let mut marked = said.lines().filter_map(|line| line.strip_prefix(MARK));
    let Some(place) = marked.next() else { return error };
    let problem: Vec<_> = marked.collect();
    if problem.is_empty() {
        return error;
    }
    // Python knows a file from the folder it was imported from; the author from the project's.
    let source_file = source.parent().map_or_else(|| place.into(), |folder| folder.join(place));
    AuthorError::Source { source_file, problem: problem.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("componentize-py 0.25.1"), Some((0, 25)));
        assert!(version("componentize-py 1.0.0").unwrap() > OLDEST);
        assert!(version("componentize-py 0.9.0").unwrap() < OLDEST);
        assert_eq!(version("something else"), None);
    }

    #[test]
    fn a_file_and_a_package_are_imported_by_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("meter")).unwrap();
        fs::write(folder.path().join("greeter.py"), "").unwrap();
        fs::write(folder.path().join("rain-gauge.py"), "").unwrap();
        let (parent, name) = (folder.path(), |file: &str| folder.path().join(file));
        assert_eq!(module(&name("meter")).unwrap(), (parent, "meter"));
        assert_eq!(module(&name("greeter.py")).unwrap(), (parent, "greeter"));
        let error = module(&name("rain-gauge.py")).unwrap_err().to_string();
        assert!(error.contains("`rain-gauge` is no name Python can import"), "{error}");
    }

    #[test]
    fn the_glue_names_module_role_and_abilities() {
        let stage = Stage {
            name: "rain-gauge".into(),
            role: Some(Role::ProducerConsumer),
            source: None,
            optional: vec![Optional::Checkpoint, Optional::Timer],
        };
        let glue = glue(&stage, "rain_gauge");
        assert!(glue.contains(r#"load("rain_gauge", "producer-consumer", ["checkpoint", "timer"],"#), "{glue}");
        assert!(glue.contains("import host, types\n") && glue.contains("Bindings(host, types, Err)"), "{glue}");
        let glue = super::glue(&Stage { optional: vec![Optional::Demand], ..stage }, "rain_gauge");
        assert!(glue.contains("import demand, host, types\n") && glue.contains("(host, types, Err, demand)"), "{glue}");
    }

    #[test]
    fn what_the_glue_says_is_the_error() {
        let failed = |said: &str| AuthorError::Failed {
            command: "componentize-py".into(),
            status: "exit status: 1".into(),
            said: said.into(),
        };
        let said = "AssertionError: \nforebay: greeter.py:7\nforebay: `Greeter` has no `handle_demand`\nmore noise\n";
        let error = explained(failed(said), Path::new("/project/src/greeter.py")).to_string();
        assert_eq!(error, "/project/src/greeter.py:7: `Greeter` has no `handle_demand`");
        let error = explained(failed("only noise"), Path::new("/project/greeter.py")).to_string();
        assert!(error.contains("only noise"), "{error}");
    }

    #[test]
    fn the_mark_is_that_of_the_sdk() {
        let component = sdk::file("sdk/python/forebay/component.py").unwrap();
        assert!(component.contains(&format!("MARK = \"{MARK}\"")));
    }
}
