//! START, CLEAR and CONFIRM: what an operator without keys may ask of the card manager (system S1.6, S5.2, S5.3).

use super::{Manager, Origin};
use crate::memory::Reader;
use crate::recovery::{History, IssueState};
use crate::refusal::{Outcome, Refusal, Response, refuse};
use crate::response::FailureFormat;
use crate::settings::LifeCycle;
use crate::store::{self, File};
use smcard_batch::{CommandApdu, StatusWord};

/// P1 of START: the data begins with a file name instead of an identifier.
const BY_NAME: u8 = 0x01;

/// The trigger: where the issuer finds the batch, and how it tells a failure (system S1.8).
pub(crate) struct Trigger {
    pub(crate) file: File,
    pub(crate) offset: u32,
    /// Bytes from the offset that may be read; 0 stands for all.
    pub(crate) length: u32,
    pub(crate) format: FailureFormat,
}

impl Manager {
    /// Recognises START and finds the file in the file management table.
    pub(super) fn start(&mut self, command: &CommandApdu<'_>) -> Result<Trigger, Refusal> {
        let format = FailureFormat::from_p2(command.p2).ok_or(StatusWord::WRONG_P1_P2)?;
        if command.p1 & !BY_NAME != 0 {
            return refuse(StatusWord::WRONG_P1_P2);
        }
        if matches!(self.life_cycle(), LifeCycle::CardLocked | LifeCycle::Terminated) {
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let mut reader = Reader::new(command.data);
        let file = match (command.data, command.p1 & BY_NAME) {
            ([], _) => self.only_file()?,
            (_, 0) => {
                let id = reader.u16().ok_or(StatusWord::WRONG_LENGTH)?;
                store::by_id(self.memory.flash(), id).ok_or(StatusWord::NOT_FOUND)?
            }
            _ => {
                let length = reader.u8().ok_or(StatusWord::WRONG_LENGTH)?;
                let name = reader.raw(usize::from(length)).ok_or(StatusWord::WRONG_LENGTH)?;
                store::by_name(self.memory.flash(), name).ok_or(StatusWord::NOT_FOUND)?
            }
        };
        let (offset, length) = if command.data.is_empty() {
            (0, 0)
        } else {
            let region = reader.u32().zip(reader.u32()).ok_or(StatusWord::WRONG_LENGTH)?;
            reader.end().ok_or(StatusWord::WRONG_LENGTH)?;
            region
        };
        if offset.checked_add(length).is_none_or(|end| end > file.size) {
            return refuse(StatusWord::WRONG_OFFSET);
        }
        Ok(Trigger { file, offset, length, format })
    }

    /// Where the store holds one batch, the specifier may be left out.
    fn only_file(&self) -> Result<File, Refusal> {
        let mut files = store::files(self.memory.flash()).into_iter();
        match (files.next(), files.next()) {
            (Some(file), None) => Ok(file),
            (None, _) => refuse(StatusWord::NOT_FOUND),
            (Some(_), Some(_)) => {
                log::info!("START without a file specifier, but the store holds several batches");
                refuse(StatusWord::WRONG_DATA)
            }
        }
    }

    /// Takes an unfinished or unconfirmed issue back; nothing to take back is a success.
    pub(super) fn clear(&mut self, origin: Origin, command: &CommandApdu<'_>) -> Outcome {
        self.post_issue(origin, command)?;
        if History::is_open(&self.memory) {
            self.memory.undo_group(None)?;
        }
        Ok(Response::default())
    }

    /// Makes what a finished issue installed usable.
    pub(super) fn confirm(&mut self, origin: Origin, command: &CommandApdu<'_>) -> Outcome {
        self.post_issue(origin, command)?;
        match History::load(&self.memory) {
            Some(history) if history.state == IssueState::AwaitingConfirmation => {
                self.memory.finish_group(History { state: IssueState::Done, ..history }.record())?;
                Ok(Response::default())
            }
            _ => refuse(StatusWord::CONDITIONS_NOT_SATISFIED),
        }
    }

    fn post_issue(&self, origin: Origin, command: &CommandApdu<'_>) -> Result<(), Refusal> {
        if (command.p1, command.p2) != (0, 0) {
            return refuse(StatusWord::WRONG_P1_P2);
        }
        if !command.data.is_empty() {
            return refuse(StatusWord::WRONG_LENGTH);
        }
        if origin == Origin::Issuer || self.life_cycle() == LifeCycle::Terminated {
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        Ok(())
    }
}
