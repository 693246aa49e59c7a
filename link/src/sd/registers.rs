//! The registers of a card: CID, CSD, SCR and OCR (PLSS chapter 5).

use super::crc7;
use std::fmt;

/// Card identification (section 5.2): 16 bytes, the last of them CRC7 and the end bit.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cid(pub [u8; 16]);

impl Cid {
    /// Manufacturer, given by the SD Association.
    #[must_use]
    pub const fn manufacturer(&self) -> u8 {
        self.0[0]
    }

    /// OEM or application identifier, two characters.
    #[must_use]
    pub const fn oem(&self) -> [u8; 2] {
        [self.0[1], self.0[2]]
    }

    /// Product name, five characters.
    #[must_use]
    pub fn product(&self) -> [u8; 5] {
        let [_, _, _, a, b, c, d, e, ..] = self.0;
        [a, b, c, d, e]
    }

    /// Product revision, major and minor.
    #[must_use]
    pub const fn revision(&self) -> (u8, u8) {
        (self.0[8] >> 4, self.0[8] & 0xF)
    }

    /// Serial number.
    #[must_use]
    pub const fn serial(&self) -> u32 {
        u32::from_be_bytes([self.0[9], self.0[10], self.0[11], self.0[12]])
    }

    /// Year and month (1..=12) of manufacture.
    #[must_use]
    pub const fn date(&self) -> (u16, u8) {
        let date = u16::from_be_bytes([self.0[13], self.0[14]]);
        (2000 + (date >> 4 & 0xFF), self.0[14] & 0xF)
    }

    /// True where the checksum is right. (Some host drivers fill the last byte with 0.)
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.0[15] == 0 || crc7(&self.0[..15]) << 1 | 1 == self.0[15]
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&cid_text(&self.0))
    }
}

/// A CID as 32 hexadecimal digits.
#[must_use]
pub fn cid_text(cid: &[u8; 16]) -> String {
    use fmt::Write;
    cid.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// How a card is addressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Capacity {
    /// Bytes: up to 2 GB.
    Standard,
    /// Blocks of 512 bytes: SDHC and SDXC.
    High,
}

/// Card specific data (section 5.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Csd(pub [u8; 16]);

impl Csd {
    /// Blocks of 512 bytes; `None` for a structure version that is neither 1.0 nor 2.0.
    #[must_use]
    pub fn blocks(&self) -> Option<u64> {
        let c = &self.0;
        match c[0] >> 6 {
            0 => {
                let size = u64::from(c[6] & 0x03) << 10 | u64::from(c[7]) << 2 | u64::from(c[8] >> 6);
                let multiplier = u32::from((c[9] & 0x03) << 1 | c[10] >> 7);
                let length = u32::from(c[5] & 0x0F);
                let bytes = (size + 1) << (multiplier + 2) << length;
                Some(bytes / 512)
            }
            1 => {
                let size = u64::from(c[7] & 0x3F) << 16 | u64::from(c[8]) << 8 | u64::from(c[9]);
                Some((size + 1) * 1024)
            }
            _ => None,
        }
    }

    /// The command classes it knows, bit n = class n.
    #[must_use]
    pub const fn classes(&self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]]) >> 4
    }

    /// Largest clock in Hz in default speed; `None` for reserved codings.
    #[must_use]
    pub fn clock(&self) -> Option<u32> {
        const VALUES: [u32; 16] = [0, 10, 12, 13, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 70, 80];
        let unit = 10_u32.checked_pow(u32::from(self.0[3] & 7)).filter(|_| self.0[3] & 7 < 4)?;
        let value = VALUES.get(usize::from(self.0[3] >> 3 & 0xF)).copied().filter(|value| *value != 0)?;
        Some(unit * 10_000 * value)
    }

    /// True where the checksum is right.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        crc7(&self.0[..15]) << 1 | 1 == self.0[15]
    }
}

/// SD configuration (section 5.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scr(pub [u8; 8]);

impl Scr {
    /// True from version 1.10 on: CMD6 is there.
    #[must_use]
    pub const fn has_switch(&self) -> bool {
        self.0[0] & 0x0F >= 1
    }

    /// The command support bits; bit 1 = CMD23.
    #[must_use]
    pub const fn command_support(&self) -> u8 {
        self.0[3] & 0x3F
    }
}

/// Operation conditions (section 5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ocr(pub u32);

impl Ocr {
    /// Bit 31: initialisation is over.
    pub const READY: u32 = 1 << 31;
    /// Bit 30: card capacity status.
    pub const CCS: u32 = 1 << 30;
    /// 2.7 to 3.6 V.
    pub const VOLTAGES: u32 = 0x00FF_8000;

    /// True where initialisation is over.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        self.0 & Self::READY != 0
    }

    /// How the card is addressed; right only once it is ready.
    #[must_use]
    pub const fn capacity(self) -> Capacity {
        if self.0 & Self::CCS != 0 { Capacity::High } else { Capacity::Standard }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Registers of cards in the field, as Linux shows them in sysfs: a SanDisk SU04G (SDHC, 4 GB) and a 1 GB card.
    #[test]
    fn registers_of_real_cards_read_as_their_labels() {
        let cid = Cid([0x03, 0x53, 0x44, 0x53, 0x55, 0x30, 0x34, 0x47, 0x80, 0x02, 0x8B, 0x2D, 0x4F, 0x00, 0xC1, 0x00]);
        assert_eq!((cid.manufacturer(), &cid.oem(), &cid.product()), (3, b"SD", b"SU04G"));
        assert_eq!((cid.revision(), cid.serial(), cid.date()), ((8, 0), 0x028B_2D4F, (2012, 1)));
        let csd = Csd([0x40, 0x0E, 0x00, 0x32, 0x5B, 0x59, 0x00, 0x00, 0x1D, 0x8A, 0x7F, 0x80, 0x0A, 0x40, 0x00, 0x00]);
        assert_eq!(csd.blocks(), Some(0x1D8B * 1024));
        assert_eq!(csd.clock(), Some(25_000_000));
        assert_eq!(csd.classes(), 0x5B5);
        let small =
            Csd([0x00, 0x26, 0x00, 0x32, 0x5F, 0x59, 0x83, 0xC8, 0xBE, 0xFB, 0xCF, 0xFF, 0x92, 0x40, 0x40, 0x00]);
        assert_eq!(small.blocks(), Some(3875 << 9));
        assert_eq!(Csd([0xC0; 16]).blocks(), None);
    }

    #[test]
    fn the_operation_conditions_tell_the_addressing() {
        assert_eq!(Ocr(0xC0FF_8000).capacity(), Capacity::High);
        assert!(Ocr(0x80FF_8000).is_ready() && !Ocr(0x00FF_8000).is_ready());
        assert!(Scr([0x02, 0x35, 0x80, 0x00, 0, 0, 0, 0]).has_switch());
    }
}
