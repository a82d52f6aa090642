//! What nodes ask each other about blobs. A request has one answer.
//!
//! A peer may answer anything. [`Answer::check`] says whether an answer belongs to its request and is within bounds;
//! whether its bytes are right is told by their digest.

use bytes::Bytes;

use super::{BLOB_BYTES_MAX, CHUNK_BYTES, Digest};

/// The most chunks that a blob has.
pub const CHUNKS_MAX: usize = (BLOB_BYTES_MAX / CHUNK_BYTES) as usize;

/// Requests of one node that another answers at a time: 2 MiB of chunks. Whoever has more to ask waits with it.
pub const ASKED_MAX: usize = 8;

/// What a node is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request {
    /// The digests of a blob's chunks.
    List {
        /// Of which blob.
        digest: Digest,
    },
    /// A chunk.
    Chunk {
        /// Of which blob.
        digest: Digest,
        /// Which, counted from 0.
        index: u64,
    },
    /// How much of a blob is there: for people who watch it come.
    Held {
        /// Of which blob.
        digest: Digest,
    },
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// To any: not now, with the reason.
    Refused(String),
    /// To any: this blob is not here.
    Missing,
    /// To `List`: at most [`CHUNKS_MAX`].
    List(Vec<Digest>),
    /// To `Chunk`: at most [`CHUNK_BYTES`], and at least one.
    Chunk(Bytes),
    /// To `Held`. Unit: bytes; roughly, until it is whole.
    Held(u64),
}

/// An answer that does not belong to its request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Misfit {
    /// An answer to another kind of request.
    #[error("the answer is one to another request")]
    Other,
    /// More chunks than a blob has.
    #[error("the list has more chunks than a blob has")]
    List,
    /// Empty, or too long.
    #[error("no chunk has the length of this one")]
    Chunk,
    /// More than a blob has.
    #[error("no blob is as long as what is held of it")]
    Held,
}

impl Answer {
    /// Gives it back if it belongs to `request` and is within bounds.
    ///
    /// # Errors
    /// [`Misfit`].
    pub fn check(self, request: &Request) -> Result<Self, Misfit> {
        let (fits, misfit) = match (&self, request) {
            (Self::Refused(_) | Self::Missing, _) => return Ok(self),
            (Self::List(list), Request::List { .. }) => (list.len() <= CHUNKS_MAX, Misfit::List),
            (Self::Chunk(bytes), Request::Chunk { .. }) => {
                (!bytes.is_empty() && bytes.len() as u64 <= CHUNK_BYTES, Misfit::Chunk)
            }
            (Self::Held(bytes), Request::Held { .. }) => (*bytes <= BLOB_BYTES_MAX, Misfit::Held),
            _ => return Err(Misfit::Other),
        };
        if fits { Ok(self) } else { Err(misfit) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: Request = Request::List { digest: Digest([1; 32]) };
    const CHUNK: Request = Request::Chunk { digest: Digest([1; 32]), index: 0 };

    fn list(length: usize) -> Answer {
        Answer::List(vec![Digest([2; 32]); length])
    }

    fn chunk(length: u64) -> Answer {
        Answer::Chunk(vec![0; length as usize].into())
    }

    #[test]
    fn an_answer_belongs_to_its_request_and_is_within_bounds() {
        for (answer, request) in [
            (list(0), LIST),
            (list(CHUNKS_MAX), LIST),
            (chunk(1), CHUNK),
            (chunk(CHUNK_BYTES), CHUNK),
            (Answer::Missing, LIST),
            (Answer::Missing, CHUNK),
            (Answer::Refused("no".to_owned()), LIST),
            (Answer::Refused("no".to_owned()), CHUNK),
        ] {
            assert_eq!(answer.clone().check(&request), Ok(answer));
        }
        for (answer, request, misfit) in [
            (list(CHUNKS_MAX + 1), LIST, Misfit::List),
            (chunk(0), CHUNK, Misfit::Chunk),
            (chunk(CHUNK_BYTES + 1), CHUNK, Misfit::Chunk),
            (list(1), CHUNK, Misfit::Other),
            (chunk(1), LIST, Misfit::Other),
        ] {
            assert_eq!(answer.check(&request), Err(misfit));
        }
    }
}
