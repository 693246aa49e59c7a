//! Blocks on their way: fetched by a host that reads, written by one that writes, and how a transfer ends.

use super::area::BLOCK;
use super::direct::Verdict;
use super::engine::{Engine, Feed, Flow};
use super::memory::Stretch;
use super::time::picoseconds;
use smcard_link::sd::{CardStatus, ErrorToken};

impl Engine {
    /// Bytes of the next block to read; `None` where there is none to come.
    pub(crate) fn read_length(&self) -> Option<usize> {
        match self.flow {
            Flow::Register { length, .. } => Some(length),
            Flow::MemoryRead(stretch) => Some(stretch.length),
            Flow::Answer { .. } => Some(BLOCK),
            _ => None,
        }
    }

    /// True where the next block to read lies behind the end of the memory.
    pub(crate) fn is_at_end(&self) -> bool {
        matches!(self.flow, Flow::MemoryRead(stretch) if stretch.at >= self.registers.blocks * 512)
    }

    /// Puts the next block into the front of `into`, which has room for it. Nothing has happened until
    /// [`Engine::delivered`] says that it has gone out.
    pub(crate) fn fetch(&mut self, into: &mut [u8]) -> Feed {
        let Some(length) = self.read_length() else { return Feed::Nothing };
        if self.now < self.ready_at {
            return Feed::Wait;
        }
        let Some(into) = into.get_mut(..length) else { return Feed::Nothing };
        match self.flow {
            Flow::MemoryRead(stretch) => {
                let size = u64::try_from(length).unwrap_or(u64::MAX);
                if stretch.at.saturating_add(size) > self.registers.blocks * 512 {
                    self.errors = self.errors.with(CardStatus::OUT_OF_RANGE);
                    self.flow = Flow::Dry;
                    return Feed::Error(ErrorToken::OUT_OF_RANGE);
                }
                if let Err(error) = self.memory.read(stretch.at, into) {
                    log::warn!("reading the open memory failed: {error}");
                    self.errors = self.errors.with(CardStatus::CARD_ECC_FAILED);
                    self.flow = if stretch.left == Some(1) { Flow::None } else { Flow::Dry };
                    return Feed::Error(ErrorToken::ECC);
                }
            }
            Flow::Answer { at, .. } => {
                let block = self.secure.answer_block(at);
                if block.len() != length {
                    return Feed::Nothing;
                }
                into.copy_from_slice(block);
            }
            _ => into.copy_from_slice(self.register.get(..length).unwrap_or_default()),
        }
        Feed::Block(length)
    }

    /// True where the block just fetched is to go out with a wrong checksum.
    pub(crate) fn spoils(&mut self) -> bool {
        let spoils = self.damaged_answers > 0 && matches!(self.flow, Flow::Answer { .. });
        self.damaged_answers -= u32::from(spoils);
        spoils
    }

    /// The block that was fetched last has gone out.
    pub(crate) fn delivered(&mut self) {
        match &mut self.flow {
            Flow::Register { result, .. } => {
                if *result {
                    self.secure.result_read();
                }
                self.flow = Flow::None;
            }
            Flow::MemoryRead(stretch) => {
                let more = stretch.advance();
                self.flow = if more { self.flow } else { Flow::None };
            }
            Flow::Answer { at, blocks } => {
                *at += 1;
                if at < blocks {
                    return;
                }
                let several = *blocks > 1;
                self.secure.answer_sent(&self.profile);
                self.stop_follows = several;
                self.flow = if self.profile.stop_needed { Flow::StopRead } else { Flow::None };
            }
            _ => {}
        }
    }

    /// Bytes of the next block to write.
    pub(crate) fn write_length(&self) -> usize {
        match self.flow {
            Flow::Password => usize::from(self.block_length),
            _ => BLOCK,
        }
    }

    /// The next block of a write command, its checksum right.
    pub(crate) fn write(&mut self, block: &[u8]) -> Verdict {
        let verdict = match self.flow {
            Flow::MemoryWrite(stretch) => self.write_memory_block(stretch, block),
            Flow::Token { at, blocks } => self.write_token_block(at, blocks, block),
            Flow::Direct(mut transfer) => {
                let verdict = self.secure.write_block(&mut transfer, block, &self.profile, self.now);
                self.flow = Flow::Direct(transfer);
                if verdict == Verdict::Accepted && transfer.left == 0 {
                    self.flow = Flow::None;
                    self.stop_follows = true;
                }
                verdict
            }
            Flow::Password => {
                self.errors = self.errors.with(CardStatus::LOCK_UNLOCK_FAILED);
                self.flow = Flow::None;
                Verdict::Accepted
            }
            _ => Verdict::Failed,
        };
        match verdict {
            Verdict::Accepted => self.busy_for(picoseconds(self.profile.program_time)),
            Verdict::Damaged | Verdict::Failed => self.block_refused(),
        }
        verdict
    }

    fn write_memory_block(&mut self, mut stretch: Stretch, block: &[u8]) -> Verdict {
        if stretch.at.saturating_add(512) > self.registers.blocks * 512 {
            self.errors = self.errors.with(CardStatus::OUT_OF_RANGE);
            return Verdict::Failed;
        }
        if let Err(error) = self.memory.write(stretch.at, block) {
            log::warn!("writing the open memory failed: {error}");
            self.errors = self.errors.with(CardStatus::ERROR);
            return Verdict::Failed;
        }
        self.written = self.written.saturating_add(1);
        self.flow = if stretch.advance() { Flow::MemoryWrite(stretch) } else { Flow::None };
        Verdict::Accepted
    }

    fn write_token_block(&mut self, at: u32, blocks: u32, block: &[u8]) -> Verdict {
        let last = at + 1 >= blocks;
        if !self.secure.command_block(block, last) {
            return Verdict::Damaged;
        }
        if !last {
            self.flow = Flow::Token { at: at + 1, blocks };
        } else if self.profile.stop_needed {
            self.flow = Flow::StopToken;
        } else {
            self.flow = Flow::None;
            self.stop_follows = blocks > 1;
            self.secure.begin_work(&self.profile, self.now);
        }
        Verdict::Accepted
    }

    /// A block has arrived damaged: it and what follows it are not taken.
    pub(crate) fn block_damaged(&mut self) {
        self.block_refused();
    }

    fn block_refused(&mut self) {
        let several = self.is_multi_write();
        self.secure.drop_command();
        self.flow = if several { Flow::Refused } else { Flow::None };
    }

    /// On the native bus a transfer whose count was in the argument of a secure command ends with a refused block: the
    /// host knows, and sends no more.
    pub(crate) fn end_counted(&mut self, secure: bool) {
        if secure && self.flow == Flow::Refused {
            self.flow = Flow::None;
            self.stop_follows = true;
        }
    }

    /// CMD12, or the stop token of SPI: `false` where there is nothing to stop.
    pub(crate) fn stop(&mut self) -> bool {
        if self.flow == Flow::None {
            return std::mem::take(&mut self.stop_follows);
        }
        if self.flow == Flow::StopToken {
            self.flow = Flow::None;
            self.secure.begin_work(&self.profile, self.now);
        }
        self.end_transfer();
        true
    }

    /// A read command with a known count was followed by another command: its blocks have passed unseen.
    pub(crate) fn elapse(&mut self) {
        match self.flow {
            Flow::Answer { at, blocks } => (at..blocks).for_each(|_| self.delivered()),
            Flow::Register { .. } => self.delivered(),
            _ => self.end_transfer(),
        }
    }

    /// The transfer ends where it is: what was not taken is not taken, what was not read stays to be read.
    pub(crate) fn end_transfer(&mut self) {
        if matches!(self.flow, Flow::Token { .. } | Flow::StopToken) {
            self.secure.drop_command();
        }
        self.flow = Flow::None;
        self.stop_follows = false;
    }
}
