//! Reading a plugin's file: only regular files, only up to a size, and once.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

use bytes::Bytes;
use ring::digest;

use super::super::LoadError;

/// The largest file that is read. Unit: bytes. 64 MiB: the largest plugin seen, of Python, has 18.
pub(super) const FILE_BYTES_MAX: u64 = 64 << 20;

/// `O_NONBLOCK`: opening a FIFO returns at once instead of waiting for a writer. The number is that
/// of every Linux that wasmtime compiles for, and of macOS and the BSDs.
const NONBLOCK: i32 = if cfg!(target_os = "linux") { 0o4000 } else { 0x4 };

/// A file's bytes, and the digest of exactly these bytes.
pub(super) struct PluginFile {
    pub(super) bytes: Bytes,
    pub(super) digest: Digest,
}

/// SHA-256 of a plugin's file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) struct Digest(pub(super) [u8; 32]);

impl Digest {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, bytes);
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    pub(super) fn hex(&self) -> String {
        self.0.iter().fold(String::with_capacity(64), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("writing to a string succeeds");
            hex
        })
    }
}

impl PluginFile {
    /// Reads `path` as [`read`] does.
    ///
    /// # Errors
    /// Those of [`read`].
    pub(super) fn read(path: &Path) -> Result<Self, LoadError> {
        read(path).map(Self::hashed)
    }

    /// Bytes that were got in another way.
    ///
    /// # Errors
    /// There are more than [`FILE_BYTES_MAX`] of them.
    pub(super) fn of(label: &Path, bytes: Bytes) -> Result<Self, LoadError> {
        let not = |found| LoadError::NotAPlugin { path: label.to_owned(), found };
        check_length(bytes.len() as u64).map_err(not)?;
        Ok(Self::hashed(bytes))
    }

    fn hashed(bytes: Bytes) -> Self {
        let digest = Digest::of(&bytes);
        Self { bytes, digest }
    }
}

/// Reads `path`. Blocks for as long as its file system takes, not for a FIFO's writer.
///
/// # Errors
/// [`LoadError::Read`] from the system; [`LoadError::NotAPlugin`] for what is no regular file,
/// for one beyond [`FILE_BYTES_MAX`], and for one that changes its length meanwhile.
pub(super) fn read(path: &Path) -> Result<Bytes, LoadError> {
    let read = |source| LoadError::Read { path: path.to_owned(), source };
    let not = |found| LoadError::NotAPlugin { path: path.to_owned(), found };
    // Reading alone would open a device, and some devices act on being opened: look first.
    check_kind(&std::fs::metadata(path).map_err(read)?).map_err(not)?;
    let mut file = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path).map_err(read)?;
    let metadata = file.metadata().map_err(read)?;
    check_kind(&metadata).map_err(not)?;
    let bytes = read_all(&mut file, metadata.len()).map_err(read)?;
    if bytes.len() as u64 != metadata.len() {
        let (was, is) = (metadata.len(), bytes.len());
        return Err(not(format!("its length changed from {was} to {is} bytes or more while it was read; try again")));
    }
    Ok(bytes.into())
}

fn check_length(bytes: u64) -> Result<(), String> {
    match bytes <= FILE_BYTES_MAX {
        true => Ok(()),
        false => Err(format!("it has {bytes} bytes; a plugin has at most {FILE_BYTES_MAX}")),
    }
}

fn read_all(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    // One byte more than expected, so that a file which grows is noticed.
    file.take(length + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check_kind(metadata: &std::fs::Metadata) -> Result<(), String> {
    let kind = metadata.file_type();
    let found = match () {
        () if kind.is_file() => return check_length(metadata.len()),
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () if kind.is_block_device() || kind.is_char_device() => "a device",
        () => "no regular file",
    };
    Err(format!("it is {found}; expected a file with a WebAssembly component"))
}

/// Says what bytes are that are no component; `None` if they begin as one does.
pub fn not_a_component(bytes: &[u8]) -> Option<String> {
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    let what = match bytes {
        [] => return Some("it is empty, 0 bytes; was the build or the copy interrupted?".to_owned()),
        _ if bytes.starts_with(COMPONENT) => return None,
        _ if bytes.starts_with(b"\0asm\x01\0\0\0") => {
            return Some(
                "it is a core module; a component is needed: make one with `wasm-tools component new FILE -o \
                 PLUGIN` or build for the target wasm32-wasip2"
                    .to_owned(),
            );
        }
        [0, b'a', b's', b'm', version @ ..] => {
            let version = version.get(..4).unwrap_or(version);
            return Some(format!(
                "it is WebAssembly of the unknown kind {version:02x?}; a component has [0d, 00, 01, 00]"
            ));
        }
        _ => foreign(bytes),
    };
    Some(format!("it is {what}; expected a WebAssembly component, which begins with the bytes 00 61 73 6d 0d 00 01 00"))
}

/// Names other kinds of files by how they begin.
fn foreign(bytes: &[u8]) -> &'static str {
    const KINDS: &[(&[u8], &str)] = &[
        (b"\x7fELF", "an ELF file: a native program, or a component compiled ahead of time, which is not taken"),
        (b"MZ", "a PE file: a Windows program"),
        (b"\xcf\xfa\xed\xfe", "a Mach-O file: a macOS program"),
        (b"\x1f\x8b", "a gzip file: unpack it first"),
        (b"\x28\xb5\x2f\xfd", "a zstd file: unpack it first"),
        (b"PK\x03\x04", "a zip file: unpack it first"),
        (b"version https://git-lfs", "a Git LFS pointer: fetch the file with `git lfs pull`"),
        (b"#!", "a script"),
        (b"(", "WebAssembly text: turn it into a binary with `wasm-tools parse FILE -o PLUGIN`"),
    ];
    let text = bytes.trim_ascii_start();
    let beginning = text.get(..14.min(text.len())).unwrap_or_default().to_ascii_lowercase();
    let html = beginning.starts_with(b"<!doctype html") || beginning.starts_with(b"<html");
    let kind = KINDS.iter().find(|(magic, _)| bytes.starts_with(magic) || text.starts_with(magic));
    match kind {
        _ if html => "an HTML page: the download gave a web page instead of the file",
        Some((_, name)) => name,
        None if text.starts_with(b";;") => {
            "WebAssembly text: turn it into a binary with `wasm-tools parse FILE -o PLUGIN`"
        }
        None if bytes.iter().take(512).all(|&byte| byte >= b' ' || byte.is_ascii_whitespace()) => "some text",
        None => "of an unknown kind",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_kinds_are_named() {
        let cases: &[(&[u8], &str)] = &[
            (b"", "it is empty, 0 bytes"),
            (b"\0asm\x01\0\0\0", "wasm-tools component new"),
            (b"\0asm\x02\0\0\0", "unknown kind [02, 00, 00, 00]"),
            (b"\0asm", "unknown kind []"),
            (b"\x7fELF\x02", "an ELF file"),
            (b"MZ\x90", "a PE file"),
            (b"\x1f\x8b\x08", "a gzip file"),
            (b"<!DOCTYPE html>", "an HTML page"),
            (b"\n<HTML>", "an HTML page"),
            (b" (component)", "wasm-tools parse"),
            (b";; text", "wasm-tools parse"),
            (b"#!/bin/sh", "a script"),
            (b"hello", "some text"),
            (b"\x01\x02\x03", "of an unknown kind"),
        ];
        for (bytes, expected) in cases {
            let found = not_a_component(bytes).unwrap();
            assert!(found.contains(expected), "{bytes:02x?}: {found}");
        }
        assert_eq!(not_a_component(b"\0asm\x0d\0\x01\0"), None);
    }

    #[test]
    fn a_digest_is_that_of_sha256() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").hex(), empty);
    }
}
