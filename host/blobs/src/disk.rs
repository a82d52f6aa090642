//! The folders of a store, and how a file gets its name in them.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use forebay_proto::blob::{BLOB_BYTES_MAX, Digest};

use crate::{
    error::{BlobError, failed},
    hash::{Summed, digest_of, sum},
};

/// A blob that is being written has a name that begins so.
const PUT_PREFIX: &str = ".put-";

/// Of the digests of a download's chunks.
pub(crate) const LIST_SUFFIX: &str = ".list";

/// Of an upload.
pub(crate) const UPLOAD_SUFFIX: &str = ".upload";

/// See [`crate`] for what is where.
#[derive(Debug)]
pub(crate) struct Folders {
    pub(crate) blobs: PathBuf,
    pub(crate) partial: PathBuf,
    /// Held by whoever gives a file its name, or takes one away after looking at it: what is removed is what was
    /// looked at. Taken on blocking threads only.
    names: Mutex<()>,
}

impl Folders {
    /// Makes them, and removes what an earlier process was writing.
    pub(crate) fn open(data: &Path) -> io::Result<Self> {
        let (blobs, partial) = (data.join("blobs"), data.join("blobs/partial"));
        // What runs on this node is nobody else's business, and nobody else's to change.
        DirBuilder::new().recursive(true).mode(0o700).create(&partial)?;
        for folder in [data, &blobs] {
            sync_folder(folder)?;
        }
        for entry in fs::read_dir(&partial)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(PUT_PREFIX) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { blobs, partial, names: Mutex::default() })
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    pub(crate) fn partial(&self, digest: &Digest) -> PathBuf {
        self.partial.join(digest.hex())
    }

    pub(crate) fn list(&self, digest: &Digest) -> PathBuf {
        self.partial.join(digest.hex() + LIST_SUFFIX)
    }

    pub(crate) fn upload(&self, digest: &Digest) -> PathBuf {
        self.partial.join(digest.hex() + UPLOAD_SUFFIX)
    }

    pub(crate) fn names(&self) -> MutexGuard<'_, ()> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes these bytes a blob. Nothing is left of them after an error.
    pub(crate) fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), BlobError> {
        if self.touch(digest, |file| is_same(file, bytes))? {
            return Ok(());
        }
        let path = self.blob(digest);
        let made = tempfile::Builder::new().prefix(PUT_PREFIX).tempfile_in(&self.partial);
        let mut file = made.map_err(failed("make a file for", &path))?;
        file.write_all(bytes).map_err(failed("write", &path))?;
        file.as_file().sync_all().map_err(failed("write", &path))?;
        let _names = self.names();
        file.persist(&path).map_err(|error| failed("name", &path)(error.error))?;
        sync_folder(&self.blobs).map_err(failed("write", &self.blobs))
    }

    /// Makes a partial file a blob whose bytes were just hashed.
    pub(crate) fn settle(&self, partial: &Path, file: &File, digest: &Digest) -> Result<(), BlobError> {
        file.sync_all().map_err(failed("write", partial))?;
        // Its age as a blob begins now.
        file.set_modified(SystemTime::now()).map_err(failed("write", partial))?;
        let _names = self.names();
        let path = self.blob(digest);
        fs::rename(partial, &path).map_err(failed("name", &path))?;
        sync_folder(&self.blobs).map_err(failed("write", &self.blobs))
    }

    /// Has a blob's age begin anew, so that it is not collected before somebody refers to it. Whether there is one
    /// that is right.
    pub(crate) fn touch(
        &self,
        digest: &Digest,
        is_right: impl FnOnce(&File) -> io::Result<bool>,
    ) -> Result<bool, BlobError> {
        let path = self.blob(digest);
        let _names = self.names();
        let Some(file) = found(File::open(&path)).map_err(failed("open", &path))? else { return Ok(false) };
        let right = is_right(&file).map_err(failed("read", &path))?;
        if right {
            file.set_modified(SystemTime::now()).map_err(failed("touch", &path))?;
        }
        Ok(right)
    }

    /// Reads a blob, and hashes what was read.
    pub(crate) fn read(&self, digest: &Digest) -> Result<Vec<u8>, BlobError> {
        let path = self.blob(digest);
        let file = found(File::open(&path)).map_err(failed("open", &path))?;
        let file = file.ok_or(BlobError::Missing { digest: *digest })?;
        let length = file.metadata().map_err(failed("read", &path))?.len();
        if length > BLOB_BYTES_MAX {
            return Err(self.damaged(digest));
        }
        let mut bytes = Vec::with_capacity(length as usize);
        file.take(BLOB_BYTES_MAX).read_to_end(&mut bytes).map_err(failed("read", &path))?;
        if digest_of(&bytes) == *digest { Ok(bytes) } else { Err(self.damaged(digest)) }
    }

    /// Goes through a blob without keeping it in memory.
    pub(crate) fn sum(&self, digest: &Digest) -> Result<Summed, BlobError> {
        let path = self.blob(digest);
        let file = found(File::open(&path)).map_err(failed("open", &path))?;
        let summed = sum(file.ok_or(BlobError::Missing { digest: *digest })?).map_err(failed("read", &path))?;
        if summed.whole == *digest { Ok(summed) } else { Err(self.damaged(digest)) }
    }

    /// Removes a blob that was found altered, unless it was put in order meanwhile.
    pub(crate) fn damaged(&self, digest: &Digest) -> BlobError {
        let path = self.blob(digest);
        let _names = self.names();
        let is_right = File::open(&path).and_then(sum).is_ok_and(|summed| summed.whole == *digest);
        if !is_right {
            tracing::warn!(path = %path.display(), "the file was altered: it is removed, to be fetched again");
            if let Err(error) = remove(&path) {
                tracing::warn!(path = %path.display(), %error, "it cannot be removed; it is not used all the same");
            }
        }
        BlobError::Damaged { digest: *digest }
    }
}

fn is_same(file: &File, bytes: &[u8]) -> io::Result<bool> {
    Ok(file.metadata()?.len() == bytes.len() as u64 && sum(file)?.whole == digest_of(bytes))
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    found(fs::remove_file(path)).map(drop)
}

/// `None` for what is not there.
pub(crate) fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Runs what may wait for the disk, or takes long, where it keeps nobody else waiting.
///
/// # Cancel safety
/// Once begun it is done, heard or not.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime ends: so does whoever waits.
        Err(_) => std::future::pending().await,
    }
}
