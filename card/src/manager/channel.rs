//! INITIALIZE UPDATE and EXTERNAL AUTHENTICATE (GlobalPlatform Amendment D section 7.1): the gate of the direct write.

use super::{ChannelState, Manager, Origin};
use crate::memory::Kind;
use crate::refusal::{Outcome, Refusal, Response, refuse};
use crate::registry::CARD_MANAGER_AID;
use crate::scp03::StaticKeys;
use crate::scp03::card::{AuthenticateError, Handshake, Opening};
use smcard_batch::{CommandApdu, StatusWord};
use smcard_flash::{Changes, Record};

impl Manager {
    pub(super) fn initialize_update(&mut self, origin: Origin, command: &CommandApdu<'_>) -> Outcome {
        if origin == Origin::Issuer {
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        self.close_session();
        if command.p2 != 0 {
            return refuse(StatusWord::WRONG_P1_P2);
        }
        let Ok(host) = <[u8; 8]>::try_from(command.data) else { return refuse(StatusWord::WRONG_LENGTH) };
        let Some((key_version, keys)) = self.key_set(command.p1) else {
            log::info!("no key set of version {:02X} on the card", command.p1);
            return refuse(StatusWord::REFERENCE_NOT_FOUND);
        };
        let options = self.settings.options;
        let (card_challenge, sequence) = if options.pseudo_random() {
            let sequence = self.next_sequence(key_version)?;
            (keys.card_challenge(sequence, &CARD_MANAGER_AID), sequence)
        } else {
            let mut challenge = [0; 8];
            getrandom::fill(&mut challenge).or(refuse(StatusWord::NO_DIAGNOSIS))?;
            (challenge, [0; 3])
        };
        let opening = Opening {
            keys: &keys,
            key_version,
            diversification: self.settings.diversification,
            options,
            card_challenge,
            sequence,
        };
        let (handshake, response) = Handshake::open(&opening, host);
        self.context.channel = ChannelState::Handshake(handshake);
        Ok(Response::data(response))
    }

    pub(super) fn external_authenticate(&mut self, command: &CommandApdu<'_>) -> Outcome {
        let state = std::mem::replace(&mut self.context.channel, ChannelState::Closed);
        let ChannelState::Handshake(handshake) = state else {
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        };
        if command.cla != 0x84 {
            return refuse(StatusWord::SECURITY_NOT_SATISFIED);
        }
        match handshake.authenticate(command) {
            Ok(channel) => {
                self.context.channel = ChannelState::Open(channel);
                Ok(Response::default())
            }
            Err(AuthenticateError::Cryptogram) => refuse(StatusWord::AUTHENTICATION_FAILED),
            Err(AuthenticateError::Mac) => refuse(StatusWord::SECURITY_NOT_SATISFIED),
            Err(AuthenticateError::Level) => refuse(StatusWord::WRONG_P1_P2),
        }
    }

    /// The key set of this version; 0 asks for the lowest there is.
    fn key_set(&self, version: u8) -> Option<(u8, StaticKeys)> {
        let sets = self.memory.records(Kind::Keys);
        let (index, record) = sets.into_iter().find(|(index, _)| version == 0 || *index == u32::from(version))?;
        Some((u8::try_from(index).ok()?, StaticKeys::from_bytes(&record.bytes)?))
    }

    /// Counts the sequence counter up before it is used, durable at once: a counter never comes back (Amendment D
    /// section 6.2.2.1). At its end the key set is spent.
    fn next_sequence(&mut self, key_version: u8) -> Result<[u8; 3], Refusal> {
        let key = Kind::Sequence.key(u32::from(key_version));
        let stored = self.memory.get(key).and_then(|record| <[u8; 3]>::try_from(record.bytes.as_slice()).ok());
        let [a, b, c] = stored.unwrap_or([0xFF; 3]);
        let next = u32::from_be_bytes([0, a, b, c]).saturating_add(1);
        let [overflow, a, b, c] = next.to_be_bytes();
        if overflow != 0 {
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let mut changes = Changes::new();
        changes.put(key, Record { bytes: vec![a, b, c], extent: None });
        self.memory.flash_mut().commit(changes)?;
        Ok([a, b, c])
    }
}
