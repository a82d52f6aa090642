//! From a core module to a component: the step that `wasm-tools component embed` and `new` are for others.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding};

use crate::{AuthorError, MANIFEST, Optional, Project, Role, Stage, world};

/// Whether bytes begin as a component does, rather than a core module: `\0asm`, version 13, layer 1.
pub fn is_component(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm\x0d\0\x01\0")
}

/// Makes a component of a core module that exports the canonical names, as `forebay:stage/produce@0.1.0#handle-demand`.
/// Imports of `wasi_snapshot_preview1` are answered by the usual adapter, which imports WASI 0.2.
///
/// `forgotten` says in the author's words what to write for an export that is missing: it is given the interface and
/// the function, as `produce` and `handle-demand`.
///
/// # Errors
/// [`AuthorError::Source`] for a missing export, [`AuthorError::Component`] for anything else.
pub fn componentize(
    core: Vec<u8>,
    project: &Project,
    stage: &Stage,
    forgotten: impl Fn(&str, &str) -> String,
) -> Result<Vec<u8>, AuthorError> {
    let failed = |problem: String| AuthorError::Component { stage: stage.name.clone(), problem };
    let missing = missing(&core, stage).map_err(&failed)?;
    if let Some((interface, function)) = missing.first() {
        let problem = forgotten(interface, function);
        return Err(AuthorError::Source { source_file: project.source(stage), problem });
    }
    if let Some(problem) = asks_unlisted(&core, stage).map_err(&failed)? {
        return Err(AuthorError::Source { source_file: project.source(stage), problem });
    }
    let (resolve, world) = world::resolve(stage)?;
    let mut module = core;
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .map_err(|error| failed(chain(error)))?;
    encode(&module).map_err(failed)
}

fn encode(module: &[u8]) -> Result<Vec<u8>, String> {
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(module).map_err(chain)?;
    encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER).map_err(chain)?;
    encoder.encode().map_err(chain)
}

/// An error of the tools with all its causes: they come as one of `anyhow`, which prints them so.
fn chain(error: impl std::fmt::Display) -> String {
    format!("{error:#}")
}

/// The functions of a stage's world that a core module does not export: (interface, function).
fn missing(core: &[u8], stage: &Stage) -> Result<Vec<(String, String)>, String> {
    let exports = exports(core).map_err(|error| format!("it is no WebAssembly module: {error}"))?;
    let mut missing = Vec::new();
    for (interface, functions) in expected(stage)? {
        for function in functions {
            let name = format!("forebay:stage/{interface}@{}#{function}", world::WIT_VERSION);
            if !exports.contains(&name) {
                missing.push((interface.clone(), function));
            }
        }
    }
    Ok(missing)
}

/// What is wrong with a stage that asks its sources and may not, if it is such a one.
fn asks_unlisted(core: &[u8], stage: &Stage) -> Result<Option<String>, String> {
    let demand = format!("forebay:stage/{}@{}", Optional::Demand.name(), world::WIT_VERSION);
    if stage.optional.contains(&Optional::Demand) || !imports_from(core, &demand)? {
        return Ok(None);
    }
    Ok(Some(match stage.role {
        Some(Role::Producer) => "calls the SDK's `ask`, but is a producer, which has no sources to ask".to_owned(),
        _ => format!(
            "calls the SDK's `ask`, but `optional` of the stage `{}` in {MANIFEST} does not list \"demand\"; add it there",
            stage.name
        ),
    }))
}

/// Whether a core module imports anything from a module.
fn imports_from(core: &[u8], module: &str) -> Result<bool, String> {
    let failed = |error: wasmparser::BinaryReaderError| format!("it is no WebAssembly module: {error}");
    for payload in wasmparser::Parser::new(0).parse_all(core) {
        if let wasmparser::Payload::ImportSection(section) = payload.map_err(failed)? {
            for import in section.into_imports() {
                if import.map_err(failed)?.module == module {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

fn exports(core: &[u8]) -> wasmparser::Result<Vec<String>> {
    let mut names = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(core) {
        if let wasmparser::Payload::ExportSection(section) = payload? {
            for export in section {
                names.push(export?.name.to_owned());
            }
        }
    }
    Ok(names)
}

/// The interfaces a stage's world exports, with their functions.
fn expected(stage: &Stage) -> Result<Vec<(String, Vec<String>)>, String> {
    let (resolve, world) = world::resolve(stage).map_err(|error| error.to_string())?;
    let exported = resolve.worlds[world].exports.values().filter_map(|item| match item {
        wit_parser::WorldItem::Interface { id, .. } => Some(&resolve.interfaces[*id]),
        _ => None,
    });
    Ok(exported
        .filter_map(|interface| Some((interface.name.clone()?, interface.functions.keys().cloned().collect())))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(role: Role, optional: &[Optional]) -> Stage {
        Stage { name: "greeter".into(), role: Some(role), source: None, optional: optional.to_vec() }
    }

    #[test]
    fn a_module_and_a_component_are_told_apart() {
        assert!(is_component(b"\0asm\x0d\0\x01\0rest"));
        assert!(!is_component(b"\0asm\x01\0\0\0rest"));
        assert!(!is_component(b""));
    }

    #[test]
    fn a_forgotten_export_is_named() {
        let empty = b"\0asm\x01\0\0\0";
        let missing = missing(empty, &stage(Role::Consumer, &[Optional::Call])).unwrap();
        let names: Vec<_> = missing.iter().map(|(interface, function)| format!("{interface}#{function}")).collect();
        assert_eq!(names, ["lifecycle#init", "consume#handle-events", "call#handle-call"]);
    }

    #[test]
    fn asking_needs_to_be_listed() {
        // One import: the function `ask`, of type 0, from `forebay:stage/demand@...`.
        let module = format!("forebay:stage/demand@{}", world::WIT_VERSION);
        let types: &[u8] = &[1, 4, 1, 0x60, 0, 0];
        let import = [&[1, module.len() as u8][..], module.as_bytes(), &[3], b"ask", &[0, 0]].concat();
        let core = [b"\0asm\x01\0\0\0", types, &[2, import.len() as u8], &import].concat();
        let problem = |role, optional: &[Optional]| asks_unlisted(&core, &stage(role, optional)).unwrap();
        assert!(problem(Role::Consumer, &[]).unwrap().contains("of the stage `greeter` in forebay.toml does not list"));
        assert!(problem(Role::Producer, &[]).unwrap().contains("is a producer"));
        assert_eq!(problem(Role::Consumer, &[Optional::Demand]), None);
        assert_eq!(asks_unlisted(b"\0asm\x01\0\0\0", &stage(Role::Consumer, &[])), Ok(None));
    }

    #[test]
    fn what_is_no_module_is_said_to_be_none() {
        assert!(missing(b"hello", &stage(Role::Producer, &[])).unwrap_err().contains("no WebAssembly module"));
    }
}
