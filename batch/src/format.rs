//! The layout of a batch file.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `SMCB` |
//! | 4 | 1 | version, 1 |
//! | 5 | 1 | flags: bit 0 recovery information present; bit 1 confirmation needed before first use |
//! | 6 | 2 | 0 |
//! | 8 | 4 | length of the body |
//! | 12 | 4 | CRC-32 (ISO-HDLC) of the body |
//! | 16 | 4 | number of APDUs; here the body begins |
//! | 20 | 2 + 8·n | only with flag bit 0: length in bytes, then n pairs of command number and offset |
//! | … | 4 + L | for each APDU: its length L, then the APDU |
//!
//! The body is everything from offset 16 to the end of the file, so that the checksum covers the number of APDUs and the
//! recovery information as well; offsets in the recovery information count from there.

use crate::fault::{Fault, Reason};
use crc32fast::Hasher;

/// The first four bytes.
pub const MAGIC: [u8; 4] = *b"SMCB";
/// The only version.
pub const VERSION: u8 = 1;
/// Where the body begins: bytes of the header.
pub const BODY_OFFSET: usize = 16;
/// Flag: recovery information is present.
pub const FLAG_RECOVERY: u8 = 0x01;
/// Flag: the card wants CONFIRM before what the batch installs may be used.
pub const FLAG_CONFIRM: u8 = 0x02;
/// Bytes of one pair in the recovery information.
pub const RECOVERY_PAIR_LEN: usize = 8;
/// Most pairs that the two-byte length of the recovery information can express.
pub const RECOVERY_PAIRS_MAX: usize = u16::MAX as usize / RECOVERY_PAIR_LEN;
/// Bytes of the length before each APDU.
pub const COMMAND_LENGTH_LEN: usize = 4;

/// CRC-32 (ISO-HDLC) of `bytes`.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// CRC-32 (ISO-HDLC) of a body that arrives in pieces.
pub struct Checksum(Hasher);

impl Checksum {
    /// Of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Checksum(Hasher::new())
    }

    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all pieces.
    #[must_use]
    pub fn finish(self) -> u32 {
        self.0.finalize()
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Self::new()
    }
}

/// The first sixteen bytes of a batch: enough to know how long the file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Flag bits, only those this version knows.
    pub flags: u8,
    /// Bytes of the body.
    pub body_len: u32,
    /// CRC-32 of the body.
    pub body_crc: u32,
}

impl Header {
    /// Reads a header from the beginning of `bytes`, which may hold less or more.
    ///
    /// # Errors
    /// The first byte that cannot belong to a batch; [`Reason::HeaderCut`] only where all bytes present are right.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let fault = |offset, reason| Err(Fault { offset, reason });
        if bytes.iter().zip(&MAGIC).any(|(a, b)| a != b) {
            return fault(0, Reason::Magic);
        }
        if bytes.get(4).is_some_and(|&version| version != VERSION) {
            return fault(4, Reason::Version);
        }
        if bytes.get(5).is_some_and(|flags| flags & !(FLAG_RECOVERY | FLAG_CONFIRM) != 0) {
            return fault(5, Reason::Flags);
        }
        if bytes.iter().skip(6).take(2).any(|&byte| byte != 0) {
            return fault(6, Reason::Reserved);
        }
        let Some((header, _)) = bytes.split_first_chunk::<BODY_OFFSET>() else {
            return fault(u32::try_from(bytes.len()).unwrap_or(u32::MAX), Reason::HeaderCut);
        };
        let &[_, _, _, _, _, flags, _, _, l0, l1, l2, l3, c0, c1, c2, c3] = header;
        let body_len = u32::from_be_bytes([l0, l1, l2, l3]);
        if body_len > u32::MAX - 16 {
            return fault(8, Reason::TooLong);
        }
        if body_len < 4 {
            return fault(8, Reason::HeaderCut);
        }
        Ok(Header { flags, body_len, body_crc: u32::from_be_bytes([c0, c1, c2, c3]) })
    }

    /// Bytes of the whole file.
    #[must_use]
    pub fn file_len(&self) -> u32 {
        self.body_len.saturating_add(16)
    }

    /// The sixteen bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; BODY_OFFSET] {
        let [m0, m1, m2, m3] = MAGIC;
        let [l0, l1, l2, l3] = self.body_len.to_be_bytes();
        let [c0, c1, c2, c3] = self.body_crc.to_be_bytes();
        [m0, m1, m2, m3, VERSION, self.flags, 0, 0, l0, l1, l2, l3, c0, c1, c2, c3]
    }
}

/// A place where an interrupted issue can go on (system S7.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct RecoveryPoint {
    /// Number of the command, the first being 1.
    pub command: u32,
    /// Where its four-byte length stands: bytes from the start of the body.
    pub offset: u32,
}
