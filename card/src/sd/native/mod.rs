//! The card on the native SD bus: states, blocks, supply (PLSS chapter 4).

mod commands;

use crate::sd::area::BLOCK;
use crate::sd::direct::Verdict;
use crate::sd::engine::{Direction, Engine, Feed};
use crate::sd::plug::{Inspection, Slot, SlotHandle};
use crate::sd::time::{BusTime, clock_period, picoseconds};
use smcard_link::sd::{CardStatus, Command, index as i};
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
    pub fn slot(&self) -> SlotHandle {
        SlotHandle::new(&self.slot)
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
