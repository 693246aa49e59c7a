//! A host that drives the controller as drivers do.

use super::{Card, Ram};
use crate::device::{Device, Pace};
use crate::memory::GuestMemory;
use crate::sdhci::controller::Controller;
use crate::sdhci::registers::{command, interrupt, mode};
use std::time::Duration;

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
