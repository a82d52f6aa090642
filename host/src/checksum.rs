//! The checksum of what lies on disk.

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

/// Of two pieces as if they were one.
pub(crate) fn crc32c(parts: [&[u8]; 2]) -> u32 {
    let bytes = parts.into_iter().flatten();
    !bytes.fold(u32::MAX, |crc, byte| (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)])
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
}
