//! Commands for applications: the way from the registry entry to the code that answers.

use super::{Current, Manager};
use crate::applet::{APPLET_DATA_MAX, Applet, AppletMemory};
use crate::memory::{Kind, Memory};
use crate::recovery::History;
use crate::refusal::{Outcome, Refusal, Response, refuse};
use crate::registry::{self, Application};
use crate::settings::{self, LifeCycle};
use smcard_batch::aid::Aid;
use smcard_batch::{CommandApdu, StatusWord};
use smcard_flash::Record;

/// An application's persistent data as its code sees it; changes are the command's in hand.
pub(super) struct ApplicationData<'a> {
    memory: &'a mut Memory,
    index: u32,
}

impl AppletMemory for ApplicationData<'_> {
    fn read(&self) -> &[u8] {
        self.memory.get(Kind::ApplicationData.key(self.index)).map_or(&[], |record| &record.bytes)
    }

    fn write(&mut self, data: &[u8]) -> Result<(), StatusWord> {
        if data.len() > APPLET_DATA_MAX {
            return Err(StatusWord::NOT_ENOUGH_MEMORY);
        }
        let record = Record { bytes: data.to_vec(), extent: None };
        self.memory.put(Kind::ApplicationData.key(self.index), record);
        Ok(())
    }

    fn set_state(&mut self, state: u8) -> Result<(), StatusWord> {
        if state & 0x87 != Application::SELECTABLE {
            return Err(StatusWord::WRONG_DATA);
        }
        self.outside_a_foreign_issue()?;
        let own = self.own()?;
        registry::update_application(self.memory, self.index, &Application { state, ..own });
        Ok(())
    }

    fn set_card_state(&mut self, state: LifeCycle) -> Result<(), StatusWord> {
        let privilege = match state {
            LifeCycle::CardLocked => Application::CARD_LOCK,
            LifeCycle::Terminated => Application::CARD_TERMINATE,
            _ => return Err(StatusWord::WRONG_DATA),
        };
        let own = self.own()?;
        if own.privileges[0] & privilege == 0 {
            log::info!("{} may not bring the card to {state:?}: it has not the privilege", own.aid);
            return Err(StatusWord::SECURITY_NOT_SATISFIED);
        }
        self.outside_a_foreign_issue()?;
        if !settings::life_cycle(self.memory).may_become(state) {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        log::warn!("{} brings the card to {state:?}", own.aid);
        self.memory.put(Kind::LifeCycle.key(0), Record { bytes: vec![state as u8], extent: None });
        Ok(())
    }

    fn lock_application(&mut self, aid: &Aid, locked: bool) -> Result<(), StatusWord> {
        let own = self.own()?;
        let itself = own.aid == *aid && locked;
        if !itself && own.privileges[1] & Application::GLOBAL_LOCK == 0 {
            log::info!("{} may not lock or unlock {aid}: it has not the privilege", own.aid);
            return Err(StatusWord::SECURITY_NOT_SATISFIED);
        }
        self.outside_a_foreign_issue()?;
        let found = registry::application(self.memory, aid).ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
        if found.entry.locked == locked {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        registry::update_application(self.memory, found.index, &Application { locked, ..found.entry });
        Ok(())
    }
}

impl ApplicationData<'_> {
    fn own(&self) -> Result<Application, StatusWord> {
        registry::application_at(self.memory, self.index).ok_or(StatusWord::REFERENCE_NOT_FOUND)
    }

    /// What an unfinished issue has changed comes back with CLEAR: nothing may be built on it meanwhile.
    fn outside_a_foreign_issue(&self) -> Result<(), StatusWord> {
        if !self.memory.in_group() && History::is_open(self.memory) {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        Ok(())
    }
}

impl Manager {
    pub(super) fn data_of(&mut self, index: u32) -> ApplicationData<'_> {
        ApplicationData { memory: &mut self.memory, index }
    }

    /// The code of an application, where the runtime has it.
    pub(super) fn code_of(&self, application: &Application) -> Option<Box<dyn Applet>> {
        let file = registry::load_file(&self.memory, &application.load_file)?;
        let load_file = self.memory.view(file.extent?, file.entry.length);
        self.runtime.applet(&application.load_file, &load_file, &application.module)
    }

    pub(super) fn pass_to_application(&mut self, command: &CommandApdu<'_>) -> Outcome {
        // Selected before the issue that is unfinished began, over another interface than that issue.
        if matches!(&self.context.current, Current::Application { index, .. } if self.is_held_back(*index)) {
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        if matches!(self.life_cycle(), LifeCycle::CardLocked | LifeCycle::Terminated) {
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let (index, aid, applet) = match &mut self.context.current {
            Current::Application { index, aid, applet } => (index, aid, applet),
            Current::Deleted => return refuse(StatusWord::CONDITIONS_NOT_SATISFIED),
            Current::CardManager => return refuse(StatusWord::INS_UNSUPPORTED),
        };
        // A batch may have deleted it, and its place may be another's by now.
        if registry::application_at(&self.memory, *index).is_none_or(|entry| entry.aid != *aid) {
            log::info!("the selected application {aid} is not on the card any more");
            self.context.current = Current::Deleted;
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let Some(applet) = applet else { return refuse(StatusWord::INS_UNSUPPORTED) };
        let mut data = ApplicationData { memory: &mut self.memory, index: *index };
        applet.process(&mut data, command).map(Response::data).map_err(Refusal::Status)
    }
}
