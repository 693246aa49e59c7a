//! SET STATUS (GlobalPlatform 2.3.1 section 11.10): the life cycle of the card, the lock of applications.

use super::{Manager, Origin};
use crate::memory::Kind;
use crate::refusal::{Outcome, Response, refuse};
use crate::registry;
use crate::settings::LifeCycle;
use smcard_batch::aid::Aid;
use smcard_batch::{CommandApdu, StatusWord};
use smcard_flash::Record;

const ISSUER_DOMAIN: u8 = 0x80;
const APPLICATION: u8 = 0x40;

impl Manager {
    pub(super) fn set_status(&mut self, origin: Origin, command: &CommandApdu<'_>) -> Outcome {
        match command.p1 {
            ISSUER_DOMAIN => self.set_card_status(origin, command),
            APPLICATION => self.content(origin).and_then(|()| self.set_application_status(command)),
            _ => refuse(StatusWord::WRONG_P1_P2),
        }
    }

    fn set_card_status(&mut self, origin: Origin, command: &CommandApdu<'_>) -> Outcome {
        if origin == Origin::Interface && self.memory.is_shadowed(Kind::LifeCycle.key(0)) {
            log::info!("SET STATUS: an unfinished issue has changed the life cycle; START, CLEAR or CONFIRM first");
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        if !command.data.is_empty() && !registry::is_card_manager(command.data) {
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
