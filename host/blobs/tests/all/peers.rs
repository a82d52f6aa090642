//! Peers as a test wants them, and what they were asked.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_blobs::{Source, SourceError, digest_of};
use forebay_proto::{
    blob::{CHUNK_BYTES, Digest},
    ids::NodeName,
};

/// How a peer answers.
#[derive(Clone)]
pub(crate) enum Peer {
    Has(Bytes),
    /// Gives this for each chunk, and the right list.
    Lies(Bytes, Bytes),
    /// Gives a wrong list.
    Invents,
    HasNone,
    Fails,
}

/// Each counted request to whom, for which chunk.
#[derive(Default)]
pub(crate) struct Peers {
    pub(crate) peers: BTreeMap<NodeName, Peer>,
    pub(crate) lists: Mutex<Vec<NodeName>>,
    pub(crate) chunks: Mutex<Vec<(NodeName, u64)>>,
    /// Chunks that are given before all peers are gone.
    pub(crate) budget: AtomicU64,
}

impl Peers {
    pub(crate) fn new(peers: &[(&str, Peer)]) -> Self {
        let peers = peers.iter().map(|(name, peer)| (name.parse().unwrap(), peer.clone())).collect();
        Self { peers, budget: AtomicU64::new(u64::MAX), ..Self::default() }
    }

    pub(crate) fn of(bytes: &Bytes) -> Self {
        Self::new(&[("b", Peer::Has(bytes.clone()))])
    }

    /// Gives so many chunks and is gone.
    pub(crate) fn ending_after(bytes: &Bytes, chunks: u64) -> Self {
        Self { budget: AtomicU64::new(chunks), ..Self::of(bytes) }
    }

    pub(crate) fn asked(&self, peer: &str) -> usize {
        self.chunks.lock().unwrap().iter().filter(|(asked, _)| asked.as_str() == peer).count()
    }

    /// The chunks that were asked for, in order.
    pub(crate) fn indexes(&self) -> Vec<u64> {
        let mut indexes: Vec<_> = self.chunks.lock().unwrap().iter().map(|(_, index)| *index).collect();
        indexes.sort();
        indexes
    }

    fn gone() -> SourceError {
        SourceError::Failed("gone".to_owned())
    }
}

fn chunks(bytes: &Bytes) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(CHUNK_BYTES as usize)
}

#[async_trait]
impl Source for Peers {
    fn peers(&self) -> Vec<NodeName> {
        self.peers.keys().cloned().collect()
    }

    async fn list(&self, peer: &NodeName, _: &Digest) -> Result<Vec<Digest>, SourceError> {
        self.lists.lock().unwrap().push(peer.clone());
        match &self.peers[peer] {
            Peer::Has(bytes) | Peer::Lies(bytes, _) => Ok(chunks(bytes).map(digest_of).collect()),
            Peer::Invents => Ok(vec![Digest([7; 32])]),
            Peer::HasNone => Err(SourceError::Missing),
            Peer::Fails => Err(Self::gone()),
        }
    }

    async fn chunk(&self, peer: &NodeName, _: &Digest, index: u64) -> Result<Bytes, SourceError> {
        self.chunks.lock().unwrap().push((peer.clone(), index));
        match &self.peers[peer] {
            Peer::Has(bytes) => {
                let left = self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
                left.map_err(|_| Self::gone())?;
                let chunk = chunks(bytes).nth(index as usize).unwrap();
                Ok(bytes.slice_ref(chunk))
            }
            Peer::Lies(_, lie) => Ok(lie.clone()),
            Peer::HasNone => Err(SourceError::Missing),
            Peer::Fails | Peer::Invents => Err(Self::gone()),
        }
    }
}
