//! What a component was built from, and whether that has changed since.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{ALL, Component, prebuilt, root};

/// The file beside the components that records what they were built from.
pub(crate) const RECORD: &str = "SOURCES.toml";

/// What all components are built from besides their own crate.
const SHARED: [&str; 3] = ["sdk/rust/Cargo.toml", "sdk/rust/src", "wit"];

/// A component that does not fit its sources.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stale {
    /// Which.
    pub component: Component,
    /// What is wrong.
    pub reason: StaleReason,
}

/// Why a component is stale.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StaleReason {
    /// It is not there, or not recorded.
    NotBuilt,
    /// Its sources are others than it was built from.
    SourcesChanged,
    /// Its file is another than was recorded.
    FileChanged,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            StaleReason::NotBuilt => "is not built",
            StaleReason::SourcesChanged => "is older than its sources",
            StaleReason::FileChanged => "is not the file that was built from its sources",
        };
        write!(f, "{} {reason}", self.component.file_name())
    }
}

/// The ready-made components that are stale; none: all fit their sources.
///
/// # Errors
/// When sources or the record cannot be read.
pub fn stale() -> Result<Vec<Stale>> {
    stale_in(&prebuilt())
}

fn stale_in(directory: &Path) -> Result<Vec<Stale>> {
    let record = Record::read(directory)?;
    let mut stale = Vec::new();
    for &component in ALL {
        let entry = record.components.get(component.name);
        let file = fs::read(directory.join(component.file_name())).ok();
        let reason = match (entry, file) {
            (None, _) | (_, None) => StaleReason::NotBuilt,
            (Some(entry), _) if entry.sources != hash_of_sources(component)? => StaleReason::SourcesChanged,
            (Some(entry), Some(file)) if entry.file != hex(&file) => StaleReason::FileChanged,
            _ => continue,
        };
        stale.push(Stale { component, reason });
    }
    Ok(stale)
}

/// What each component was built from.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Record {
    components: BTreeMap<String, Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    sources: String,
    file: String,
}

impl Record {
    /// Reads the record of a directory; one without a record has built nothing.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(RECORD);
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).with_context(|| format!("{} is not as it was written", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
        }
    }

    /// Notes that a component was built from the sources as they are.
    pub(crate) fn note(&mut self, component: Component, file: &[u8]) -> Result<()> {
        let entry = Entry { sources: hash_of_sources(component)?, file: hex(file) };
        self.components.insert(component.name.to_owned(), entry);
        Ok(())
    }

    /// Writes the record.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let mut text = String::from(
            "# Written by `cargo run -p forebay-artifacts -- build`: SHA-256 of the sources of\n# each component and of its file.\n",
        );
        for (name, Entry { sources, file }) in &self.components {
            text.push_str(&format!("\n[{name}]\nsources = \"{sources}\"\nfile = \"{file}\"\n"));
        }
        let path = directory.join(RECORD);
        fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))
    }
}

/// The hash of everything a component is built from, as it is now.
///
/// It is that of one line `HASH  PATH` for each file, as `sha256sum` prints them, sorted by path.
/// Carriage returns before line feeds do not count, so that a checkout on Windows is not stale.
fn hash_of_sources(component: Component) -> Result<String> {
    let own = [format!("plugins/{}/Cargo.toml", component.name), format!("plugins/{}/src", component.name)];
    let paths = own.iter().map(String::as_str).chain(SHARED).chain(component.shared_files.iter().copied());
    let mut files = Vec::new();
    for path in paths {
        collect(&root(), path, &mut files).with_context(|| format!("could not read {path}"))?;
    }
    Ok(hash_of_files(files))
}

fn hash_of_files(mut files: Vec<(String, Vec<u8>)>) -> String {
    files.sort();
    files.dedup();
    let lines: String = files.iter().map(|(path, text)| format!("{}  {path}\n", hex(&unix_lines(text)))).collect();
    hex(lines.as_bytes())
}

/// Adds a file, or all files below a directory; of `wit` only the WIT.
fn collect(root: &Path, path: &str, files: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let full: PathBuf = root.join(path);
    if !full.is_dir() {
        files.push((path.to_owned(), fs::read(full)?));
        return Ok(());
    }
    for entry in fs::read_dir(full)? {
        let name = entry?.file_name();
        let name = name.to_str().ok_or_else(|| io::Error::other(format!("{name:?} below {path} is not UTF-8")))?;
        if path != "wit" || name.ends_with(".wit") {
            collect(root, &format!("{path}/{name}"), files)?;
        }
    }
    Ok(())
}

fn unix_lines(text: &[u8]) -> Vec<u8> {
    let mut rest = text.iter().copied().peekable();
    let mut lines = Vec::with_capacity(text.len());
    while let Some(byte) = rest.next() {
        if byte != b'\r' || rest.peek() != Some(&b'\n') {
            lines.push(byte);
        }
    }
    lines
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{COUNTER, MISBEHAVING_CONSUMER};

    #[test]
    fn no_ready_made_component_is_stale() {
        let stale: Vec<_> = stale().unwrap().iter().map(ToString::to_string).collect();
        let command = "cargo run -p forebay-artifacts -- build";
        assert!(stale.is_empty(), "{}; run `{command}` and commit plugins/prebuilt", stale.join(", "));
    }

    #[test]
    fn line_endings_and_the_order_of_files_do_not_count() {
        let file = |path: &str, text: &str| (path.to_owned(), text.as_bytes().to_vec());
        let here = hash_of_files(vec![file("a", "1\n2\n"), file("b", "\r\n")]);
        assert_eq!(here, hash_of_files(vec![file("b", "\n"), file("a", "1\r\n2\n")]));
        assert_ne!(here, hash_of_files(vec![file("b", "\n"), file("a", "1\n2")]));
        assert_ne!(here, hash_of_files(vec![file("a", "1\n2\n"), file("c", "\n")]));
        assert_ne!(here, hash_of_files(vec![file("a", "1\r2\n"), file("b", "\n")]));
    }

    #[test]
    fn shared_files_count_for_those_that_include_them() {
        let mut files = Vec::new();
        for path in MISBEHAVING_CONSUMER.shared_files {
            collect(&root(), path, &mut files).unwrap();
        }
        assert_eq!(files.len(), 2);
        let bare = Component { shared_files: &[], ..MISBEHAVING_CONSUMER };
        assert_ne!(hash_of_sources(bare).unwrap(), hash_of_sources(MISBEHAVING_CONSUMER).unwrap());
    }

    #[test]
    fn each_kind_of_staleness_is_told() {
        let directory = std::env::temp_dir().join(format!("forebay-stale-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let reason = |directory: &Path| {
            let stale = stale_in(directory).unwrap();
            stale.iter().find(|stale| stale.component == COUNTER).map(|stale| stale.reason)
        };
        assert_eq!(reason(&directory), Some(StaleReason::NotBuilt));

        let mut record = Record::default();
        record.note(COUNTER, b"built").unwrap();
        record.write(&directory).unwrap();
        fs::write(directory.join("counter.wasm"), b"built").unwrap();
        assert_eq!(reason(&directory), None);
        fs::write(directory.join("counter.wasm"), b"by hand").unwrap();
        assert_eq!(reason(&directory), Some(StaleReason::FileChanged));

        record.components.get_mut("counter").unwrap().sources = "older".into();
        record.write(&directory).unwrap();
        assert_eq!(reason(&directory), Some(StaleReason::SourcesChanged));
        fs::remove_dir_all(&directory).unwrap();
    }
}
