//! Commands in the state where the card takes data: registers, memory, and the secure command set.

use super::area::BLOCK;
use super::engine::{Engine, Flow, Refusal, Reply};
use super::memory::{Memory, Stretch};
use super::profile::{BlockLengthCommand, PsiLength};
use super::registers::Registers;
use super::time::picoseconds;
use smcard_link::sd::{Capacity, CardStatus, Command, SwitchArgument, index as i};

impl Engine {
    /// A command in the state where the card takes data. `application`: it came after CMD55 and is known as such.
    pub(crate) fn command(&mut self, command: Command, application: bool) -> Result<Reply, Refusal> {
        let Command { index, argument } = command;
        let count = self.count.take();
        self.stop_follows = false;
        if !application
            && !matches!(index, i::ERASE_WR_BLK_START..=i::ERASE_WR_BLK_END | i::ERASE | i::SEND_STATUS | i::APP_CMD)
            && self.memory.deselect()
        {
            self.errors = self.errors.with(CardStatus::ERASE_RESET);
        }
        if application {
            return self.application_command(index);
        }
        if self.profile.locked && !matches!(index, i::SET_BLOCKLEN | i::LOCK_UNLOCK) {
            return Err(Refusal::Illegal);
        }
        match index {
            i::SWITCH_FUNC => Ok(self.switch(argument)),
            i::SET_BLOCKLEN => self.set_block_length(argument),
            i::READ_SINGLE_BLOCK | i::READ_MULTIPLE_BLOCK => {
                let left = if index == i::READ_SINGLE_BLOCK { Some(1) } else { count };
                self.read_memory(argument, left)
            }
            i::SET_BLOCK_COUNT if self.registers.scr[3] & 2 != 0 => {
                self.count = Some(argument).filter(|count| *count > 0);
                Ok(Reply::Done)
            }
            i::WRITE_BLOCK | i::WRITE_MULTIPLE_BLOCK => {
                let left = if index == i::WRITE_BLOCK { Some(1) } else { count };
                self.write_memory(argument, left)
            }
            i::ERASE_WR_BLK_START => {
                let at = Memory::address(&self.registers, argument, 1)?;
                self.memory.select_start(at);
                Ok(Reply::Done)
            }
            i::ERASE_WR_BLK_END => {
                let at = Memory::address(&self.registers, argument, 1)?;
                self.memory.select_end(at).map(|()| Reply::Done)
            }
            i::ERASE => {
                self.touch_memory();
                self.memory.erase()?;
                self.busy_for(picoseconds(self.profile.program_time));
                Ok(Reply::Busy)
            }
            i::LOCK_UNLOCK if self.profile.locked => {
                self.flow = Flow::Password;
                Ok(Reply::Write)
            }
            i::READ_SEC_CMD..=i::CONTROL_ASSD_SYSTEM | i::DIRECT_SECURE_READ | i::DIRECT_SECURE_WRITE => {
                self.secure_command(command)
            }
            _ => Err(Refusal::Illegal),
        }
    }

    /// True for the commands after CMD55 that this card knows where it takes data.
    pub(crate) fn knows_application(index: u8) -> bool {
        matches!(
            index,
            i::ACMD_SET_BUS_WIDTH
                | i::ACMD_SD_STATUS
                | i::ACMD_SEND_NUM_WR_BLOCKS
                | i::ACMD_SET_WR_BLK_ERASE_COUNT
                | i::ACMD_SET_CLR_CARD_DETECT
                | i::ACMD_SEND_SCR
        )
    }

    fn application_command(&mut self, index: u8) -> Result<Reply, Refusal> {
        match index {
            _ if self.profile.locked => Err(Refusal::Illegal),
            i::ACMD_SD_STATUS => Ok(self.show(&Registers::sd_status(self.wide))),
            i::ACMD_SEND_NUM_WR_BLOCKS => Ok(self.show(&self.written.to_be_bytes())),
            i::ACMD_SEND_SCR => Ok(self.show(&self.registers.scr.clone())),
            i::ACMD_SET_WR_BLK_ERASE_COUNT | i::ACMD_SET_CLR_CARD_DETECT => Ok(Reply::Done),
            _ => Err(Refusal::Illegal),
        }
    }

    /// One block that is a register.
    pub(crate) fn show(&mut self, register: &[u8]) -> Reply {
        for (to, from) in self.register.iter_mut().zip(register) {
            *to = *from;
        }
        self.flow = Flow::Register { length: register.len().min(BLOCK), result: false };
        self.ready_at = self.now.saturating_add(picoseconds(self.profile.access_time));
        Reply::Read
    }

    fn switch(&mut self, argument: u32) -> Reply {
        let before = self.functions.command_system;
        let status = self.functions.switch(SwitchArgument(argument), &self.profile);
        if self.functions.command_system != before {
            self.secure.leave();
        }
        self.show(&status.0)
    }

    fn set_block_length(&mut self, argument: u32) -> Result<Reply, Refusal> {
        match self.profile.block_length {
            BlockLengthCommand::Refused => return Err(Refusal::Illegal),
            BlockLengthCommand::Ignored => return Ok(Reply::Done),
            BlockLengthCommand::Honoured => {}
        }
        let length = u16::try_from(argument).ok().filter(|length| (1..=512).contains(length));
        self.block_length = length.ok_or(Refusal::BlockLength)?;
        Ok(Reply::Done)
    }

    /// Reading, writing or erasing memory while the core works.
    fn touch_memory(&mut self) {
        self.secure.no_reread();
        if self.profile.memory_aborts {
            self.secure.abort();
        }
    }

    fn memory_block(&self) -> usize {
        match self.registers.capacity {
            Capacity::High => BLOCK,
            Capacity::Standard => usize::from(self.block_length),
        }
    }

    fn read_memory(&mut self, argument: u32, left: Option<u32>) -> Result<Reply, Refusal> {
        let length = self.memory_block();
        let at = Memory::address(&self.registers, argument, length)?;
        self.touch_memory();
        self.flow = Flow::MemoryRead(Stretch { at, length, left });
        self.ready_at = self.now.saturating_add(picoseconds(self.profile.access_time));
        Ok(Reply::Read)
    }

    fn write_memory(&mut self, argument: u32, left: Option<u32>) -> Result<Reply, Refusal> {
        if self.memory_block() != BLOCK {
            return Err(Refusal::BlockLength);
        }
        let at = Memory::address(&self.registers, argument, BLOCK)?;
        self.touch_memory();
        self.written = 0;
        self.flow = Flow::MemoryWrite(Stretch { at, length: BLOCK, left });
        Ok(Reply::Write)
    }

    fn secure_command(&mut self, command: Command) -> Result<Reply, Refusal> {
        let Command { index, argument } = command;
        if !matches!(self.functions.command_system, 1 | 4) {
            return Err(Refusal::Illegal);
        }
        let direct = matches!(index, i::DIRECT_SECURE_READ | i::DIRECT_SECURE_WRITE);
        if direct && !self.profile.protected_memory {
            return Err(Refusal::Illegal);
        }
        match index {
            i::READ_SEC_CMD => {
                let blocks = self.secure.begin_answer(argument, &self.profile, self.now)?;
                self.flow = Flow::Answer { at: 0, blocks };
                self.ready_at = self.now.saturating_add(picoseconds(self.profile.access_time));
                Ok(Reply::Read)
            }
            i::WRITE_SEC_CMD => {
                if self.lost_writes > 0 {
                    self.lost_writes -= 1;
                    return Err(Refusal::Lost);
                }
                let blocks = self.secure.begin_command(argument, &self.profile, self.now)?;
                self.flow = Flow::Token { at: 0, blocks };
                Ok(Reply::Write)
            }
            i::SEND_PSI => {
                let register = self.secure.register(argument, &self.profile, self.now)?;
                let long = match self.profile.psi {
                    PsiLength::BlockLength => self.block_length == 512,
                    PsiLength::Short => false,
                    PsiLength::Long => true,
                };
                let mut block = [0; BLOCK];
                block[..register.len()].copy_from_slice(&register);
                Ok(self.show(if long { &block } else { &register }))
            }
            i::CONTROL_ASSD_SYSTEM => {
                self.secure.control(argument, &self.profile)?;
                if self.profile.control_busy {
                    self.core_holds = true;
                    self.busy_for(picoseconds(self.profile.control_time));
                    return Ok(Reply::Busy);
                }
                Ok(Reply::Done)
            }
            i::DIRECT_SECURE_READ => {
                let result = self.secure.read_direct(argument, self.now, &mut self.register)?;
                self.flow = Flow::Register { length: BLOCK, result };
                self.ready_at = self.now.saturating_add(picoseconds(self.profile.access_time));
                Ok(Reply::Read)
            }
            _ => {
                let transfer = self.secure.begin_write(argument, self.now)?;
                self.flow = Flow::Direct(transfer);
                Ok(Reply::Write)
            }
        }
    }
}
