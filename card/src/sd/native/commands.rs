//! Commands on the native bus: identification, selection, and what their responses say.

use super::{Place, SdCard};
use crate::sd::engine::{Direction, Engine, Refusal};
use crate::sd::profile::SdVersion;
use smcard_link::SdResponse;
use smcard_link::sd::{Capacity, CardState, CardStatus, Command, Ocr, index as i};

impl SdCard {
    pub(super) fn state(&mut self) -> CardState {
        match (self.place, self.engine.direction()) {
            (Place::Idle | Place::Inactive, _) => CardState::Idle,
            (Place::Ready, _) => CardState::Ready,
            (Place::Identification, _) => CardState::Identification,
            (Place::Standby, _) if self.engine.is_busy() => CardState::Disconnected,
            (Place::Standby, _) => CardState::Standby,
            (Place::Selected, Direction::Read) => CardState::Data,
            (Place::Selected, Direction::Write) => CardState::Receive,
            (Place::Selected, Direction::None) if self.engine.is_busy() => CardState::Programming,
            (Place::Selected, Direction::None) => CardState::Transfer,
        }
    }

    /// The card status, with the state in which the command was received; tells the errors that wait.
    fn status(&mut self, state: CardState) -> CardStatus {
        let mut status = std::mem::take(&mut self.engine.errors).in_state(state);
        if !matches!(state, CardState::Programming | CardState::Disconnected) && !self.engine.is_busy() {
            status = status.with(CardStatus::READY_FOR_DATA);
        }
        if self.engine.profile.locked {
            status = status.with(CardStatus::CARD_IS_LOCKED);
        }
        status
    }

    fn r1(&mut self, state: CardState) -> Option<SdResponse> {
        Some(SdResponse::Short(self.status(state).0))
    }

    fn r1_application(&mut self, state: CardState) -> Option<SdResponse> {
        Some(SdResponse::Short(self.status(state).with(CardStatus::APP_CMD).0))
    }

    fn illegal(&mut self) -> Option<SdResponse> {
        self.engine.errors = self.engine.errors.with(CardStatus::ILLEGAL_COMMAND);
        None
    }

    pub(super) fn dispatch(&mut self, command: Command, application: bool) -> Option<SdResponse> {
        let Command { index, argument } = command;
        if self.place == Place::Selected
            && self.engine.direction() == Direction::Read
            && !self.engine.awaits_stop()
            && !matches!(index, i::STOP_TRANSMISSION | i::SEND_STATUS)
        {
            self.engine.elapse();
        }
        let state = self.state();
        let mine = argument >> 16 == u32::from(self.address);
        match (index, self.place) {
            (i::SEND_IF_COND, Place::Idle) => self.interface_condition(argument),
            (i::ACMD_SD_SEND_OP_COND, Place::Idle) if application => self.operation_condition(argument),
            (i::ALL_SEND_CID, Place::Ready) => {
                self.place = Place::Identification;
                Some(SdResponse::Long(self.engine.registers.cid))
            }
            (i::SEND_RELATIVE_ADDR, Place::Identification | Place::Standby) => {
                // Any number but 0, and another one each time.
                self.address = if self.address == 0 { 0x5D01 } else { self.address.wrapping_add(1).max(1) };
                self.place = Place::Standby;
                let status = self.status(state).0;
                let short = status >> 8 & 0xC000 | status >> 6 & 0x2000 | status & 0x1FFF;
                Some(SdResponse::Short(u32::from(self.address) << 16 | short))
            }
            (i::SET_DSR, Place::Standby) => None,
            (i::SELECT_CARD, Place::Standby | Place::Selected) => self.select(mine, state),
            (i::SEND_CSD, Place::Standby) => {
                let csd = self.engine.registers.csd(self.engine.functions.access_mode != 0);
                mine.then_some(SdResponse::Long(csd))
            }
            (i::SEND_CID, Place::Standby) => mine.then_some(SdResponse::Long(self.engine.registers.cid)),
            (i::SEND_STATUS, Place::Standby | Place::Selected) if !application => {
                if mine {
                    self.r1(state)
                } else {
                    None
                }
            }
            (i::GO_INACTIVE_STATE, Place::Standby | Place::Selected) => {
                if mine {
                    self.engine.end_transfer();
                    self.place = Place::Inactive;
                }
                None
            }
            (i::APP_CMD, Place::Idle | Place::Standby | Place::Selected) => {
                if !mine {
                    return None;
                }
                if !matches!(state, CardState::Idle | CardState::Standby | CardState::Transfer) {
                    return self.illegal();
                }
                self.application = true;
                self.r1_application(state)
            }
            (i::STOP_TRANSMISSION, Place::Selected) => {
                if self.engine.stop() {
                    self.r1(state)
                } else {
                    self.illegal()
                }
            }
            (_, Place::Selected) if state == CardState::Transfer => self.transfer(command, application, state),
            _ => self.illegal(),
        }
    }

    fn interface_condition(&mut self, argument: u32) -> Option<SdResponse> {
        if self.engine.profile.sd_version == SdVersion::V1_10 {
            return self.illegal();
        }
        if argument >> 8 & 0xF != 1 {
            return None;
        }
        self.interface_known = true;
        Some(SdResponse::Short(argument & 0xFFF))
    }

    fn operation_condition(&mut self, argument: u32) -> Option<SdResponse> {
        let registers = &self.engine.registers;
        if argument & Ocr::VOLTAGES == 0 {
            return Some(SdResponse::Short(registers.ocr(false)));
        }
        let high = registers.capacity == Capacity::High;
        let understood = !high || (self.interface_known && argument & Ocr::CCS != 0);
        if !understood || self.start_polls > 0 || self.engine.is_starting() {
            self.start_polls = self.start_polls.saturating_sub(1);
            return Some(SdResponse::Short(self.engine.registers.ocr(false)));
        }
        self.place = Place::Ready;
        Some(SdResponse::Short(self.engine.registers.ocr(true)))
    }

    fn select(&mut self, mine: bool, state: CardState) -> Option<SdResponse> {
        match (self.place, mine) {
            (Place::Standby, true) => {
                self.place = Place::Selected;
                self.r1(state)
            }
            (Place::Selected, false) if state != CardState::Receive => {
                self.engine.end_transfer();
                self.place = Place::Standby;
                None
            }
            (Place::Standby, false) => None,
            _ => self.illegal(),
        }
    }

    fn transfer(&mut self, command: Command, application: bool, state: CardState) -> Option<SdResponse> {
        if application && command.index == i::ACMD_SET_BUS_WIDTH && !self.engine.profile.locked {
            self.engine.wide = match command.argument & 3 {
                0 => false,
                2 => true,
                _ => {
                    self.engine.errors = self.engine.errors.with(CardStatus::OUT_OF_RANGE);
                    self.engine.wide
                }
            };
            return self.r1_application(state);
        }
        let application = application && Engine::knows_application(command.index);
        let refused = match self.engine.command(command, application) {
            Ok(_) if application => return self.r1_application(state),
            Ok(_) => return self.r1(state),
            Err(refusal) => refusal,
        };
        let bit = match refused {
            Refusal::Illegal => return self.illegal(),
            Refusal::Lost => return None,
            Refusal::Parameter => CardStatus::ERROR,
            Refusal::Range => CardStatus::OUT_OF_RANGE,
            Refusal::Address => CardStatus::ADDRESS_ERROR,
            Refusal::BlockLength => CardStatus::BLOCK_LEN_ERROR,
            Refusal::EraseSequence => CardStatus::ERASE_SEQ_ERROR,
            Refusal::EraseParameter => CardStatus::ERASE_PARAM,
        };
        self.engine.errors = self.engine.errors.with(bit);
        self.r1(state)
    }
}
