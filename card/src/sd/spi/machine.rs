//! The byte machine: a card in SPI mode, one byte in, one byte out at a time (PLSS chapter 7). This is the truth; the block
//! path ([`super::fast`]) must not differ from it in a single bit.

use super::output::{Framed, Output, Queue, Shifter};
use crate::sd::area::BLOCK;
use crate::sd::direct::Verdict;
use crate::sd::engine::{Direction, Engine, Feed};
use crate::sd::profile::WriteTokens;
use crate::sd::time::clock_period;
use smcard_link::sd::{DataResponse, START_BLOCK, START_MULTI, STOP_MULTI, crc16};
use zeroize::Zeroizing;

/// Block and checksum, as they come in.
pub(super) const BODY: usize = BLOCK + 2;
/// Bytes before an error token at the end of the memory: a host that stops there in time never sees it.
const END_GAP: u32 = 16;
/// Clocks with chip select high that a strict card wants before the first CMD0.
pub(super) const POWER_UP_CLOCKS: u64 = 74;

/// How far the card is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// On the native bus still: only CMD0 with chip select low is heard.
    Native,
    /// Idle: being initialised.
    Idle,
    /// It takes data.
    Ready,
}

/// What comes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Input {
    /// Commands, and start tokens where the card waits for a block.
    Commands,
    /// A block.
    Block { at: usize, total: usize },
}

/// A card in SPI mode.
pub(super) struct Machine {
    pub(super) engine: Engine,
    pub(super) mode: Mode,
    pub(super) checksums: bool,
    pub(super) application: bool,
    pub(super) interface_known: bool,
    pub(super) start_polls: u32,
    pub(super) lost_resets: u32,
    pub(super) selected: bool,
    /// Clocks with chip select high since power-on.
    pub(super) high_clocks: u64,
    pub(super) frame: [u8; 6],
    pub(super) frame_length: usize,
    /// The card was busy when the frame began: it is not heard, unless it is CMD0.
    frame_in_busy: bool,
    pub(super) input: Input,
    pub(super) incoming: Box<Zeroizing<[u8; BODY]>>,
    pub(super) output: Output,
    pub(super) queue: Queue,
    pub(super) outgoing: Framed,
    pub(super) shifter: Shifter,
    /// The queue holds a data response.
    data_response: bool,
    /// Bytes of busy that come whatever the work is.
    pub(super) busy_bytes: u8,
    /// Busy follows a data response, and lies off the grid with it.
    busy_shifted: bool,
    showed_busy: bool,
    /// Time, in picoseconds, and what one byte takes.
    pub(super) now: u64,
    pub(super) byte_time: u64,
}

impl Machine {
    pub(super) fn new(engine: Engine) -> Self {
        let (start_polls, lost_resets) = (engine.profile.start_polls, engine.profile.lost_resets);
        Machine {
            shifter: Shifter::new(engine.profile.shift),
            engine,
            mode: Mode::Native,
            checksums: false,
            application: false,
            interface_known: false,
            start_polls,
            lost_resets,
            selected: false,
            high_clocks: 0,
            frame: [0; 6],
            frame_length: 0,
            frame_in_busy: false,
            input: Input::Commands,
            incoming: Box::new(Zeroizing::new([0; BODY])),
            output: Output::Quiet,
            queue: Queue::new(),
            outgoing: Framed::new(),
            data_response: false,
            busy_bytes: 0,
            busy_shifted: false,
            showed_busy: false,
            now: 0,
            byte_time: 8 * clock_period(400_000),
        }
    }

    /// The supply goes.
    pub(super) fn power_off(&mut self) {
        self.engine.power_off();
    }

    /// The supply comes.
    pub(super) fn power_on(&mut self) {
        self.engine.reset();
        self.mode = Mode::Native;
        self.checksums = false;
        self.application = false;
        self.interface_known = false;
        self.start_polls = self.engine.profile.start_polls;
        self.lost_resets = self.engine.profile.lost_resets;
        self.high_clocks = 0;
        self.quiet();
        self.frame_length = 0;
        self.input = Input::Commands;
    }

    /// Nothing more goes out of what was going.
    pub(super) fn quiet(&mut self) {
        self.output = Output::Quiet;
        self.shifter.clear();
        self.data_response = false;
        self.busy_bytes = 0;
        self.busy_shifted = false;
    }

    /// Clocks pass while chip select is high: a frame or a block that was on its way ends there. Raising it alone does not
    /// end anything (drivers of the field do so between any two bytes), and what the card is busy with goes on.
    pub(super) fn interrupt(&mut self) {
        match self.output {
            Output::Block { .. } => self.engine.end_transfer(),
            Output::Queue if self.engine.direction() == Direction::Read => self.engine.end_transfer(),
            _ => {}
        }
        if !matches!(self.output, Output::Gap { .. }) {
            self.output = Output::Quiet;
        }
        self.shifter.clear();
        self.busy_bytes = 0;
        self.busy_shifted = false;
        self.frame_length = 0;
        self.input = Input::Commands;
    }

    /// Eight clocks.
    pub(super) fn clock(&mut self, byte: u8) -> u8 {
        self.now = self.now.saturating_add(self.byte_time);
        self.engine.set_now(self.now);
        if !self.selected {
            self.interrupt();
            self.high_clocks = self.high_clocks.saturating_add(8);
            return 0xFF;
        }
        let out = self.next_out();
        self.take(byte);
        out
    }

    fn next_out(&mut self) -> u8 {
        if self.shifter.is_idle() {
            return self.logical().0;
        }
        while self.shifter.is_hungry() {
            let (byte, shifted) = self.logical();
            self.shifter.push(byte, shifted);
        }
        self.shifter.pop()
    }

    /// The next byte on the grid, and whether it belongs to what the profile shifts.
    fn logical(&mut self) -> (u8, bool) {
        self.showed_busy = false;
        match self.output {
            Output::Quiet => {
                let forced = self.busy_bytes > 0;
                self.busy_bytes = self.busy_bytes.saturating_sub(1);
                self.showed_busy = self.engine.is_busy() || forced;
                if self.showed_busy {
                    return (0x00, self.busy_shifted);
                }
                self.busy_shifted = false;
                (0xFF, false)
            }
            Output::Queue => {
                let (byte, last) = self.queue.pop();
                let shifted = self.data_response && byte != 0xFF;
                if last {
                    self.busy_shifted = shifted;
                    self.data_response = false;
                    self.follow();
                }
                (byte, shifted)
            }
            Output::Gap { left: 1.. } => {
                if let Output::Gap { left } = &mut self.output {
                    *left -= 1;
                }
                (0xFF, false)
            }
            Output::Gap { .. } => self.begin_block(),
            Output::Block { at, total } => {
                let byte = self.outgoing.0.get(at).copied().unwrap_or(0xFF);
                self.output = Output::Block { at: at + 1, total };
                if at + 1 >= total {
                    self.engine.delivered();
                    self.output = Output::Quiet;
                    self.follow();
                }
                (byte, true)
            }
        }
    }

    /// What follows a response or a block: blocks to read, or nothing.
    fn follow(&mut self) {
        self.output = match self.engine.read_length() {
            Some(_) => {
                let end = if self.engine.is_at_end() { END_GAP } else { 0 };
                Output::Gap { left: u32::from(self.engine.profile.token_gap) + end }
            }
            None => Output::Quiet,
        };
    }

    fn begin_block(&mut self) -> (u8, bool) {
        match self.engine.fetch(self.outgoing.body()) {
            Feed::Block(length) => {
                let spoilt = self.engine.spoils();
                let total = self.outgoing.frame(length, spoilt);
                self.output = Output::Block { at: 1, total };
                (START_BLOCK, true)
            }
            Feed::Wait => (0xFF, false),
            Feed::Error(token) => {
                self.output = Output::Quiet;
                (token.byte(), true)
            }
            Feed::Nothing => {
                self.output = Output::Quiet;
                (0xFF, false)
            }
        }
    }

    fn take(&mut self, byte: u8) {
        if let Input::Block { at, total } = self.input {
            if let Some(place) = self.incoming.get_mut(at) {
                *place = byte;
            }
            self.input = Input::Block { at: at + 1, total };
            if at + 1 >= total {
                self.input = Input::Commands;
                self.block_arrived(total);
            }
            return;
        }
        if let Some(place) = self.frame.get_mut(self.frame_length).filter(|_| self.frame_length > 0) {
            *place = byte;
            self.frame_length += 1;
            if self.frame_length == 6 {
                self.frame_length = 0;
                if !self.frame_in_busy || self.frame[0] == 0x40 {
                    self.frame_arrived();
                }
            }
        } else if byte & 0xC0 == 0x40 {
            self.frame[0] = byte;
            self.frame_length = 1;
            self.frame_in_busy = self.showed_busy;
        } else if byte != 0xFF && self.output == Output::Quiet && !self.showed_busy {
            self.token(byte);
        }
    }

    /// A start or stop token, where the card waits for one.
    fn token(&mut self, byte: u8) {
        if self.mode != Mode::Ready || self.engine.direction() != Direction::Write {
            return;
        }
        let several = self.engine.is_multi_write();
        if byte == STOP_MULTI && (several || self.engine.awaits_stop()) {
            self.engine.stop();
            self.queue.start(1);
            self.output = Output::Queue;
            self.busy_bytes = 1;
            return;
        }
        let starts = match (several, self.engine.is_token_write(), self.engine.is_secure_write()) {
            (true, ..) => byte == START_MULTI,
            (false, true, _) => match self.engine.profile.write_tokens {
                WriteTokens::Any => matches!(byte, START_BLOCK | START_MULTI),
                WriteTokens::Single => byte == START_BLOCK,
                WriteTokens::Multi => byte == START_MULTI,
            },
            (false, false, true) => matches!(byte, START_BLOCK | START_MULTI),
            (false, false, false) => byte == START_BLOCK,
        };
        if starts {
            self.input = Input::Block { at: 0, total: self.engine.write_length().min(BLOCK) + 2 };
        }
    }

    fn block_arrived(&mut self, total: usize) {
        let length = total.saturating_sub(2).min(BLOCK);
        let (block, tail) = self.incoming.split_at(length);
        let crc = tail.first_chunk().map(|crc| u16::from_be_bytes(*crc));
        let verdict = if self.checksums && crc != Some(crc16(block)) {
            self.engine.block_damaged();
            Verdict::Damaged
        } else {
            self.engine.write(block)
        };
        let response = match verdict {
            Verdict::Accepted => DataResponse::Accepted,
            Verdict::Damaged => DataResponse::Crc,
            Verdict::Failed => DataResponse::WriteError,
        };
        self.queue.start(self.engine.profile.data_response_gap);
        self.queue.push(response.byte());
        self.output = Output::Queue;
        self.data_response = true;
        self.busy_bytes = u8::from(verdict == Verdict::Accepted);
    }
}
