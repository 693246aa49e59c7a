//! Keys: long-term key sets and the session keys derived from them. None of them is ever printed.

use super::kdf::{Block, constant, derive};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Key version number of the test keys.
pub const TEST_KEY_VERSION: u8 = 0x30;

/// A key set: Key-ENC, Key-MAC and Key-DEK, AES-128 (Amendment D section 6.1). Zeroized when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct StaticKeys {
    pub(crate) enc: Block,
    pub(crate) mac: Block,
    pub(crate) dek: Block,
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
        StaticKeys { enc, mac, dek }
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

    /// The three keys one after the other, as the card keeps them in its own memory.
    pub(crate) fn to_bytes(&self) -> [u8; 48] {
        let mut bytes = [0; 48];
        bytes[..16].copy_from_slice(&self.enc);
        bytes[16..32].copy_from_slice(&self.mac);
        bytes[32..].copy_from_slice(&self.dek);
        bytes
    }

    /// The inverse of `to_bytes`.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (enc, rest) = bytes.split_first_chunk::<16>()?;
        let (mac, rest) = rest.split_first_chunk::<16>()?;
        Some(StaticKeys::new(*enc, *mac, rest.try_into().ok()?))
    }

    /// A pseudo-random card challenge (Amendment D section 6.2.2.1) from the sequence counter and the AID of the
    /// application that opens the channel.
    #[must_use]
    pub fn card_challenge(&self, sequence: [u8; 3], aid: &[u8]) -> [u8; 8] {
        super::kdf::half(&derive(&self.enc, constant::CARD_CHALLENGE, 64, &[&sequence, aid]))
    }
}

impl fmt::Debug for StaticKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StaticKeys(..)")
    }
}

/// Session keys (Amendment D section 6.2.1). Zeroized when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SessionKeys {
    pub(crate) enc: Block,
    pub(crate) mac: Block,
    pub(crate) rmac: Block,
}

impl SessionKeys {
    pub(crate) fn derive(keys: &StaticKeys, host: &[u8; 8], card: &[u8; 8]) -> Self {
        let context: &[&[u8]] = &[host, card];
        SessionKeys {
            enc: derive(&keys.enc, constant::S_ENC, 128, context),
            mac: derive(&keys.mac, constant::S_MAC, 128, context),
            rmac: derive(&keys.mac, constant::S_RMAC, 128, context),
        }
    }

    pub(crate) fn cryptogram(&self, constant: u8, host: &[u8; 8], card: &[u8; 8]) -> [u8; 8] {
        super::kdf::half(&derive(&self.mac, constant, 64, &[host, card]))
    }
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKeys(..)")
    }
}
