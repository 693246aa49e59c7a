//! DELETE (GlobalPlatform 2.3.1 section 11.2): applications and load files; keys are in `keys`.

use super::Manager;
use crate::refusal::{Outcome, Refusal, Response, refuse};
use crate::registry::{self, Application, Indexed};
use crate::tlv;
use smcard_batch::aid::Aid;
use smcard_batch::{CommandApdu, StatusWord};

const WITH_RELATED: u8 = 0x80;

impl Manager {
    pub(super) fn delete(&mut self, command: &CommandApdu<'_>) -> Outcome {
        if command.p1 != 0 || command.p2 & !WITH_RELATED != 0 {
            return refuse(StatusWord::WRONG_P1_P2);
        }
        let objects = tlv::all(command.data).ok_or(StatusWord::WRONG_DATA)?;
        let aid = match objects.first() {
            Some((0xD0 | 0xD2, _)) => return self.delete_keys(&objects),
            Some((0x4F, aid)) => *aid,
            _ => return refuse(StatusWord::WRONG_DATA),
        };
        let aid = Aid::new(aid).or(refuse(StatusWord::WRONG_DATA))?;
        if registry::is_card_manager(aid.as_bytes()) {
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        if let Some(found) = registry::application(&self.memory, &aid) {
            self.delete_application(&found)?;
            return deleted();
        }
        let Some(file) = registry::load_file(&self.memory, &aid) else {
            return refuse(StatusWord::REFERENCE_NOT_FOUND);
        };
        let dependent = registry::load_files(&self.memory).into_iter().find(|other| other.entry.imports.contains(&aid));
        if let Some(dependent) = dependent {
            log::info!("DELETE: load file {aid} is needed by {}", dependent.entry.aid);
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let instances: Vec<_> =
            registry::applications(&self.memory).into_iter().filter(|found| found.entry.load_file == aid).collect();
        if let (Some(instance), 0) = (instances.first(), command.p2 & WITH_RELATED) {
            log::info!("DELETE: load file {aid} has the instance {}", instance.entry.aid);
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        instances.iter().try_for_each(|instance| self.delete_application(instance))?;
        registry::remove_load_file(&mut self.memory, file.index);
        deleted()
    }

    fn delete_application(&mut self, found: &Indexed<Application>) -> Result<(), Refusal> {
        // An issue does not depend on what interfaces have selected.
        if !self.memory.in_group() && self.parked.has_selected(found.index) {
            log::info!("DELETE: application {} is selected on another channel", found.entry.aid);
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        self.context.personalized = None;
        registry::remove_application(&mut self.memory, found.index);
        self.deleted.push(found.index);
        Ok(())
    }
}

impl Manager {
    /// Indices of the applications deleted since this was asked last; where a command failed behind its DELETE they may
    /// still be there.
    pub(crate) fn take_deleted(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.deleted)
    }
}

fn deleted() -> Outcome {
    Ok(Response::data(vec![0x00]))
}
