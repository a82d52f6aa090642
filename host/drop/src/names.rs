//! Which files of the folder are plugins and signatures, and what plugins are called.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
};

use forebay_proto::ids::{NameError, StageName};

const PLUGIN: &[u8] = b".wasm";
const SIGNATURE: &[u8] = b".minisig";

/// Which of a plugin's two files.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Part {
    Code,
    Signature,
}

/// The plugin file that a file of the folder is or belongs to; `None` for files that are none of ours.
pub(crate) fn part_of(file: &OsStr) -> Option<(OsString, Part)> {
    let bytes = file.as_bytes();
    // `.x.wasm.Ab12` and `.x.wasm` are rsync's, `#x.wasm#` Emacs', `~x` of others.
    let temporary = matches!(bytes.first(), None | Some(b'.' | b'#' | b'~'));
    let (code, part) = match bytes.strip_suffix(SIGNATURE) {
        Some(code) => (code, Part::Signature),
        None => (bytes, Part::Code),
    };
    let ours = !temporary && code.ends_with(PLUGIN);
    ours.then(|| (OsString::from_vec(code.to_vec()), part))
}

/// The name of a plugin file's signature file.
pub(crate) fn signature_of(file: &OsStr) -> OsString {
    let mut bytes = file.as_bytes().to_vec();
    bytes.extend_from_slice(SIGNATURE);
    OsString::from_vec(bytes)
}

/// What the plugin in a file is called.
pub(crate) fn plugin_name(file: &OsStr) -> Result<String, NameError> {
    let text = file.to_string_lossy();
    let stem = text.strip_suffix(".wasm").unwrap_or(&text);
    // All names have the same rules.
    stem.parse::<StageName>().map(|name| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_and_foreign_files_are_none_of_ours() {
        for other in [
            ".x.wasm",
            ".x.wasm.Ab12Cd",
            "#x.wasm#",
            "#x.wasm",
            ".#x.wasm",
            "x.wasm~",
            "~x.wasm",
            ".x.wasm.swp",
            "4913",
            "x.wasm.part",
            "x.wasm.filepart",
            "x.txt",
            "wasm",
            "",
            ".wasm",
            "x.minisig",
            ".x.wasm.minisig",
            "x.WASM",
        ] {
            assert_eq!(part_of(OsStr::new(other)), None, "{other}");
        }
        assert_eq!(part_of(OsStr::new("x.wasm")), Some(("x.wasm".into(), Part::Code)));
        assert_eq!(part_of(&signature_of(OsStr::new("x.wasm"))), Some(("x.wasm".into(), Part::Signature)));
        let raw = OsStr::from_bytes(b"\xff.wasm");
        assert_eq!(part_of(raw), Some((raw.into(), Part::Code)));
    }

    #[test]
    fn a_plugin_is_called_as_its_file_or_has_no_name() {
        assert_eq!(plugin_name(OsStr::new("counter-1.2_b.wasm")), Ok("counter-1.2_b".into()));
        for wrong in ["Upper.wasm", "a b.wasm", "-x.wasm", "ä.wasm"] {
            assert!(plugin_name(OsStr::new(wrong)).is_err(), "{wrong}");
        }
        assert!(plugin_name(OsStr::from_bytes(b"\xff.wasm")).is_err());
        assert!(plugin_name(OsStr::new(&format!("{}.wasm", "a".repeat(64)))).is_err());
    }
}
