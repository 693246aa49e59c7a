//! Tokens of data in SPI mode (PLSS section 7.3.3).

use std::fmt;

/// Before every block that is read, and before one that is written alone.
pub const START_BLOCK: u8 = 0xFE;
/// Before every block of a multi-block write.
pub const START_MULTI: u8 = 0xFC;
/// Ends a multi-block write.
pub const STOP_MULTI: u8 = 0xFD;

/// What a card says of a block that it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DataResponse {
    /// 010: taken.
    Accepted,
    /// 101: its checksum was wrong.
    Crc,
    /// 110: it could not be written.
    WriteError,
}

impl DataResponse {
    /// Reads the byte `xxx0sss1`; `None` where it is none of the three.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte & 0x1F {
            0x05 => Some(DataResponse::Accepted),
            0x0B => Some(DataResponse::Crc),
            0x0D => Some(DataResponse::WriteError),
            _ => None,
        }
    }

    /// The byte that a card sends, its undefined bits 1.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            DataResponse::Accepted => 0xE5,
            DataResponse::Crc => 0xEB,
            DataResponse::WriteError => 0xED,
        }
    }
}

/// What a card sends in place of a block that it cannot read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ErrorToken(u8);

impl ErrorToken {
    /// An error nothing else names.
    pub const ERROR: ErrorToken = ErrorToken(0x01);
    /// The card's controller failed.
    pub const CONTROLLER: ErrorToken = ErrorToken(0x02);
    /// Data could not be corrected.
    pub const ECC: ErrorToken = ErrorToken(0x04);
    /// Outside the card.
    pub const OUT_OF_RANGE: ErrorToken = ErrorToken(0x08);
    /// Locked with a password; only some cards say so.
    pub const LOCKED: ErrorToken = ErrorToken(0x10);

    /// Reads the byte `000x xxxx`, not zero.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        if byte & 0xE0 == 0 && byte != 0 { Some(ErrorToken(byte)) } else { None }
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }
}

impl fmt::Debug for ErrorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error token {:02X}", self.0)?;
        for (bit, word) in ["error", "controller error", "ECC failed", "out of range", "locked"].iter().enumerate() {
            if self.0 >> bit & 1 == 1 {
                write!(f, " {word}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_told_apart() {
        for response in [DataResponse::Accepted, DataResponse::Crc, DataResponse::WriteError] {
            assert_eq!(DataResponse::from_byte(response.byte()), Some(response));
            assert_eq!(DataResponse::from_byte(response.byte() & 0x1F), Some(response));
        }
        assert_eq!(DataResponse::from_byte(0xFF), None);
        assert_eq!(ErrorToken::from_byte(0x08), Some(ErrorToken::OUT_OF_RANGE));
        for none in [0x00, 0xFF, START_BLOCK, START_MULTI, STOP_MULTI] {
            assert_eq!(ErrorToken::from_byte(none), None);
        }
        assert_eq!(format!("{:?}", ErrorToken::LOCKED), "error token 10 locked");
    }
}
