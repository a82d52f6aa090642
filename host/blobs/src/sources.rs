//! Whom to ask for the next piece of a blob, by how they did so far.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use forebay_proto::{blob::Digest, ids::NodeName};
use tokio::sync::Semaphore;

use crate::{
    disk::blocking,
    hash::{digest_of, list_bytes},
    source::{Source, SourceError},
};

/// Requests in a row that a peer may fail before it is asked nothing more in this fetch.
const FAILURES_MAX: u32 = 3;

/// What is asked for, and what it must be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece {
    List { expected: Digest },
    Chunk { index: u64, expected: Digest },
}

impl Piece {
    fn expected(self) -> Digest {
        match self {
            Self::List { expected } | Self::Chunk { expected, .. } => expected,
        }
    }

    /// Neighbouring chunks begin with different peers, so that all that have the blob have their share.
    fn turn(self) -> usize {
        match self {
            Self::List { .. } => 0,
            Self::Chunk { index, .. } => index as usize,
        }
    }
}

/// The peers of one fetch.
pub(crate) struct Sources<'a> {
    source: &'a dyn Source,
    asking: &'a Semaphore,
    digest: Digest,
    standings: Mutex<BTreeMap<NodeName, Standing>>,
}

/// How a peer did.
#[derive(Default)]
struct Standing {
    /// In a row.
    failures: u32,
    /// Asked nothing more.
    out: bool,
    /// The last reason.
    why: String,
}

impl<'a> Sources<'a> {
    pub(crate) fn new(source: &'a dyn Source, asking: &'a Semaphore, digest: Digest) -> Self {
        Self { source, asking, digest, standings: Mutex::default() }
    }

    /// Asks one peer after the other until one gives the right bytes. Ends: whoever fails too often in a row, does
    /// not have the blob, or gives wrong bytes is asked nothing more.
    ///
    /// # Errors
    /// When nobody is left, with what became of each.
    pub(crate) async fn get(&self, piece: Piece) -> Result<Bytes, String> {
        let mut turn = piece.turn();
        loop {
            let peer = self.pick(turn).ok_or_else(|| self.report())?;
            turn = turn.wrapping_add(1);
            match self.ask(&peer, piece).await {
                Ok(bytes) => {
                    self.standings().entry(peer).or_default().failures = 0;
                    return Ok(bytes);
                }
                Err(error) => self.failed(peer, &error),
            }
        }
    }

    async fn ask(&self, peer: &NodeName, piece: Piece) -> Result<Bytes, SourceError> {
        let place = self.asking.acquire().await;
        let bytes = match piece {
            Piece::List { .. } => list_bytes(&self.source.list(peer, &self.digest).await?).into(),
            Piece::Chunk { index, .. } => self.source.chunk(peer, &self.digest, index).await?,
        };
        drop(place);
        let (found, bytes) = blocking(move || (digest_of(&bytes), bytes)).await;
        match found == piece.expected() {
            true => Ok(bytes),
            false => Err(SourceError::Wrong(format!("what it gave is {}", found.short()))),
        }
    }

    fn pick(&self, turn: usize) -> Option<NodeName> {
        let mut peers = self.source.peers();
        let standings = self.standings();
        peers.retain(|peer| !standings.get(peer).is_some_and(|standing| standing.out));
        (!peers.is_empty()).then(|| peers.swap_remove(turn % peers.len()))
    }

    fn failed(&self, peer: NodeName, error: &SourceError) {
        if let SourceError::Wrong(_) = error {
            tracing::warn!(%peer, blob = %self.digest, %error, "the peer is not asked for this blob any more");
        }
        let mut standings = self.standings();
        let standing = standings.entry(peer).or_default();
        standing.failures += 1;
        // What is known for certain is not forgotten for an answer that comes late.
        if !standing.out {
            standing.out = !matches!(error, SourceError::Failed(_)) || standing.failures >= FAILURES_MAX;
            standing.why = error.to_string();
        }
    }

    fn report(&self) -> String {
        let standings = self.standings();
        let each: Vec<_> = standings.iter().map(|(peer, Standing { why, .. })| format!("{peer}: {why}")).collect();
        if each.is_empty() { "no other node is connected".to_owned() } else { each.join("; ") }
    }

    fn standings(&self) -> MutexGuard<'_, BTreeMap<NodeName, Standing>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
