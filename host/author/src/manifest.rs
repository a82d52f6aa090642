//! `forebay.toml`: which stages a project has, in which language.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use forebay_proto::ids::StageName;
use serde::Deserialize;

use crate::{AuthorError, Engine, Language};

/// The name of the file.
pub const MANIFEST: &str = "forebay.toml";

/// What a stage is to its neighbours.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A source of events.
    Producer,
    /// A sink of events.
    Consumer,
    /// A stage that makes events of events.
    ProducerConsumer,
}

/// An interface a stage may export besides those of its role, or import.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "kebab-case")]
pub enum Optional {
    /// Its state can move.
    Checkpoint,
    /// It acts by the clock.
    Timer,
    /// Events can be pushed into it.
    Ingest,
    /// It answers questions.
    Call,
    /// It wants to know of its end.
    Terminate,
    /// It asks its sources itself: this one is imported.
    Demand,
}

/// A checked `forebay.toml`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Manifest {
    /// The language of all its stages.
    pub language: Language,
    /// For JavaScript and TypeScript.
    pub engine: Engine,
    /// The stages by name; at least one.
    pub stages: BTreeMap<String, Stage>,
}

/// One stage of a project.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stage {
    /// Its name: that of its component's file, and of what is made for it.
    pub name: String,
    /// Its role; `None` for Rust, where the source says it.
    pub role: Option<Role>,
    /// Its file or directory, from the project's directory; `None`: the language's default.
    pub source: Option<PathBuf>,
    /// What it exports and imports besides, sorted.
    pub optional: Vec<Optional>,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Producer, Self::Consumer, Self::ProducerConsumer];

    /// Its name: that of its world.
    pub fn name(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::ProducerConsumer => "producer-consumer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| format!("unknown role `{text}`; expected one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

impl Optional {
    /// All of them, sorted as they are declared.
    pub const ALL: [Self; 6] = [Self::Checkpoint, Self::Timer, Self::Ingest, Self::Call, Self::Terminate, Self::Demand];

    /// Its name: that of its interface.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Timer => "timer",
            Self::Ingest => "ingest",
            Self::Call => "call",
            Self::Terminate => "terminate",
            Self::Demand => "demand",
        }
    }

    /// Whether a stage of a role may have it.
    fn is_for(self, role: Role) -> bool {
        match self {
            Self::Ingest => role == Role::Producer,
            Self::Demand => role != Role::Producer,
            Self::Checkpoint | Self::Timer | Self::Call | Self::Terminate => true,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    project: ProjectTable,
    stages: BTreeMap<String, StageTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProjectTable {
    language: String,
    engine: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StageTable {
    role: Option<Role>,
    source: Option<PathBuf>,
    #[serde(default)]
    optional: Vec<Optional>,
}

impl Manifest {
    /// Reads and checks the manifest in a directory.
    ///
    /// # Errors
    /// [`AuthorError::NoProject`] if there is none, [`AuthorError::Manifest`] for what it says.
    pub fn read(directory: &Path) -> Result<Self, AuthorError> {
        let path = directory.join(MANIFEST);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).map_err(|problem| AuthorError::Manifest { path, problem }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(AuthorError::NoProject { directory: directory.to_owned() })
            }
            Err(error) => Err(AuthorError::file("read", path, error)),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let language: Language =
            file.project.language.parse().map_err(|error| format!("`project.language`: {error}"))?;
        let engine = match (file.project.engine, language) {
            (None, _) => Engine::default(),
            (Some(engine), Language::Js | Language::Ts) => {
                engine.parse().map_err(|error| format!("`project.engine`: {error}"))?
            }
            (Some(_), _) => return Err(format!("`project.engine` is for js and ts, the language is {language}")),
        };
        if file.stages.is_empty() {
            return Err("there is no stage; expected a table such as [stages.greeter]".to_owned());
        }
        let stages = file.stages.into_iter().map(|(name, table)| stage(language, name, table));
        let stages = stages.map(|stage| stage.map(|stage| (stage.name.clone(), stage))).collect::<Result<_, _>>()?;
        Ok(Self { language, engine, stages })
    }
}

fn stage(language: Language, name: String, table: StageTable) -> Result<Stage, String> {
    let at = |key: &str, problem: String| format!("`stages.{name}{key}`: {problem}");
    name.parse::<StageName>().map_err(|error| at("", error.to_string()))?;
    let StageTable { role, source, mut optional } = table;
    if language == Language::Rust && (role.is_some() || !optional.is_empty()) {
        let problem = "`role` and `optional` are said by the macro in the source, as \
                       `forebay_sdk::export_producer!(Counter, checkpoint)`; take them out here";
        return Err(at("", problem.to_owned()));
    }
    if language != Language::Rust && role.is_none() {
        return Err(at(".role", format!("is missing; expected one of {}", Role::ALL.map(Role::name).join(", "))));
    }
    if let Some(misfit) = optional.iter().find(|optional| role.is_some_and(|role| !optional.is_for(role))) {
        let whom = if *misfit == Optional::Ingest { "producers" } else { "consumers and producer-consumers" };
        return Err(at(".optional", format!("`{}` is for {whom} only", misfit.name())));
    }
    if let Some(outside) = source.as_ref().filter(|source| leads_out(source)) {
        return Err(at(".source", format!("{} leads out of the project", outside.display())));
    }
    optional.sort_unstable();
    optional.dedup();
    Ok(Stage { name, role, source, optional })
}

fn leads_out(path: &Path) -> bool {
    path.components().any(|part| !matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &str = "[project]\nlanguage = 'python'\n[stages.greeter]\nrole = 'producer'\n";

    fn refused(text: &str) -> String {
        Manifest::parse(text).expect_err("a manifest that is wrong")
    }

    #[test]
    fn a_usual_manifest_is_read() {
        let manifest = Manifest::parse(&format!("{USUAL}optional = ['timer', 'checkpoint', 'timer']")).unwrap();
        assert_eq!((manifest.language, manifest.engine), (Language::Python, Engine::QuickJs));
        let stage = &manifest.stages["greeter"];
        assert_eq!((stage.role, &stage.source), (Some(Role::Producer), &None));
        assert_eq!(stage.optional, [Optional::Checkpoint, Optional::Timer]);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_was_expected() {
        let error = refused(&USUAL.replace("python", "cobol"));
        assert!(error.contains("`cobol`") && error.contains("rust, c, cpp, zig, go, js, ts, python"), "{error}");
        let error = refused(&USUAL.replace("producer", "source"));
        assert!(error.contains("unknown variant `source`") && error.contains("`producer-consumer`"), "{error}");
        let error = refused(&format!("{USUAL}sourc = 'x.py'"));
        assert!(error.contains("unknown field `sourc`") && error.contains("line 5"), "{error}");
        assert!(refused("[project]\nlanguage = 'go'\n[stages]").contains("[stages.greeter]"));
        assert!(refused("[project]\nlanguage = 'go'\n[stages.a]").contains("`stages.a.role`"));
        assert!(refused(&USUAL.replace("greeter", "'Greet er'")).contains("stages.Greet er"));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let engine = USUAL.replace("'python'", "'python'\nengine = 'quickjs'");
        assert!(refused(&engine).contains("is for js and ts"));
        let engine = USUAL.replace("'python'", "'ts'\nengine = 'v8'");
        assert!(refused(&engine).contains("quickjs or starlingmonkey"));
        assert!(refused(&USUAL.replace("python", "rust")).contains("export_producer!"));
        let sink = USUAL.replace("producer", "consumer");
        assert!(refused(&format!("{sink}optional = ['ingest']")).contains("for producers only"));
        assert!(refused(&format!("{USUAL}source = '../x.py'")).contains("leads out of the project"));
        assert!(refused(&format!("{USUAL}source = '/x.py'")).contains("leads out of the project"));
    }
}
