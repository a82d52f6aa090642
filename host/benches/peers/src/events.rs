//! What is sent: events of equal size, alone or packed by hand, each beginning with the time it was made.

use bytes::{BufMut, Bytes, BytesMut};
use rustix::time::{ClockId, clock_gettime};

/// Bytes of the time at the beginning of each event.
pub(crate) const STAMP: usize = 8;

/// Nanoseconds of a clock that all processes of the machine share.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// A message of `pack` events. One alone is the message; several have their lengths before them, as who packs by hand
/// has to.
pub(crate) fn message(payload: usize, pack: usize) -> Bytes {
    let stamp = now().to_le_bytes();
    let mut bytes = BytesMut::with_capacity(pack * (payload + 4));
    for _ in 0..pack {
        if pack > 1 {
            bytes.put_u32_le(u32::try_from(payload).unwrap_or(u32::MAX));
        }
        bytes.put_slice(&stamp);
        bytes.put_bytes(b'x', payload - STAMP);
    }
    bytes.freeze()
}

/// The events of a message, as slices of it.
pub(crate) fn unpack(message: &[u8], is_packed: bool) -> impl Iterator<Item = &[u8]> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if !is_packed {
            return Some(std::mem::take(&mut rest));
        }
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (event, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        rest = after;
        Some(event)
    })
}

/// How long ago an event was made, in nanoseconds; `None` of one that is too short to say so.
pub(crate) fn age(event: &[u8], now: u64) -> Option<u64> {
    let stamp = event.first_chunk::<STAMP>()?;
    Some(now.saturating_sub(u64::from_le_bytes(*stamp)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_as_it_went_in() {
        for (payload, pack) in [(8, 1), (16, 1), (16, 100), (1024, 3)] {
            let message = message(payload, pack);
            let events: Vec<_> = unpack(&message, pack > 1).collect();
            assert_eq!(events.len(), pack);
            assert!(events.iter().all(|event| event.len() == payload && age(event, now()) < Some(1_000_000_000)));
        }
    }

    #[test]
    fn a_message_that_is_cut_off_gives_the_events_before_the_cut() {
        let message = message(16, 3);
        assert_eq!(unpack(&message[..45], true).count(), 2);
    }
}
