//! A store of blobs: puts them and gives them back.

use std::{
    collections::HashMap,
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use forebay_proto::blob::{ASKED_MAX, BLOB_BYTES_MAX, BlobInfo, Digest};
use tokio::sync::Semaphore;

use crate::{
    busy::{Busy, Turn},
    disk::{Folders, blocking},
    error::BlobError,
    hash::info_of,
};

/// The blobs of a node. See [`crate`].
///
/// Cheap to clone: all clones are one store. Two that are opened on the same directory are a mistake, which a
/// node's lock on its data directory keeps from being made.
#[derive(Clone, Debug)]
pub struct BlobStore {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) folders: Folders,
    pub(crate) busy: Busy,
    /// The digests of the chunks of blobs that were asked for.
    pub(crate) lists: Mutex<HashMap<Digest, Arc<[Digest]>>>,
    /// What is asked of peers at a time, whatever is fetched: no more than one of them answers.
    pub(crate) asking: Semaphore,
}

impl BlobStore {
    /// Opens the store in a node's data directory, which may not be there yet. New folders have mode 0700.
    ///
    /// Waits for the disk: a few system calls.
    ///
    /// # Errors
    /// If the folders cannot be made or read.
    pub fn open(data: &Path) -> io::Result<Self> {
        let shared = Shared {
            folders: Folders::open(data)?,
            busy: Busy::default(),
            lists: Mutex::default(),
            asking: Semaphore::new(ASKED_MAX),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Keeps these bytes. Once this returns they outlast a loss of power. A blob that is there already has its
    /// age begin anew; see [`collect`](Self::collect).
    ///
    /// # Errors
    /// [`BlobError::TooLong`], [`BlobError::NoRoom`], [`BlobError::Io`]; then nothing was kept.
    ///
    /// # Cancel safety
    /// The bytes are kept, or will be, or nothing is.
    pub async fn put(&self, bytes: Bytes) -> Result<BlobInfo, BlobError> {
        if bytes.len() as u64 > BLOB_BYTES_MAX {
            return Err(BlobError::TooLong { bytes: bytes.len() as u64 });
        }
        self.work(move |shared| {
            let info = info_of(&bytes);
            shared.folders.put(&info.digest, &bytes)?;
            Ok(info)
        })
        .await
    }

    /// Whether there is a file of this name: one that was altered shows only when it is read.
    ///
    /// A system call, of about a microsecond.
    pub fn has(&self, digest: &Digest) -> bool {
        self.shared.folders.blob(digest).is_file()
    }

    /// How many bytes of a blob are on disk, roughly: what of a download is written, or all of it. Unchecked.
    ///
    /// Two system calls.
    pub fn held(&self, digest: &Digest) -> u64 {
        let folders = &self.shared.folders;
        let whole = std::fs::metadata(folders.blob(digest)).map(|file| file.len());
        // A download has its whole length from the start, with holes.
        let part = |_| std::fs::metadata(folders.partial(digest)).map(|file| (file.blocks() * 512).min(file.len()));
        whole.or_else(part).unwrap_or(0)
    }

    /// A blob's bytes. They were read once, and these very bytes were hashed.
    ///
    /// # Errors
    /// [`BlobError::Missing`]; [`BlobError::Damaged`], and then the file is gone; [`BlobError::Io`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn read(&self, digest: &Digest) -> Result<Bytes, BlobError> {
        let digest = *digest;
        self.work(move |shared| shared.folders.read(&digest).map(Bytes::from)).await
    }

    /// What there is to know of a blob, from its bytes as they are now.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn info(&self, digest: &Digest) -> Result<BlobInfo, BlobError> {
        let digest = *digest;
        self.work(move |shared| Ok(shared.folders.sum(&digest)?.info())).await
    }

    /// Disk work with the store.
    pub(crate) async fn work<T: Send + 'static>(&self, work: impl FnOnce(&Shared) -> T + Send + 'static) -> T {
        let shared = Arc::clone(&self.shared);
        blocking(move || work(&shared)).await
    }

    /// Disk work with a file whose turn it is: the turn ends with the work, even if nobody waits for that any more.
    pub(crate) async fn work_in_turn<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> T {
        self.work(move |shared| {
            let done = work(shared);
            drop(turn);
            done
        })
        .await
    }
}
