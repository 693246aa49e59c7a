//! SELECT by name (GlobalPlatform 2.3.1 section 11.9): sets the current application.

use super::{Current, Manager};
use crate::memory::Kind;
use crate::refusal::{Outcome, Response, refuse};
use crate::registry::{self, Application, CARD_MANAGER_AID, Indexed};
use crate::settings::LifeCycle;
use crate::tlv;
use smcard_batch::aid::Aid;
use smcard_batch::{CommandApdu, StatusWord};

/// P1 of SELECT by name.
pub(super) const BY_NAME: u8 = 0x04;
const FIRST: u8 = 0x00;
const NEXT: u8 = 0x02;

/// The last application found by a partial name, so that "next occurrence" can go on.
pub(super) struct Occurrence {
    name: Vec<u8>,
    aid: Aid,
}

impl Manager {
    pub(super) fn select(&mut self, command: &CommandApdu<'_>) -> Outcome {
        let name = command.data;
        if command.p2 != FIRST && command.p2 != NEXT {
            return refuse(StatusWord::WRONG_P1_P2);
        }
        let (empty, first) = (name.is_empty(), command.p2 == FIRST);
        if empty || (first && (CARD_MANAGER_AID.starts_with(name) || registry::is_card_manager(name))) {
            return self.select_card_manager();
        }
        let after = match (&self.context.last_selected, first) {
            (_, true) => None,
            (Some(last), false) if last.name == name => Some(last.aid),
            _ => return refuse(StatusWord::NOT_FOUND),
        };
        let Some(found) = self.find(name, after) else { return refuse(StatusWord::NOT_FOUND) };
        match self.life_cycle() {
            LifeCycle::CardLocked | LifeCycle::Terminated => return refuse(StatusWord::NOT_FOUND),
            _ => {}
        }
        self.select_application(name, &found)
    }

    /// The first selectable application whose AID begins with `name`, or the next behind `after`.
    fn find(&self, name: &[u8], after: Option<Aid>) -> Option<Indexed<Application>> {
        let selectable =
            |found: &Indexed<Application>| found.entry.aid.as_bytes().starts_with(name) && self.is_selectable(found);
        let mut found: Vec<_> = registry::applications(&self.memory).into_iter().filter(selectable).collect();
        match after {
            None => {
                let exact = found.iter().position(|found| found.entry.aid.as_bytes() == name).unwrap_or(0);
                (exact < found.len()).then(|| found.swap_remove(exact))
            }
            Some(aid) => {
                let at = found.iter().position(|found| found.entry.aid == aid)?;
                found.into_iter().nth(at + 1)
            }
        }
    }

    /// True for an application that SELECT finds.
    pub(super) fn is_selectable(&self, found: &Indexed<Application>) -> bool {
        found.entry.state >= Application::SELECTABLE && !found.entry.locked && !self.is_held_back(found.index)
    }

    /// An application that an unfinished or unconfirmed issue has made or changed cannot be used yet.
    pub(super) fn is_held_back(&self, index: u32) -> bool {
        !self.memory.in_group()
            && (self.memory.is_shadowed(Kind::Application.key(index))
                || self.memory.is_shadowed(Kind::ApplicationData.key(index)))
    }

    fn select_card_manager(&mut self) -> Outcome {
        self.close_session();
        self.context.current = Current::CardManager;
        self.context.implicit = false;
        self.context.last_selected = None;
        let mut fci = tlv::object(0x84, &CARD_MANAGER_AID);
        let mut proprietary = tlv::object(0x73, &self.card_recognition());
        tlv::push(&mut proprietary, 0x9F65, &[0xFF]);
        tlv::push(&mut fci, 0xA5, &proprietary);
        let warning = (self.life_cycle() == LifeCycle::CardLocked).then_some(StatusWord::WARNING_LOCKED);
        Ok(Response { data: tlv::object(0x6F, &fci), warning })
    }

    fn select_application(&mut self, name: &[u8], found: &Indexed<Application>) -> Outcome {
        let application = &found.entry;
        if self.parked.has_selected(found.index) {
            log::info!("SELECT: {} is selected on another channel and cannot be on two", application.aid);
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let mut applet = self.code_of(application);
        if let Some(applet) = &mut applet {
            let selected = applet.select(&mut self.data_of(found.index));
            selected.or(refuse(StatusWord::SELECT_FAILED))?;
        }
        self.close_session();
        self.context.current = Current::Application { index: found.index, aid: application.aid, applet };
        self.context.implicit = false;
        self.context.last_selected = Some(Occurrence { name: name.to_vec(), aid: application.aid });
        let mut fci = tlv::object(0x84, application.aid.as_bytes());
        tlv::push(&mut fci, 0xA5, &tlv::object(0x9F65, &[0xFF]));
        Ok(Response::data(tlv::object(0x6F, &fci)))
    }
}
