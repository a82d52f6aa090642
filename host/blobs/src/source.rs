//! Where blobs come from, and how far one is.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_proto::{blob::Digest, ids::NodeName};

/// Other nodes that may have a blob.
///
/// They may be anybody and answer anything: whoever asks checks what comes. An implementation limits how long it
/// waits for an answer, and how much it takes for one.
#[async_trait]
pub trait Source: Send + Sync {
    /// Who can be asked now. It is looked at before each request, so it may change at any time.
    fn peers(&self) -> Vec<NodeName>;

    /// The digests of a blob's chunks.
    async fn list(&self, peer: &NodeName, digest: &Digest) -> Result<Vec<Digest>, SourceError>;

    /// A chunk of a blob.
    async fn chunk(&self, peer: &NodeName, digest: &Digest, index: u64) -> Result<Bytes, SourceError>;
}

/// A peer did not give what it was asked for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SourceError {
    /// It does not have this blob.
    #[error("does not have it")]
    Missing,
    /// This time, for this reason. Another time it may.
    #[error("{0}")]
    Failed(String),
    /// It answered what cannot be. It is not asked again for this blob.
    #[error("cannot be believed: {0}")]
    Wrong(String),
}

/// How far a fetch is. Anybody may read it at any time.
#[derive(Debug, Default)]
pub struct Progress {
    held: AtomicU64,
    bytes: AtomicU64,
}

impl Progress {
    /// Bytes of the blob that are here and right.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// The blob's length; 0 before its fetch has begun.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, held: u64, bytes: u64) {
        self.held.store(held, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, held: u64) {
        self.held.fetch_add(held, Ordering::Relaxed);
    }
}
