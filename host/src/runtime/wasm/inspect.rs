//! What `forebay inspect PLUGIN` tells of a file, whether or not it could run here.

use std::path::Path;

use serde::Serialize;

use super::{
    super::Role,
    contract::{self, Names, PACKAGE},
};

/// What a component is and asks for.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The file.
    pub path: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// `producer`, `producer-consumer` or `consumer`, if it is one.
    pub role: Option<String>,
    /// The world it targets, such as `forebay:stage/producer@0.1.0`.
    pub world: Option<String>,
    /// The version of `forebay:stage` it was built for.
    pub wit_version: Option<String>,
    /// What it imports, by full name.
    pub imports: Vec<Import>,
    /// What it exports, by full name.
    pub exports: Vec<String>,
    /// Which optional interfaces it has: `call`, `checkpoint`, `ingest`, `terminate`, `timer`.
    pub optional: Vec<String>,
    /// Why it could not be loaded; nothing if it could.
    pub refusal: Option<String>,
}

/// One import of a component.
#[derive(Clone, Debug, Serialize)]
pub struct Import {
    /// Its full name, such as `wasi:io/poll@0.2.6`.
    pub name: String,
    /// Whether every plugin is given it.
    pub provided: bool,
    /// If it refuses everything without a grant: the line of a stage in a pipeline file that grants something.
    pub grant: Option<String>,
}

impl Inspection {
    pub(super) fn new(path: &Path, size: usize, digest: String, names: Names, refusal: Option<String>) -> Self {
        let version = names.version();
        let role = names.contract().ok().map(|contract| contract.role);
        let world = |role: Role| format!("{PACKAGE}/{role}@{}", version.unwrap_or(contract::VERSION));
        Self {
            path: path.display().to_string(),
            size_bytes: size as u64,
            digest,
            role: role.map(|role| role.to_string()),
            world: role.map(world),
            wit_version: version.map(|version| version.to_string()),
            optional: names.optional().into_iter().map(str::to_owned).collect(),
            imports: names.imports.into_iter().map(Import::new).collect(),
            exports: names.exports,
            refusal,
        }
    }
}

impl Import {
    fn new(name: String) -> Self {
        let grant = contract::grant(&name);
        let provided = grant.is_some() || contract::is_provided(&name);
        Self { name, provided, grant: grant.map(str::to_owned) }
    }
}
