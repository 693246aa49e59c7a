//! WRITE FILE (`80 54`): the command store filled by ordinary commands, for a cable that carries nothing else.
//!
//! The same store, the same authority and the same refusals as a direct write, but a command and an answer for every
//! piece. It leaves a secure channel alone, as a direct write does: the channel says who may open a file, the batch's own
//! checksums say whether it has arrived.

use crate::manager::Manager;
use crate::store::{CommandStore, Commit};
use smcard_batch::{CommandApdu, StatusWord};
use smcard_flash::FlashError;
use smcard_link::{Answer, WriteId};

/// Instruction byte.
const INS: u8 = 0x54;
/// Numbers for writes: one digit of a P2.
const NUMBERS: usize = crate::store::WRITES_MAX;

/// P1.
mod operation {
    /// Data: length of the file (4), name. Answer: number of the write (1).
    pub(super) const OPEN: u8 = 0x00;
    /// Data: offset (4), bytes.
    pub(super) const DATA: u8 = 0x01;
    /// Data: CRC-32 of the whole file (4). Answer as that of a direct write's commit.
    pub(super) const COMMIT: u8 = 0x02;
    /// No data.
    pub(super) const ABORT: u8 = 0x03;
}

/// A write by its number.
struct Numbered {
    id: WriteId,
    received: u32,
    checksum: crc32fast::Hasher,
}

/// The writes in progress, by number. They end with the power.
#[derive(Default)]
pub(crate) struct NumberedWrites([Option<Numbered>; NUMBERS]);

/// True for the commands of this file, whoever is the current application.
pub(crate) fn is_write_file(command: &CommandApdu<'_>) -> bool {
    (command.cla, command.ins) == (0x80, INS)
}

/// What a commit is answered with.
pub(crate) fn commit_answer(commit: &Commit) -> Answer {
    match commit {
        Commit::Stored(id) => Answer { data: id.to_be_bytes().to_vec(), sw: StatusWord::SUCCESS.0 },
        Commit::Damaged(fault) => Answer { data: fault.encode().to_vec(), sw: StatusWord::WRONG_DATA.0 },
        Commit::Short => Answer::status(StatusWord::WRONG_LENGTH.0),
        Commit::TableFull => Answer::status(StatusWord::NOT_ENOUGH_MEMORY.0),
    }
}

impl NumberedWrites {
    /// Serves one command.
    ///
    /// # Errors
    /// The medium failed.
    pub(crate) fn serve(
        &mut self,
        manager: &mut Manager,
        store: &mut CommandStore,
        command: &CommandApdu<'_>,
    ) -> Result<Answer, FlashError> {
        let served = match (command.p1, command.p2) {
            (operation::OPEN, 0) => self.open(manager, store, command.data)?,
            (operation::DATA, number) => self.data(manager, store, number, command.data)?,
            (operation::COMMIT, number) => self.commit(manager, store, number, command.data)?,
            (operation::ABORT, number) => self.abort(manager, store, number, command.data),
            _ => Err(StatusWord::WRONG_P1_P2),
        };
        Ok(served.unwrap_or_else(|sw| Answer::status(sw.0)))
    }

    /// Gives all of them up.
    pub(crate) fn abort_all(&mut self, manager: &mut Manager, store: &mut CommandStore) {
        for write in self.0.iter_mut().filter_map(Option::take) {
            store.abort(manager.memory.flash_mut(), write.id);
        }
    }

    fn open(
        &mut self,
        manager: &mut Manager,
        store: &mut CommandStore,
        data: &[u8],
    ) -> Result<Result<Answer, StatusWord>, FlashError> {
        let Some((length, name)) = data.split_first_chunk::<4>() else { return Ok(Err(StatusWord::WRONG_LENGTH)) };
        let authority = match manager.write_authority() {
            Ok(authority) => authority,
            Err(sw) => return Ok(Err(sw)),
        };
        let Some(number) = (0_u8..).zip(&self.0).find_map(|(number, slot)| slot.is_none().then_some(number)) else {
            return Ok(Err(StatusWord::CONDITIONS_NOT_SATISFIED));
        };
        let opened = store.open(manager.memory.flash_mut(), name, u32::from_be_bytes(*length), authority)?;
        Ok(opened.map(|id| {
            if let Some(slot) = self.0.get_mut(usize::from(number)) {
                *slot = Some(Numbered { id, received: 0, checksum: crc32fast::Hasher::new() });
            }
            Answer { data: vec![number], sw: StatusWord::SUCCESS.0 }
        }))
    }

    fn data(
        &mut self,
        manager: &mut Manager,
        store: &mut CommandStore,
        number: u8,
        data: &[u8],
    ) -> Result<Result<Answer, StatusWord>, FlashError> {
        let Some((offset, bytes)) = data.split_first_chunk::<4>() else { return Ok(Err(StatusWord::WRONG_LENGTH)) };
        let Some(write) = self.0.get_mut(usize::from(number)).and_then(Option::as_mut) else {
            return Ok(Err(StatusWord::REFERENCE_NOT_FOUND));
        };
        if u32::from_be_bytes(*offset) != write.received {
            return Ok(Err(StatusWord::WRONG_OFFSET));
        }
        if !store.chunk(manager.memory.flash_mut(), write.id, bytes)? {
            return Ok(Err(StatusWord::WRONG_OFFSET));
        }
        write.checksum.update(bytes);
        // The store has checked that the sum stays below the length, a u32.
        write.received = write.received.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        Ok(Ok(Answer::status(StatusWord::SUCCESS.0)))
    }

    fn commit(
        &mut self,
        manager: &mut Manager,
        store: &mut CommandStore,
        number: u8,
        data: &[u8],
    ) -> Result<Result<Answer, StatusWord>, FlashError> {
        let Ok(checksum) = <[u8; 4]>::try_from(data) else { return Ok(Err(StatusWord::WRONG_LENGTH)) };
        let Some(write) = self.0.get_mut(usize::from(number)).and_then(Option::take) else {
            return Ok(Err(StatusWord::REFERENCE_NOT_FOUND));
        };
        if write.checksum.finalize() != u32::from_be_bytes(checksum) {
            store.abort(manager.memory.flash_mut(), write.id);
            return Ok(Err(StatusWord::WRONG_DATA));
        }
        let commit = store.commit(manager.memory.flash_mut(), write.id)?;
        Ok(commit.as_ref().map(commit_answer).ok_or(StatusWord::REFERENCE_NOT_FOUND))
    }

    fn abort(
        &mut self,
        manager: &mut Manager,
        store: &mut CommandStore,
        number: u8,
        data: &[u8],
    ) -> Result<Answer, StatusWord> {
        if !data.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        if let Some(write) = self.0.get_mut(usize::from(number)).and_then(Option::take) {
            store.abort(manager.memory.flash_mut(), write.id);
        }
        Ok(Answer::status(StatusWord::SUCCESS.0))
    }
}
