//! The files that travel with the binary, and `.forebay/`, where a project is given its own.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{AuthorError, Language, Manifest, world};

mod files {
    include!(concat!(env!("OUT_DIR"), "/files.rs"));
}

/// The folder in a project that belongs to the binary.
pub const HIDDEN: &str = ".forebay";

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The text of the WIT package.
pub(crate) fn wit() -> &'static str {
    file("wit/stage.wit").expect("build.rs lists it")
}

/// A text that travels with the binary, by its path in the repository.
pub(crate) fn file(path: &str) -> Option<&'static str> {
    let (_, bytes) = files::FILES.iter().find(|(name, _)| *name == path)?;
    std::str::from_utf8(bytes).ok()
}

/// The files below a folder of the repository: (path below it, contents).
pub(crate) fn below(folder: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> + use<> {
    let prefix = format!("{folder}/");
    files::FILES.iter().filter_map(move |&(name, bytes)| Some((name.strip_prefix(&prefix)?, bytes)))
}

/// The files of a language's SDK, without its templates: (path below `sdk/`, contents).
fn files_of(language: Language) -> impl Iterator<Item = (String, Vec<u8>)> {
    let folders = language.sdk_folders().iter();
    folders.flat_map(|folder| {
        let files = below(&format!("sdk/{folder}")).filter(|(path, _)| !path.starts_with("templates"));
        files.map(move |(path, bytes)| (format!("{folder}/{path}"), crate::languages::unpacked(folder, path, bytes)))
    })
}

/// Brings `.forebay/` of a project to what this binary carries. Files that are as they should be are not touched, so
/// that build tools see no change.
///
/// # Errors
/// [`AuthorError::File`].
pub(crate) fn unpack(directory: &Path, manifest: &Manifest) -> Result<(), AuthorError> {
    let hidden = directory.join(HIDDEN);
    let version = format!("{VERSION} {}\n", manifest.language);
    let known = fs::read_to_string(hidden.join("VERSION")).is_ok_and(|found| found == version);
    if !known {
        // Of another version: what this one has no more must not stay.
        remove(&hidden.join("sdk"))?;
        remove(&hidden.join("wit"))?;
    }
    for (path, bytes) in files_of(manifest.language) {
        write_if_other(&hidden.join("sdk").join(path), &bytes)?;
    }
    if manifest.language == Language::Rust {
        write_if_other(&hidden.join("wit/stage.wit"), wit().as_bytes())?;
    } else {
        for stage in manifest.stages.values() {
            let folder = hidden.join("wit").join(&stage.name);
            write_if_other(&folder.join("world.wit"), world::text(stage).as_bytes())?;
            write_if_other(&folder.join("deps/forebay-stage/stage.wit"), wit().as_bytes())?;
        }
    }
    // A folder that ignores itself: also where the project is part of a repository with other rules.
    write_if_other(&hidden.join(".gitignore"), b"*\n")?;
    write_if_other(&hidden.join("VERSION"), version.as_bytes())
}

/// Where the WIT of a stage is unpacked.
pub(crate) fn wit_folder(directory: &Path, stage: &str) -> PathBuf {
    directory.join(HIDDEN).join("wit").join(stage)
}

/// Where the SDK of a language is unpacked.
pub(crate) fn sdk_folder(directory: &Path, folder: &str) -> PathBuf {
    directory.join(HIDDEN).join("sdk").join(folder)
}

/// Where generators put what they make for a stage.
pub(crate) fn gen_folder(directory: &Path, stage: &str) -> PathBuf {
    directory.join(HIDDEN).join("gen").join(stage)
}

fn remove(folder: &Path) -> Result<(), AuthorError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(AuthorError::file("remove", folder, error)),
        _ => Ok(()),
    }
}

/// Writes a file, with the folders above it, unless it is there with this content.
pub(crate) fn write_if_other(path: &Path, bytes: &[u8]) -> Result<(), AuthorError> {
    if fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    let folder = path.parent().expect("a file in a project");
    fs::create_dir_all(folder).map_err(|error| AuthorError::file("make", folder, error))?;
    fs::write(path, bytes).map_err(|error| AuthorError::file("write", path, error))
}

/// A digest of everything that travels with the binary: of two builds of one version, the SDK may differ.
pub(crate) fn digest() -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for (path, bytes) in files::FILES {
        hash.update(path.as_bytes());
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    hash.finalize().into()
}
