//! Keys: long-term key sets and the session keys derived from them. None of them is ever printed.

use super::Challenge;
use super::kdf::{AesKey, constant, derive, derive_key};
use super::{Mode, kdf};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Key version number of the test keys.
pub const TEST_KEY_VERSION: u8 = 0x30;

/// A key set: Key-ENC, Key-MAC and Key-DEK, AES (Amendment D section 6.1). Zeroized when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct StaticKeys {
    pub(crate) enc: AesKey,
    pub(crate) mac: AesKey,
    pub(crate) dek: AesKey,
}

/// Whether a key set is one the whole world knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeySetKind {
    /// The published test keys.
    Test,
    /// Any other.
    Private,
}

impl StaticKeys {
    /// A key set of three AES-128 keys.
    #[must_use]
    pub fn new(enc: [u8; 16], mac: [u8; 16], dek: [u8; 16]) -> Self {
        StaticKeys { enc: AesKey::Bits128(enc), mac: AesKey::Bits128(mac), dek: AesKey::Bits128(dek) }
    }

    /// A key set of three AES keys of 16, 24 or 32 bytes; `None` for any other length.
    #[must_use]
    pub fn from_slices(enc: &[u8], mac: &[u8], dek: &[u8]) -> Option<Self> {
        Some(StaticKeys { enc: AesKey::new(enc)?, mac: AesKey::new(mac)?, dek: AesKey::new(dek)? })
    }

    /// The well-known test keys 40 41 … 4F (GlobalPlatform's own examples), with which an emulated card leaves the factory.
    #[must_use]
    pub fn test() -> Self {
        let key = 0x4041_4243_4445_4647_4849_4A4B_4C4D_4E4F_u128.to_be_bytes();
        StaticKeys::new(key, key, key)
    }

    /// Whether these are the test keys.
    #[must_use]
    pub fn kind(&self) -> KeySetKind {
        let test = Self::test();
        let same = self.enc == test.enc && self.mac == test.mac && self.dek == test.dek;
        if same { KeySetKind::Test } else { KeySetKind::Private }
    }

    /// A pseudo-random card challenge of S8 mode (Amendment D section 6.2.2.1) from the sequence counter and the AID of
    /// the application that opens the channel.
    #[must_use]
    pub fn card_challenge(&self, sequence: [u8; 3], aid: &[u8]) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = derive(&self.enc, constant::CARD_CHALLENGE, Mode::S8, &[&sequence, aid]);
        [a, b, c, d, e, f, g, h]
    }

    /// As [`StaticKeys::card_challenge`], in either mode.
    #[must_use]
    pub fn challenge(&self, mode: Mode, sequence: [u8; 3], aid: &[u8]) -> Challenge {
        match mode {
            Mode::S8 => Challenge::S8(self.card_challenge(sequence, aid)),
            Mode::S16 => Challenge::S16(derive(&self.enc, constant::CARD_CHALLENGE, mode, &[&sequence, aid])),
        }
    }
}

impl fmt::Debug for StaticKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StaticKeys(..)")
    }
}

/// Session keys (Amendment D section 6.2.1), with the data encryption key, which is the long-term one. Zeroized when
/// dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SessionKeys {
    pub(crate) enc: AesKey,
    pub(crate) mac: AesKey,
    pub(crate) rmac: AesKey,
    pub(crate) dek: AesKey,
}

impl SessionKeys {
    pub(crate) fn derive(keys: &StaticKeys, host: &Challenge, card: &Challenge) -> Self {
        let context: &[&[u8]] = &[host.as_bytes(), card.as_bytes()];
        SessionKeys {
            enc: derive_key(&keys.enc, constant::S_ENC, context),
            mac: derive_key(&keys.mac, constant::S_MAC, context),
            rmac: derive_key(&keys.mac, constant::S_RMAC, context),
            dek: keys.dek.clone(),
        }
    }

    /// A cryptogram, as long as the mode says, at the front of the block.
    pub(crate) fn cryptogram(&self, constant: u8, host: &Challenge, card: &Challenge) -> kdf::Block {
        derive(&self.mac, constant, host.mode(), &[host.as_bytes(), card.as_bytes()])
    }
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKeys(..)")
    }
}
