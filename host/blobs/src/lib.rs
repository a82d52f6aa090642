//! Keeps files by their SHA-256 (blobs: plugins and pipeline files), and takes them over from other nodes chunk by
//! chunk.
//!
//! ```text
//! DATA/blobs/HEX                  a blob; never changed once it has this name
//! DATA/blobs/partial/HEX          a download: each chunk at its place, others missing
//! DATA/blobs/partial/HEX.list     the digests of its chunks
//! DATA/blobs/partial/HEX.upload   an operator's upload: the first bytes, in order
//! DATA/blobs/partial/.put-*       a blob being written; removed when the store is opened
//! ```
//!
//! What a file's name says of it is a claim, and so is what was said when it was written: disks fail, and others may
//! write where they should not. So every byte that leaves the store was hashed after it was read for the last time.
//! A blob that does not fit its name is removed, with a warning, and is fetched again like one that never came.
//!
//! One process uses a directory at a time. Disk work is done on tokio's blocking threads.

mod busy;
mod collect;
mod disk;
mod error;
mod fetch;
mod hash;
mod serve;
mod source;
mod sources;
mod store;
mod upload;

pub use collect::Collected;
pub use error::{BlobError, FetchError};
pub use hash::{digest_of, info_of};
pub use source::{Progress, Source, SourceError};
pub use store::BlobStore;
pub use upload::{UPLOADS_MAX, Uploaded};
