//! The card's side: INITIALIZE UPDATE, EXTERNAL AUTHENTICATE, and the channel behind them.

use super::kdf::{AesKey, BLOCK, Block, Direction, cmac, constant, decrypt, decrypt_key, encrypt};
use super::{Challenge, Mode, Options, SessionKeys, StaticKeys};
pub use crate::scp::{AuthenticateError, ChannelBroken, SecurityLevel, Unwrapped};
use smcard_batch::{CommandApdu, Form};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What INITIALIZE UPDATE leaves behind: keys derived, nobody authenticated.
pub struct Handshake {
    keys: SessionKeys,
    options: Options,
    host: Challenge,
    card: Challenge,
    key_version: u8,
}

/// What INITIALIZE UPDATE needs of the card besides the host's challenge. `C` is a challenge: 8 bytes, 16 bytes, or
/// [`Challenge`] where the mode is known only when the program runs.
pub struct Opening<'a, C = [u8; 8]> {
    /// The key set chosen.
    pub keys: &'a StaticKeys,
    /// Its version number.
    pub key_version: u8,
    /// Key diversification data, returned as it is.
    pub diversification: [u8; 10],
    /// The implementation option.
    pub options: Options,
    /// The card's challenge: random, or derived from the sequence counter.
    pub card_challenge: C,
    /// The sequence counter, returned where the option says the challenge is pseudo-random.
    pub sequence: [u8; 3],
}

impl Handshake {
    /// Answers INITIALIZE UPDATE: the handshake and the response data (29 or 32 bytes in S8 mode, 45 or 48 in S16 mode;
    /// Amendment D table 7-4). Both challenges have the same length.
    #[must_use]
    pub fn open<C: Into<Challenge> + Copy>(opening: &Opening<'_, C>, host: C) -> (Self, Vec<u8>) {
        let (host, card): (Challenge, Challenge) = (host.into(), opening.card_challenge.into());
        let keys = SessionKeys::derive(opening.keys, &host, &card);
        let mut response = Vec::with_capacity(48);
        response.extend_from_slice(&opening.diversification);
        response.extend_from_slice(&[opening.key_version, 0x03, opening.options.byte()]);
        response.extend_from_slice(card.as_bytes());
        response.extend_from_slice(host.mode().cut(&keys.cryptogram(constant::CARD_CRYPTOGRAM, &host, &card)));
        if opening.options.pseudo_random() {
            response.extend_from_slice(&opening.sequence);
        }
        (Handshake { keys, options: opening.options, host, card, key_version: opening.key_version }, response)
    }

    /// The version of the key set that the host is to prove.
    #[must_use]
    pub fn key_version(&self) -> u8 {
        self.key_version
    }

    /// Checks EXTERNAL AUTHENTICATE (`84 82 level 00 10 cryptogram MAC`; S16: `20`) and opens the channel.
    ///
    /// # Errors
    /// The card's refusal; the handshake is spent in any case.
    pub fn authenticate(self, command: &CommandApdu<'_>) -> Result<Channel, AuthenticateError> {
        let mode = self.host.mode();
        let level = SecurityLevel::from_p1(command.p1).filter(|&level| self.options.supports(level));
        let Some((cryptogram, mac)) = command.data.split_at_checked(mode.bytes()) else {
            return Err(AuthenticateError::Mac);
        };
        let chain = command_mac(&self.keys.mac, &[0; 16], command, cryptogram, mac.len());
        let mac_ok = mode.cut(&chain).ct_eq(mac);
        let expected = self.keys.cryptogram(constant::HOST_CRYPTOGRAM, &self.host, &self.card);
        if !bool::from(mode.cut(&expected).ct_eq(cryptogram)) {
            return Err(AuthenticateError::Cryptogram);
        }
        if !bool::from(mac_ok) {
            return Err(AuthenticateError::Mac);
        }
        let level = level.ok_or(AuthenticateError::Level)?;
        Ok(Channel { keys: self.keys, mode, level, chain, counter: 0, key_version: self.key_version })
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handshake with key version {:02X}", self.key_version)
    }
}

/// An open secure channel.
pub struct Channel {
    keys: SessionKeys,
    mode: Mode,
    level: SecurityLevel,
    chain: Block,
    counter: u32,
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
    /// Anything below the level or wrong: the caller closes the channel (Amendment D section 6.2.4).
    pub fn unwrap(&mut self, command: &CommandApdu<'_>) -> Result<Unwrapped, ChannelBroken> {
        if !self.level.demands_protection(command)? {
            return Ok(Unwrapped::new(command, command.data.to_vec()));
        }
        let plain = command.data.len().checked_sub(self.mode.bytes()).ok_or(ChannelBroken)?;
        let (data, mac) = command.data.split_at_checked(plain).ok_or(ChannelBroken)?;
        let chain = command_mac(&self.keys.mac, &self.chain, command, data, self.mode.bytes());
        if !bool::from(self.mode.cut(&chain).ct_eq(mac)) {
            return Err(ChannelBroken);
        }
        self.chain = chain;
        self.counter = self.counter.checked_add(1).ok_or(ChannelBroken)?;
        let mut data = data.to_vec();
        if self.level.c_enc() {
            let length =
                decrypt(&self.keys.enc, self.counter, Direction::Command, &mut data).ok_or(ChannelBroken)?.len();
            data.truncate(length);
        }
        Ok(Unwrapped::new(command, data))
    }

    /// Puts the protection on a response; none on an error status (only 9000, 62XX and 63XX are protected).
    pub fn wrap(&mut self, data: &mut Vec<u8>, sw: u16) {
        if !crate::scp::protects(sw) {
            return;
        }
        if self.level.r_enc() {
            *data = encrypt(&self.keys.enc, self.counter, Direction::Response, data);
        }
        if self.level.r_mac() {
            let mac = cmac(&self.keys.rmac, &[&self.chain, data, &sw.to_be_bytes()]);
            data.extend_from_slice(self.mode.cut(&mac));
        }
    }

    /// How many bytes of response data in the clear fit into `room` with their protection.
    pub(crate) fn response_room(&self, room: usize) -> usize {
        let room = if self.level.r_mac() { room.saturating_sub(self.mode.bytes()) } else { room };
        // The padding takes at least one byte.
        if self.level.r_enc() { (room / BLOCK * BLOCK).saturating_sub(1) } else { room }
    }

    /// A key that came under the data encryption key, in the clear, fill included.
    pub(crate) fn decrypt_key(&self, encrypted: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        decrypt_key(&self.keys.dek, encrypted)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel of level {:02X} with key version {:02X}", self.level.p1(), self.key_version)
    }
}

/// C-MAC over the previous one, the header as sent, the length as sent (MAC included) and the data as sent.
pub(super) fn command_mac(
    key: &AesKey,
    chain: &Block,
    command: &CommandApdu<'_>,
    data: &[u8],
    mac_len: usize,
) -> Block {
    let header = [command.cla, command.ins, command.p1, command.p2];
    let length = data.len() + mac_len;
    match (command.form, u8::try_from(length), u16::try_from(length)) {
        (Form::Short, Ok(lc), _) => cmac(key, &[chain, &header, &[lc], data]),
        (_, _, Ok(lc)) => {
            let [high, low] = lc.to_be_bytes();
            cmac(key, &[chain, &header, &[0, high, low], data])
        }
        _ => cmac(key, &[chain, &header, &length.to_be_bytes(), data]),
    }
}
