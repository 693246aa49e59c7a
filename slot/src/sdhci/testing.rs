//! Doubles: a guest's memory in a vector, a small memory card with knobs, and a host that does what drivers do.

use super::controller::Controller;
use super::registers::{command, interrupt, mode};
use crate::device::{Device, Pace};
use crate::memory::{GuestMemory, Unreachable};
use smcard_link::{SdBus, SdResponse, Transfer};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Memory from address 0 on.
pub(crate) struct Ram(Mutex<Vec<u8>>);

impl Ram {
    pub(crate) fn new(size: usize) -> Self {
        Ram(Mutex::new(vec![0; size]))
    }
}

fn range(address: u64, length: usize) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(address).ok()?;
    Some(start..start.checked_add(length)?)
}

impl GuestMemory for Ram {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Unreachable> {
        let unreachable = Unreachable { address, length: bytes.len() };
        let memory = self.0.lock().unwrap();
        let part = range(address, bytes.len()).and_then(|range| memory.get(range)).ok_or(unreachable)?;
        bytes.copy_from_slice(part);
        Ok(())
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Unreachable> {
        let unreachable = Unreachable { address, length: bytes.len() };
        let mut memory = self.0.lock().unwrap();
        let part = range(address, bytes.len()).and_then(|range| memory.get_mut(range)).ok_or(unreachable)?;
        part.copy_from_slice(bytes);
        Ok(())
    }

    fn is_reachable(&self) -> bool {
        !self.0.lock().unwrap().is_empty()
    }
}

/// How the double behaves, and what it has seen.
#[derive(Default)]
pub(crate) struct CardState {
    pub(crate) blocks: Vec<[u8; 512]>,
    pub(crate) commands: Vec<(u8, u32)>,
    pub(crate) powered: bool,
    pub(crate) absent: bool,
    /// So many questions are answered with "wait" before each block; `u32::MAX` for ever.
    pub(crate) waits: u32,
    /// So many questions find the card busy after a write or an R1b command.
    pub(crate) busy: u32,
    /// The block with this number is damaged on the way.
    pub(crate) damaged: Option<usize>,
    waited: u32,
    busy_left: u32,
    /// Address and direction of a transfer under way, and whether it goes on after a block.
    transfer: Option<(usize, bool, bool)>,
}

/// A memory card of few words: CMD0, CMD9, CMD12, CMD13, CMD17, CMD18, CMD24, CMD25.
#[derive(Clone, Default)]
pub(crate) struct Card(Arc<Mutex<CardState>>);

pub(crate) const CSD: [u8; 16] = *b"\x40\x0E\x00\x32\x5B\x59\x00\x00\x00\x7F\x7F\x80\x0A\x40\x00\xC7";

impl Card {
    pub(crate) fn new(blocks: usize) -> Self {
        let card = Card::default();
        card.state().blocks = (0..blocks).map(|n| [u8::try_from(n % 251).unwrap(); 512]).collect();
        card
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, CardState> {
        self.0.lock().unwrap()
    }

    fn block(&self, write: bool, move_block: impl FnOnce(&mut [u8; 512])) -> Transfer {
        let mut state = self.state();
        let Some((at, direction, multi)) = state.transfer else { return Transfer::Nothing };
        if direction != write || at >= state.blocks.len() {
            return Transfer::Nothing;
        }
        if state.waited < state.waits {
            state.waited += 1;
            return Transfer::Wait;
        }
        state.waited = if state.waits == u32::MAX { u32::MAX } else { 0 };
        if state.damaged == Some(at) {
            return Transfer::Crc;
        }
        move_block(&mut state.blocks[at]);
        state.transfer = multi.then_some((at + 1, write, multi));
        state.busy_left = if write { state.busy } else { 0 };
        Transfer::Done
    }
}

impl SdBus for Card {
    fn command(&mut self, index: u8, argument: u32) -> Option<SdResponse> {
        let mut state = self.state();
        if !state.powered {
            return None;
        }
        state.commands.push((index, argument));
        let at = usize::try_from(argument).ok()?;
        match index {
            9 => return Some(SdResponse::Long(CSD)),
            12 => {
                state.transfer = None;
                state.busy_left = state.busy;
            }
            13 => {}
            17 | 18 => state.transfer = Some((at, false, index == 18)),
            24 | 25 => state.transfer = Some((at, true, index == 25)),
            _ => return None,
        }
        Some(SdResponse::Short(0x900))
    }

    fn read_block(&mut self, block: &mut [u8]) -> Transfer {
        self.block(false, |stored| block.iter_mut().zip(stored).for_each(|(to, from)| *to = *from))
    }

    fn write_block(&mut self, block: &[u8]) -> Transfer {
        self.block(true, |stored| stored.iter_mut().zip(block).for_each(|(to, from)| *to = *from))
    }

    fn is_busy(&mut self) -> bool {
        let mut state = self.state();
        let busy = state.busy_left > 0;
        state.busy_left = state.busy_left.saturating_sub(u32::from(state.busy_left != u32::MAX));
        busy
    }

    fn set_power(&mut self, on: bool) {
        let mut state = self.state();
        state.powered = on;
        state.transfer = None;
    }

    fn is_present(&mut self) -> bool {
        !self.state().absent
    }
}

/// How a host moves data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Port,
    Adma,
}

/// What a transfer came to: the interrupt status at its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed(pub(crate) u32);

pub(crate) const TABLE: u32 = 0x1000;
pub(crate) const DATA: u32 = 0x10000;

/// A host that drives the controller through its registers alone, in the order a driver does.
pub(crate) struct Host {
    pub(crate) controller: Controller,
    pub(crate) ram: Ram,
    pub(crate) now: Duration,
}

impl Host {
    /// Resets, switches power and clock on, enables everything.
    pub(crate) fn start(controller: Controller) -> Self {
        let mut host = Host { controller, ram: Ram::new(0x8_0000), now: Duration::ZERO };
        host.pace();
        host.set8(0x2F, 1);
        host.set32(0x34, u32::MAX);
        host.set32(0x38, u32::MAX);
        host.set8(0x29, 0x0F);
        host.set16(0x2C, 1);
        assert_eq!(host.get16(0x2C) & 2, 2, "the internal clock is stable");
        host.set16(0x2C, 5);
        host.set8(0x28, 0x02 | 0x10);
        host.set8(0x2E, 0x0E);
        host
    }

    pub(crate) fn with(card: &Card) -> Self {
        let mut controller = Controller::new();
        assert!(controller.insert(Box::new(card.clone())).is_none());
        Host::start(controller)
    }

    /// Lets the controller work until it has nothing more to do by itself.
    pub(crate) fn pace(&mut self) {
        loop {
            match self.controller.step(self.now, &self.ram) {
                Pace::Idle => return,
                Pace::Now => {}
                Pace::After(pause) => self.now += pause,
            }
        }
    }

    pub(crate) fn get32(&mut self, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        self.controller.read(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    pub(crate) fn get16(&mut self, offset: u64) -> u16 {
        let mut bytes = [0; 2];
        self.controller.read(offset, &mut bytes);
        u16::from_le_bytes(bytes)
    }

    pub(crate) fn set32(&mut self, offset: u64, value: u32) {
        self.controller.write(offset, &value.to_le_bytes());
    }

    pub(crate) fn set16(&mut self, offset: u64, value: u16) {
        self.controller.write(offset, &value.to_le_bytes());
    }

    pub(crate) fn set8(&mut self, offset: u64, value: u8) {
        self.controller.write(offset, &[value]);
    }

    /// Reads the interrupt status and clears it.
    pub(crate) fn acknowledge(&mut self) -> u32 {
        let status = self.get32(0x30);
        self.set32(0x30, status);
        status
    }

    /// A command without data.
    pub(crate) fn command(&mut self, index: u16, argument: u32, kind: u16) -> Result<u32, Failed> {
        self.set32(0x08, argument);
        self.set16(0x0E, index << 8 | kind);
        self.pace();
        let status = self.acknowledge();
        if status & interrupt::ERROR != 0 { Err(Failed(status)) } else { Ok(self.get32(0x10)) }
    }

    pub(crate) fn read(&mut self, way: Way, first: u32, blocks: u16) -> Result<Vec<u8>, Failed> {
        let mut data = vec![0; usize::from(blocks) * 512];
        self.transfer(way, if blocks == 1 { 17 } else { 18 }, first, &mut data)?;
        Ok(data)
    }

    pub(crate) fn write(&mut self, way: Way, first: u32, data: &[u8]) -> Result<(), Failed> {
        let mut data = data.to_vec();
        self.transfer(way, if data.len() == 512 { 24 } else { 25 }, first, &mut data)
    }

    /// Descriptors of 4 KiB, as pages have.
    pub(crate) fn table(&mut self, length: usize) {
        let pieces = length.div_ceil(4096);
        for n in 0..pieces {
            let size = u16::try_from((length - n * 4096).min(4096)).unwrap();
            let n = u32::try_from(n).unwrap();
            let attributes: u16 = if usize::try_from(n).unwrap() + 1 == pieces { 0x23 } else { 0x21 };
            let mut bytes = attributes.to_le_bytes().to_vec();
            bytes.extend(size.to_le_bytes());
            bytes.extend((DATA + n * 4096).to_le_bytes());
            self.ram.write(u64::from(TABLE + n * 8), &bytes).unwrap();
        }
        self.set32(0x58, TABLE);
    }

    fn transfer(&mut self, way: Way, index: u16, first: u32, data: &mut [u8]) -> Result<(), Failed> {
        let read = index < 20;
        self.data(way, index, first, read, 512, data)
    }

    /// A command with data: blocks of `block` bytes.
    pub(crate) fn data(
        &mut self,
        way: Way,
        index: u16,
        argument: u32,
        read: bool,
        block: u16,
        data: &mut [u8],
    ) -> Result<(), Failed> {
        let size = usize::from(block);
        let blocks = u16::try_from(data.len() / size).unwrap();
        let memory = matches!(index, 17 | 18 | 24 | 25);
        let mut modes = if read { mode::READ } else { 0 };
        modes |= if blocks > 1 { mode::MULTI | mode::COUNT } else { 0 };
        modes |= if blocks > 1 && memory { mode::AUTO_CMD12 } else { 0 };
        if way == Way::Adma {
            modes |= mode::DMA;
            self.table(data.len());
            self.ram.write(u64::from(DATA), data).unwrap();
        }
        self.set16(0x04, block);
        self.set16(0x06, blocks);
        self.set16(0x0C, modes);
        self.set32(0x08, argument);
        self.set16(0x0E, index << 8 | command::DATA | 0x1A);
        self.pace();
        let mut done = 0;
        loop {
            let status = self.acknowledge();
            if status & interrupt::ERROR != 0 {
                return Err(Failed(status));
            }
            if status & (interrupt::BUFFER_READ | interrupt::BUFFER_WRITE) != 0 {
                for word in data[done..done + size].chunks_exact_mut(4) {
                    if read {
                        word.copy_from_slice(&self.get32(0x20).to_le_bytes());
                    } else {
                        self.set32(0x20, u32::from_le_bytes(word.try_into().unwrap()));
                    }
                }
                done += size;
                self.pace();
            } else if status & interrupt::TRANSFER_COMPLETE != 0 {
                break;
            } else {
                panic!("the controller is idle with status {status:#x}");
            }
        }
        if read && way == Way::Adma {
            self.ram.read(u64::from(DATA), data).unwrap();
        }
        Ok(())
    }
}
