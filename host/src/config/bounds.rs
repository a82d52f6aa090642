//! The setting `dead_letters`: `letters_max=10000` and `bytes_max=64MiB`, each or both.

use std::ops::RangeInclusive;

use crate::dlq::Bounds;

/// Each letter costs memory, too.
const LETTERS_MAX: RangeInclusive<u64> = 1..=100_000;

/// One event of any size a pipeline may allow has room.
const BYTES_MAX: RangeInclusive<u64> = 16 << 20..=64 << 30;

const EXPECTED: &str = "letters_max=COUNT from 1 to 100000, or bytes_max=SIZE from 16MiB to 64GiB";

/// One of the two.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    Letters(u64),
    Bytes(u64),
}

pub(super) fn bound(text: &str) -> Result<Bound, &'static str> {
    let parsed = match text.split_once('=') {
        Some(("letters_max", count)) => {
            count.parse().ok().filter(|count| LETTERS_MAX.contains(count)).map(Bound::Letters)
        }
        Some(("bytes_max", size)) => bytes(size).filter(|bytes| BYTES_MAX.contains(bytes)).map(Bound::Bytes),
        _ => None,
    };
    parsed.ok_or(EXPECTED)
}

/// What was given, over the defaults; the last of its kind holds.
pub(super) fn all(given: Vec<Bound>) -> Bounds {
    let set = |bounds, bound| match bound {
        Bound::Letters(letters_max) => Bounds { letters_max, ..bounds },
        Bound::Bytes(bytes_max) => Bounds { bytes_max, ..bounds },
    };
    given.into_iter().fold(Bounds::default(), set)
}

fn bytes(text: &str) -> Option<u64> {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
    let (number, factor) = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))?;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_is_given_by_its_name() {
        let given = |texts: &[&str]| all(texts.iter().map(|text| bound(text).unwrap()).collect());
        assert_eq!(given(&[]), Bounds::default());
        assert_eq!(given(&["letters_max=7"]), Bounds { letters_max: 7, ..Bounds::default() });
        let both = Bounds { letters_max: 7, bytes_max: 1 << 30 };
        assert_eq!(given(&["bytes_max=16MiB", "letters_max=7", "bytes_max=1GiB"]), both);
        for wrong in
            ["", "7", "letters_max=0", "letters_max=100001", "bytes_max=15MiB", "bytes_max=65GiB", "bytes=1GiB"]
        {
            assert!(bound(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "MiB", "1", "-1MiB", "1.5MiB", "17179869184GiB"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
