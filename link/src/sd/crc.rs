//! The two checksums of the SD bus (PLSS section 4.5).

use crc::{CRC_7_MMC, CRC_16_XMODEM, Crc, Table};

const CRC7: Crc<u8> = Crc::<u8>::new(&CRC_7_MMC);
static CRC16: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_XMODEM);

/// CRC7 of commands and of the CID and CSD registers: x^7 + x^3 + 1, starting with zero; 7 bits.
#[must_use]
pub fn crc7(bytes: &[u8]) -> u8 {
    CRC7.checksum(bytes)
}

/// CRC16 of a data block: x^16 + x^12 + x^5 + 1, starting with zero, most significant bit first.
#[must_use]
pub fn crc16(bytes: &[u8]) -> u16 {
    CRC16.checksum(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PLSS section 4.5: CMD0, CMD17 and the response to CMD17; the block of 512 bytes FF; the check value of the catalogue.
    #[test]
    fn checksums_are_those_of_the_specification() {
        assert_eq!(crc7(&[0x40, 0, 0, 0, 0]), 0b100_1010);
        assert_eq!(crc7(&[0x51, 0, 0, 0, 0]), 0b010_1010);
        assert_eq!(crc7(&[0x11, 0, 0, 0x09, 0]), 0b011_0011);
        assert_eq!(crc16(&[0xFF; 512]), 0x7FA1);
        assert_eq!(crc16(&[0xFF; 64]), 0x278E);
        assert_eq!(crc16(&[0xFF; 32]), 0x84B4);
        assert_eq!(crc16(&[0; 100]), 0);
        assert_eq!(crc16(b"123456789"), 0x31C3);
        let mut block = [0; 512];
        block[..6].copy_from_slice(&[0x00, 0x06, 0x80, 0xCA, 0x9F, 0x7F]);
        assert_eq!(crc16(&block), 0xB1D4);
    }
}
