//! Commands in SPI mode and their responses (PLSS sections 7.2 and 7.3).

use super::machine::{Machine, Mode, POWER_UP_CLOCKS};
use super::output::Output;
use crate::sd::engine::{Direction, Engine, Refusal};
use crate::sd::profile::SdVersion;
use smcard_link::sd::{Capacity, CardStatus, Command, Frame, Ocr, R1, R2, index as i};

impl Machine {
    /// Six bytes that began as a command do.
    pub(super) fn frame_arrived(&mut self) {
        let frame = Frame(self.frame);
        let command = Command::new(
            self.frame[0],
            u32::from_be_bytes([self.frame[1], self.frame[2], self.frame[3], self.frame[4]]),
        );
        let intact = frame.command().is_ok();
        let Command { index, .. } = command;
        if self.mode == Mode::Native {
            let powered_up = !self.engine.profile.power_up_clocks || self.high_clocks >= POWER_UP_CLOCKS;
            if index == i::GO_IDLE_STATE && intact && powered_up {
                self.go_idle();
            }
            return;
        }
        let checked = self.checksums || matches!(index, i::GO_IDLE_STATE | i::SEND_IF_COND);
        if frame.unchecked().is_err() || (checked && !intact) {
            self.respond(R1::CRC, &[]);
            return;
        }
        if index == i::GO_IDLE_STATE {
            self.go_idle();
            return;
        }
        // A host that reads is not heard without an effect: the block on its way ends here.
        let sending = matches!(self.output, Output::Block { .. });
        let stuff = self.stuff_byte();
        self.engine.arrives();
        let application = std::mem::take(&mut self.application);
        if index == i::STOP_TRANSMISSION {
            self.stop(sending, stuff);
            return;
        }
        if self.engine.direction() != Direction::None {
            self.engine.end_transfer();
        }
        self.dispatch(command, application);
    }

    /// The byte that would have gone out next: what a host finds where it has stopped a read.
    fn stuff_byte(&self) -> u8 {
        match self.output {
            Output::Block { at, .. } => self.outgoing.0.get(at).copied().unwrap_or(0xFF),
            _ => 0xFF,
        }
    }

    fn stop(&mut self, sending: bool, stuff: u8) {
        let writing = self.engine.direction() == Direction::Write;
        if !self.engine.stop() {
            self.respond(R1::ILLEGAL, &[]);
            return;
        }
        self.quiet();
        self.queue.start(0);
        if sending {
            self.queue.push(stuff);
        }
        for _ in 0..self.engine.profile.response_gap.clamp(1, 8) {
            self.queue.push(0xFF);
        }
        let r1 = self.first(R1::default());
        self.queue.push(r1.0);
        self.output = Output::Queue;
        self.busy_bytes = u8::from(writing);
    }

    fn go_idle(&mut self) {
        if self.lost_resets > 0 {
            self.lost_resets -= 1;
            return;
        }
        self.engine.reset();
        self.mode = Mode::Idle;
        self.checksums = false;
        self.application = false;
        self.interface_known = false;
        self.start_polls = self.engine.profile.start_polls;
        self.quiet();
        self.respond(R1::default(), &[]);
    }

    /// R1 with the bits that hold for every response.
    fn first(&mut self, mut r1: R1) -> R1 {
        if self.mode == Mode::Idle {
            r1 = r1.with(R1::IDLE);
        }
        if self.engine.errors.contains(CardStatus::ERASE_RESET) {
            self.engine.errors = CardStatus(self.engine.errors.0 & !CardStatus::ERASE_RESET.0);
            r1 = r1.with(R1::ERASE_RESET);
        }
        r1
    }

    fn respond(&mut self, r1: R1, more: &[u8]) {
        let r1 = self.first(r1);
        self.quiet();
        self.queue.start(self.engine.profile.response_gap.clamp(1, 8));
        self.queue.push(r1.0);
        for byte in more {
            self.queue.push(*byte);
        }
        self.output = Output::Queue;
    }

    fn dispatch(&mut self, command: Command, application: bool) {
        let Command { index, argument } = command;
        match index {
            i::ACMD_SD_SEND_OP_COND if application => self.operation_condition(argument),
            1 => self.operation_condition(argument),
            i::SEND_IF_COND if self.engine.profile.sd_version != SdVersion::V1_10 => {
                self.interface_known = argument >> 8 & 0xF == 1;
                let [_, _, voltage, pattern] = argument.to_be_bytes();
                let voltage = if self.interface_known { voltage & 0xF } else { 0 };
                self.respond(R1::default(), &[0, 0, voltage, pattern]);
            }
            i::APP_CMD => {
                self.application = true;
                self.respond(R1::default(), &[]);
            }
            i::READ_OCR => {
                let ocr = self.engine.registers.ocr(self.mode == Mode::Ready);
                self.respond(R1::default(), &ocr.to_be_bytes());
            }
            i::CRC_ON_OFF if !self.engine.profile.crc_refused => {
                self.checksums = argument & 1 == 1;
                self.respond(R1::default(), &[]);
            }
            _ if self.mode != Mode::Ready => self.respond(R1::ILLEGAL, &[]),
            i::SEND_STATUS if !application => {
                let r2 = self.second();
                self.respond(R1::default(), &[r2]);
            }
            i::SEND_CSD => {
                let csd = self.engine.registers.csd(self.engine.functions.access_mode != 0);
                self.engine.show(&csd);
                self.respond(R1::default(), &[]);
            }
            i::SEND_CID => {
                let cid = self.engine.registers.cid;
                self.engine.show(&cid);
                self.respond(R1::default(), &[]);
            }
            // The bus is one bit wide here, and knows no CMD23.
            i::ACMD_SET_BUS_WIDTH if application => self.respond(R1::ILLEGAL, &[]),
            i::SET_BLOCK_COUNT if !application => self.respond(R1::ILLEGAL, &[]),
            _ => self.transfer(command, application),
        }
    }

    fn operation_condition(&mut self, argument: u32) {
        if self.engine.profile.plain_op_cond && argument & !Ocr::CCS != 0 {
            self.respond(R1::ILLEGAL, &[]);
            return;
        }
        let high = self.engine.registers.capacity == Capacity::High;
        let understood = !high || (self.interface_known && argument & Ocr::CCS != 0);
        if !understood || self.start_polls > 0 || self.engine.is_starting() {
            self.start_polls = self.start_polls.saturating_sub(1);
        } else {
            self.mode = Mode::Ready;
        }
        self.respond(R1::default(), &[]);
    }

    /// The second byte of R2; tells the errors that wait.
    fn second(&mut self) -> u8 {
        let errors = std::mem::take(&mut self.engine.errors);
        let pairs = [
            (CardStatus::LOCK_UNLOCK_FAILED, R2::LOCK_FAILED),
            (CardStatus::ERROR, R2::ERROR),
            (CardStatus::CC_ERROR, R2::CC_ERROR),
            (CardStatus::CARD_ECC_FAILED, R2::ECC_FAILED),
            (CardStatus::WP_VIOLATION, R2::WP_VIOLATION),
            (CardStatus::ERASE_PARAM, R2::ERASE_PARAMETER),
            (CardStatus::OUT_OF_RANGE, R2::OUT_OF_RANGE),
        ];
        let mut r2 = if self.engine.profile.locked { R2::LOCKED } else { R2::default() };
        for (error, bit) in pairs {
            if errors.contains(error) {
                r2 = r2.with(bit);
            }
        }
        r2.0.to_be_bytes()[1]
    }

    fn transfer(&mut self, command: Command, application: bool) {
        let application = application && Engine::knows_application(command.index);
        let refusal = match self.engine.command(command, application) {
            Ok(_) if application && command.index == i::ACMD_SD_STATUS => {
                let r2 = self.second();
                self.respond(R1::default(), &[r2]);
                return;
            }
            Ok(_) => {
                self.respond(R1::default(), &[]);
                return;
            }
            Err(refusal) => refusal,
        };
        let bit = match refusal {
            Refusal::Lost => {
                self.quiet();
                return;
            }
            Refusal::Illegal => R1::ILLEGAL,
            Refusal::Parameter | Refusal::Range | Refusal::BlockLength | Refusal::EraseParameter => R1::PARAMETER,
            Refusal::Address => R1::ADDRESS,
            Refusal::EraseSequence => R1::ERASE_SEQUENCE,
        };
        self.respond(bit, &[]);
    }
}
