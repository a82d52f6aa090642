//! Blobs between nodes: what a node gives its peers of its own, and how it gets those that it does not have.
//!
//! - `blobs/peer.rs`: requests to peers, and theirs to us.

mod peer;

use std::sync::{Arc, Weak};

use forebay_blobs::{BlobStore, FetchError, Progress};
use forebay_proto::{blob::BlobInfo, ids::NodeName};

pub(super) use peer::{answer, put_off};

use super::directory::Directory;

/// A node's blobs, and the way to those of its peers. Does not keep the node up.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: BlobStore,
    directory: Weak<Directory>,
}

impl Blobs {
    pub(crate) fn new(store: BlobStore, directory: &Arc<Directory>) -> Self {
        Self { store, directory: Arc::downgrade(directory) }
    }

    /// Those that are here.
    pub fn store(&self) -> &BlobStore {
        &self.store
    }

    /// Sees to it that a blob is here: fetches it from whichever of the peers that are connected meanwhile has it,
    /// unless it is here. May be tried again after any error but [`FetchError::Contradiction`], and goes on where it
    /// ended.
    ///
    /// # Errors
    /// [`FetchError`]. [`FetchError::NoSource`] says what became of each peer.
    ///
    /// # Cancel safety
    /// What came by then is kept.
    pub async fn obtain(&self, info: &BlobInfo, progress: &Progress) -> Result<(), FetchError> {
        self.store.fetch(info, &peer::PeerSource::new(self.directory.clone()), progress).await
    }

    /// How many bytes of these a node has, as it says itself; `None`: it does not say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn held(&self, node: &NodeName, blobs: &[BlobInfo]) -> Option<u64> {
        let (mut sum, source) = (0, peer::PeerSource::new(self.directory.clone()));
        let is_us = self.directory.upgrade().is_some_and(|directory| directory.node() == node);
        for blob in blobs {
            let held = match is_us {
                true => self.store.held(&blob.digest),
                false => source.held(node, &blob.digest).await?,
            };
            sum += held.min(blob.bytes);
        }
        Some(sum)
    }
}
