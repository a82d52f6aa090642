//! Taking a blob over from peers: the list of its chunks first, then the chunks that are missing.
//!
//! ```text
//! look at what is here --> all right: hash the whole, sync, name it
//!          ^                   |
//!          |                   v
//!          '------------- fetch what is missing, a few at a time
//! ```
//!
//! What is on disk is only believed after it was read and hashed, at the beginning (after whatever broke the last
//! attempt off) and at the end alike.

use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use forebay_proto::blob::{BLOB_BYTES_MAX, BlobInfo, CHUNK_BYTES, Digest};

use crate::{
    busy::Turn,
    disk::{Folders, blocking, found, remove},
    error::{BlobError, FetchError, failed},
    hash::{digest_of, list_from, sum},
    source::{Progress, Source},
    sources::{Piece, Sources},
    store::BlobStore,
};

/// How often what was written may read differently.
const ROUNDS_MAX: usize = 4;

impl BlobStore {
    /// Fetches a blob from whoever has it, unless it is here. Goes on where an earlier attempt ended, also one of an
    /// earlier process. Of two fetches of the same blob one waits for the other.
    ///
    /// Afterwards the blob outlasts a loss of power.
    ///
    /// # Errors
    /// [`FetchError`]; what came is kept, except after a [`FetchError::Contradiction`].
    ///
    /// # Cancel safety
    /// What came by then is kept.
    pub async fn fetch(&self, info: &BlobInfo, source: &dyn Source, progress: &Progress) -> Result<(), FetchError> {
        if info.bytes > BLOB_BYTES_MAX {
            return Err(BlobError::TooLong { bytes: info.bytes }.into());
        }
        progress.set(0, info.bytes);
        let turn = Arc::new(self.shared.busy.turn(&self.shared.folders.partial(&info.digest)).await);
        if self.is_here(info).await? {
            progress.set(info.bytes, info.bytes);
            return Ok(());
        }
        let sources = Sources::new(source, &self.shared.asking, info.digest);
        let list = self.list_for(info, &sources, progress).await?;
        let file = self.open_partial(info).await?;
        let download = Download { info: *info, list, file, sources, progress, turn };
        for _ in 0..ROUNDS_MAX {
            let missing = match download.look().await? {
                Found { missing, whole } if missing.is_empty() => return self.end_fetch(download, whole).await,
                found => found.missing,
            };
            download.fill(missing).await?;
        }
        Err(FetchError::Unsteady { digest: info.digest })
    }

    /// # Errors
    /// If what is here is another file than was agreed on, although of the same digest.
    async fn is_here(&self, info: &BlobInfo) -> Result<bool, FetchError> {
        match self.info(&info.digest).await {
            Ok(found) if found == *info => Ok(true),
            Ok(found) => {
                let why = format!("the file has {} bytes and chunks of {}", found.bytes, found.chunks);
                Err(FetchError::Contradiction { digest: info.digest, why })
            }
            Err(BlobError::Missing { .. } | BlobError::Damaged { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// From disk if it is right there.
    async fn list_for(
        &self,
        info: &BlobInfo,
        sources: &Sources<'_>,
        progress: &Progress,
    ) -> Result<Arc<[Digest]>, FetchError> {
        let (path, expected) = (self.shared.folders.list(&info.digest), info.chunks);
        let length = info.chunk_count() * 32;
        let from = path.clone();
        let kept = blocking(move || read_list(&from, length)).await;
        let kept = kept.map_err(failed("read", &path))?.filter(|bytes| digest_of(bytes) == expected);
        let bytes = match kept {
            Some(bytes) => bytes,
            None => {
                let come = sources.get(Piece::List { expected }).await;
                let bytes = come.map_err(|why| nobody(info, progress, why))?.to_vec();
                if bytes.len() as u64 != length {
                    let why = format!("{} chunks for {} bytes", bytes.len() / 32, info.bytes);
                    return Err(FetchError::Contradiction { digest: info.digest, why });
                }
                let (to, written) = (path.clone(), bytes.clone());
                blocking(move || fs::write(to, written)).await.map_err(failed("write", &path))?;
                bytes
            }
        };
        Ok(list_from(&bytes).into())
    }

    async fn open_partial(&self, info: &BlobInfo) -> Result<Arc<File>, FetchError> {
        let (path, bytes) = (self.shared.folders.partial(&info.digest), info.bytes);
        let open = move || {
            let mut options = File::options();
            let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
            let cut = file.and_then(|file| {
                if file.metadata()?.len() > bytes {
                    file.set_len(bytes)?;
                }
                Ok(Arc::new(file))
            });
            cut.map_err(failed("open", &path))
        };
        Ok(blocking(open).await?)
    }

    /// All chunks are right. So is the whole, unless what was agreed on is not of one file.
    async fn end_fetch(&self, download: Download<'_>, whole: Digest) -> Result<(), FetchError> {
        let Download { info: BlobInfo { digest, .. }, file, turn, .. } = download;
        self.work(move |shared| {
            let _turn = turn;
            let folders = &shared.folders;
            let (partial, list) = (folders.partial(&digest), folders.list(&digest));
            if whole != digest {
                remove_all(folders, &digest)?;
                let why = format!("its chunks, put together, are {whole}");
                return Err(FetchError::Contradiction { digest, why });
            }
            folders.settle(&partial, &file, &digest)?;
            Ok(remove(&list).map_err(failed("remove", &list))?)
        })
        .await
    }
}

fn remove_all(folders: &Folders, digest: &Digest) -> Result<(), BlobError> {
    [folders.partial(digest), folders.list(digest)]
        .into_iter()
        .try_for_each(|path| remove(&path).map_err(failed("remove", &path)))
}

/// `None`: there is none, or it cannot be right.
fn read_list(path: &Path, length: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = found(File::open(path))? else { return Ok(None) };
    if file.metadata()?.len() != length {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn nobody(info: &BlobInfo, progress: &Progress, why: String) -> FetchError {
    FetchError::NoSource { digest: info.digest, held: progress.held(), bytes: info.bytes, why }
}

/// A fetch whose list of chunks is known.
struct Download<'a> {
    info: BlobInfo,
    list: Arc<[Digest]>,
    file: Arc<File>,
    sources: Sources<'a>,
    progress: &'a Progress,
    /// Shared with what is being written, so that a fetch that is given up ends with its last write.
    turn: Arc<Turn>,
}

/// What is on disk.
struct Found {
    /// Chunks that are not there or not right.
    missing: Vec<u64>,
    /// The digest of the file as it is.
    whole: Digest,
}

impl Download<'_> {
    async fn look(&self) -> Result<Found, FetchError> {
        let (info, list, file) = (self.info, Arc::clone(&self.list), Arc::clone(&self.file));
        let summed = blocking(move || {
            (&*file).rewind()?;
            sum(&*file)
        });
        let summed = summed.await.map_err(failed("read the download of", info.digest.hex()))?;
        let is_missing = |index: &u64| summed.chunks.get(*index as usize) != list.get(*index as usize);
        let missing: Vec<u64> = (0..info.chunk_count()).filter(is_missing).collect();
        let lacking: u64 = missing.iter().map(|index| info.chunk_bytes(*index)).sum();
        self.progress.set(info.bytes - lacking, info.bytes);
        Ok(Found { missing, whole: summed.whole })
    }

    /// Fetches these chunks, four at a time: while one is on its way another is hashed and written. After an error no
    /// further ones are begun; those on their way are still written.
    async fn fill(&self, missing: Vec<u64>) -> Result<(), FetchError> {
        let queue = Queue { missing, next: AtomicUsize::new(0) };
        let work = || async {
            while let Some(index) = queue.next() {
                if let Err(error) = self.fill_one(index).await {
                    queue.stop();
                    return Err(error);
                }
            }
            Ok(())
        };
        let (one, two, three, four) = tokio::join!(work(), work(), work(), work());
        one.and(two).and(three).and(four)
    }

    async fn fill_one(&self, index: u64) -> Result<(), FetchError> {
        let piece = Piece::Chunk { index, expected: self.list[index as usize] };
        let bytes = self.sources.get(piece).await.map_err(|why| nobody(&self.info, self.progress, why))?;
        let (file, turn, length) = (Arc::clone(&self.file), Arc::clone(&self.turn), bytes.len() as u64);
        let written = blocking(move || {
            let _turn = turn;
            file.write_all_at(&bytes, index * CHUNK_BYTES)
        });
        written.await.map_err(failed("write the download of", self.info.digest.hex()))?;
        self.progress.add(length);
        Ok(())
    }
}

/// What is still to be fetched.
struct Queue {
    missing: Vec<u64>,
    next: AtomicUsize,
}

impl Queue {
    fn next(&self) -> Option<u64> {
        self.missing.get(self.next.fetch_add(1, Ordering::Relaxed)).copied()
    }

    fn stop(&self) {
        self.next.store(self.missing.len(), Ordering::Relaxed);
    }
}
