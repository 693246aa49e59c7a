//! Secure Channel Protocol '03' (GlobalPlatform Card Specification Amendment D 1.1.1), AES-128, S8 mode.
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

pub use host::{HostError, HostHandshake, HostSession};
pub use keys::{KeySetKind, SessionKeys, StaticKeys, TEST_KEY_VERSION};

/// Bytes of a challenge and of a cryptogram in S8 mode.
pub const CHALLENGE_LEN: usize = 8;
/// Bytes of the MAC that travels with a command or a response in S8 mode.
pub const MAC_LEN: usize = 8;

/// What protects commands and responses (Amendment D section 7.1.2.1, P1 of EXTERNAL AUTHENTICATE).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SecurityLevel(u8);

impl SecurityLevel {
    /// Authenticated, nothing protected.
    pub const AUTHENTICATED: SecurityLevel = SecurityLevel(0x00);
    /// Commands carry a MAC.
    pub const C_MAC: SecurityLevel = SecurityLevel(0x01);
    /// Commands carry a MAC and are encrypted.
    pub const C_MAC_C_ENC: SecurityLevel = SecurityLevel(0x03);
    /// Commands and responses carry a MAC.
    pub const C_MAC_R_MAC: SecurityLevel = SecurityLevel(0x11);
    /// Commands carry a MAC and are encrypted, responses carry a MAC.
    pub const C_MAC_C_ENC_R_MAC: SecurityLevel = SecurityLevel(0x13);
    /// Commands and responses carry a MAC and are encrypted.
    pub const ALL: SecurityLevel = SecurityLevel(0x33);

    /// The level with this value of P1; `None` for combinations the specification does not name.
    #[must_use]
    pub fn from_p1(p1: u8) -> Option<Self> {
        matches!(p1, 0x00 | 0x01 | 0x03 | 0x11 | 0x13 | 0x33).then_some(SecurityLevel(p1))
    }

    /// The value of P1.
    #[must_use]
    pub fn p1(self) -> u8 {
        self.0
    }

    fn c_mac(self) -> bool {
        self.0 & 0x01 != 0
    }

    fn c_enc(self) -> bool {
        self.0 & 0x02 != 0
    }

    fn r_mac(self) -> bool {
        self.0 & 0x10 != 0
    }

    fn r_enc(self) -> bool {
        self.0 & 0x20 != 0
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

    /// The option with this value; `None` for values of this specification that are not served here.
    #[must_use]
    pub fn from_byte(i: u8) -> Option<Self> {
        matches!(i, 0x00 | 0x70).then_some(Options(i))
    }

    /// The byte in key information and card recognition data.
    #[must_use]
    pub fn byte(self) -> u8 {
        self.0
    }

    /// True where the challenge is derived from a sequence counter.
    #[must_use]
    pub fn pseudo_random(self) -> bool {
        self.0 & 0x10 != 0
    }

    /// True where a session of this level can be opened.
    #[must_use]
    pub fn supports(self, level: SecurityLevel) -> bool {
        (!level.r_mac() || self.0 & 0x20 != 0) && (!level.r_enc() || self.0 & 0x40 != 0)
    }
}
