//! The card's side: INITIALIZE UPDATE, EXTERNAL AUTHENTICATE, and the channel behind them.

use super::des::{BLOCK, Block, TdesKey};
use super::keys::Side;
use super::{CARD_CHALLENGE_LEN, MAC_LEN, Options, SessionKeys, StaticKeys};
use crate::scp::{AuthenticateError, ChannelBroken, SecurityLevel, Unwrapped};
use smcard_batch::{CommandApdu, Form};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What INITIALIZE UPDATE leaves behind: keys derived, nobody authenticated.
pub struct Handshake {
    keys: SessionKeys,
    options: Options,
    host: Block,
    card: [u8; CARD_CHALLENGE_LEN],
    sequence: u16,
    key_version: u8,
}

/// What INITIALIZE UPDATE needs of the card besides the host's challenge.
pub struct Opening<'a> {
    /// The key set chosen.
    pub keys: &'a StaticKeys,
    /// Its version number.
    pub key_version: u8,
    /// Key diversification data, returned as it is.
    pub diversification: [u8; 10],
    /// The implementation option.
    pub options: Options,
    /// The card's challenge: random, or derived from the sequence counter.
    pub card_challenge: [u8; CARD_CHALLENGE_LEN],
    /// The sequence counter of the key set; the session keys come from it.
    pub sequence: u16,
}

impl Handshake {
    /// Answers INITIALIZE UPDATE: the handshake and the response data (28 bytes, GlobalPlatform 2.3.1 table E-11).
    #[must_use]
    pub fn open(opening: &Opening<'_>, host: [u8; 8]) -> (Self, Vec<u8>) {
        let &Opening { key_version, options, card_challenge: card, sequence, .. } = opening;
        let keys = SessionKeys::derive(opening.keys, sequence);
        let mut response = Vec::with_capacity(28);
        response.extend_from_slice(&opening.diversification);
        response.extend_from_slice(&[key_version, 0x02]);
        response.extend_from_slice(&sequence.to_be_bytes());
        response.extend_from_slice(&card);
        response.extend_from_slice(&keys.cryptogram(Side::Card, &host, sequence, &card));
        (Handshake { keys, options, host, card, sequence, key_version }, response)
    }

    /// The version of the key set that the host is to prove.
    #[must_use]
    pub fn key_version(&self) -> u8 {
        self.key_version
    }

    /// Checks EXTERNAL AUTHENTICATE (`84 82 level 00 10 cryptogram MAC`) and opens the channel. The sequence counter goes
    /// on when this succeeds (section E.1.2.3).
    ///
    /// # Errors
    /// The card's refusal; the handshake is spent in any case.
    pub fn authenticate(self, command: &CommandApdu<'_>) -> Result<Channel, AuthenticateError> {
        let level = SecurityLevel::from_p1(command.p1).filter(|&level| self.options.supports(level));
        let Some((cryptogram, mac)) = command.data.split_first_chunk::<MAC_LEN>() else {
            return Err(AuthenticateError::Mac);
        };
        let made = command_mac(&self.keys.mac, [0; BLOCK], command, cryptogram).ok_or(AuthenticateError::Mac)?;
        let mac_ok = made.ct_eq(mac);
        let expected = self.keys.cryptogram(Side::Host, &self.host, self.sequence, &self.card);
        if !bool::from(expected.ct_eq(cryptogram)) {
            return Err(AuthenticateError::Cryptogram);
        }
        if !bool::from(mac_ok) {
            return Err(AuthenticateError::Mac);
        }
        let level = level.ok_or(AuthenticateError::Level)?;
        Ok(Channel { keys: self.keys, level, mac: made, key_version: self.key_version })
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handshake with key version {:02X}", self.key_version)
    }
}

/// An open secure channel. Its responses are never protected.
pub struct Channel {
    keys: SessionKeys,
    level: SecurityLevel,
    /// The last C-MAC; encrypted, the ICV of the next.
    mac: Block,
    key_version: u8,
}

impl Channel {
    /// The security level agreed at EXTERNAL AUTHENTICATE.
    #[must_use]
    pub fn level(&self) -> SecurityLevel {
        self.level
    }

    /// The version of the key set the host proved to know.
    #[must_use]
    pub fn key_version(&self) -> u8 {
        self.key_version
    }

    /// Takes the protection off a command. At level 00 the command passes as it is.
    ///
    /// # Errors
    /// Anything below the level or wrong: the caller closes the channel (section E.1.4).
    pub fn unwrap(&mut self, command: &CommandApdu<'_>) -> Result<Unwrapped, ChannelBroken> {
        if !self.level.demands_protection(command)? {
            return Ok(Unwrapped::new(command, command.data.to_vec()));
        }
        let (data, mac) = command.data.split_last_chunk::<MAC_LEN>().ok_or(ChannelBroken)?;
        let mut data = Zeroizing::new(data.to_vec());
        if self.level.c_enc() && !data.is_empty() {
            let plain = self.keys.enc.decrypt_cbc([0; BLOCK], &mut data).ok_or(ChannelBroken)?;
            let end = plain.iter().rposition(|&byte| byte != 0).ok_or(ChannelBroken)?;
            if plain.get(end) != Some(&0x80) {
                return Err(ChannelBroken);
            }
            data.truncate(end);
        }
        let icv = self.keys.mac.encrypt_icv(self.mac);
        let made = command_mac(&self.keys.mac, icv, command, &data).ok_or(ChannelBroken)?;
        if !bool::from(made.ct_eq(mac)) {
            return Err(ChannelBroken);
        }
        self.mac = made;
        Ok(Unwrapped::new(command, std::mem::take(&mut data)))
    }

    /// A key that came under the session's data encryption key, in the clear.
    pub(crate) fn decrypt_key(&self, encrypted: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut data = Zeroizing::new(encrypted.to_vec());
        self.keys.dek.decrypt_ecb(&mut data);
        (data.len() % BLOCK == 0).then_some(data)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel of level {:02X} with key version {:02X}", self.level.p1(), self.key_version)
    }
}

/// C-MAC over the header, the length with the MAC (before any encryption) and the data in the clear (section E.4.4). The
/// protocol knows short commands only: `None` for others.
pub(super) fn command_mac(key: &TdesKey, icv: Block, command: &CommandApdu<'_>, data: &[u8]) -> Option<Block> {
    let lc = u8::try_from(data.len() + MAC_LEN).ok().filter(|_| command.form == Form::Short)?;
    let mut message = Zeroizing::new(vec![command.cla, command.ins, command.p1, command.p2, lc]);
    message.extend_from_slice(data);
    Some(key.retail_mac(icv, &message))
}
