//! DELETE (GlobalPlatform 2.3.1 section 11.2): applications and load files.

use super::Manager;
use crate::refusal::{Outcome, Response, refuse};
use crate::registry;
use crate::tlv;
use smcard_batch::aid::Aid;
use smcard_batch::{CommandApdu, StatusWord};

const WITH_RELATED: u8 = 0x80;

impl Manager {
    pub(super) fn delete(&mut self, command: &CommandApdu<'_>) -> Outcome {
        if command.p1 != 0 || command.p2 & !WITH_RELATED != 0 {
            return refuse(StatusWord::WRONG_P1_P2);
        }
        let Some((0x4F, aid, _token)) = tlv::split(command.data) else { return refuse(StatusWord::WRONG_DATA) };
        let aid = Aid::new(aid).or(refuse(StatusWord::WRONG_DATA))?;
        if aid == registry::card_manager() {
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        if let Some(found) = registry::application(&self.memory, &aid) {
            self.remove_application(found.index);
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
        instances.iter().for_each(|instance| self.remove_application(instance.index));
        registry::remove_load_file(&mut self.memory, file.index);
        deleted()
    }
}

impl Manager {
    fn remove_application(&mut self, index: u32) {
        registry::remove_application(&mut self.memory, index);
        self.deleted.push(index);
    }

    /// Indices of the applications deleted since this was asked last; where a command failed behind its DELETE they may
    /// still be there.
    pub(crate) fn take_deleted(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.deleted)
    }
}

fn deleted() -> Outcome {
    Ok(Response::data(vec![0x00]))
}
