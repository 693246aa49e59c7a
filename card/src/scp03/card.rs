//! The card's side: INITIALIZE UPDATE, EXTERNAL AUTHENTICATE, and the channel behind them.

use super::kdf::{Block, Direction, cmac, constant, decrypt, encrypt, half};
use super::{CHALLENGE_LEN, MAC_LEN, Options, SecurityLevel, SessionKeys, StaticKeys};
use smcard_batch::{CommandApdu, Form};
use std::fmt;
use subtle::ConstantTimeEq;

/// What INITIALIZE UPDATE leaves behind: keys derived, nobody authenticated.
pub struct Handshake {
    keys: SessionKeys,
    options: Options,
    host: [u8; CHALLENGE_LEN],
    card: [u8; CHALLENGE_LEN],
    key_version: u8,
}

/// Why the card does not open a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthenticateError {
    /// The MAC or the format is wrong: 6982.
    Mac,
    /// The host cryptogram is wrong: 6300.
    Cryptogram,
    /// The security level is not one, or not with this implementation option: 6A86.
    Level,
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
    pub card_challenge: [u8; CHALLENGE_LEN],
    /// The sequence counter, returned where the option says the challenge is pseudo-random.
    pub sequence: [u8; 3],
}

impl Handshake {
    /// Answers INITIALIZE UPDATE: the handshake and the response data (29 or 32 bytes, Amendment D table 7-4).
    #[must_use]
    pub fn open(opening: &Opening<'_>, host: [u8; CHALLENGE_LEN]) -> (Self, Vec<u8>) {
        let card = opening.card_challenge;
        let keys = SessionKeys::derive(opening.keys, &host, &card);
        let mut response = Vec::with_capacity(32);
        response.extend_from_slice(&opening.diversification);
        response.extend_from_slice(&[opening.key_version, 0x03, opening.options.byte()]);
        response.extend_from_slice(&card);
        response.extend_from_slice(&keys.cryptogram(constant::CARD_CRYPTOGRAM, &host, &card));
        if opening.options.pseudo_random() {
            response.extend_from_slice(&opening.sequence);
        }
        (Handshake { keys, options: opening.options, host, card, key_version: opening.key_version }, response)
    }

    /// Checks EXTERNAL AUTHENTICATE (`84 82 level 00 10 cryptogram MAC`) and opens the channel.
    ///
    /// # Errors
    /// The card's refusal; the handshake is spent in any case.
    pub fn authenticate(self, command: &CommandApdu<'_>) -> Result<Channel, AuthenticateError> {
        let level = SecurityLevel::from_p1(command.p1).filter(|&level| self.options.supports(level));
        let Some((cryptogram, mac)) = command.data.split_first_chunk::<CHALLENGE_LEN>() else {
            return Err(AuthenticateError::Mac);
        };
        let chain = command_mac(&self.keys.mac, &[0; 16], command, cryptogram, mac.len());
        let mac_ok = half(&chain).ct_eq(mac);
        let expected = self.keys.cryptogram(constant::HOST_CRYPTOGRAM, &self.host, &self.card);
        if !bool::from(expected.ct_eq(cryptogram)) {
            return Err(AuthenticateError::Cryptogram);
        }
        if !bool::from(mac_ok) {
            return Err(AuthenticateError::Mac);
        }
        let level = level.ok_or(AuthenticateError::Level)?;
        Ok(Channel { keys: self.keys, level, chain, counter: 0, key_version: self.key_version })
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
    level: SecurityLevel,
    chain: Block,
    counter: u32,
    key_version: u8,
}

/// A command without its protection, its data in a buffer of its own (the decryption buffer).
pub struct Unwrapped {
    cla: u8,
    ins: u8,
    p1: u8,
    p2: u8,
    le: Option<u32>,
    form: Form,
    data: zeroize::Zeroizing<Vec<u8>>,
}

impl Unwrapped {
    /// The command in the clear, secure messaging bit off.
    #[must_use]
    pub fn command(&self) -> CommandApdu<'_> {
        let Unwrapped { cla, ins, p1, p2, le, form, .. } = *self;
        CommandApdu { cla, ins, p1, p2, data: &self.data, le, form }
    }
}

/// The MAC, the format or the level of a command is wrong: 6982, and the channel is to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChannelBroken;

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
        let CommandApdu { cla, ins, p1, p2, le, form, .. } = *command;
        let made = |data: Vec<u8>| Unwrapped { cla: cla & !0x04, ins, p1, p2, le, form, data: data.into() };
        let secured = cla & 0x04 != 0;
        if !self.level.c_mac() {
            return if secured { Err(ChannelBroken) } else { Ok(made(command.data.to_vec())) };
        }
        if !secured {
            return Err(ChannelBroken);
        }
        let (data, mac) = command.data.split_last_chunk::<MAC_LEN>().ok_or(ChannelBroken)?;
        let chain = command_mac(&self.keys.mac, &self.chain, command, data, MAC_LEN);
        if !bool::from(half(&chain).ct_eq(mac)) {
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
        Ok(made(data))
    }

    /// Puts the protection on a response; none on an error status (only 9000, 62XX and 63XX are protected).
    pub fn wrap(&mut self, data: &mut Vec<u8>, sw: u16) {
        if !matches!(sw >> 8, 0x90 | 0x62 | 0x63) {
            return;
        }
        if self.level.r_enc() {
            *data = encrypt(&self.keys.enc, self.counter, Direction::Response, data);
        }
        if self.level.r_mac() {
            let mac = half(&cmac(&self.keys.rmac, &[&self.chain, data, &sw.to_be_bytes()]));
            data.extend_from_slice(&mac);
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel of level {:02X} with key version {:02X}", self.level.p1(), self.key_version)
    }
}

/// C-MAC over the previous one, the header as sent, the length as sent (MAC included) and the data as sent.
pub(super) fn command_mac(key: &Block, chain: &Block, command: &CommandApdu<'_>, data: &[u8], mac_len: usize) -> Block {
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
