//! Keys: long-term key sets and the session keys derived from them. None of them is ever printed.

use super::CARD_CHALLENGE_LEN;
use super::des::{BLOCK, Block, TdesKey};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Derivation constants (GlobalPlatform 2.3.1 section E.4.1).
mod constant {
    pub(super) const C_MAC: [u8; 2] = [0x01, 0x01];
    pub(super) const DEK: [u8; 2] = [0x01, 0x81];
    pub(super) const ENC: [u8; 2] = [0x01, 0x82];
}

/// A key set: Key-ENC, Key-MAC and Key-DEK. Zeroized when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct StaticKeys {
    pub(crate) enc: TdesKey,
    pub(crate) mac: TdesKey,
    pub(crate) dek: TdesKey,
}

impl StaticKeys {
    /// A key set of three two-key triple DES keys.
    #[must_use]
    pub fn new(enc: [u8; 16], mac: [u8; 16], dek: [u8; 16]) -> Self {
        StaticKeys { enc: TdesKey::new(enc), mac: TdesKey::new(mac), dek: TdesKey::new(dek) }
    }

    /// The well-known test keys 40 41 … 4F.
    #[must_use]
    pub fn test() -> Self {
        let key = 0x4041_4243_4445_4647_4849_4A4B_4C4D_4E4F_u128.to_be_bytes();
        StaticKeys::new(key, key, key)
    }

    /// The well-known pseudo-random card challenge (section E.4.2.3): the front of the C-MAC of the AID of the application
    /// that opens the channel.
    #[must_use]
    pub fn card_challenge(&self, sequence: u16, aid: &[u8]) -> [u8; CARD_CHALLENGE_LEN] {
        let [a, b, c, d, e, f, ..] = SessionKeys::derive(self, sequence).mac.retail_mac([0; BLOCK], aid);
        [a, b, c, d, e, f]
    }
}

impl fmt::Debug for StaticKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StaticKeys(..)")
    }
}

/// Session keys (section E.4.1). Zeroized when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SessionKeys {
    pub(crate) enc: TdesKey,
    pub(crate) mac: TdesKey,
    pub(crate) dek: TdesKey,
}

/// The two cryptograms differ in what stands first.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Card,
    Host,
}

impl SessionKeys {
    pub(crate) fn derive(keys: &StaticKeys, sequence: u16) -> Self {
        let session = |key: &TdesKey, constant: [u8; 2]| {
            let [high, low] = sequence.to_be_bytes();
            let mut data = vec![0; 2 * BLOCK];
            data.splice(..4, [constant[0], constant[1], high, low]);
            let made = Zeroizing::new(key.encrypt_cbc([0; BLOCK], data));
            let mut derived = Zeroizing::new([0; 2 * BLOCK]);
            derived.copy_from_slice(&made);
            TdesKey::new(*derived)
        };
        SessionKeys {
            enc: session(&keys.enc, constant::ENC),
            mac: session(&keys.mac, constant::C_MAC),
            dek: session(&keys.dek, constant::DEK),
        }
    }

    /// A cryptogram (sections E.4.2.1 and E.4.2.2).
    pub(crate) fn cryptogram(&self, side: Side, host: &Block, sequence: u16, card: &[u8; CARD_CHALLENGE_LEN]) -> Block {
        let sequence = sequence.to_be_bytes();
        let parts: [&[u8]; 3] = match side {
            Side::Card => [host, &sequence, card],
            Side::Host => [&sequence, card, host],
        };
        self.enc.full_mac(&parts.concat())
    }
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKeys(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Session keys that pySim's authors recorded (their unit tests, key version 20, sequence counter 1).
    #[test]
    fn session_keys_are_the_recorded_ones() {
        let key = |first: u8| {
            let mut bytes: [u8; 16] = std::array::from_fn(|index| u8::try_from(index).expect("16"));
            (bytes[0], bytes[1]) = (0x10, first);
            bytes
        };
        let keys = SessionKeys::derive(&StaticKeys::new(key(0x01), key(0x11), key(0x21)), 1);
        let hex = |key: &TdesKey| key.as_bytes().map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(hex(&keys.mac), "29a69328e60494982632039ddd47a2f1");
        assert_eq!(hex(&keys.enc), "1ba074b31f72a6c44fe8f5d9afe4da2f");
        assert_eq!(hex(&keys.dek), "511db767812597722109c867f9d7257a");
    }
}
