//! Files that nodes keep and give each other, known by their SHA-256: plugins and pipeline files.
//!
//! A blob is taken over in chunks. What a chunk must be is known before it comes: the list of the chunks' digests has a
//! digest of its own, which is agreed on together with the blob's. So a chunk that was altered is noticed at once, and a
//! download goes on where it was broken off.

mod exchange;

use std::{fmt, str::FromStr};

pub use exchange::{ASKED_MAX, Answer, CHUNKS_MAX, Misfit, Request};

/// Bytes of each chunk but the last: a few milliseconds of a fast network, and a small part of the longest frame.
pub const CHUNK_BYTES: u64 = 256 << 10;

/// The longest blob, in bytes: the longest plugin file.
pub const BLOB_BYTES_MAX: u64 = 64 << 20;

/// A SHA-256. As text `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Digest(pub [u8; 32]);

/// A text is no digest.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{found}` is no digest: expected `sha256:` and 64 of the characters 0-9 and a-f")]
pub struct DigestError {
    /// The text, with control characters escaped and cut to 80 characters.
    pub found: String,
}

impl Digest {
    /// The 64 hexadecimal digits alone.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Enough of it for people to tell it from others: `sha256:` and 12 digits.
    pub fn short(&self) -> String {
        format!("sha256:{}", &self.hex()[..12])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let error = || DigestError { found: text.escape_debug().take(80).collect() };
        let hex = text.strip_prefix("sha256:").ok_or_else(error)?.as_bytes();
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = hex.as_chunks::<2>();
        let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
        let bytes = bytes.filter(|_| rest.is_empty()).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(error)
    }
}

/// What is agreed on of a blob.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BlobInfo {
    /// Of all its bytes.
    pub digest: Digest,
    /// Its length.
    pub bytes: u64,
    /// Of the digests of its chunks, one after the other.
    pub chunks: Digest,
}

impl BlobInfo {
    /// How many chunks it has.
    pub fn chunk_count(&self) -> u64 {
        self.bytes.div_ceil(CHUNK_BYTES)
    }

    /// The length of a chunk; 0 beyond the last.
    pub fn chunk_bytes(&self, index: u64) -> u64 {
        self.bytes.saturating_sub(index.saturating_mul(CHUNK_BYTES)).min(CHUNK_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_survives_its_text_and_nothing_else_is_one() {
        let digest = Digest(std::array::from_fn(|at| at as u8 * 7));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        let text = digest.to_string();
        let longer = format!("{text}0");
        for wrong in ["", "sha256:", &text[7..], &text[..70], &longer, &text.to_uppercase(), "md5:00"] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_last_chunk_has_what_is_left() {
        let info = |bytes| BlobInfo { digest: Digest([0; 32]), bytes, chunks: Digest([0; 32]) };
        let sizes = |bytes| (0..info(bytes).chunk_count()).map(|at| info(bytes).chunk_bytes(at)).collect::<Vec<_>>();
        assert_eq!(sizes(0), [0; 0]);
        assert_eq!(sizes(CHUNK_BYTES), [CHUNK_BYTES]);
        assert_eq!(sizes(CHUNK_BYTES + 1), [CHUNK_BYTES, 1]);
        assert_eq!((info(9).chunk_bytes(1), info(9).chunk_bytes(u64::MAX)), (0, 0));
    }
}
