//! The bytes of a letter on disk. All numbers are little-endian.
//!
//! | field | bytes |
//! |---|---|
//! | version | 1: now 1 |
//! | pipeline, stage, source | each 1 of length, and the name |
//! | epoch, number | 8, 8 |
//! | attempts | 4 |
//! | when | 8: milliseconds since 1970 |
//! | reason | 4 of length, and the text |
//! | event | a batch of one, as in an events frame of `docs/wire.md` |
//! | checksum | 4: CRC32C over the letter's number (8 bytes) and all before |
//!
//! The checksum holds a letter at its own number: bytes that were moved are as wrong as bytes that changed.

use std::str::FromStr;

use forebay_proto::{
    batch::Batch,
    ids::{Epoch, Seq},
    letters::REASON_BYTES_MAX,
};

use super::{
    LetterId,
    letter::{Letter, NO_LIMITS, Reason, alone},
};
use crate::checksum::crc32c;

/// The version of every letter, so that later ones can differ.
const VERSION: u8 = 1;

/// What is on disk is no letter.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what}: {found}")]
pub struct Damaged {
    /// Which letter, or what else.
    pub what: String,
    /// What is wrong with it.
    pub found: String,
}

/// A letter's bytes but for the checksum, which needs its number.
///
/// # Panics
/// If it does not hold exactly one event.
pub(super) fn encode(letter: &Letter) -> Vec<u8> {
    let event = alone(&letter.event).encode();
    let mut bytes = Vec::with_capacity(256 + letter.reason.as_str().len() + event.len());
    bytes.push(VERSION);
    for name in [letter.pipeline.as_str(), letter.stage.as_str(), letter.source.as_str()] {
        bytes.push(u8::try_from(name.len()).expect("a name has at most 63 bytes"));
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes.extend_from_slice(&letter.epoch.to_u64().to_le_bytes());
    bytes.extend_from_slice(&letter.seq.0.to_le_bytes());
    bytes.extend_from_slice(&letter.attempts.to_le_bytes());
    bytes.extend_from_slice(&letter.at_ms.to_le_bytes());
    let reason = letter.reason.as_str();
    bytes.extend_from_slice(&u32::try_from(reason.len()).expect("a reason has at most 16 KiB").to_le_bytes());
    bytes.extend_from_slice(reason.as_bytes());
    bytes.extend_from_slice(&event);
    bytes
}

/// Adds the checksum to what [`encode`] gave.
pub(super) fn seal(id: LetterId, mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c([&id.0.to_le_bytes(), &bytes]);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// How long a letter is once it is sealed.
pub(super) fn sealed_len(bytes: &[u8]) -> u64 {
    bytes.len() as u64 + 4
}

/// The inverse of [`encode`] and [`seal`].
///
/// # Errors
/// [`Damaged`] for any bytes that are not this letter's.
pub(super) fn decode(id: LetterId, bytes: &[u8]) -> Result<Letter, Damaged> {
    open(id, bytes).map_err(|found| Damaged { what: format!("letter {id}"), found })
}

fn open(id: LetterId, bytes: &[u8]) -> Result<Letter, String> {
    let (content, checksum) = bytes.split_last_chunk::<4>().ok_or_else(|| format!("{} bytes long", bytes.len()))?;
    if crc32c([&id.0.to_le_bytes(), content]) != u32::from_le_bytes(*checksum) {
        return Err("its checksum is wrong".to_owned());
    }
    read(content)
}

fn read(content: &[u8]) -> Result<Letter, String> {
    let mut reader = Reader(content);
    let version = reader.array::<1>("version")?[0];
    if version != VERSION {
        return Err(format!("version {version}, this build knows {VERSION}"));
    }
    let pipeline = reader.name("pipeline")?;
    let (stage, source) = (reader.name("stage")?, reader.name("source")?);
    let epoch = Epoch::from_u64(u64::from_le_bytes(reader.array("epoch")?));
    let seq = Seq(u64::from_le_bytes(reader.array("number")?));
    let attempts = u32::from_le_bytes(reader.array("attempts")?);
    let at_ms = u64::from_le_bytes(reader.array("when")?);
    let length = u32::from_le_bytes(reader.array("length of the reason")?) as usize;
    if length > REASON_BYTES_MAX {
        return Err(format!("a reason of {length} bytes, expected at most {REASON_BYTES_MAX}"));
    }
    let reason = Reason::from(reader.text("reason", length)?);
    let event = Batch::decode(reader.0, &NO_LIMITS).map_err(|error| error.to_string())?;
    match event.len() {
        1 => Ok(Letter { pipeline, stage, source, epoch, seq, attempts, at_ms, reason, event }),
        count => Err(format!("{count} events, expected one")),
    }
}

/// Takes fields off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, field: &str, count: usize) -> Result<&'a [u8], String> {
        let (front, rest) = self.0.split_at_checked(count).ok_or_else(|| format!("it ends within its {field}"))?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self, field: &str) -> Result<[u8; N], String> {
        Ok(self.bytes(field, N)?.try_into().expect("as many bytes as asked for"))
    }

    fn text(&mut self, field: &str, length: usize) -> Result<&'a str, String> {
        let bytes = self.bytes(field, length)?;
        std::str::from_utf8(bytes).map_err(|error| format!("its {field} is no text: {error}"))
    }

    fn name<N: FromStr<Err: std::fmt::Display>>(&mut self, field: &str) -> Result<N, String> {
        let length = self.array::<1>(field)?[0];
        self.text(field, length.into())?.parse().map_err(|error| format!("its {field}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dlq::tests::{letter, same, with_everything};

    #[test]
    fn the_bytes_are_these() {
        let bytes = seal(LetterId(7), encode(&letter("stage", 258)));
        let expected = b"\x01\x01p\x05stage\x06source\x04\0\0\0\x03\0\0\0\x02\x01\0\0\0\0\0\0\x05\0\0\0\
            \x39\x30\0\0\0\0\0\0\x0b\0\0\0not a thing\0\x01\0\0\0\x09\0\0\0\x09\0\0\0event 258";
        assert_eq!(bytes[..bytes.len() - 4].escape_ascii().to_string(), expected.escape_ascii().to_string());
        assert_eq!(bytes.len() as u64, sealed_len(expected));
    }

    #[test]
    fn a_letter_is_read_as_it_was_written_and_takes_nothing_along() {
        let letter = with_everything();
        let bytes = seal(LetterId(9), encode(&letter));
        assert!(same(&decode(LetterId(9), &bytes).unwrap(), &letter));
        assert!(!bytes.windows(5).any(|part| part == b"other"), "neighbours of the event stay out");
    }

    #[test]
    fn any_damage_is_an_error() {
        let bytes = seal(LetterId(9), encode(&with_everything()));
        assert!(decode(LetterId(8), &bytes).unwrap_err().to_string().starts_with("letter 8: its checksum"));
        for at in 0..bytes.len() {
            assert!(decode(LetterId(9), &bytes[..at]).is_err(), "{at} bytes");
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(decode(LetterId(9), &changed).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    proptest! {
        /// Also where the checksum is right: bytes of another build, or of a bug.
        #[test]
        fn no_bytes_make_it_panic(at in 0_usize..200, byte: u8, cut in 0_usize..200, noise: Vec<u8>) {
            let mut bytes = encode(&with_everything());
            let len = bytes.len();
            bytes[at % len] = byte;
            let _ = decode(LetterId(1), &seal(LetterId(1), bytes.clone()));
            bytes.truncate(cut % len);
            prop_assert!(decode(LetterId(1), &seal(LetterId(1), bytes)).is_err());
            prop_assert!(decode(LetterId(1), &seal(LetterId(1), noise)).is_err());
        }
    }
}
