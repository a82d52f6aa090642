//! Sizes in bytes, as people write them.

/// The largest that makes sense here: 1 TiB.
const SIZE_MAX: u64 = 1 << 40;

const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// Bytes of a text such as `64MiB` or `4 MB`.
pub(super) fn parse(text: &str) -> Result<u64, &'static str> {
    let size = UNITS.iter().find_map(|(unit, bytes)| {
        let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        number.checked_mul(*bytes)
    });
    size.filter(|size| *size <= SIZE_MAX).ok_or("a size with its unit, as in 64MiB, 4MB or 0B, up to 1TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, size) in [("64MiB", 64 << 20), ("4 MB", 4_000_000), ("0B", 0), ("1TiB", 1 << 40), ("3kB", 3000)] {
            assert_eq!(parse(text), Ok(size), "{text}");
        }
        for text in
            ["", "64", "64mib", "-1MiB", "2TiB", "MiB", "1.5GiB", "99999999999999999999B", "18446744073709551615TiB"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
