//! The card on the native SD bus: identification, states and responses (PLSS chapter 4).

use super::area::BLOCK;
use super::direct::Verdict;
use super::engine::{Direction, Engine, Feed, Refusal};
use super::plug::{Inspection, Slot};
use super::profile::SdVersion;
use super::time::{BusTime, clock_period, picoseconds};
use smcard_link::sd::{Capacity, CardState, CardStatus, Command, Ocr, index as i};
use smcard_link::{SdBus, SdResponse, Transfer};
use std::sync::Arc;

/// Command, gaps and a short response, in clocks.
const COMMAND_CLOCKS: u64 = 48 + 8 + 48 + 8;
/// What a question about busy takes, in clocks.
const POLL_CLOCKS: u64 = 8;
/// Start bit, CRC16, end bit and gap of a block, in clocks.
const BLOCK_CLOCKS: u64 = 1 + 16 + 1 + 8;
/// CRC status of a written block, in clocks.
const CRC_STATUS_CLOCKS: u64 = 8;

/// Where a card stands in identification.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Idle,
    Ready,
    Identification,
    Standby,
    /// CMD7 has chosen it; the transfer in hand says the rest.
    Selected,
    Inactive,
}

/// An emulated card in a slot: what a host controller sees on the native bus.
pub struct SdCard {
    engine: Engine,
    slot: Arc<Slot>,
    time: BusTime,
    /// The host's supply.
    supply: bool,
    place: Place,
    address: u16,
    /// CMD55 came directly before.
    application: bool,
    interface_known: bool,
    start_polls: u32,
    lost_resets: u32,
    pulls: u32,
    scratch: Box<[u8; BLOCK]>,
}

impl SdCard {
    pub(super) fn new(engine: Engine, slot: Arc<Slot>, time: BusTime) -> Self {
        let (start_polls, lost_resets) = (engine.profile.start_polls, engine.profile.lost_resets);
        SdCard {
            engine,
            pulls: slot.pulls(),
            slot,
            time,
            supply: true,
            place: Place::Idle,
            address: 0,
            application: false,
            interface_known: false,
            start_polls,
            lost_resets,
            scratch: Box::new([0; BLOCK]),
        }
    }

    /// Pulls the card out and puts it in, from any thread.
    #[must_use]
    pub fn slot(&self) -> super::SlotHandle {
        super::SlotHandle::new(&self.slot)
    }

    /// The time of this bus.
    #[must_use]
    pub fn time(&self) -> BusTime {
        self.time.clone()
    }

    /// How the card stands inside; for tests.
    pub fn inspect(&mut self) -> Inspection {
        let state = self.state();
        Inspection::of(&self.engine, Some(state))
    }

    /// A command has arrived damaged: the next response says so.
    pub fn command_damaged(&mut self) {
        if self.begin(COMMAND_CLOCKS) {
            self.engine.errors = self.engine.errors.with(CardStatus::COM_CRC_ERROR);
        }
    }

    /// A block has arrived damaged: it is not taken.
    pub fn block_damaged(&mut self) -> Transfer {
        if !self.begin(self.block_clocks(BLOCK)) || self.place != Place::Selected {
            return Transfer::Nothing;
        }
        if self.engine.direction() != Direction::Write {
            return Transfer::Nothing;
        }
        let secure = self.engine.is_secure_write();
        self.engine.block_damaged();
        self.engine.end_counted(secure);
        Transfer::Crc
    }

    /// Lets the clocks pass and looks at slot and supply; `false`: there is nobody.
    fn begin(&mut self, clocks: u64) -> bool {
        let hz = match (self.place, self.engine.functions.access_mode) {
            (Place::Selected | Place::Standby, 0) => 25_000_000,
            (Place::Selected | Place::Standby, _) => 50_000_000,
            _ => 400_000,
        };
        self.time.advance(clocks.saturating_mul(clock_period(hz)));
        self.engine.set_now(self.time.picoseconds());
        let pulls = self.slot.pulls();
        if pulls != self.pulls {
            self.pulls = pulls;
            self.power_off();
            if self.supply {
                self.power_on();
            }
        }
        self.supply && self.slot.is_present() && self.place != Place::Inactive
    }

    fn power_off(&mut self) {
        self.engine.power_off();
        self.place = Place::Idle;
    }

    fn power_on(&mut self) {
        self.lost_resets = self.engine.profile.lost_resets;
        self.go_idle();
    }

    fn go_idle(&mut self) {
        self.engine.reset();
        self.place = Place::Idle;
        self.address = 0;
        self.application = false;
        self.interface_known = false;
        self.start_polls = self.engine.profile.start_polls;
    }

    fn block_clocks(&self, length: usize) -> u64 {
        let bits = u64::try_from(length).unwrap_or(0) * 8;
        BLOCK_CLOCKS + if self.engine.wide { bits / 4 } else { bits }
    }

    fn state(&mut self) -> CardState {
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

    fn dispatch(&mut self, command: Command, application: bool) -> Option<SdResponse> {
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
        if !understood || self.start_polls > 0 || self.engine.is_busy() {
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

impl SdBus for SdCard {
    fn command(&mut self, index: u8, argument: u32) -> Option<SdResponse> {
        if !self.begin(COMMAND_CLOCKS) {
            return None;
        }
        self.engine.arrives();
        let application = std::mem::take(&mut self.application);
        let command = Command::new(index, argument);
        if command.index == i::GO_IDLE_STATE {
            if self.lost_resets > 0 {
                self.lost_resets -= 1;
            } else {
                self.go_idle();
            }
            return None;
        }
        self.dispatch(command, application)
    }

    fn read_block(&mut self, block: &mut [u8]) -> Transfer {
        if !self.begin(0) || self.place != Place::Selected {
            return Transfer::Nothing;
        }
        let Some(length) = self.engine.read_length() else { return Transfer::Nothing };
        let fits = length == block.len();
        let fed = if fits { self.engine.fetch(block) } else { self.engine.fetch(&mut self.scratch[..]) };
        match fed {
            Feed::Block(_) => {}
            Feed::Wait => {
                self.begin(POLL_CLOCKS);
                return Transfer::Wait;
            }
            Feed::Error(_) | Feed::Nothing => return Transfer::Nothing,
        }
        if !fits {
            // The host takes the checksum for data, or data for the checksum.
            for (to, from) in block.iter_mut().zip(&self.scratch[..length]) {
                *to = *from;
            }
        }
        let spoilt = self.engine.spoils();
        self.begin(self.block_clocks(length));
        self.engine.delivered();
        if fits && !spoilt { Transfer::Done } else { Transfer::Crc }
    }

    fn write_block(&mut self, block: &[u8]) -> Transfer {
        if !self.begin(0) || self.place != Place::Selected || !self.engine.takes_blocks() {
            return Transfer::Nothing;
        }
        if self.engine.is_busy() {
            self.begin(POLL_CLOCKS);
            return Transfer::Wait;
        }
        self.begin(self.block_clocks(block.len()) + CRC_STATUS_CLOCKS);
        let secure = self.engine.is_secure_write();
        if block.len() != self.engine.write_length() {
            self.engine.block_damaged();
            self.engine.end_counted(secure);
            return Transfer::Crc;
        }
        let verdict = self.engine.write(block);
        self.engine.end_counted(secure);
        match verdict {
            Verdict::Accepted => Transfer::Done,
            Verdict::Damaged => Transfer::Crc,
            Verdict::Failed => {
                // The block has passed in good order; what became of it is in the next status.
                self.engine.errors = self.engine.errors.with(CardStatus::ERROR);
                Transfer::Done
            }
        }
    }

    fn is_busy(&mut self) -> bool {
        self.begin(POLL_CLOCKS) && self.place == Place::Selected && self.engine.is_busy()
    }

    fn set_power(&mut self, on: bool) {
        self.begin(0);
        match (self.supply, on) {
            (true, false) => self.power_off(),
            (false, true) => {
                self.time.advance(picoseconds(std::time::Duration::from_millis(1)));
                self.power_on();
            }
            _ => {}
        }
        self.supply = on;
    }

    fn is_present(&mut self) -> bool {
        self.begin(0);
        self.slot.is_present()
    }
}
