//! The store from outside: what is put, uploaded, fetched and collected, and what altered files come to.

#![allow(clippy::unwrap_used, reason = "clippy knows test functions, not their helpers")]

mod collect;
mod damage;
mod fetch;
mod keep;
mod peers;
mod upload;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use forebay_blobs::{BlobStore, info_of};
use forebay_proto::blob::{BlobInfo, Digest};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// A store in a directory of its own.
struct Home {
    data: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { data: tempfile::tempdir().unwrap() }
    }

    /// As a process that starts opens it.
    fn open(&self) -> BlobStore {
        BlobStore::open(self.data.path()).unwrap()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.data.path().join("blobs").join(below)
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.path(&digest.hex())
    }

    fn partial(&self, digest: &Digest, suffix: &str) -> PathBuf {
        self.path("partial").join(digest.hex() + suffix)
    }

    /// The names of files that are no blobs.
    fn partials(&self) -> Vec<String> {
        names(&self.path("partial"))
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A file of this length that no other seed gives.
fn file(seed: u64, length: usize) -> (Bytes, BlobInfo) {
    let mut bytes = vec![0; length];
    SmallRng::seed_from_u64(seed).fill(&mut bytes[..]);
    let info = info_of(&bytes);
    (bytes.into(), info)
}
