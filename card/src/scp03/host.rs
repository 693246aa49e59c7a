//! The terminal's side: proves that it knows the keys, checks that the card does, and protects its commands.

use super::card::command_mac;
use super::kdf::{Block, Direction, cmac, constant, decrypt, encrypt, encrypt_key};
use super::{Challenge, Mode, SecurityLevel, SessionKeys, StaticKeys};
use smcard_batch::apdu::SHORT_DATA_MAX;
use smcard_batch::{ApduError, CommandApdu, Form};
use smcard_link::Answer;
use std::fmt;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// Why the terminal does not go on. None of these is to be answered by trying again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum HostError {
    /// The card's cryptogram is wrong: the card has other keys. Trying again may block the card's key set.
    #[error("the card has other keys: its cryptogram does not match (do not try again with the same keys)")]
    Cryptogram,
    /// The answer to INITIALIZE UPDATE is not one of SCP03.
    #[error("the answer to INITIALIZE UPDATE is not one of SCP03 in the mode asked for ({0} bytes)")]
    Response(usize),
    /// The card speaks another secure channel protocol.
    #[error("the card speaks secure channel protocol {0:02X}, not 03")]
    Protocol(u8),
    /// A command that does not fit with its protection.
    #[error("the command does not fit with its protection: {0}")]
    Command(#[from] ApduError),
    /// The MAC of a response is wrong: somebody is on the line, or the card lost the session.
    #[error("the MAC of the card's response is wrong")]
    ResponseMac,
    /// A response that cannot be decrypted.
    #[error("the card's response cannot be decrypted")]
    ResponseFormat,
}

/// INITIALIZE UPDATE has been made, its answer is awaited.
pub struct HostHandshake {
    host: Challenge,
}

impl HostHandshake {
    /// The command INITIALIZE UPDATE (`80 50 version 00 08 challenge 00`; with 16 bytes of challenge, for S16 mode, `10`).
    /// `host_challenge` must be unpredictable.
    #[must_use]
    pub fn begin<C: Into<Challenge>>(key_version: u8, host_challenge: C) -> (Self, Vec<u8>) {
        let host = host_challenge.into();
        let length = match host.mode() {
            Mode::S8 => 0x08,
            Mode::S16 => 0x10,
        };
        let mut command = vec![0x80, 0x50, key_version, 0x00, length];
        command.extend_from_slice(host.as_bytes());
        command.push(0x00);
        (HostHandshake { host }, command)
    }

    /// Checks the card's cryptogram and makes EXTERNAL AUTHENTICATE; the session is usable once the card has answered
    /// that with 9000.
    ///
    /// # Errors
    /// A wrong cryptogram or a malformed answer.
    pub fn finish(
        self,
        keys: &StaticKeys,
        level: SecurityLevel,
        response_data: &[u8],
    ) -> Result<(HostSession, Vec<u8>), HostError> {
        let malformed = HostError::Response(response_data.len());
        let mode = self.host.mode();
        let shortest = 13 + 2 * mode.bytes();
        if response_data.len() != shortest && response_data.len() != shortest + 3 {
            return Err(malformed);
        }
        let protocol = *response_data.get(11).ok_or(malformed)?;
        if protocol != 0x03 {
            return Err(HostError::Protocol(protocol));
        }
        let rest = response_data.get(13..).ok_or(malformed)?;
        let (card, rest) = rest.split_at_checked(mode.bytes()).ok_or(malformed)?;
        let card = Challenge::from_slice(card).ok_or(malformed)?;
        let cryptogram = rest.get(..mode.bytes()).ok_or(malformed)?;
        let session_keys = SessionKeys::derive(keys, &self.host, &card);
        let expected = session_keys.cryptogram(constant::CARD_CRYPTOGRAM, &self.host, &card);
        if !bool::from(mode.cut(&expected).ct_eq(cryptogram)) {
            return Err(HostError::Cryptogram);
        }
        let proof = session_keys.cryptogram(constant::HOST_CRYPTOGRAM, &self.host, &card);
        let proof = mode.cut(&proof);
        let command = CommandApdu::new(0x84, 0x82, level.p1(), 0x00, proof);
        let chain = command_mac(&session_keys.mac, &[0; 16], &command, proof, mode.bytes());
        let data = [proof, mode.cut(&chain)].concat();
        let command = CommandApdu { data: &data, ..command }.to_vec()?;
        Ok((HostSession { keys: session_keys, mode, level, chain, counter: 0 }, command))
    }
}

/// An open secure channel, seen from the terminal.
pub struct HostSession {
    keys: SessionKeys,
    mode: Mode,
    level: SecurityLevel,
    chain: Block,
    counter: u32,
}

impl HostSession {
    /// The security level of the session.
    #[must_use]
    pub fn level(&self) -> SecurityLevel {
        self.level
    }

    /// Protects a command as the level demands and gives its bytes.
    ///
    /// # Errors
    /// A command too long for its protection; the session is unchanged then.
    pub fn wrap(&mut self, command: &CommandApdu<'_>) -> Result<Vec<u8>, HostError> {
        if !self.level.c_mac() {
            return Ok(command.to_vec()?);
        }
        let counter = self.counter.wrapping_add(1);
        let mut data = if self.level.c_enc() {
            encrypt(&self.keys.enc, counter, Direction::Command, command.data)
        } else {
            command.data.to_vec()
        };
        let length = data.len() + self.mode.bytes();
        let form = if length > SHORT_DATA_MAX { Form::Extended } else { command.form };
        if u16::try_from(length).is_err() || form == Form::Direct {
            return Err(ApduError::DataTooLong(command.data.len()).into());
        }
        let secured = CommandApdu { cla: command.cla | 0x04, form, ..*command };
        let chain = command_mac(&self.keys.mac, &self.chain, &secured, &data, self.mode.bytes());
        data.extend_from_slice(self.mode.cut(&chain));
        let bytes = CommandApdu { data: &data, ..secured }.to_vec()?;
        self.chain = chain;
        self.counter = counter;
        Ok(bytes)
    }

    /// Checks a response and takes its protection off. Error status words carry none and pass as they are.
    ///
    /// # Errors
    /// A wrong MAC or padding: the session must not be used any more.
    pub fn unwrap(&mut self, answer: Answer) -> Result<Answer, HostError> {
        if !crate::scp::protects(answer.sw) || !self.level.r_mac() {
            return Ok(answer);
        }
        let plain = answer.data.len().checked_sub(self.mode.bytes()).ok_or(HostError::ResponseMac)?;
        let (data, mac) = answer.data.split_at_checked(plain).ok_or(HostError::ResponseMac)?;
        let expected = cmac(&self.keys.rmac, &[&self.chain, data, &answer.sw.to_be_bytes()]);
        if !bool::from(self.mode.cut(&expected).ct_eq(mac)) {
            return Err(HostError::ResponseMac);
        }
        let mut data = data.to_vec();
        if self.level.r_enc() {
            let length = decrypt(&self.keys.enc, self.counter, Direction::Response, &mut data)
                .ok_or(HostError::ResponseFormat)?
                .len();
            data.truncate(length);
        }
        Ok(Answer { data, sw: answer.sw })
    }

    /// A key under the data encryption key, as PUT KEY carries it: AES-CBC, filled to whole blocks.
    #[must_use]
    pub fn encrypt_key(&self, key: &[u8]) -> Vec<u8> {
        encrypt_key(&self.keys.dek, key)
    }
}

impl fmt::Debug for HostSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostSession of level {:02X}", self.level.p1())
    }
}
