//! Looking into what compilers make: objects and core modules.

use std::collections::BTreeSet;

use wasmparser::{KnownCustom, Linking, Parser, Payload, SymbolFlags, SymbolInfo};

/// The functions an object file defines for others: those that are not `static`.
pub(super) fn defined_functions(object: &[u8]) -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    for payload in Parser::new(0).parse_all(object) {
        let Payload::CustomSection(section) = payload.map_err(|error| error.to_string())? else { continue };
        let KnownCustom::Linking(linking) = section.as_known() else { continue };
        for subsection in linking.subsections() {
            if let Linking::SymbolTable(symbols) = subsection.map_err(|error| error.to_string())? {
                for symbol in symbols {
                    names.extend(defined(&symbol.map_err(|error| error.to_string())?));
                }
            }
        }
    }
    Ok(names)
}

fn defined(symbol: &SymbolInfo<'_>) -> Option<String> {
    match symbol {
        SymbolInfo::Func { flags, name: Some(name), .. }
            if !flags.intersects(SymbolFlags::UNDEFINED | SymbolFlags::BINDING_LOCAL) =>
        {
            Some((*name).to_owned())
        }
        _ => None,
    }
}

/// A core module without its `.debug_...` sections, which `zig cc` takes along from libc: a megabyte that no host reads.
/// `None` if it is no module.
pub(super) fn without_debug_sections(module: &[u8]) -> Option<Vec<u8>> {
    const HEADER_BYTES: usize = 8;
    const CUSTOM: u8 = 0;
    let mut kept = module.get(..HEADER_BYTES)?.to_vec();
    let mut rest = module.get(HEADER_BYTES..)?;
    while let Some((&id, after)) = rest.split_first() {
        let (length, size) = leb128(after)?;
        let end = 1 + size + length;
        let content = rest.get(1 + size..end)?;
        if id != CUSTOM || !custom_name(content)?.starts_with(b".debug_") {
            kept.extend_from_slice(rest.get(..end)?);
        }
        rest = rest.get(end..)?;
    }
    Some(kept)
}

fn custom_name(content: &[u8]) -> Option<&[u8]> {
    let (length, size) = leb128(content)?;
    content.get(size..size + length)
}

/// An unsigned LEB128 of at most 32 bits, and how many bytes it takes.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"\0asm\x01\0\0\0";

    fn custom(name: &str, content: &[u8]) -> Vec<u8> {
        let length = 1 + name.len() + content.len();
        let mut section = vec![0, length as u8 | 0x80, 0, name.len() as u8];
        section.extend_from_slice(name.as_bytes());
        section.extend_from_slice(content);
        section
    }

    #[test]
    fn debug_sections_are_left_out_and_names_stay() {
        let name = custom("name", b"\0\0");
        let module = [HEADER, &custom(".debug_line", b"xxx"), &name, &custom(".debug_str", b"")].concat();
        assert_eq!(without_debug_sections(&module).unwrap(), [HEADER, &name].concat());
    }

    #[test]
    fn what_is_no_module_is_none() {
        assert_eq!(without_debug_sections(b"\0asm"), None);
        assert_eq!(
            without_debug_sections(&[HEADER, &[0, 200, 1, 1]].concat()),
            None,
            "a section that goes on past the end"
        );
        assert_eq!(without_debug_sections(&[HEADER, &[0]].concat()), None, "a section without its length");
    }

    #[test]
    fn functions_that_are_static_or_missing_do_not_count() {
        // Symbols: a function defined, one that is local, one that is undefined with an explicit name.
        let symbols =
            [&[3_u8][..], &[0, 0, 0, 4], b"mine", &[0, 0x02, 1, 5], b"local", &[0, 0x50, 2, 6], b"theirs"].concat();
        let mut linking = vec![2, 8, symbols.len() as u8];
        linking.extend_from_slice(&symbols);
        let object = [HEADER, &custom("linking", &linking)].concat();
        assert_eq!(defined_functions(&object).unwrap(), BTreeSet::from(["mine".to_owned()]));
    }
}
