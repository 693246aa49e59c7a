//! GET DATA and STORE DATA (GlobalPlatform 2.3.1 sections 11.3 and 11.11), and the card's own status objects.

use super::{ChannelState, Manager};
use crate::memory::{Kind, Writer};
use crate::recovery::History;
use crate::refusal::{Outcome, Refusal, Response, refuse};
use crate::scp::keyset::{self, KeyType};
use crate::settings::Settings;
use crate::{store, tlv};
use smcard_batch::{CommandApdu, StatusWord};
use smcard_flash::Record;
use smcard_link::{PrivilegeKind, RecoveryKind};

/// Tags of GET DATA.
mod tag {
    pub(super) const ISSUER_IDENTIFICATION: u16 = 0x0042;
    pub(super) const CARD_IMAGE: u16 = 0x0045;
    pub(super) const CARD_DATA: u16 = 0x0066;
    pub(super) const SEQUENCE_COUNTER: u16 = 0x00C1;
    pub(super) const KEY_INFORMATION: u16 = 0x00E0;
    /// The file management table, as far as outsiders may see it.
    pub(super) const FILE_TABLE: u16 = 0xDF71;
    /// How the last issue stands.
    pub(super) const ISSUE_STATE: u16 = 0xDF72;
    /// Room in the protected memory.
    pub(super) const MEMORY: u16 = 0xDF73;
    /// Life cycle, recovery kind, privileged mode kind, level of the session.
    pub(super) const CARD_STATE: u16 = 0xDF74;
}

/// Longest response to a command with a short Le.
const SHORT_RESPONSE_MAX: usize = 256;
/// Longest data object that STORE DATA keeps.
const DATA_OBJECT_MAX: usize = 255;

/// The status objects say nothing secret and are read by whoever starts an issue: they need no session and leave one alone.
pub(super) fn is_status_object(command: &CommandApdu<'_>) -> bool {
    (tag::FILE_TABLE..=tag::CARD_STATE).contains(&u16::from_be_bytes([command.p1, command.p2]))
}

/// Card recognition data: GlobalPlatform 2.3.1 with the secure channel protocols that key sets of these kinds are for
/// (section H.2; with one protocol this very object satisfies all known clients).
fn card_recognition(settings: &Settings, kinds: &[KeyType]) -> Vec<u8> {
    let mut data = vec![0x06, 0x07, 0x2A, 0x86, 0x48, 0x86, 0xFC, 0x6B, 0x01];
    let oid = |tail: &[u8]| tlv::object(0x06, &[&[0x2A, 0x86, 0x48, 0x86, 0xFC, 0x6B][..], tail].concat());
    tlv::push(&mut data, 0x60, &oid(&[0x02, 0x02, 0x03, 0x01]));
    tlv::push(&mut data, 0x63, &oid(&[0x03]));
    for kind in kinds {
        let protocol = match kind {
            KeyType::Aes => [0x04, 0x03, settings.options.byte()],
            KeyType::Des => [0x04, 0x02, settings.scp02.byte()],
        };
        tlv::push(&mut data, 0x64, &oid(&protocol));
    }
    data
}

impl Manager {
    pub(super) fn get_data(&mut self, command: &CommandApdu<'_>) -> Outcome {
        let tag = u16::from_be_bytes([command.p1, command.p2]);
        let object = match tag {
            tag::ISSUER_IDENTIFICATION | tag::CARD_IMAGE => self.stored_object(tag)?,
            tag::CARD_DATA => tlv::object(tag, &tlv::object(0x73, &self.card_recognition())),
            tag::KEY_INFORMATION => tlv::object(tag, &self.key_information()),
            tag::SEQUENCE_COUNTER => tlv::object(tag, &self.sequence_counter()?),
            tag::FILE_TABLE => tlv::object(tag, &self.file_table()),
            tag::ISSUE_STATE => tlv::object(tag, &History::data_object(History::load(&self.memory).as_ref())),
            tag::MEMORY => {
                let flash = self.memory.flash();
                let sizes = [flash.capacity(), flash.free(), flash.largest_free()];
                tlv::object(tag, &sizes.map(u64::to_be_bytes).concat())
            }
            tag::CARD_STATE => tlv::object(tag, &self.card_state()),
            _ => return refuse(StatusWord::REFERENCE_NOT_FOUND),
        };
        let expected = command.le.map_or(SHORT_RESPONSE_MAX, |le| usize::try_from(le).unwrap_or(usize::MAX));
        if object.len() > expected.max(SHORT_RESPONSE_MAX) {
            return refuse(StatusWord::WRONG_LENGTH);
        }
        Ok(Response::data(object))
    }

    fn stored_object(&self, tag: u16) -> Result<Vec<u8>, Refusal> {
        let record = self.memory.get(Kind::DataObject.key(u32::from(tag)));
        let value = record.map(|record| record.bytes.as_slice());
        Ok(tlv::object(tag, value.ok_or(StatusWord::REFERENCE_NOT_FOUND)?))
    }

    /// The protocols of the card's key sets, that of the default key set first.
    pub(super) fn card_recognition(&self) -> Vec<u8> {
        let mut kinds: Vec<KeyType> = Vec::new();
        for (_, set) in keyset::key_sets(&self.memory) {
            if !kinds.contains(&set.kind) {
                kinds.push(set.kind);
            }
        }
        card_recognition(&self.settings, &kinds)
    }

    /// Key information template: identifier, version, type and length of each key (section 11.3.3.1.1).
    fn key_information(&self) -> Vec<u8> {
        let mut template = Vec::new();
        for (version, set) in keyset::key_sets(&self.memory) {
            for identifier in 1..=3 {
                let length = set.key(identifier).map(|key| u8::try_from(key.len()).unwrap_or(0));
                if let Some(length) = length {
                    tlv::push(&mut template, 0xC0, &[identifier, version, set.kind as u8, length]);
                }
            }
        }
        template
    }

    /// The sequence counter of the default key set: three bytes for SCP03, two for SCP02.
    fn sequence_counter(&self) -> Result<Vec<u8>, Refusal> {
        let sets = keyset::key_sets(&self.memory);
        let (version, set) = sets.first().ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
        let count = self.sequence(*version).to_be_bytes();
        Ok(match set.kind {
            KeyType::Aes => count.get(1..).unwrap_or_default().to_vec(),
            KeyType::Des => count.get(2..).unwrap_or_default().to_vec(),
        })
    }

    /// For each file `E5 { 80 identifier, 81 name, 82 size, 83 state, 84 number of commands }`.
    fn file_table(&self) -> Vec<u8> {
        let mut table = Vec::new();
        for file in store::files(self.memory.flash()) {
            let mut row = tlv::object(0x80, &file.id.to_be_bytes());
            tlv::push(&mut row, 0x81, &file.name);
            tlv::push(&mut row, 0x82, &file.size.to_be_bytes());
            tlv::push(&mut row, 0x83, &[0x00]);
            tlv::push(&mut row, 0x84, &file.commands.to_be_bytes());
            tlv::push(&mut table, 0xE5, &row);
        }
        table
    }

    fn card_state(&self) -> Vec<u8> {
        let recovery = match self.settings.recovery {
            RecoveryKind::Restart => 0,
            RecoveryKind::Command => 1,
            RecoveryKind::Function => 2,
        };
        let privilege = match self.settings.privilege {
            PrivilegeKind::Auto => 0,
            PrivilegeKind::Hold => 1,
        };
        let level = match &self.context.channel {
            ChannelState::Open(channel) => channel.level().p1() | 0x80,
            _ => 0,
        };
        Writer::new().u8(self.life_cycle() as u8).u8(recovery).u8(privilege).u8(level).finish()
    }

    /// STORE DATA: for the application that INSTALL [for personalization] named, else data objects of the issuer
    /// security domain in BER-TLV form.
    pub(super) fn store_data(&mut self, command: &CommandApdu<'_>) -> Outcome {
        let last = command.p1 & 0x80 != 0;
        if command.p1 & 0x60 != 0 {
            log::info!("STORE DATA encrypted under the data encryption key is not served");
            return refuse(StatusWord::WRONG_P1_P2);
        }
        if let Some(index) = self.context.personalized {
            let stored = self.personalize(index, command.data, last);
            if last || stored.is_err() {
                self.context.personalized = None;
            }
            return stored;
        }
        let objects = tlv::all(command.data).ok_or(StatusWord::WRONG_DATA)?;
        for (tag, value) in objects {
            if !matches!(tag, tag::ISSUER_IDENTIFICATION | tag::CARD_IMAGE) {
                return refuse(StatusWord::REFERENCE_NOT_FOUND);
            }
            if value.len() > DATA_OBJECT_MAX {
                return refuse(StatusWord::NOT_ENOUGH_MEMORY);
            }
            let record = Record { bytes: value.to_vec(), extent: None };
            self.memory.put(Kind::DataObject.key(u32::from(tag)), record);
        }
        Ok(Response::default())
    }

    fn personalize(&mut self, index: u32, data: &[u8], last: bool) -> Outcome {
        let application = crate::registry::applications(&self.memory).into_iter().find(|found| found.index == index);
        let application = application.ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
        let mut applet = self.code_of(&application.entry).ok_or(StatusWord::INS_UNSUPPORTED)?;
        applet.store_data(&mut self.data_of(index), data, last).map_err(Refusal::Status)?;
        Ok(Response::default())
    }
}
