//! What a project's stages are built from, as one hash: to know that a component is up to date.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{AuthorError, project::PIPELINE};

/// Folders that hold what tools made. Names that begin with a dot are passed over too: editors, git, our own
/// `.forebay`, virtual environments. The SDK is told by the version of this binary.
const MADE: [&str; 6] = ["build", "target", "node_modules", "__pycache__", "dist", "zig-out"];

/// The hash of all files of a project that a build may read, with our version. Hexadecimal digits and a newline.
///
/// # Errors
/// [`AuthorError::File`].
pub(crate) fn hash(directory: &Path) -> Result<String, AuthorError> {
    let mut files = Vec::new();
    collect(directory, &mut files).map_err(|(path, error)| AuthorError::file("read", path, error))?;
    files.sort();
    let mut hash = Sha256::new();
    hash.update(env!("CARGO_PKG_VERSION"));
    hash.update(crate::sdk::digest());
    for path in files {
        let bytes = match fs::read(&path) {
            // An editor that replaces files has just taken it away: it counts as not there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            bytes => bytes.map_err(|error| AuthorError::file("read", &path, error))?,
        };
        let name = path.strip_prefix(directory).unwrap_or(&path).to_string_lossy();
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(&bytes);
    }
    Ok(digits(&hash.finalize()) + "\n")
}

/// The digest of some bytes, as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    digits(&Sha256::digest(bytes))
}

fn digits(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What no build reads: a change of it makes nothing stale.
fn is_for_people(name: &str) -> bool {
    name == PIPELINE || name.ends_with(".md")
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
    let failed = |error| (folder.to_owned(), error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        if name.starts_with('.') || MADE.contains(&name.as_ref()) {
            continue;
        }
        // Links are followed for files only: a folder that is linked may lead round in a circle.
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            collect(&path, files)?;
        } else if path.is_file() && !is_for_people(&name) {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_count_and_what_tools_made_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("stage.py", "1");
        write("lib/more.py", "2");
        let before = hash(folder.path()).unwrap();
        for made in
            ["build/stage.wasm", ".forebay/VERSION", ".git/index", "node_modules/a/b.js", "lib/__pycache__/m.pyc"]
        {
            write(made, "made");
        }
        assert_eq!(hash(folder.path()).unwrap(), before);
        write("lib/more.py", "3");
        let changed = hash(folder.path()).unwrap();
        assert_ne!(changed, before);
        fs::rename(folder.path().join("lib/more.py"), folder.path().join("lib/other.py")).unwrap();
        assert_ne!(hash(folder.path()).unwrap(), changed);
    }
}
