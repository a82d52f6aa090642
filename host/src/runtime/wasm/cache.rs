//! Compiled components on disk, taken back only if this node's own key says it wrote them.
//!
//! Loading compiled code runs it as part of the host, so an entry that somebody else could have made
//! must never get that far. The folder is this user's alone, and each entry carries a MAC under a
//! random key which lies in the folder:
//!
//! ```text
//! key                          32 random bytes, mode 0600
//! DIGEST-ENGINE.cwasm          32 bytes HMAC-SHA256 over name, 0, SHA-256 of the code | the code
//! ```
//!
//! The name is under the MAC, so that an entry cannot be put in the place of another. It has the
//! digest of the plugin's file and a hash of what the code depends on: wasmtime's version and settings, our version,
//! and the processor, with all its features that code is compiled for. So what is stale, and what came here from another
//! machine, is never looked at; wasmtime compares the features once more when it takes code in.
//!
//! An entry is read into memory, and what was verified is what is taken in. To map the file would save 15 of 140 ms for
//! 35 MB of code, and could be changed after it was verified.
//!
//! Several processes may share a folder: entries appear whole, by a rename, and whoever compiles the same at the same
//! time writes another that is as good. What is not used goes (`room.rs`); the folder can be deleted at any time.

mod room;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, DirBuilder},
    hash::{Hash, Hasher},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use ring::{
    digest::{self, SHA256},
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use tempfile::NamedTempFile;
use wasmtime::{Engine, component::Component};

use self::room::Room;
use super::file::Digest;

const MAC_BYTES: usize = 32;

/// The folder of compiled components.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    key: hmac::Key,
    room: Room,
}

impl Cache {
    /// Opens the folder, making it and its key if they are not there.
    ///
    /// # Errors
    /// From the system, or `PermissionDenied` if another user could have written here.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // A file made by us shows whose files are ours, without asking for the user's id.
        let mut made = NamedTempFile::new_in(folder)?;
        let owner = made.as_file().metadata()?.uid();
        check_private(folder, owner)?;
        let path = folder.join("key");
        if !path.try_exists()? {
            write_new_key(&mut made)?;
            keep_first(made.persist_noclobber(&path))?;
        }
        check_private(&path, owner)?;
        let key = fs::read(&path)?;
        if key.len() != MAC_BYTES {
            let text = format!("the key {} has {} bytes, not {MAC_BYTES}; delete it", path.display(), key.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let (folder, key) = (folder.to_owned(), hmac::Key::new(hmac::HMAC_SHA256, &key));
        let cache = Self { room: Room::new(&folder), folder, key };
        cache.room.make(SystemTime::now());
        Ok(cache)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The component compiled earlier, or `None`: not there, or not to be trusted, which is logged.
    pub(super) fn load(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let name = entry_name(engine, digest);
        let path = self.folder.join(&name);
        let entry = match fs::read(&path) {
            Ok(entry) => entry,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => return refused(&path, &error.to_string()),
        };
        let Some((mac, code)) = entry.split_at_checked(MAC_BYTES) else {
            return refused(&path, "it is too short to carry its MAC");
        };
        if hmac::verify(&self.key, &signed(&name, code), mac).is_err() {
            return refused(&path, "its MAC is not of this folder's key");
        }
        let component = deserialize(engine, code).map_or_else(|error| refused(&path, &format!("{error:#}")), Some)?;
        self.room.used(&name);
        Some(component)
    }

    /// Keeps a compiled component. What goes wrong is only logged: the next start compiles again.
    pub(super) fn store(&self, component: &Component, digest: &Digest) {
        if let Err(error) = self.try_store(component, digest) {
            tracing::warn!(folder = %self.folder.display(), %error, "compiled plugin not cached");
        }
    }

    fn try_store(&self, component: &Component, digest: &Digest) -> io::Result<()> {
        let code = component.serialize().map_err(|error| io::Error::other(format!("{error:#}")))?;
        let name = entry_name(component.engine(), digest);
        let mac = hmac::sign(&self.key, &signed(&name, &code));
        let mut file = NamedTempFile::new_in(&self.folder)?;
        file.write_all(mac.as_ref())?;
        file.write_all(&code)?;
        // No fsync: after a crash a torn entry fails its MAC and is compiled anew.
        file.persist(self.folder.join(&name))?;
        self.room.used(&name);
        self.room.make(SystemTime::now());
        Ok(())
    }
}

/// Turns code into a component that can run.
///
/// # Errors
/// If it was made for another engine.
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    #[allow(unsafe_code, reason = "wasmtime cannot check compiled code; its MAC says that this node wrote it")]
    // SAFETY: `deserialize` wants bytes that `serialize` gave. The only caller has just verified, over
    // these very bytes in memory, a MAC under a key that only this user can read, and which is used
    // for nothing but the output of `serialize`.
    unsafe {
        Component::deserialize(engine, code)
    }
}

fn refused(path: &Path, reason: &str) -> Option<Component> {
    tracing::warn!(entry = %path.display(), reason, "cached plugin not used, compiling it anew");
    None
}

/// Nobody but `owner` may write or read here.
fn check_private(path: &Path, owner: u32) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    let mode = metadata.mode() & 0o7777;
    if metadata.uid() == owner && mode & 0o077 == 0 && !metadata.is_symlink() {
        return Ok(());
    }
    let uid = metadata.uid();
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!(
            "{} is open to others (mode {mode:04o}, owner {uid}, this process is {owner}): compiled code from there \
             would be run; make it private with `chmod go=`, or delete it",
            path.display()
        ),
    ))
}

fn write_new_key(file: &mut NamedTempFile) -> io::Result<()> {
    let mut key = [0; MAC_BYTES];
    SystemRandom::new().fill(&mut key).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    file.write_all(&key)
}

/// Of two processes that make a key at once, one comes first and both use its key.
fn keep_first<T>(persisted: Result<T, tempfile::PersistError>) -> io::Result<()> {
    match persisted {
        Err(tempfile::PersistError { error, .. }) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn signed(name: &str, code: &[u8]) -> Vec<u8> {
    [name.as_bytes(), &[0], &Digest::of(code).0].concat()
}

/// Raised when entries of one release are not those of the one before.
const FORMAT: u32 = 2;

fn entry_name(engine: &Engine, digest: &Digest) -> String {
    let mut hasher = DigestHasher(digest::Context::new(&SHA256));
    engine.precompile_compatibility_hash().hash(&mut hasher);
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    FORMAT.hash(&mut hasher);
    let engine = Digest(hasher.0.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"));
    format!("{}-{}.cwasm", digest.hex(), &engine.hex()[..16])
}

/// SHA-256 as a `Hasher`: unlike that of the standard library, the same in every build.
struct DigestHasher(digest::Context);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finish();
        u64::from_le_bytes(digest.as_ref()[..8].try_into().expect("8 bytes"))
    }
}
