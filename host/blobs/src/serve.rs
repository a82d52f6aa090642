//! What peers are given of a blob: the digests of its chunks, and one chunk at a time.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    sync::{Arc, PoisonError},
};

use bytes::Bytes;
use forebay_proto::blob::{CHUNK_BYTES, Digest};

use crate::{
    disk::found,
    error::{BlobError, failed},
    hash::digest_of,
    store::{BlobStore, Shared},
};

/// Lists that are kept, of up to 8 KiB each. When there are more all are made anew, as they are asked for.
const LISTS_MAX: usize = 64;

impl BlobStore {
    /// The digests of a blob's chunks.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn chunk_list(&self, digest: &Digest) -> Result<Arc<[Digest]>, BlobError> {
        if !self.has(digest) {
            return Err(BlobError::Missing { digest: *digest });
        }
        if let Some(list) = self.shared.cached(digest) {
            return Ok(list);
        }
        // Of many who ask at once, one reads the file and the others wait.
        let turn = self.shared.busy.turn(&self.shared.folders.blob(digest)).await;
        let digest = *digest;
        self.work_in_turn(turn, move |shared| shared.make_list(&digest)).await
    }

    /// A chunk of a blob, of which these very bytes were hashed.
    ///
    /// # Errors
    /// As of [`read`](Self::read), and [`BlobError::NoChunk`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn chunk(&self, digest: &Digest, index: u64) -> Result<Bytes, BlobError> {
        let list = self.chunk_list(digest).await?;
        let expected = usize::try_from(index).ok().and_then(|index| list.get(index)).copied();
        let expected = expected.ok_or(BlobError::NoChunk { digest: *digest, index, chunks: list.len() })?;
        let digest = *digest;
        self.work(move |shared| shared.read_chunk(&digest, index, &expected)).await
    }
}

impl Shared {
    fn cached(&self, digest: &Digest) -> Option<Arc<[Digest]>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    fn make_list(&self, digest: &Digest) -> Result<Arc<[Digest]>, BlobError> {
        if let Some(list) = self.cached(digest) {
            return Ok(list);
        }
        let list: Arc<[Digest]> = self.folders.sum(digest)?.chunks.into();
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if lists.len() >= LISTS_MAX {
            lists.clear();
        }
        lists.insert(*digest, Arc::clone(&list));
        Ok(list)
    }

    fn read_chunk(&self, digest: &Digest, index: u64, expected: &Digest) -> Result<Bytes, BlobError> {
        let path = self.folders.blob(digest);
        let file = found(File::open(&path)).map_err(failed("open", &path))?;
        let file = file.ok_or(BlobError::Missing { digest: *digest })?;
        let bytes = chunk_of(&file, index).map_err(failed("read", &path))?;
        if digest_of(&bytes) == *expected { Ok(bytes.into()) } else { Err(self.folders.damaged(digest)) }
    }
}

/// What a file has of a chunk.
pub(crate) fn chunk_of(mut file: &File, index: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(index.saturating_mul(CHUNK_BYTES)))?;
    file.take(CHUNK_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
