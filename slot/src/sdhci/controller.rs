//! The controller's registers and what they set going.

use super::interrupts::Interrupts;

use super::registers::{
    self, AUTO_CMD12_TIMEOUT, CAPABILITIES, CAPABILITY_ADMA2, Lanes, MAXIMUM_CURRENT_3V3, TIMEOUT_CLOCK, VERSION,
    clock, command, host, interrupt, mode, present, word,
};
use super::slot::Slot;
use super::transfer::{Direction, Notes, Outcome, Plan, Transfer};
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
    slot: Slot,
    interrupts: Interrupts,
    registers: Registers,
    transfer: Option<Transfer>,
    /// Memory can be reached: ADMA2 is offered.
    dma: bool,
}

/// What is kept as it was written, and what the card answered.
#[derive(Default)]
struct Registers {
    sdma_address: u32,
    block_size: u16,
    block_count: u16,
    argument: u32,
    mode: u16,
    command: u16,
    response: [u32; 4],
    host: u32,
    clock: u32,
    auto_cmd12: u32,
    adma_error: u32,
    adma_address: u32,
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

    fn word(&mut self, word: u8) -> u32 {
        let registers = &self.registers;
        match word {
            word::SDMA_ADDRESS => registers.sdma_address,
            word::BLOCK => u32::from(registers.block_count) << 16 | u32::from(registers.block_size),
            word::ARGUMENT => registers.argument,
            word::COMMAND => u32::from(registers.command) << 16 | u32::from(registers.mode),
            word::RESPONSE..=word::RESPONSE_LAST => {
                let index = usize::from((word - word::RESPONSE) / 4);
                registers.response.get(index).copied().unwrap_or(0)
            }
            word::PRESENT => self.present(),
            word::HOST_CONTROL => registers.host,
            word::CLOCK_CONTROL => registers.clock,
            word::INTERRUPT_STATUS => self.interrupts.status(),
            word::STATUS_ENABLE => self.interrupts.enable(),
            word::SIGNAL_ENABLE => self.interrupts.signal(),
            word::AUTO_CMD12 => registers.auto_cmd12,
            word::CAPABILITIES if self.dma => CAPABILITIES | CAPABILITY_ADMA2,
            word::CAPABILITIES => CAPABILITIES,
            word::MAXIMUM_CURRENT => MAXIMUM_CURRENT_3V3,
            word::ADMA_ERROR => registers.adma_error,
            word::ADMA_ADDRESS => registers.adma_address,
            word::SLOT_AND_VERSION => VERSION | u32::from(self.line()),
            _ => 0,
        }
    }

    fn present(&mut self) -> u32 {
        let mut state = present::WRITABLE | present::CMD_LINE | present::DAT3_TO_1;
        if self.slot.is_present() {
            state |= present::INSERTED | present::DETECT_PIN;
        }
        state |= present::STABLE;
        if !self.slot.is_busy() {
            state |= present::DAT0;
        }
        let Some(transfer) = &self.transfer else { return state };
        state |= present::DATA_INHIBIT;
        state |= match transfer.direction() {
            Some(Direction::Read) => present::DATA_ACTIVE | present::READ_ACTIVE,
            Some(Direction::Write) => present::DATA_ACTIVE | present::WRITE_ACTIVE,
            None => 0,
        };
        state
            | match transfer.port() {
                Some(Direction::Read) => present::BUFFER_READ,
                Some(Direction::Write) => present::BUFFER_WRITE,
                None => 0,
            }
    }

    fn set_word(&mut self, word: u8, lanes: Lanes) {
        let idle = self.transfer.is_none();
        let registers = &mut self.registers;
        match word {
            word::SDMA_ADDRESS => registers.sdma_address = lanes.merge(registers.sdma_address),
            // What a transfer runs with does not change under it.
            word::BLOCK if idle => {
                let old = u32::from(registers.block_count) << 16 | u32::from(registers.block_size);
                (registers.block_size, registers.block_count) = halves(lanes.merge(old));
            }
            word::ARGUMENT => registers.argument = lanes.merge(registers.argument),
            word::COMMAND => {
                let old = u32::from(registers.command) << 16 | u32::from(registers.mode);
                (registers.mode, registers.command) = halves(lanes.merge(old));
                // The upper byte of the command register sends it.
                if lanes.touches(3) {
                    self.send();
                }
            }
            word::HOST_CONTROL => {
                registers.host = lanes.merge(registers.host) & host::WRITABLE;
                let voltage = registers.host & host::VOLTAGE;
                self.slot.set_power(registers.host & host::POWER != 0 && voltage == host::VOLTAGE_3V3);
            }
            word::CLOCK_CONTROL => self.set_clock(lanes),
            word::INTERRUPT_STATUS => self.interrupts.clear(lanes.value),
            word::STATUS_ENABLE => self.interrupts.set_enable(lanes.merge(self.interrupts.enable())),
            word::SIGNAL_ENABLE => self.interrupts.set_signal(lanes.merge(self.interrupts.signal())),
            word::FORCE_EVENT => {
                registers.auto_cmd12 |= lanes.value & 0x9F;
                self.interrupts.raise(lanes.value & interrupt::ERRORS);
            }
            word::ADMA_ADDRESS => registers.adma_address = lanes.merge(registers.adma_address),
            _ => {}
        }
    }

    /// Clock, time limit and the three resets, which end at once.
    fn set_clock(&mut self, lanes: Lanes) {
        if lanes.value & clock::RESET_ALL != 0 {
            self.reset();
            return;
        }
        let value = lanes.merge(self.registers.clock) & clock::WRITABLE;
        let stable = if value & clock::INTERNAL == 0 { 0 } else { clock::STABLE };
        self.registers.clock = value | stable;
        if lanes.value & clock::RESET_COMMAND != 0 {
            self.interrupts.clear(interrupt::COMMAND_COMPLETE);
        }
        if lanes.value & clock::RESET_DATA != 0 {
            self.transfer = None;
            self.interrupts.clear(
                interrupt::TRANSFER_COMPLETE | interrupt::DMA | interrupt::BUFFER_READ | interrupt::BUFFER_WRITE,
            );
        }
    }

    /// Sends the command that stands in the registers, and begins its transfer.
    fn send(&mut self) {
        let registers = &mut self.registers;
        let (flags, index) = (registers.command, (registers.command >> 8).to_le_bytes()[0] & 0x3F);
        let abort = flags & command::TYPE == command::TYPE_ABORT;
        if self.transfer.is_some() && flags & command::DATA != 0 {
            // The driver must not; a command that cannot have its data lines is not sent.
            self.interrupts.raise(interrupt::COMMAND_TIMEOUT);
            return;
        }
        let running = clock::INTERNAL | clock::CARD;
        let reachable = self.slot.is_powered() && registers.clock & running == running;
        let response = if reachable { self.slot.command(index, registers.argument) } else { None };
        match (flags & command::RESPONSE, response) {
            (0, _) => {}
            (_, None) => {
                self.interrupts.raise(interrupt::COMMAND_TIMEOUT);
                return;
            }
            (command::RESPONSE_LONG, Some(SdResponse::Long(bytes))) => {
                // The checksum byte is not shown.
                let value = u128::from_be_bytes(bytes) >> 8;
                for (place, bytes) in registers.response.iter_mut().zip(value.to_le_bytes().chunks_exact(4)) {
                    *place = bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
                }
            }
            (kind, Some(SdResponse::Short(value))) if kind != command::RESPONSE_LONG => registers.response[0] = value,
            (_, Some(_)) => {
                // Shorter or longer than the host was told to expect.
                self.interrupts.raise(interrupt::COMMAND_END_BIT);
                return;
            }
        }
        self.interrupts.raise(interrupt::COMMAND_COMPLETE);
        if abort {
            self.transfer = None;
        }
        if flags & command::DATA != 0 {
            self.begin();
        } else if flags & command::RESPONSE == command::RESPONSE_BUSY && self.transfer.is_none() {
            self.transfer = Some(Transfer::busy(self.registers.limit()));
        }
    }

    fn begin(&mut self) {
        let registers = &mut self.registers;
        let block = usize::from(registers.block_size & 0x0FFF);
        let count = match registers.mode & (mode::MULTI | mode::COUNT) {
            both if both == mode::MULTI | mode::COUNT => Some(u32::from(registers.block_count)),
            mode::MULTI => None,
            _ => Some(1),
        };
        if block == 0 || count == Some(0) {
            self.interrupts.raise(interrupt::DATA_END_BIT);
            return;
        }
        let table = match registers.mode & mode::DMA {
            0 => None,
            _ if registers.host & host::DMA_SELECT == host::DMA_ADMA2 => Some(registers.adma_address()),
            _ => {
                // Simple DMA is not offered.
                registers.adma_error = registers::adma::STATE_STOP;
                self.interrupts.raise(interrupt::ADMA);
                return;
            }
        };
        let direction = if registers.mode & mode::READ == 0 { Direction::Write } else { Direction::Read };
        let auto_stop = registers.mode & mode::AUTO_CMD12 != 0;
        registers.auto_cmd12 = 0;
        registers.adma_error = 0;
        let plan = Plan { direction, block, count, table, auto_stop, limit: registers.limit() };
        self.transfer = Some(Transfer::new(&plan));
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
    fn limit(&self) -> Duration {
        let value = (self.clock >> 16 & 0xF).min(14);
        Duration::from_secs(1 << (13 + value)) / TIMEOUT_CLOCK
    }

    fn adma_address(&self) -> u64 {
        u64::from(self.adma_address)
    }

    fn set_adma_address(&mut self, address: u64) {
        let [a, b, c, d, ..] = address.to_le_bytes();
        self.adma_address = u32::from_le_bytes([a, b, c, d]);
    }
}

/// Lower and upper half of a word.
fn halves(word: u32) -> (u16, u16) {
    let [a, b, c, d] = word.to_le_bytes();
    (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
}
