//! ERASE FILE and RENAME FILE: the card's own commands on the file management table, for the authenticated preparer.

use super::{Manager, Origin};
use crate::refusal::{Outcome, Refusal, Response, refuse};
use crate::settings::LifeCycle;
use crate::store::{self, File};
use smcard_batch::{CommandApdu, StatusWord};

/// P1 of RENAME FILE: a file that has the new name is replaced.
const REPLACE: u8 = 0x01;

impl Manager {
    /// `80 58 00 00 02 identifier`.
    pub(super) fn erase_file(&mut self, origin: Origin, command: &CommandApdu<'_>) -> Outcome {
        self.outside_an_issue(origin)?;
        if (command.p1, command.p2) != (0, 0) {
            return refuse(StatusWord::WRONG_P1_P2);
        }
        let (file, rest) = self.file_in(command.data)?;
        if !rest.is_empty() {
            return refuse(StatusWord::WRONG_LENGTH);
        }
        store::erase(self.memory.flash_mut(), file.id)?;
        Ok(Response::default())
    }

    /// `80 56 P1 00 Lc identifier | new name`.
    pub(super) fn rename_file(&mut self, origin: Origin, command: &CommandApdu<'_>) -> Outcome {
        self.outside_an_issue(origin)?;
        if command.p1 & !REPLACE != 0 || command.p2 != 0 {
            return refuse(StatusWord::WRONG_P1_P2);
        }
        let (file, name) = self.file_in(command.data)?;
        if !store::is_name(name) {
            return refuse(StatusWord::WRONG_DATA);
        }
        let taken = store::by_name(self.memory.flash(), name).is_some_and(|other| other.id != file.id);
        if taken && command.p1 & REPLACE == 0 {
            return refuse(StatusWord::FILE_EXISTS);
        }
        store::rename(self.memory.flash_mut(), &file, name)?;
        Ok(Response::default())
    }

    fn file_in<'a>(&self, data: &'a [u8]) -> Result<(File, &'a [u8]), Refusal> {
        let (id, rest) = data.split_first_chunk::<2>().ok_or(StatusWord::WRONG_LENGTH)?;
        let file = store::by_id(self.memory.flash(), u16::from_be_bytes(*id)).ok_or(StatusWord::NOT_FOUND)?;
        Ok((file, rest))
    }

    /// The table is the preparer's, not a batch's; a terminated card keeps what it has.
    fn outside_an_issue(&self, origin: Origin) -> Result<(), Refusal> {
        if origin == Origin::Issuer || self.life_cycle() == LifeCycle::Terminated {
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        Ok(())
    }
}
