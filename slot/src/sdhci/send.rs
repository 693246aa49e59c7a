//! A command on its way to the card, and the transfer it begins.

use super::controller::Controller;
use super::registers::{self, clock, command, host, interrupt, mode};
use super::transfer::{Direction, Plan, Transfer};
use smcard_link::SdResponse;

impl Controller {
    /// Sends the command that stands in the registers, and begins its transfer.
    pub(super) fn send(&mut self) {
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
