//! Sizes and durations as texts.

use std::time::Duration;

/// Powers of 1024 and of 1000, largest first; the names as they are written in a file.
const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Bytes of a text such as `64MiB`, `4 MB`, `512KiB`, `17B` or `17`. Upper and lower case count.
///
/// Exact: a fraction, a sign or a size of 2^64 or more is refused.
pub(super) fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let factor = match unit {
        "" => 1,
        // The SI's kilo is a small letter.
        "kB" => 1_000,
        _ => SIZES.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// The shortest text that [`parse_bytes`] reads back as `bytes`.
pub(super) fn bytes(bytes: u64) -> String {
    let fits = |(_, factor): &&(&str, u64)| bytes >= *factor && bytes.is_multiple_of(*factor);
    match SIZES.iter().find(fits) {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

/// The text humantime reads back as `duration`, without spaces.
pub(super) fn duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_two_families() {
        for (text, expected) in [
            ("64MiB", 64 << 20),
            ("4MB", 4_000_000),
            ("512KiB", 512 << 10),
            ("1 kB", 1000),
            ("1KB", 1000),
            ("2GiB", 2 << 30),
            ("17B", 17),
            ("17", 17),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_bytes(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        let over = "18446744073709551616";
        for text in ["", "MiB", "-1", "+1", "1.5MiB", "1mib", "1 000", "1  MiB", "1MiB ", "17179869184GiB", "ä", over]
        {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn a_size_is_written_as_it_is_read() {
        for size in [0, 1, 999, 1000, 1024, 1025, 4_000_000, 4 << 20, 64 << 20, u64::MAX] {
            assert_eq!(parse_bytes(&bytes(size)), Some(size), "{}", bytes(size));
        }
        assert_eq!(bytes(64 << 20), "64MiB");
        assert_eq!(bytes(1_024_000), "1000KiB");
    }
}
