//! One record on disk: a version, what it says, and a checksum over both and over where it belongs.

use super::Corrupt;

/// The version of every record, so that later ones can differ.
const VERSION: u8 = 1;

/// Bytes that a record has besides its content.
const CHECKSUM_BYTES: usize = 4;

/// CRC32C (Castagnoli, reflected polynomial 0x82F63B78) of RFC 3720, a byte at a time.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = (crc >> 1) ^ (0x82F6_3B78 * (crc & 1));
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

fn crc32c(parts: [&[u8]; 2]) -> u32 {
    let bytes = parts.into_iter().flatten();
    !bytes.fold(u32::MAX, |crc, byte| (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)])
}

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
    fn the_checksum_is_crc32c() {
        // The check value of the CRC catalogue, and the 32 zero bytes of RFC 3720, B.4.
        assert_eq!(crc32c([b"1234", b"56789"]), 0xE306_9283);
        assert_eq!(crc32c([&[0; 32], &[]]), 0x8A91_36AA);
    }

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
