//! One record on disk: a version, what it says, and a checksum over both and over where it belongs.

use super::Corrupt;
use crate::checksum::crc32c;

/// The version of every record, so that later ones can differ.
const VERSION: u8 = 1;

/// Bytes that a record has besides its content.
const CHECKSUM_BYTES: usize = 4;

/// A record of `content` for the place `key`.
pub(super) fn seal(key: &[u8], content: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(1 + content.len() + CHECKSUM_BYTES);
    record.push(VERSION);
    record.extend_from_slice(content);
    let checksum = crc32c([key, &record]);
    record.extend_from_slice(&checksum.to_le_bytes());
    record
}

/// The content of the record at the place `key`. `name` is for the error.
///
/// # Errors
/// A wrong checksum, which also a record of another place has, or another version.
pub(super) fn open<'a>(name: &str, key: &[u8], record: &'a [u8]) -> Result<&'a [u8], Corrupt> {
    let corrupt = |found: String| Corrupt { place: name.to_owned(), found };
    let (sealed, checksum) =
        record.split_last_chunk::<CHECKSUM_BYTES>().ok_or_else(|| corrupt(format!("{} bytes long", record.len())))?;
    if crc32c([key, sealed]) != u32::from_le_bytes(*checksum) {
        return Err(corrupt("its checksum is wrong".to_owned()));
    }
    match sealed.split_first() {
        Some((&VERSION, content)) => Ok(content),
        Some((version, _)) => Err(corrupt(format!("version {version}, this build knows {VERSION}"))),
        None => Err(corrupt("empty".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_holds_at_its_own_place_and_unchanged_only() {
        let record = seal(b"key", b"content");
        assert_eq!(open("it", b"key", &record), Ok(b"content".as_slice()));
        assert!(open("it", b"kez", &record).is_err());
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut changed = record.clone();
                changed[at] ^= 1 << bit;
                assert!(open("it", b"key", &changed).is_err(), "bit {bit} of byte {at}");
            }
            assert!(open("it", b"key", &record[..at]).is_err(), "{at} bytes");
        }
    }
}
