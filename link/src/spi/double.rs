//! A card for the driver's tests, byte by byte: small, written from the specification and not from the driver, and strict
//! about what a host must not do.

mod bus;
mod traits;

pub(super) use bus::Double;
pub(super) use traits::Traits;

use crate::sd::{Command, Frame, crc7, crc16};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Command,
    /// Waits for a token; `multi`: the multi-block ones, of blocks for `at`.
    Token {
        index: u8,
        at: u32,
        multi: bool,
    },
    Block {
        index: u8,
        at: u32,
        multi: bool,
    },
}

pub(super) struct Card {
    pub(super) traits: Traits,
    pub(super) memory: HashMap<u32, [u8; 512]>,
    /// Blocks of CMD35 and CMD57, and what CMD34 and CMD36 send.
    pub(super) secure: Vec<[u8; 512]>,
    pub(super) answer: Vec<u8>,
    /// What a host must not do, and did.
    pub(super) offences: Vec<String>,
    /// Every command that was taken.
    pub(super) commands: Vec<Command>,
    selected: bool,
    idle_clocks: usize,
    awake: bool,
    idle: bool,
    polls: u32,
    application: bool,
    pub(super) checks: bool,
    state: State,
    collected: Vec<u8>,
    out: VecDeque<u8>,
    endless: Option<u32>,
    busy: usize,
    busy_until: Duration,
    blocks_in: u32,
    blocks_out: u32,
    illegal_before: bool,
    last_sent: u8,
    was_busy: bool,
    /// Bits of the current byte, where the clocks are told one by one.
    bits: u32,
    sending: Option<u8>,
    receiving: u8,
    /// One clock in so many is lost or counted twice by the card; 0: none.
    pub(super) slips: u64,
    random: u64,
    pub(super) now: Duration,
    hz: u32,
}

impl Card {
    fn new(traits: Traits) -> Self {
        Card {
            traits,
            memory: HashMap::new(),
            secure: Vec::new(),
            answer: Vec::new(),
            offences: Vec::new(),
            commands: Vec::new(),
            selected: false,
            idle_clocks: 0,
            awake: false,
            idle: true,
            polls: 0,
            application: false,
            checks: false,
            state: State::Command,
            collected: Vec::new(),
            out: VecDeque::new(),
            endless: None,
            busy: 0,
            busy_until: Duration::ZERO,
            blocks_in: 0,
            blocks_out: 0,
            illegal_before: false,
            last_sent: 0xFF,
            was_busy: false,
            bits: 0,
            sending: None,
            receiving: 0,
            slips: 0,
            random: 0x2545_F491_4F6C_DD1D,
            now: Duration::ZERO,
            hz: 400_000,
        }
    }

    /// Puts the card where a host that went away in the middle of a write would have left it.
    pub(super) fn leave_in_write(&mut self, bytes: usize) {
        self.awake = true;
        self.idle = false;
        self.traits.select_resets = false;
        self.state = State::Block { index: 25, at: 7, multi: true };
        self.collected = vec![0x55; bytes];
    }

    /// The same for a multi-block read.
    pub(super) fn leave_in_read(&mut self) {
        self.awake = true;
        self.idle = false;
        self.traits.select_resets = false;
        self.endless = Some(0);
    }

    fn is_busy(&self) -> bool {
        self.busy > 0 || self.now < self.busy_until
    }

    /// A whole byte in step.
    fn clock(&mut self, mosi: u8) -> u8 {
        let sent = self.begin_byte();
        self.end_byte(mosi);
        sent
    }

    /// A clock of the host that the card counts as `counted` ones: 1, or with a slip 0 or 2.
    fn clock_bit(&mut self, mosi: bool, counted: u32) -> bool {
        let line = |card: &mut Self| {
            let sending = card.sending.unwrap_or_else(|| card.begin_byte());
            card.sending = Some(sending);
            sending & 0x80 >> card.bits != 0
        };
        let seen = line(self);
        for _ in 0..counted {
            line(self);
            self.receiving = self.receiving << 1 | u8::from(mosi);
            self.bits += 1;
            if self.bits == 8 {
                self.bits = 0;
                self.sending = None;
                self.end_byte(self.receiving);
            }
        }
        seen
    }

    fn clock_slipping(&mut self, mosi: u8) -> u8 {
        (0..8).fold(0, |seen, bit| {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let slips = self.slips > 0 && self.random % self.slips == 0;
            let counted = if slips { u32::from(self.random >> 63 == 1) * 2 } else { 1 };
            seen << 1 | u8::from(self.clock_bit(mosi & 0x80 >> bit != 0, counted))
        })
    }

    /// What the card sends with its next eight clocks.
    fn begin_byte(&mut self) -> u8 {
        if let Some(left) = &mut self.traits.removed_after {
            *left = left.saturating_sub(1);
            self.traits.present &= *left > 0;
        }
        if !self.traits.present {
            return if self.traits.low { 0x00 } else { 0xFF };
        }
        if !self.selected {
            return 0xFF;
        }
        let was_busy = self.is_busy();
        let sent = match self.out.pop_front() {
            Some(byte) => byte,
            None if self.endless.is_some() => {
                self.next_of_endless();
                self.out.pop_front().unwrap_or(0xFF)
            }
            None if was_busy => {
                self.busy = self.busy.saturating_sub(1);
                0x00
            }
            None => 0xFF,
        };
        self.was_busy = was_busy && self.out.is_empty();
        let shifted = (u16::from_be_bytes([self.last_sent, sent]) >> self.traits.shift).to_be_bytes()[1];
        self.last_sent = sent;
        // Beyond its limit nothing it sends is right.
        if self.hz > self.traits.limit_hz && shifted != 0xFF { shifted ^ 0x10 } else { shifted }
    }

    /// What the card makes of the eight bits it got meanwhile.
    fn end_byte(&mut self, mosi: u8) {
        if !self.traits.present {
        } else if self.selected {
            self.take(mosi, self.was_busy);
        } else {
            self.idle_clocks += 1;
            self.awake |= self.idle_clocks >= 10;
            self.busy = self.busy.saturating_sub(1);
        }
    }

    fn take(&mut self, mosi: u8, busy: bool) {
        if busy {
            if mosi != 0xFF {
                self.offences.push(format!("{mosi:02X} to a busy card"));
            }
            return;
        }
        match self.state {
            State::Command if self.collected.is_empty() && mosi & 0xC0 != 0x40 => {
                // A stop token too many, or a block that nobody waits for, is part of getting a card in step.
                if !matches!(mosi, 0xFF | 0xFD | 0xFE | 0x80) {
                    self.offences.push(format!("{mosi:02X} in place of a command"));
                }
            }
            State::Command => {
                self.collected.push(mosi);
                if let Ok(frame) = <[u8; 6]>::try_from(self.collected.as_slice()) {
                    self.collected.clear();
                    self.command(Frame(frame));
                }
            }
            State::Token { index, at, multi } => match mosi {
                0xFE if !multi || index == 35 => self.state = State::Block { index, at, multi: false },
                0xFC if multi || index == 35 => self.state = State::Block { index, at, multi },
                0xFD if multi => {
                    if self.traits.stop_tokens_lost > 0 {
                        self.traits.stop_tokens_lost -= 1;
                        return;
                    }
                    self.state = State::Command;
                    self.out.push_back(0xFF);
                    self.make_busy();
                }
                0xFF => {}
                // CMD12 ends it too.
                _ if multi && (mosi == 0x4C || !self.collected.is_empty()) => {
                    self.collected.push(mosi);
                    if self.collected.len() == 6 {
                        self.collected.clear();
                        self.state = State::Command;
                        self.out.extend([0xFF, 0xFF, 0x00]);
                        self.make_busy();
                    }
                }
                _ => {}
            },
            State::Block { index, at, multi } => {
                self.collected.push(mosi);
                if self.collected.len() == 514 {
                    self.block(index, at, multi);
                }
            }
        }
    }

    fn make_busy(&mut self) {
        self.busy = self.traits.busy;
        self.busy_until = self.now + self.traits.busy_time;
    }

    fn block(&mut self, index: u8, at: u32, multi: bool) {
        self.blocks_in += 1;
        let (data, checksum) = self.collected.split_at(512);
        let mut block = [0; 512];
        block.copy_from_slice(data);
        let intact = crc16(data).to_be_bytes() == checksum && !self.traits.damaged_in.contains(&self.blocks_in);
        self.collected.clear();
        self.out.extend(std::iter::repeat_n(0xFF, self.traits.data_response_after));
        let mut response = 0xE5;
        let mut next = at;
        if self.checks && !intact {
            response = 0xEB;
        } else if self.traits.fails.contains(&self.blocks_in) {
            response = 0xED;
        } else {
            if matches!(index, 35 | 57) {
                self.secure.push(block);
            } else {
                self.memory.insert(at, block);
            }
            next += 1;
            self.make_busy();
        }
        if self.traits.flipped.contains(&self.blocks_in) {
            response ^= self.traits.flip_bit;
        }
        self.out.push_back(response);
        self.state = if multi { State::Token { index, at: next, multi } } else { State::Command };
    }

    fn respond(&mut self, bytes: &[u8]) {
        self.out.extend(std::iter::repeat_n(0xFF, self.traits.response_after));
        self.out.extend(bytes);
    }

    fn send(&mut self, data: &[u8]) {
        self.blocks_out += 1;
        if self.traits.zero_byte {
            self.out.push_back(0x00);
        }
        self.out.extend(std::iter::repeat_n(0xFF, self.traits.token_after));
        if let Some(token) = self.traits.error_token {
            self.out.push_back(token);
            return;
        }
        self.out.push_back(self.traits.start_token);
        let checksum = crc16(data) ^ u16::from(self.traits.damaged_out.contains(&self.blocks_out));
        self.out.extend(data);
        self.out.extend(checksum.to_be_bytes());
    }

    fn next_of_endless(&mut self) {
        if let Some(at) = self.endless {
            let block = self.memory.get(&at).copied().unwrap_or([0; 512]);
            self.send(&block);
            self.endless = Some(at + 1);
        }
    }

    fn command(&mut self, frame: Frame) {
        let Ok(command) = frame.unchecked() else { return };
        let application = std::mem::take(&mut self.application);
        let needs_checksum = self.checks || matches!(command.index, 0 | 8);
        if needs_checksum && !frame.is_intact() {
            self.offences.push(format!("{command:?} with a wrong checksum"));
            return self.respond(&[u8::from(self.idle) | 0x08]);
        }
        if !self.awake || (command.index == 0 && self.traits.deaf > 0) {
            self.traits.deaf = self.traits.deaf.saturating_sub(1);
            return;
        }
        self.commands.push(command);
        self.endless = None;
        self.out.clear();
        let idle = u8::from(self.idle);
        let address = if self.traits.high_capacity { command.argument } else { command.argument / 512 };
        let illegal_before = std::mem::take(&mut self.illegal_before);
        match (application, command.index) {
            (_, 0) => {
                (self.idle, self.polls, self.checks) = (true, 0, false);
                self.respond(&[0x01]);
            }
            (_, 8) if !self.traits.version1 => self.respond(&[idle, 0, 0, 1, command.argument.to_be_bytes()[3]]),
            (_, 59) if self.traits.knows_crc => {
                self.checks = command.argument & 1 == 1;
                self.respond(&[idle]);
            }
            (_, 58) => {
                let ocr = match (self.idle, self.traits.high_capacity) {
                    (true, _) => 0x00FF_8000_u32,
                    (false, true) => 0xC0FF_8000,
                    (false, false) => 0x80FF_8000,
                };
                let [a, b, c, d] = ocr.to_be_bytes();
                self.respond(&[idle, a, b, c, d]);
            }
            (_, 55) if !self.traits.mmc => {
                self.application = true;
                self.respond(&[idle]);
            }
            (true, 41) => {
                self.polls += 1;
                self.idle = self.polls < 3;
                self.respond(&[u8::from(self.idle)]);
            }
            _ if self.idle => self.respond(&[0x05]),
            (true, 51) => {
                self.respond(&[0]);
                self.send(&[0x02, 0x35, 0x80, 0x00, 0, 0, 0, 0]);
            }
            (_, 13) => {
                let second = u8::from(self.traits.locked);
                self.respond(&[if illegal_before { 0x04 } else { 0 }, second]);
            }
            (_, 9) => {
                self.respond(&[0]);
                let csd = if self.traits.high_capacity {
                    [0x40, 0x0E, 0x00, 0x32, 0x5B, 0x59, 0x00, 0x00, 0x00, 0x03, 0x7F, 0x80, 0x0A, 0x40, 0x00]
                } else {
                    // (7 + 1) * 2^(2 + 2) blocks of 512 bytes.
                    [0x00, 0x26, 0x00, 0x32, 0x5F, 0x59, 0x80, 0x01, 0xC0, 0xF9, 0x4F, 0xFF, 0x92, 0x40, 0x40]
                };
                self.register(&csd);
            }
            (_, 10) => {
                self.respond(&[0]);
                self.register(b"\x00SMTESTS\x10\x00\x00\x00\x01\x01\x71"[..15].try_into().expect("15 bytes"));
            }
            (_, 16) if self.traits.knows_block_length => self.respond(&[0]),
            (_, 12) => {
                // The byte behind CMD12 is not to be looked at.
                self.out.push_back(0x2A);
                self.respond(&[0]);
                self.make_busy();
            }
            (_, 17) => {
                self.respond(&[0]);
                let block = self.memory.get(&address).copied().unwrap_or([0; 512]);
                self.send(&block);
            }
            (_, 18) => {
                self.respond(&[0]);
                self.endless = Some(address);
            }
            (_, 24 | 25 | 35 | 57) => {
                self.respond(&[0]);
                let multi = match command.index {
                    25 => true,
                    57 => command.argument >> 30 == 1 && command.argument >> 16 & 0x7FF > 0,
                    35 => command.argument & 0xFFFF > 1,
                    _ => false,
                };
                self.state = State::Token { index: command.index, at: address, multi };
            }
            (_, 36) if self.traits.quiet_refusal => {
                self.illegal_before = true;
                self.respond(&[0]);
            }
            (_, 34 | 36) if !self.answer.is_empty() => {
                self.respond(&[0]);
                let mut answer = self.answer.clone();
                if command.index == 36 {
                    answer.truncate(32);
                }
                for block in answer.chunks(512) {
                    self.send(block);
                }
            }
            (_, 37 | 38) => {
                self.respond(&[0]);
                self.make_busy();
            }
            (_, 32 | 33) => self.respond(&[0]),
            _ => self.respond(&[0x04 | idle]),
        }
    }

    fn register(&mut self, bytes: &[u8; 15]) {
        let mut register = bytes.to_vec();
        register.push(crc7(bytes) << 1 | 1);
        self.send(&register);
    }

    fn select(&mut self, selected: bool) {
        if self.selected && !selected {
            self.out.clear();
            self.last_sent = 0xFF;
            self.bits = 0;
            self.sending = None;
            if self.traits.select_resets {
                self.collected.clear();
                self.state = State::Command;
                self.endless = None;
            } else if self.state == State::Command {
                self.collected.clear();
            }
        }
        if selected && !self.selected {
            self.idle_clocks = 0;
        }
        self.selected = selected;
    }
}
