//! Secure Channel Protocol '03' (GlobalPlatform Card Specification Amendment D 1.1.1, S16 mode after 1.2), AES keys of
//! 128, 192 and 256 bits.
//!
//! [`card`] is the card's side, [`host`] the terminal's; both stand on `kdf` (key derivation, MAC, encryption) and `keys`.
//! Nothing here knows a transport or a file.
//!
//! The security level says what protects the commands (and responses) behind EXTERNAL AUTHENTICATE; the implementation
//! option `i` says how the card makes its challenge and whether responses can be protected at all.

pub mod card;
pub mod host;
mod kdf;
mod keys;

pub use crate::scp::SecurityLevel;
pub use host::{HostError, HostHandshake, HostSession};
pub(crate) use kdf::{AesKey, decrypt_key};
pub use keys::{KeySetKind, SessionKeys, StaticKeys, TEST_KEY_VERSION};

/// Bytes of a challenge, of a cryptogram and of a MAC in S8 mode.
pub const CHALLENGE_LEN: usize = 8;
/// Bytes of the MAC that travels with a command or a response in S8 mode.
pub const MAC_LEN: usize = 8;

/// How long challenges, cryptograms and MACs are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// 8 bytes each.
    S8,
    /// 16 bytes each.
    S16,
}

impl Mode {
    /// Bytes of a challenge, a cryptogram or a MAC.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Mode::S8 => CHALLENGE_LEN,
            Mode::S16 => 2 * CHALLENGE_LEN,
        }
    }

    fn bits(self) -> u16 {
        match self {
            Mode::S8 => 64,
            Mode::S16 => 128,
        }
    }

    /// What of a block travels.
    fn cut(self, block: &[u8; 16]) -> &[u8] {
        block.get(..self.bytes()).unwrap_or(block)
    }
}

/// A challenge of the host or of the card; its length makes the mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Challenge {
    /// S8 mode.
    S8([u8; 8]),
    /// S16 mode.
    S16([u8; 16]),
}

impl Challenge {
    /// The bytes that travel.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Challenge::S8(bytes) => bytes,
            Challenge::S16(bytes) => bytes,
        }
    }

    /// The mode of a session with challenges of this length.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self {
            Challenge::S8(_) => Mode::S8,
            Challenge::S16(_) => Mode::S16,
        }
    }

    /// A challenge from 8 or 16 bytes; `None` for any other number.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        match bytes.len() {
            8 => bytes.try_into().ok().map(Challenge::S8),
            16 => bytes.try_into().ok().map(Challenge::S16),
            _ => None,
        }
    }
}

impl From<[u8; 8]> for Challenge {
    fn from(bytes: [u8; 8]) -> Self {
        Challenge::S8(bytes)
    }
}

impl From<[u8; 16]> for Challenge {
    fn from(bytes: [u8; 16]) -> Self {
        Challenge::S16(bytes)
    }
}

/// The implementation option `i` (Amendment D table 5-1): how the card makes its challenge, what it can protect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options(u8);

impl Options {
    /// Random challenge, no response protection.
    pub const PLAIN: Options = Options(0x00);
    /// Pseudo-random challenge, R-MAC and R-ENC.
    pub const FULL: Options = Options(0x70);

    const S16: u8 = 0x01;
    const PSEUDO_RANDOM: u8 = 0x10;
    const R_MAC: u8 = 0x20;
    const R_ENC: u8 = 0x40;

    /// The option with this value: 00, 10, 20, 30, 60 or 70 for S8 mode, one more for S16 mode. `None` for others: R-ENC
    /// without R-MAC is none, and the remaining bits are reserved.
    #[must_use]
    pub fn from_byte(i: u8) -> Option<Self> {
        matches!(i & !Self::S16, 0x00 | 0x10 | 0x20 | 0x30 | 0x60 | 0x70).then_some(Options(i))
    }

    /// The byte in key information and card recognition data.
    #[must_use]
    pub fn byte(self) -> u8 {
        self.0
    }

    /// Whether sessions are of S8 or of S16 mode. A card has one of them: none can be talked down to the shorter.
    #[must_use]
    pub fn mode(self) -> Mode {
        if self.0 & Self::S16 == 0 { Mode::S8 } else { Mode::S16 }
    }

    /// True where the challenge is derived from a sequence counter.
    #[must_use]
    pub fn pseudo_random(self) -> bool {
        self.0 & Self::PSEUDO_RANDOM != 0
    }

    /// True where a session of this level can be opened.
    #[must_use]
    pub fn supports(self, level: SecurityLevel) -> bool {
        (!level.r_mac() || self.0 & Self::R_MAC != 0) && (!level.r_enc() || self.0 & Self::R_ENC != 0)
    }
}
