//! What a node knows of its place in a group, kept with its data.
//!
//! Written before it takes part: a member that forgot its number could vote twice.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use forebay_proto::{
    ids::NodeName,
    names::quorum::{GroupId, MemberNo},
};

use crate::registry::raft::Storage;

/// A node's place in a group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// Random, made with the data.
    pub store: u64,
    /// Its group and number, once it has them.
    pub member: Option<(GroupId, MemberNo)>,
    /// Whether it has taken part: its log must be there from then on.
    pub began: bool,
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
    /// It is another node's.
    #[error("{} is of node {found}, and this is {expected}; two nodes must not share data, nor one have a copy of another's: give this one its own `data`, or remove the directory to join as a new member", path.display())]
    OtherNode {
        /// Which file.
        path: PathBuf,
        /// Whose.
        found: String,
        /// This one.
        expected: NodeName,
    },
    /// The log is gone.
    #[error("{} says that this node has voted in its group, and its log is gone: without it, it could vote twice; remove {} as a whole to join as a new member", path.display(), directory.display())]
    NoLog {
        /// Which file.
        path: PathBuf,
        /// What to remove.
        directory: PathBuf,
    },
    /// The log is there, and whose it is is not known.
    #[error("{} is gone, and with it who this node is in its group, though its log is there; remove {} as a whole to join as a new member", path.display(), directory.display())]
    NoPlace {
        /// Which file.
        path: PathBuf,
        /// What to remove.
        directory: PathBuf,
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
    /// Blocks, unless in memory.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn load(&self, node: &NodeName) -> Result<Place, HomeError> {
        let kept = match self {
            Self::Directory(dir) => Self::look(dir, node)?,
            Self::Memory(home) => *home.place.lock().unwrap_or_else(PoisonError::into_inner),
        };
        let random = ring::rand::generate::<[u8; 8]>(&ring::rand::SystemRandom::new());
        let new = || Place {
            store: u64::from_le_bytes(random.expect("the system has random numbers").expose()),
            member: None,
            began: false,
        };
        let place = kept.unwrap_or_else(new);
        if let (None, Self::Directory(dir)) = (kept, self)
            && self.storage().exists()
        {
            return Err(HomeError::NoPlace { path: dir.join(FILE), directory: dir.clone() });
        }
        if kept.is_none() {
            self.save(node, place)?;
        }
        match self {
            Self::Directory(dir) if place.began && !self.storage().exists() => {
                Err(HomeError::NoLog { path: dir.join(FILE), directory: dir.clone() })
            }
            _ => Ok(place),
        }
    }

    /// What was kept in a directory, if anything was.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(super) fn look(directory: &Path, node: &NodeName) -> Result<Option<Place>, HomeError> {
        let path = directory.join(FILE);
        match read(&path)? {
            Some((found, _)) if found != node.as_str() => {
                Err(HomeError::OtherNode { path, found, expected: node.clone() })
            }
            kept => Ok(kept.map(|(_, place)| place)),
        }
    }

    /// Keeps it, also through a loss of power. Blocks, unless in memory.
    ///
    /// # Errors
    /// [`HomeError::Io`].
    pub fn save(&self, node: &NodeName, place: Place) -> Result<(), HomeError> {
        match self {
            Self::Directory(dir) => write(dir, node, place),
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

/// Whose place it is, and the place.
fn read(path: &Path) -> Result<Option<(String, Place)>, HomeError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path)(error)),
    };
    let damaged = || HomeError::Damaged { path: path.to_owned(), found: text.chars().take(200).collect() };
    parse(&text).map(Some).ok_or_else(damaged)
}

fn parse(text: &str) -> Option<(String, Place)> {
    let table: toml::Table = text.parse().ok()?;
    let node = table.get("node")?.as_str()?.to_owned();
    let number = |key: &str| u128::from_str_radix(table.get(key)?.as_str()?, 16).ok();
    let store = u64::try_from(number("store")?).ok()?;
    if !table.contains_key("group") && !table.contains_key("member") {
        return Some((node, Place { store, member: None, began: false }));
    }
    let member = MemberNo(u64::try_from(number("member")?).ok()?);
    let began = table.get("began")?.as_bool()?;
    Some((node, Place { store, member: Some((GroupId(number("group")?), member)), began }))
}

fn write(dir: &Path, node: &NodeName, place: Place) -> Result<(), HomeError> {
    let mut text = format!(
        "# This node's place in its group. Two nodes must not share it.\nnode = \"{node}\"\nstore = \"{:x}\"\n",
        place.store
    );
    if let Some((group, member)) = place.member {
        text += &format!("group = \"{group}\"\nmember = \"{:x}\"\nbegan = {}\n", member.0, place.began);
    }
    let (path, new) = (dir.join(FILE), dir.join("member.toml.new"));
    // What stages have agreed on is nobody else's business.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("make", dir))?;
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
        let node: NodeName = "a".parse().unwrap();
        let mut place = home.load(&node).unwrap();
        assert_eq!(place.member, None);
        assert_eq!(home.load(&node).unwrap(), place, "the same data, the same number");
        place.member = Some((GroupId(u128::MAX), MemberNo(17)));
        home.save(&node, place).unwrap();
        assert_eq!(home.load(&node).unwrap(), place);
        let error = home.load(&"b".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("is of node a, and this is b"), "{error}");
        let path = dir.path().join("raft/member.toml");
        for damage in ["", "store = \"xyz\"", "store = \"1\"\ngroup = \"2\"", "\u{0}"] {
            fs::write(&path, damage).unwrap();
            let error = home.load(&node).unwrap_err().to_string();
            assert!(error.contains("member.toml holds"), "{error}");
        }
    }

    /// It would have come back without its vote and its log, under its old number.
    #[test]
    fn a_member_that_took_part_does_not_begin_without_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let (home, node) = (Home::Directory(dir.path().join("raft")), "a".parse().unwrap());
        let place = Place { member: Some((GroupId(1), MemberNo(17))), ..home.load(&node).unwrap() };
        home.save(&node, place).unwrap();
        home.load(&node).expect("it has not begun yet");
        home.save(&node, Place { began: true, ..place }).unwrap();
        let error = home.load(&node).unwrap_err().to_string();
        assert!(error.contains("its log is gone") && error.contains("as a whole"), "{error}");

        // The reverse: it would have founded a group of its own, or joined, with the log of another member.
        fs::remove_file(dir.path().join("raft/member.toml")).unwrap();
        fs::write(dir.path().join("raft/raft.redb"), "").unwrap();
        let error = home.load(&node).unwrap_err().to_string();
        assert!(error.contains("though its log is there"), "{error}");
    }
}
