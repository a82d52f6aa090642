//! Removes what nobody refers to any more.

use std::{
    collections::HashSet,
    fs::{self, DirEntry},
    io,
    path::Path,
    time::Duration,
};

use forebay_proto::blob::Digest;

use crate::{
    disk::{LIST_SUFFIX, UPLOAD_SUFFIX, found, remove},
    store::{BlobStore, Shared},
};

/// What was removed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Collected {
    /// Blobs.
    pub blobs: usize,
    /// Files of downloads and uploads that were not whole.
    pub partials: usize,
    /// Of all of them.
    pub bytes: u64,
}

impl BlobStore {
    /// Removes blobs, downloads and uploads that are not in `keep` and were not written to for `older_than`: a blob
    /// is there before anybody refers to it, so that time must be longer than it takes to agree on it. Whoever is
    /// reading one still gets it all.
    ///
    /// # Errors
    /// If the folders cannot be read or written; then part of it is done.
    ///
    /// # Cancel safety
    /// It is done all the same, or not begun.
    pub async fn collect(&self, keep: &HashSet<Digest>, older_than: Duration) -> io::Result<Collected> {
        let keep = keep.clone();
        self.work(move |shared| {
            let mut collected = Collected::default();
            for entry in fs::read_dir(&shared.folders.blobs)? {
                let bytes = shared.collect_one(&entry?, &keep, older_than, "")?;
                collected.blobs += usize::from(bytes.is_some());
                collected.bytes += bytes.unwrap_or(0);
            }
            for entry in fs::read_dir(&shared.folders.partial)? {
                let entry = entry?;
                for suffix in ["", LIST_SUFFIX, UPLOAD_SUFFIX] {
                    let bytes = shared.collect_one(&entry, &keep, older_than, suffix)?;
                    collected.partials += usize::from(bytes.is_some());
                    collected.bytes += bytes.unwrap_or(0);
                }
            }
            Ok(collected)
        })
        .await
    }
}

impl Shared {
    /// Its length, if it was removed.
    fn collect_one(
        &self,
        entry: &DirEntry,
        keep: &HashSet<Digest>,
        older_than: Duration,
        suffix: &str,
    ) -> io::Result<Option<u64>> {
        let name = entry.file_name();
        let hex = name.to_str().and_then(|name| name.strip_suffix(suffix));
        let digest = hex.and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
        let Some(digest) = digest.filter(|digest| !keep.contains(digest)) else { return Ok(None) };
        let path = entry.path();
        // The list of a download goes with its chunks' turn.
        let worked_on = if suffix == LIST_SUFFIX { self.folders.partial(&digest) } else { path.clone() };
        let Some(_turn) = self.busy.try_turn(&worked_on) else { return Ok(None) };
        let _names = self.folders.names();
        let Some(bytes) = old_enough(&path, older_than)? else { return Ok(None) };
        tracing::info!(path = %path.display(), "nobody refers to it: it is removed");
        remove(&path).map(|()| Some(bytes))
    }
}

/// A file's length, if it was not written to for so long. Where the clock was set back it is young.
fn old_enough(path: &Path, older_than: Duration) -> io::Result<Option<u64>> {
    let Some(metadata) = found(fs::symlink_metadata(path))? else { return Ok(None) };
    let age = metadata.modified()?.elapsed().unwrap_or_default();
    Ok((metadata.is_file() && age >= older_than).then_some(metadata.len()))
}
