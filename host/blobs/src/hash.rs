//! Digests of bytes, of their chunks, and of files.

use std::io::{self, Read};

use forebay_proto::blob::{BLOB_BYTES_MAX, BlobInfo, CHUNK_BYTES, Digest};
use ring::digest::{Context, SHA256, digest};

/// The SHA-256 of these bytes.
pub fn digest_of(bytes: &[u8]) -> Digest {
    from_ring(&digest(&SHA256, bytes))
}

/// What nodes agree on of a blob with these bytes. They may be more than a blob may have.
pub fn info_of(bytes: &[u8]) -> BlobInfo {
    let mut summing = Summing::new();
    bytes.chunks(CHUNK_BYTES as usize).for_each(|chunk| summing.add(chunk));
    summing.finish().info()
}

fn from_ring(digest: &ring::digest::Digest) -> Digest {
    Digest(digest.as_ref().try_into().expect("a SHA-256 has 32 bytes"))
}

/// The digests of chunks, one after the other: what a list's own digest is of.
pub(crate) fn list_bytes(list: &[Digest]) -> Vec<u8> {
    list.iter().flat_map(|digest| digest.0).collect()
}

/// The reverse of [`list_bytes`]; what is left over is not looked at.
pub(crate) fn list_from(bytes: &[u8]) -> Vec<Digest> {
    bytes.as_chunks::<32>().0.iter().map(|digest| Digest(*digest)).collect()
}

/// All digests of some bytes.
#[derive(Debug)]
pub(crate) struct Summed {
    pub(crate) whole: Digest,
    pub(crate) bytes: u64,
    pub(crate) chunks: Vec<Digest>,
}

impl Summed {
    pub(crate) fn info(&self) -> BlobInfo {
        BlobInfo { digest: self.whole, bytes: self.bytes, chunks: digest_of(&list_bytes(&self.chunks)) }
    }
}

/// Goes through a file; not beyond what a blob may have, and one byte.
pub(crate) fn sum(from: impl Read) -> io::Result<Summed> {
    let (mut from, mut chunk, mut summing) = (from.take(BLOB_BYTES_MAX + 1), Vec::new(), Summing::new());
    while from.by_ref().take(CHUNK_BYTES).read_to_end(&mut chunk)? > 0 {
        summing.add(&chunk);
        chunk.clear();
    }
    Ok(summing.finish())
}

struct Summing {
    whole: Context,
    bytes: u64,
    chunks: Vec<Digest>,
}

impl Summing {
    fn new() -> Self {
        Self { whole: Context::new(&SHA256), bytes: 0, chunks: Vec::new() }
    }

    /// The next chunk: all but the last have the full length.
    fn add(&mut self, chunk: &[u8]) {
        self.whole.update(chunk);
        self.bytes += chunk.len() as u64;
        self.chunks.push(digest_of(chunk));
    }

    fn finish(self) -> Summed {
        Summed { whole: from_ring(&self.whole.finish()), bytes: self.bytes, chunks: self.chunks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-2, and the empty message.
    #[test]
    fn digests_are_sha_256() {
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest_of(b"abc").to_string(), abc);
        assert_eq!(info_of(b"").digest.to_string(), empty);
        assert_eq!(info_of(b"").chunks.to_string(), empty);
    }

    #[test]
    fn a_file_has_the_digests_of_its_bytes() {
        for length in [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES] {
            let bytes: Vec<u8> = (0..length).map(|at| (at / 251) as u8).collect();
            let (summed, info) = (sum(&bytes[..]).unwrap(), info_of(&bytes));
            assert_eq!(summed.info(), info);
            assert_eq!((info.digest, info.bytes), (digest_of(&bytes), length));
            let chunks: Vec<_> = bytes.chunks(CHUNK_BYTES as usize).map(digest_of).collect();
            assert_eq!((info.chunks, &list_from(&list_bytes(&chunks))), (digest_of(&list_bytes(&chunks)), &chunks));
            assert_eq!(summed.chunks, chunks);
        }
    }

    #[test]
    fn of_an_endless_file_no_more_is_read_than_shows_that_it_is_no_blob() {
        assert_eq!(sum(io::repeat(7)).unwrap().bytes, BLOB_BYTES_MAX + 1);
    }
}
