//! Pipelines and plugins from this node's store of blobs, fetched from peers where they are not in it.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_blobs::{BlobStore, FetchError, Progress};
use forebay_proto::{blob::BlobInfo, deploy::PluginVersion, pipeline};

use super::{LoadFailure, Loader};
use crate::{
    chain::chain,
    node::Blobs,
    runtime::{Grants, LoadError, Plugin, native, wasm::Wasm},
    signature::TrustedKeys,
};

/// Blobs that nobody refers to stay for so long: an operator may have uploaded them and be reading the plan.
const UNUSED_KEPT: Duration = Duration::from_secs(3600);

/// See the module's documentation.
pub struct StoreLoader {
    store: BlobStore,
    wasm: Wasm,
    trusted: TrustedKeys,
    blobs: OnceLock<Blobs>,
}

impl fmt::Debug for StoreLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreLoader").finish_non_exhaustive()
    }
}

impl StoreLoader {
    /// Keeps blobs in `store`, runs what `trusted` allows.
    pub fn new(store: BlobStore, wasm: Wasm, trusted: TrustedKeys) -> Self {
        Self { store, wasm, trusted, blobs: OnceLock::new() }
    }

    /// The bytes of a blob, which were hashed just now.
    async fn bytes(&self, blob: &BlobInfo) -> Result<Bytes, LoadFailure> {
        if !self.store.has(&blob.digest) {
            self.fetch(blob).await?;
        }
        // One that was altered is gone from the store by now, and is fetched when this is tried again.
        self.store.read(&blob.digest).await.map_err(|error| LoadFailure::NotNow(chain(&error)))
    }

    async fn fetch(&self, blob: &BlobInfo) -> Result<(), LoadFailure> {
        let Some(blobs) = self.blobs.get() else {
            return Err(LoadFailure::NotNow(format!("{} is not here", blob.digest)));
        };
        let fetched = blobs.obtain(blob, &Progress::default()).await;
        fetched.map_err(|error| match error {
            error @ FetchError::Contradiction { .. } => LoadFailure::Refused(chain(&error)),
            error => LoadFailure::NotNow(chain(&error)),
        })
    }
}

#[async_trait]
impl Loader for StoreLoader {
    async fn text(&self, blob: &BlobInfo) -> Result<Bytes, LoadFailure> {
        self.bytes(blob).await
    }

    async fn plugin(&self, stage: &pipeline::Stage, version: &PluginVersion) -> Result<Arc<dyn Plugin>, LoadFailure> {
        let (blob, signature) = match version {
            PluginVersion::Builtin(name) => {
                let refused = || LoadFailure::Refused(format!("this release has no built-in stage `{name}` to deploy"));
                return native::named(name).ok_or_else(refused);
            }
            PluginVersion::Blob { blob, signature } => (blob, signature.as_deref()),
        };
        let bytes = self.bytes(blob).await?;
        let verified = self.trusted.verify(&bytes, signature);
        verified.map_err(|error| LoadFailure::Refused(format!("plugin {}: {}", blob.digest, chain(&error))))?;
        let label = format!("{} ({})", stage.plugin, blob.digest.short());
        let loaded = self.wasm.load_bytes(&label, bytes, &stage.grants).await;
        loaded.map_err(|error| match error {
            error @ LoadError::Read { .. } => LoadFailure::NotNow(chain(&error)),
            error => LoadFailure::Refused(chain(&error)),
        })
    }

    async fn check(&self, label: &str, bytes: Bytes, signature: Option<&str>) -> Result<(), LoadFailure> {
        let refused = |error: &(dyn std::error::Error + 'static)| LoadFailure::Refused(chain(error));
        self.trusted.verify(&bytes, signature).map_err(|error| refused(&error))?;
        match self.wasm.load_bytes(label, bytes, &Grants::default()).await {
            // It may be granted what it asks for.
            Ok(_) | Err(LoadError::Refused { .. }) => Ok(()),
            Err(error) => Err(refused(&error)),
        }
    }

    fn connect(&self, blobs: Blobs) {
        // A loader belongs to one node.
        let _ = self.blobs.set(blobs);
    }

    async fn keep(&self, needed: Vec<BlobInfo>) {
        let keep: HashSet<_> = needed.iter().map(|blob| blob.digest).collect();
        match self.store.collect(&keep, UNUSED_KEPT).await {
            Ok(collected) => tracing::debug!(?collected, "blobs that nobody refers to are gone"),
            Err(error) => tracing::warn!(%error, "blobs that nobody refers to cannot be removed"),
        }
    }
}
