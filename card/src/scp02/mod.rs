//! Secure Channel Protocol '02' (GlobalPlatform Card Specification 2.3.1 appendix E) with three keys of two-key triple DES,
//! explicit initiation, C-MAC on the modified command and its ICV encrypted: i = 15 and 55.
//!
//! It is here for the clients and batches that already exist. Triple DES is broken by nothing but its age; new cards take
//! SCP03.
//!
//! [`card`] is the card's side, [`host`] the terminal's; both stand on `des` and `keys`. Responses are never protected:
//! neither option has R-MAC.

pub mod card;
mod des;
pub mod host;
mod keys;

pub use crate::scp::SecurityLevel;
pub(crate) use des::TdesKey;
pub use host::{HostHandshake, HostSession};
pub use keys::{SessionKeys, StaticKeys};

/// Bytes of the host's challenge, of a cryptogram and of a MAC.
pub const MAC_LEN: usize = 8;
/// Bytes of the card's challenge.
pub const CARD_CHALLENGE_LEN: usize = 6;

/// The implementation option `i` (table E-1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options(u8);

impl Options {
    /// Random challenge.
    pub const RANDOM: Options = Options(0x15);
    /// Well-known pseudo-random challenge.
    pub const PSEUDO_RANDOM: Options = Options(0x55);

    /// The option with this value, 15 or 55; `None` for those not served here.
    #[must_use]
    pub fn from_byte(i: u8) -> Option<Self> {
        matches!(i, 0x15 | 0x55).then_some(Options(i))
    }

    /// The byte in card recognition data.
    #[must_use]
    pub fn byte(self) -> u8 {
        self.0
    }

    /// True where the challenge is derived from the sequence counter.
    #[must_use]
    pub fn pseudo_random(self) -> bool {
        self == Self::PSEUDO_RANDOM
    }

    /// True where a session of this level can be opened: 00, 01 and 03.
    #[must_use]
    pub fn supports(self, level: SecurityLevel) -> bool {
        !level.r_mac() && !level.r_enc()
    }
}
