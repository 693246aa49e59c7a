//! The controller's registers and what they set going.

use super::interrupts::Interrupts;

use super::registers::{self, AUTO_CMD12_TIMEOUT, Lanes, TIMEOUT_CLOCK, host, interrupt, word};
use super::slot::Slot;
use super::transfer::{Notes, Outcome, Transfer};
use crate::bay::Receptacle;
use crate::device::{Device, Identity, Pace};
use crate::memory::GuestMemory;
use smcard_link::{SdBus, SdResponse};
use std::time::Duration;

/// QEMU's own SD host controller of the same programming interface; drivers go by the class.
const IDENTITY: Identity = Identity { vendor: 0x1B36, device: 0x0007, class: [0x08, 0x05, 0x01], revision: 0 };

/// An SD host controller with one slot.
#[derive(Default)]
pub struct Controller {
    pub(super) slot: Slot,
    pub(super) interrupts: Interrupts,
    pub(super) registers: Registers,
    pub(super) transfer: Option<Transfer>,
    /// Memory can be reached: ADMA2 is offered.
    pub(super) dma: bool,
}

/// What is kept as it was written, and what the card answered.
#[derive(Default)]
pub(super) struct Registers {
    pub(super) sdma_address: u32,
    pub(super) block_size: u16,
    pub(super) block_count: u16,
    pub(super) argument: u32,
    pub(super) mode: u16,
    pub(super) command: u16,
    pub(super) response: [u32; 4],
    pub(super) host: u32,
    pub(super) clock: u32,
    pub(super) auto_cmd12: u32,
    pub(super) adma_error: u32,
    pub(super) adma_address: u32,
}

impl Controller {
    /// A controller as after power-on, its slot empty.
    #[must_use]
    pub fn new() -> Self {
        Controller::default()
    }

    /// Puts a card into the slot; one that was there comes back, with its power off, and the host is told of both.
    pub fn insert(&mut self, card: Box<dyn SdBus>) -> Option<Box<dyn SdBus>> {
        let former = self.eject();
        self.slot.insert(card);
        self.notice();
        former
    }

    /// Pulls the card out; its power is off, whatever it was doing. `None`: the slot was empty.
    pub fn eject(&mut self) -> Option<Box<dyn SdBus>> {
        let card = self.slot.eject();
        // Told apart from a card that follows at once: two cards are two events.
        self.notice();
        card
    }

    fn notice(&mut self) {
        let events = self.slot.look();
        if events & interrupt::REMOVED != 0 {
            // An empty slot has no power (section 2.2.12).
            self.registers.host &= !host::POWER;
            self.slot.set_power(false);
        }
        self.interrupts.raise(events);
    }
}

impl Device for Controller {
    fn identity(&self) -> Identity {
        IDENTITY
    }

    fn region_size(&self) -> u64 {
        registers::SIZE
    }

    fn line(&self) -> bool {
        self.interrupts.line()
    }

    fn reset(&mut self) {
        self.registers = Registers::default();
        self.interrupts = Interrupts::default();
        self.transfer = None;
        self.slot.set_power(false);
    }

    fn read(&mut self, offset: u64, bytes: &mut [u8]) {
        bytes.fill(0);
        for (word, first, start, count) in registers::words(offset, bytes.len()) {
            let Some(part) = bytes.get_mut(start..start + count) else { continue };
            if word == word::BUFFER {
                part.fill_with(|| self.transfer.as_mut().map_or(0, Transfer::take));
                continue;
            }
            let value = (self.word(word) >> (8 * first)).to_le_bytes();
            for (byte, value) in part.iter_mut().zip(value) {
                *byte = value;
            }
        }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (word, first, start, count) in registers::words(offset, bytes.len()) {
            let Some(part) = bytes.get(start..start + count) else { continue };
            if word == word::BUFFER {
                for byte in part {
                    if let Some(transfer) = &mut self.transfer {
                        transfer.give(*byte);
                    }
                }
                continue;
            }
            let mut lanes = Lanes { value: 0, mask: 0 };
            for (place, byte) in (first..4).zip(part) {
                lanes.value |= u32::from(*byte) << (8 * place);
                lanes.mask |= 0xFF << (8 * place);
            }
            self.set_word(word, lanes);
        }
    }

    fn step(&mut self, now: Duration, memory: &dyn GuestMemory) -> Pace {
        self.dma = memory.is_reachable();
        self.notice();
        let Some(transfer) = &mut self.transfer else { return Pace::Idle };
        let mut notes = Notes::default();
        let outcome = transfer.step(now, self.slot.bus(), memory, &mut notes);
        if let (Some(left), Some(_)) = (transfer.left(), transfer.direction()) {
            self.registers.block_count = u16::try_from(left).unwrap_or(u16::MAX);
        }
        if let Some(position) = transfer.position() {
            self.registers.set_adma_address(position);
        }
        match notes.auto_stop {
            Some(Some(SdResponse::Short(response))) => self.registers.response[3] = response,
            Some(None) => self.registers.auto_cmd12 |= AUTO_CMD12_TIMEOUT,
            _ => {}
        }
        self.interrupts.raise(notes.events);
        match outcome {
            Outcome::More => Pace::Now,
            Outcome::After(pause) => Pace::After(pause),
            Outcome::Host => Pace::Idle,
            Outcome::Over(events) => {
                self.transfer = None;
                self.interrupts.raise(events);
                Pace::Idle
            }
            Outcome::Adma(fault) => {
                self.transfer = None;
                self.registers.adma_error = fault.0;
                self.interrupts.raise(interrupt::ADMA);
                Pace::Idle
            }
        }
    }
}

impl Receptacle for Controller {
    type Card = Box<dyn SdBus>;

    fn insert(&mut self, card: Self::Card) {
        drop(Controller::insert(self, card));
    }

    fn eject(&mut self) -> bool {
        Controller::eject(self).is_some()
    }
}

impl Registers {
    /// Data time limit: 2^(13 + value) cycles of the timeout clock; the reserved value 15 is taken for 14.
    pub(super) fn limit(&self) -> Duration {
        let value = (self.clock >> 16 & 0xF).min(14);
        Duration::from_secs(1 << (13 + value)) / TIMEOUT_CLOCK
    }

    pub(super) fn adma_address(&self) -> u64 {
        u64::from(self.adma_address)
    }

    pub(super) fn set_adma_address(&mut self, address: u64) {
        let [a, b, c, d, ..] = address.to_le_bytes();
        self.adma_address = u32::from_le_bytes([a, b, c, d]);
    }
}
