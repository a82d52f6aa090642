//! A pipeline file and its plugins, from disk, as they are to be deployed.

use std::{collections::BTreeMap, path::Path};

use bytes::Bytes;
use forebay_blobs::digest_of;
use forebay_proto::{blob::Digest, pipeline::PluginRef};

use crate::{
    cli::{Failure, load},
    node::admin::wire::PluginFile,
    runtime::wasm,
};

/// What is to be deployed.
pub(super) struct Meant {
    pub(super) text: Digest,
    /// By stage, those that are files.
    pub(super) plugins: BTreeMap<String, PluginFile>,
    /// All bytes of it.
    pub(super) blobs: BTreeMap<Digest, (String, Bytes)>,
}

/// Reads it. Paths in the file count from its directory.
pub(super) fn read(file: &Path) -> Result<Meant, Failure> {
    let (pipeline, bytes) = load::read_bytes(file)?;
    let text = digest_of(&bytes);
    let mut blobs = BTreeMap::from([(text, (file.display().to_string(), Bytes::from(bytes)))]);
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut plugins = BTreeMap::new();
    for stage in pipeline.stages() {
        let PluginRef::File(path) = &stage.plugin else { continue };
        let path = folder.join(path);
        let bytes = wasm::read_component(&path)?;
        let digest = digest_of(&bytes);
        let signature = load::signature(&path)?;
        plugins.insert(stage.name.to_string(), PluginFile { digest: digest.to_string(), signature });
        blobs.insert(digest, (path.display().to_string(), bytes));
    }
    Ok(Meant { text, plugins, blobs })
}
