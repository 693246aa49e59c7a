//! The terminal's side: proves that it knows the keys, checks that the card does, and protects its commands.

use super::card::command_mac;
use super::des::{BLOCK, Block, pad};
use super::keys::Side;
use super::{CARD_CHALLENGE_LEN, MAC_LEN, SessionKeys, StaticKeys};
use crate::scp::SecurityLevel;
use crate::scp03::HostError;
use smcard_batch::apdu::SHORT_DATA_MAX;
use smcard_batch::{ApduError, CommandApdu, Form};
use smcard_link::Answer;
use std::fmt;
use subtle::ConstantTimeEq;

/// INITIALIZE UPDATE has been made, its answer is awaited.
pub struct HostHandshake {
    host: Block,
}

impl HostHandshake {
    /// The command INITIALIZE UPDATE (`80 50 version 00 08 challenge 00`). `host_challenge` must be unpredictable.
    #[must_use]
    pub fn begin(key_version: u8, host_challenge: [u8; 8]) -> (Self, Vec<u8>) {
        let mut command = vec![0x80, 0x50, key_version, 0x00, 0x08];
        command.extend_from_slice(&host_challenge);
        command.push(0x00);
        (HostHandshake { host: host_challenge }, command)
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
        let protocol = *response_data.get(11).ok_or(malformed)?;
        if protocol != 0x02 {
            return Err(HostError::Protocol(protocol));
        }
        let rest = response_data.get(12..).ok_or(malformed)?;
        let (sequence, rest) = rest.split_first_chunk::<2>().ok_or(malformed)?;
        let (card, cryptogram) = rest.split_first_chunk::<CARD_CHALLENGE_LEN>().ok_or(malformed)?;
        let cryptogram: &Block = cryptogram.try_into().map_err(|_| malformed)?;
        let sequence = u16::from_be_bytes(*sequence);
        let session_keys = SessionKeys::derive(keys, sequence);
        let expected = session_keys.cryptogram(Side::Card, &self.host, sequence, card);
        if !bool::from(expected.ct_eq(cryptogram)) {
            return Err(HostError::Cryptogram);
        }
        let proof = session_keys.cryptogram(Side::Host, &self.host, sequence, card);
        let command = CommandApdu::new(0x84, 0x82, level.p1(), 0x00, &proof);
        let mac = command_mac(&session_keys.mac, [0; BLOCK], &command, &proof).ok_or(malformed)?;
        let data = [proof, mac].concat();
        let command = CommandApdu { data: &data, ..command }.to_vec()?;
        Ok((HostSession { keys: session_keys, level, mac }, command))
    }
}

/// An open secure channel, seen from the terminal.
pub struct HostSession {
    keys: SessionKeys,
    level: SecurityLevel,
    mac: Block,
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
    /// A command too long for its protection: the protocol knows short commands only. The session is unchanged then.
    pub fn wrap(&mut self, command: &CommandApdu<'_>) -> Result<Vec<u8>, HostError> {
        if !self.level.c_mac() {
            return Ok(command.to_vec()?);
        }
        let too_long = HostError::Command(ApduError::DataTooLong(command.data.len()));
        let secured = CommandApdu { cla: command.cla | 0x04, ..*command };
        let icv = self.keys.mac.encrypt_icv(self.mac);
        let mac = command_mac(&self.keys.mac, icv, &secured, command.data).ok_or(too_long)?;
        let mut data = if self.level.c_enc() && !command.data.is_empty() {
            self.keys.enc.encrypt_cbc([0; BLOCK], pad(command.data).to_vec())
        } else {
            command.data.to_vec()
        };
        data.extend_from_slice(&mac);
        if data.len() > SHORT_DATA_MAX || secured.form != Form::Short {
            return Err(too_long);
        }
        let bytes = CommandApdu { data: &data, ..secured }.to_vec()?;
        self.mac = mac;
        Ok(bytes)
    }

    /// Responses carry no protection: they pass as they are.
    ///
    /// # Errors
    /// None; the signature is that of SCP03.
    pub fn unwrap(&mut self, answer: Answer) -> Result<Answer, HostError> {
        Ok(answer)
    }

    /// A key under the session's data encryption key, as PUT KEY carries it: triple DES in ECB, of whole blocks.
    #[must_use]
    pub fn encrypt_key(&self, key: &[u8]) -> Vec<u8> {
        let mut data = key.to_vec();
        self.keys.dek.encrypt_ecb(&mut data);
        data
    }
}

impl fmt::Debug for HostSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostSession of level {:02X} with {MAC_LEN} bytes of MAC", self.level.p1())
    }
}
