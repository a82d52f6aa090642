//! What a node knows of its place in a group, kept with its data.
//!
//! Written before it takes part: a member that forgot its number could vote twice.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use forebay_proto::names::quorum::{GroupId, MemberNo};

use crate::registry::raft::Storage;

/// A node's place in a group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// Random, made with the data.
    pub store: u64,
    /// Its group and number, once it has them.
    pub member: Option<(GroupId, MemberNo)>,
}

/// Where a node keeps what it has agreed on.
#[derive(Clone, Debug)]
pub enum Home {
    /// In this directory, which is made if needed.
    Directory(PathBuf),
    /// In memory that outlives the node; for tests in virtual time.
    Memory(Arc<MemoryHome>),
}

/// See [`Home::Memory`].
#[derive(Debug, Default)]
pub struct MemoryHome {
    place: Mutex<Option<Place>>,
    /// The log and snapshots.
    disk: crate::registry::raft::MemoryDisk,
}

/// The place cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The disk says no.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} holds {found:?}, expected `store = `, `group = ` and `member = ` as this node wrote them; restore the file, or remove the directory to join as a new member", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What it holds, cut.
        found: String,
    },
}

impl Home {
    /// Where the log and snapshots are.
    pub(super) fn storage(&self) -> Storage {
        match self {
            Self::Directory(dir) => Storage::Directory(dir.clone()),
            Self::Memory(home) => Storage::Memory(home.disk.clone()),
        }
    }

    /// What was kept; a new place if nothing was.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn load(&self) -> Result<Place, HomeError> {
        let kept = match self {
            Self::Directory(dir) => read(&dir.join(FILE))?,
            Self::Memory(home) => *home.place.lock().unwrap_or_else(PoisonError::into_inner),
        };
        let random = ring::rand::generate::<[u8; 8]>(&ring::rand::SystemRandom::new());
        let new = || Place {
            store: u64::from_le_bytes(random.expect("the system has random numbers").expose()),
            member: None,
        };
        let place = kept.unwrap_or_else(new);
        if kept.is_none() {
            self.save(place)?;
        }
        Ok(place)
    }

    /// What was kept in a directory, if anything was.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(super) fn look(directory: &Path) -> Result<Option<Place>, HomeError> {
        read(&directory.join(FILE))
    }

    /// Keeps it, also through a loss of power.
    ///
    /// # Errors
    /// [`HomeError::Io`].
    pub fn save(&self, place: Place) -> Result<(), HomeError> {
        match self {
            Self::Directory(dir) => write(dir, place),
            Self::Memory(home) => {
                *home.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
                Ok(())
            }
        }
    }
}

const FILE: &str = "member.toml";

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HomeError {
    let path = path.to_owned();
    move |source| HomeError::Io { what, path, source }
}

fn read(path: &Path) -> Result<Option<Place>, HomeError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path)(error)),
    };
    let damaged = || HomeError::Damaged { path: path.to_owned(), found: text.chars().take(200).collect() };
    parse(&text).map(Some).ok_or_else(damaged)
}

fn parse(text: &str) -> Option<Place> {
    let table: toml::Table = text.parse().ok()?;
    let number = |key: &str| u128::from_str_radix(table.get(key)?.as_str()?, 16).ok();
    let store = u64::try_from(number("store")?).ok()?;
    if !table.contains_key("group") && !table.contains_key("member") {
        return Some(Place { store, member: None });
    }
    let member = MemberNo(u64::try_from(number("member")?).ok()?);
    Some(Place { store, member: Some((GroupId(number("group")?), member)) })
}

fn write(dir: &Path, place: Place) -> Result<(), HomeError> {
    let mut text =
        format!("# This node's place in its group. Two nodes must not share it.\nstore = \"{:x}\"\n", place.store);
    if let Some((group, member)) = place.member {
        text += &format!("group = \"{group}\"\nmember = \"{:x}\"\n", member.0);
    }
    let (path, new) = (dir.join(FILE), dir.join("member.toml.new"));
    fs::create_dir_all(dir).map_err(failed("make", dir))?;
    fs::write(&new, text).map_err(failed("write", &new))?;
    let sync = |path: &Path| fs::File::open(path)?.sync_all();
    sync(&new).map_err(failed("write", &new))?;
    fs::rename(&new, &path).map_err(failed("write", &path))?;
    sync(dir).map_err(failed("write", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_kept_and_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::Directory(dir.path().join("raft"));
        let mut place = home.load().unwrap();
        assert_eq!(place.member, None);
        assert_eq!(home.load().unwrap(), place, "the same data, the same number");
        place.member = Some((GroupId(u128::MAX), MemberNo(17)));
        home.save(place).unwrap();
        assert_eq!(home.load().unwrap(), place);
        let path = dir.path().join("raft/member.toml");
        for damage in ["", "store = \"xyz\"", "store = \"1\"\ngroup = \"2\"", "\u{0}"] {
            fs::write(&path, damage).unwrap();
            let error = home.load().unwrap_err().to_string();
            assert!(error.contains("member.toml holds"), "{error}");
        }
    }
}
