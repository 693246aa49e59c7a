//! Commands for applications: the way from the registry entry to the code that answers.

use super::{Current, Manager};
use crate::applet::{APPLET_DATA_MAX, Applet, AppletMemory};
use crate::memory::{Kind, Memory};
use crate::refusal::{Outcome, Refusal, Response, refuse};
use crate::registry::{self, Application};
use crate::settings::LifeCycle;
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
