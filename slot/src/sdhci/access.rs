//! What the registers show, and what writing them does.

use super::controller::Controller;
use super::registers::{
    CAPABILITIES, CAPABILITY_ADMA2, Lanes, MAXIMUM_CURRENT_3V3, VERSION, clock, host, interrupt, present, word,
};
use super::transfer::Direction;
use crate::device::Device;

impl Controller {
    pub(super) fn word(&mut self, word: u8) -> u32 {
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

    pub(super) fn set_word(&mut self, word: u8, lanes: Lanes) {
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
}

/// Lower and upper half of a word.
fn halves(word: u32) -> (u16, u16) {
    let [a, b, c, d] = word.to_le_bytes();
    (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
}
