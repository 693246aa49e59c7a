//! GET STATUS and SET STATUS (GlobalPlatform 2.3.1 sections 11.4 and 11.10).

use super::{Manager, Origin};
use crate::memory::Kind;
use crate::refusal::{Outcome, Response, refuse};
use crate::registry::{self, CARD_MANAGER_AID};
use crate::settings::LifeCycle;
use crate::tlv;
use smcard_batch::aid::Aid;
use smcard_batch::{CommandApdu, StatusWord};
use smcard_flash::Record;

const ISSUER_DOMAIN: u8 = 0x80;
const APPLICATIONS: u8 = 0x40;
const LOAD_FILES: u8 = 0x20;
const LOAD_FILES_AND_MODULES: u8 = 0x10;

const FIRST_TLV: u8 = 0x02;
const NEXT_TLV: u8 = 0x03;

/// Longest response where Le is short.
const RESPONSE_MAX: usize = 256;

/// A GET STATUS whose answer did not fit one response: what is left, for the next.
pub(super) struct Listing {
    subset: u8,
    rest: Vec<Vec<u8>>,
}

impl Manager {
    pub(super) fn get_status(&mut self, command: &CommandApdu<'_>) -> Outcome {
        let previous = self.context.listing.take();
        if !matches!(command.p2, FIRST_TLV | NEXT_TLV) {
            return refuse(StatusWord::WRONG_P1_P2);
        }
        let criteria = tlv::all(command.data).ok_or(StatusWord::WRONG_DATA)?;
        let prefix = match criteria.as_slice() {
            [(0x4F, prefix)] | [(0x4F, prefix), (0x5C, _)] => *prefix,
            _ => return refuse(StatusWord::WRONG_DATA),
        };
        let mut entries = if command.p2 == FIRST_TLV {
            self.entries(command.p1, prefix).ok_or(StatusWord::WRONG_P1_P2)?
        } else {
            let listing = previous.filter(|listing| listing.subset == command.p1);
            listing.ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?.rest
        };
        if entries.is_empty() {
            return refuse(StatusWord::REFERENCE_NOT_FOUND);
        }
        let room = command.le.map_or(RESPONSE_MAX, |le| usize::try_from(le).unwrap_or(RESPONSE_MAX)).max(RESPONSE_MAX);
        let mut used = 0;
        let fitting = entries.iter().take_while(|entry| {
            used += entry.len();
            used <= room
        });
        let rest = entries.split_off(fitting.count().max(1));
        let warning = (!rest.is_empty()).then_some(StatusWord::MORE_DATA);
        if warning.is_some() {
            self.context.listing = Some(Listing { subset: command.p1, rest });
        }
        Ok(Response { data: entries.concat(), warning })
    }

    /// The entries of a subset as templates E3 (table 11-36); `None` for a subset that does not exist.
    fn entries(&self, subset: u8, prefix: &[u8]) -> Option<Vec<Vec<u8>>> {
        let matches = |aid: &Aid| aid.as_bytes().starts_with(prefix);
        let entry = |aid: &[u8], state: u8, privileges: Option<[u8; 3]>, objects: &[(u16, &[u8])]| {
            let mut data = tlv::object(0x4F, aid);
            tlv::push(&mut data, 0x9F70, &[state]);
            if let Some(privileges) = privileges {
                tlv::push(&mut data, 0xC5, &privileges);
            }
            objects.iter().for_each(|(tag, value)| tlv::push(&mut data, *tag, value));
            tlv::object(0xE3, &data)
        };
        let entries = match subset {
            ISSUER_DOMAIN if CARD_MANAGER_AID.starts_with(prefix) => {
                // Security domain, card lock, card terminate, CVM management; authorized management, global delete and lock.
                vec![entry(&CARD_MANAGER_AID, self.life_cycle() as u8, Some([0x9E, 0xFE, 0x80]), &[])]
            }
            ISSUER_DOMAIN => Vec::new(),
            APPLICATIONS => registry::applications(&self.memory)
                .iter()
                .map(|found| &found.entry)
                .filter(|application| matches(&application.aid))
                .map(|application| {
                    let objects = [(0xC4, application.load_file.as_bytes()), (0xCC, application.domain.as_bytes())];
                    entry(application.aid.as_bytes(), application.shown_state(), Some(application.privileges), &objects)
                })
                .collect(),
            LOAD_FILES | LOAD_FILES_AND_MODULES => registry::load_files(&self.memory)
                .iter()
                .map(|found| &found.entry)
                .filter(|file| matches(&file.aid))
                .map(|file| {
                    let version = [file.major, file.minor];
                    let mut objects = vec![(0xCE, &version[..]), (0xCC, file.domain.as_bytes())];
                    if subset == LOAD_FILES_AND_MODULES {
                        objects.extend(file.modules.iter().map(|module| (0x84, module.as_bytes())));
                    }
                    entry(file.aid.as_bytes(), 0x01, None, &objects)
                })
                .collect(),
            _ => return None,
        };
        Some(entries)
    }

    pub(super) fn set_status(&mut self, origin: Origin, command: &CommandApdu<'_>) -> Outcome {
        match command.p1 {
            ISSUER_DOMAIN => self.set_card_status(origin, command),
            APPLICATIONS => self.content(origin).and_then(|()| self.set_application_status(command)),
            _ => refuse(StatusWord::WRONG_P1_P2),
        }
    }

    fn set_card_status(&mut self, origin: Origin, command: &CommandApdu<'_>) -> Outcome {
        if origin == Origin::Interface && self.memory.is_shadowed(Kind::LifeCycle.key(0)) {
            log::info!("SET STATUS: an unfinished issue has changed the life cycle; START, CLEAR or CONFIRM first");
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        if !command.data.is_empty() && command.data != CARD_MANAGER_AID {
            return refuse(StatusWord::REFERENCE_NOT_FOUND);
        }
        let next = LifeCycle::from_byte(command.p2).ok_or(StatusWord::WRONG_DATA)?;
        if !self.life_cycle().may_become(next) {
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        self.memory.put(Kind::LifeCycle.key(0), Record { bytes: vec![next as u8], extent: None });
        Ok(Response::default())
    }

    /// Bit 8 of P2 locks, its absence unlocks to the state before (section 11.10.2.2).
    fn set_application_status(&mut self, command: &CommandApdu<'_>) -> Outcome {
        let aid = Aid::new(command.data).or(refuse(StatusWord::WRONG_DATA))?;
        let found = registry::application(&self.memory, &aid).ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
        let locked = command.p2 & 0x80 != 0;
        if locked == found.entry.locked {
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let changed = registry::Application { locked, ..found.entry };
        registry::update_application(&mut self.memory, found.index, &changed);
        Ok(Response::default())
    }
}
