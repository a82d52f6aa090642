//! What a component imports and exports, read from its outermost sections. Nothing is compiled.

use serde::Serialize;
use wasmparser::{Chunk, ComponentExport, ComponentImport, Parser, Payload};

/// The names of a component's imports and exports, in its order.
#[derive(Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Interfaces {
    pub(crate) exports: Vec<String>,
    pub(crate) imports: Vec<String>,
}

/// Reads them.
///
/// # Errors
/// Why the bytes are no component, in words. A component that passes may still be invalid inside.
pub(crate) fn interfaces(bytes: &[u8]) -> Result<Interfaces, String> {
    let (mut found, mut rest, mut parser) = (Interfaces::default(), bytes, Parser::new(0));
    loop {
        let said = |error: wasmparser::BinaryReaderError| error.to_string();
        let Chunk::Parsed { consumed, payload } = parser.parse(rest, true).map_err(said)? else {
            return Err("it ends too early".to_owned());
        };
        rest = rest.get(consumed..).unwrap_or_default();
        match payload {
            Payload::Version { encoding: wasmparser::Encoding::Module, .. } => {
                return Err("it is a core module, not a component".to_owned());
            }
            Payload::ComponentImportSection(section) => {
                let names =
                    section.into_iter().map(|import| import.map(|ComponentImport { name, .. }| name.name.to_owned()));
                found.imports.extend(names.collect::<Result<Vec<_>, _>>().map_err(said)?);
            }
            Payload::ComponentExportSection(section) => {
                let names =
                    section.into_iter().map(|export| export.map(|ComponentExport { name, .. }| name.name.to_owned()));
                found.exports.extend(names.collect::<Result<Vec<_>, _>>().map_err(said)?);
            }
            // What is inside has imports and exports of its own.
            Payload::ModuleSection { unchecked_range: range, .. }
            | Payload::ComponentSection { unchecked_range: range, .. } => {
                rest = rest.get(range.len()..).ok_or("it ends too early")?;
            }
            Payload::End(_) => return Ok(found),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter() -> Vec<u8> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/prebuilt/counter.wasm");
        std::fs::read(path).unwrap()
    }

    #[test]
    fn a_components_own_imports_and_exports_are_found() {
        let found = interfaces(&counter()).unwrap();
        let starts = |names: &[String], start: &str| names.iter().filter(|name| name.starts_with(start)).count();
        assert_eq!(starts(&found.exports, "forebay:stage/produce@"), 1, "{found:?}");
        assert!(starts(&found.imports, "forebay:stage/") > 0, "{found:?}");
        assert_eq!(starts(&found.exports, "cabi_"), 0, "exports of a module inside: {found:?}");
    }

    #[test]
    fn a_component_that_was_cut_off_is_none() {
        let whole = counter();
        for length in (0..whole.len()).step_by(997) {
            assert!(interfaces(&whole[..length]).is_err(), "cut to {length} bytes");
        }
        assert!(interfaces(b"\0asm\x01\0\0\0").unwrap_err().contains("core module"));
    }
}
