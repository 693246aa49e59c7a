//! INITIALIZE UPDATE and EXTERNAL AUTHENTICATE (GlobalPlatform 2.3.1 appendix E.5, Amendment D section 7.1): the gate of
//! the direct write.

use super::{ChannelState, Manager, Origin};
use crate::refusal::{Outcome, Refusal, Response, refuse};
use crate::registry::CARD_MANAGER_AID;
use crate::scp::keyset::{self, KeyType, StaticKeys};
use crate::scp::{AuthenticateError, Handshake};
use crate::scp03::Challenge;
use crate::{scp02, scp03};
use smcard_batch::{CommandApdu, StatusWord};

impl Manager {
    pub(super) fn initialize_update(&mut self, origin: Origin, command: &CommandApdu<'_>) -> Outcome {
        if origin == Origin::Issuer {
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        self.close_session();
        if command.p2 != 0 {
            return refuse(StatusWord::WRONG_P1_P2);
        }
        let Some(host) = Challenge::from_slice(command.data) else { return refuse(StatusWord::WRONG_LENGTH) };
        let Some((version, keys)) = self.complete_key_set(command.p1) else {
            log::info!("INITIALIZE UPDATE asks for key version {:02X}, which the card lacks", command.p1);
            return refuse(StatusWord::REFERENCE_NOT_FOUND);
        };
        self.may_try(version)?;
        let (handshake, response) = match keys {
            StaticKeys::Aes(keys) => self.open_scp03(version, &keys, host)?,
            StaticKeys::Des(keys) => self.open_scp02(version, &keys, host)?,
        };
        self.context.channel = ChannelState::Handshake(handshake);
        Ok(Response::data(response))
    }

    fn open_scp03(
        &mut self,
        key_version: u8,
        keys: &scp03::StaticKeys,
        host: Challenge,
    ) -> Result<(Handshake, Vec<u8>), Refusal> {
        let options = self.settings.options;
        if host.mode() != options.mode() {
            log::info!("INITIALIZE UPDATE: the card's SCP03 is of {:?} mode", options.mode());
            return refuse(StatusWord::WRONG_LENGTH);
        }
        let (card_challenge, sequence) = if options.pseudo_random() {
            let sequence = self.next_sequence(key_version)?;
            (keys.challenge(options.mode(), sequence, &CARD_MANAGER_AID), sequence)
        } else {
            let mut random = [0; 16];
            self.fill_random(&mut random)?;
            let [a, b, c, d, e, f, g, h, ..] = random;
            let challenge = match options.mode() {
                scp03::Mode::S8 => Challenge::S8([a, b, c, d, e, f, g, h]),
                scp03::Mode::S16 => Challenge::S16(random),
            };
            (challenge, [0; 3])
        };
        let diversification = self.settings.diversification;
        let opening = scp03::card::Opening { keys, key_version, diversification, options, card_challenge, sequence };
        let (handshake, response) = scp03::card::Handshake::open(&opening, host);
        Ok((Handshake::Scp03(handshake), response))
    }

    fn open_scp02(
        &mut self,
        key_version: u8,
        keys: &scp02::StaticKeys,
        host: Challenge,
    ) -> Result<(Handshake, Vec<u8>), Refusal> {
        let Challenge::S8(host) = host else { return refuse(StatusWord::WRONG_LENGTH) };
        let options = self.settings.scp02;
        let sequence = self.unspent_sequence(key_version, KeyType::Des)?;
        let sequence = u16::try_from(sequence).or(refuse(StatusWord::CONDITIONS_NOT_SATISFIED))?;
        let mut card_challenge = [0; scp02::CARD_CHALLENGE_LEN];
        if options.pseudo_random() {
            card_challenge = keys.card_challenge(sequence, &CARD_MANAGER_AID);
        } else {
            self.fill_random(&mut card_challenge)?;
        }
        let diversification = self.settings.diversification;
        let opening = scp02::card::Opening { keys, key_version, diversification, options, card_challenge, sequence };
        let (handshake, response) = scp02::card::Handshake::open(&opening, host);
        Ok((Handshake::Scp02(handshake), response))
    }

    fn fill_random(&self, out: &mut [u8]) -> Result<(), Refusal> {
        if (self.random)(out) { Ok(()) } else { refuse(StatusWord::NO_DIAGNOSIS) }
    }

    pub(super) fn external_authenticate(&mut self, command: &CommandApdu<'_>) -> Outcome {
        let state = std::mem::replace(&mut self.context.channel, ChannelState::Closed);
        let ChannelState::Handshake(handshake) = state else {
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        };
        if command.cla != 0x84 {
            return refuse(StatusWord::SECURITY_NOT_SATISFIED);
        }
        let (version, counts) = (handshake.key_version(), handshake.counts_sessions());
        self.count_try(version)?;
        match handshake.authenticate(command) {
            Ok(channel) => {
                self.proved(version, counts)?;
                self.context.channel = ChannelState::Open(channel);
                Ok(Response::default())
            }
            Err(AuthenticateError::Cryptogram) => refuse(StatusWord::AUTHENTICATION_FAILED),
            Err(AuthenticateError::Mac) => refuse(StatusWord::SECURITY_NOT_SATISFIED),
            Err(AuthenticateError::Level) => {
                self.proved(version, counts)?;
                refuse(StatusWord::WRONG_P1_P2)
            }
        }
    }

    /// The key set of this version; 0 asks for the lowest there is.
    fn complete_key_set(&self, version: u8) -> Option<(u8, StaticKeys)> {
        if version != 0 {
            return Some((version, keyset::key_set(&self.memory, version)?.complete()?));
        }
        keyset::key_sets(&self.memory).into_iter().find_map(|(version, set)| Some((version, set.complete()?)))
    }
}
