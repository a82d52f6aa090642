//! What can go wrong with a blob.

use std::{io, path::PathBuf};

use forebay_proto::blob::{BLOB_BYTES_MAX, Digest};

/// A blob cannot be kept or given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// Fetch or upload it first.
    #[error("there is no blob {digest} here")]
    Missing {
        /// Which.
        digest: Digest,
    },
    /// Its file was altered, and is removed: now it is missing.
    #[error("the file of blob {digest} was altered and is not used; have it fetched or uploaded again")]
    Damaged {
        /// Which.
        digest: Digest,
    },
    /// Of a blob that has so many chunks there is none of this number.
    #[error("blob {digest} has {chunks} chunks, none of number {index}")]
    NoChunk {
        /// Of which blob.
        digest: Digest,
        /// Which was asked for.
        index: u64,
        /// How many there are.
        chunks: usize,
    },
    /// More than a blob may have.
    #[error("{bytes} bytes are too many for a file of a plugin or pipeline: at most {BLOB_BYTES_MAX}")]
    TooLong {
        /// How many.
        bytes: u64,
    },
    /// A part goes beyond the length that is told with it.
    #[error("an upload of {bytes} bytes was given {part} bytes from byte {at} on")]
    Overrun {
        /// The length told.
        bytes: u64,
        /// Where the part begins.
        at: u64,
        /// The part's length.
        part: usize,
    },
    /// What was uploaded has another digest; it is dropped.
    #[error(
        "what was uploaded as {expected} is {found}: it was altered on its way or while it was read; upload it again"
    )]
    Mismatch {
        /// As was told.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The disk is full, or what this user may have of it.
    #[error("no room on the disk to write {}; make room and try again", path.display())]
    NoRoom {
        /// Which file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The disk failed.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was attempted.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

/// A blob could not be fetched. What came of it is kept, and the next attempt goes on there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Nobody who is connected can give what is missing; another time somebody may.
    #[error("nobody can give blob {digest}, of which {held} of {bytes} bytes are here: {why}")]
    NoSource {
        /// Which blob.
        digest: Digest,
        /// Bytes of it that are here.
        held: u64,
        /// Its length.
        bytes: u64,
        /// What became of each peer that was asked.
        why: String,
    },
    /// Length, chunks and digest are not of the same file: it can never be fetched. What came of it is dropped.
    #[error("what was agreed on of blob {digest} is not of one file: {why}")]
    Contradiction {
        /// Which blob.
        digest: Digest,
        /// What shows it.
        why: String,
    },
    /// What is written reads differently, again and again.
    #[error("blob {digest} does not stay on the disk as it is written; the disk may be failing")]
    Unsteady {
        /// Which blob.
        digest: Digest,
    },
    /// It is too long, or this node's disk failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// Says what was attempted with which file.
pub(crate) fn failed(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> BlobError {
    let path = path.into();
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BlobError::NoRoom { path, source },
        _ => BlobError::Io { what, path, source },
    }
}
