//! The open memory on the bus: addresses, lengths, erasing.

use super::area::{Area, BLOCK};
use super::engine::Refusal;
use super::registers::Registers;
use smcard_link::sd::Capacity;
use std::io;
use std::ops::Range;

/// Bytes erased at a time, so that a card that erases much still answers on the bus.
const ERASE_PIECE: u64 = 1 << 20;

/// A range of the open memory that a command moves through, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stretch {
    /// Byte address of the next block.
    pub(super) at: u64,
    /// Bytes of a block.
    pub(super) length: usize,
    /// Blocks to come; `None`: until it is stopped.
    pub(super) left: Option<u32>,
}

impl Stretch {
    /// Goes on by one block; `false` where that was the last.
    pub(super) fn advance(&mut self) -> bool {
        self.at = self.at.saturating_add(u64::try_from(self.length).unwrap_or(u64::MAX));
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
        }
        self.left != Some(0)
    }
}

/// The open memory with what is selected for erasing.
pub(super) struct Memory {
    area: Box<dyn Area>,
    start: Option<u64>,
    end: Option<u64>,
    erasing: Range<u64>,
}

impl Memory {
    pub(super) fn new(area: Box<dyn Area>) -> Self {
        Memory { area, start: None, end: None, erasing: 0..0 }
    }

    /// The byte address in an argument. `length` bytes from it on lie inside the memory and do not cross a block.
    pub(super) fn address(registers: &Registers, argument: u32, length: usize) -> Result<u64, Refusal> {
        let end = registers.blocks * 512;
        let at = match registers.capacity {
            Capacity::High => u64::from(argument) * 512,
            Capacity::Standard => u64::from(argument),
        };
        let size = u64::try_from(length).unwrap_or(u64::MAX);
        if at >= end || size > end - at {
            return Err(Refusal::Range);
        }
        if at % 512 + size > 512 {
            return Err(Refusal::Address);
        }
        Ok(at)
    }

    pub(super) fn read(&mut self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.area.read(at, into)
    }

    pub(super) fn write(&mut self, at: u64, block: &[u8]) -> io::Result<()> {
        self.area.write(at, block)
    }

    pub(super) fn flush(&mut self) {
        if let Err(error) = self.area.flush() {
            log::warn!("the open memory area is not durable: {error}");
        }
    }

    /// CMD32.
    pub(super) fn select_start(&mut self, at: u64) {
        self.start = Some(at);
        self.end = None;
    }

    /// CMD33.
    pub(super) fn select_end(&mut self, at: u64) -> Result<(), Refusal> {
        if self.start.is_none() {
            return Err(Refusal::EraseSequence);
        }
        self.end = Some(at);
        Ok(())
    }

    /// Any other command takes the selection back; `true` where there was one.
    pub(super) fn deselect(&mut self) -> bool {
        let selected = self.start.is_some();
        self.start = None;
        self.end = None;
        selected
    }

    /// CMD38: begins to erase the selected blocks.
    pub(super) fn erase(&mut self) -> Result<(), Refusal> {
        let (start, end) = (self.start.take(), self.end.take());
        let (Some(start), Some(end)) = (start, end) else { return Err(Refusal::EraseSequence) };
        if end < start {
            return Err(Refusal::EraseParameter);
        }
        let block = u64::try_from(BLOCK).unwrap_or(512);
        self.erasing = start / block * block..(end / block + 1) * block;
        Ok(())
    }

    pub(super) fn is_erasing(&self) -> bool {
        !self.erasing.is_empty()
    }

    /// Goes on with erasing; `true` while there is more to do.
    pub(super) fn go_on(&mut self) -> bool {
        if self.erasing.is_empty() {
            return false;
        }
        let length = (self.erasing.end - self.erasing.start).min(ERASE_PIECE);
        if let Err(error) = self.area.erase(self.erasing.start, length) {
            log::warn!("erasing the open memory failed: {error}");
        }
        self.erasing.start += length;
        true
    }

    /// The supply goes, or CMD0: what is not erased yet stays.
    pub(super) fn reset(&mut self) {
        self.deselect();
        self.erasing = 0..0;
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.flush();
    }
}
