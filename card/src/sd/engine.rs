//! The card behind both buses: what commands do once the card takes data, block by block.
//!
//! The native bus and SPI differ in how commands, responses and blocks look; what they do is here. A command is accepted
//! ([`Reply`]) or refused ([`Refusal`]); each bus says so in its own way. Blocks are fetched and written one at a time;
//! nothing is allocated for them.

use super::area::{Area, BLOCK};
use super::direct::DirectTransfer;
use super::loss::Loss;
use super::memory::{Memory, Stretch};
use super::profile::Profile;
use super::registers::Registers;
use super::secure::Secure;
use super::switch::Functions;
use smcard_link::sd::{CardStatus, ErrorToken};
use std::time::Duration;

/// What follows a command that was accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    /// Nothing.
    Done,
    /// The card is busy.
    Busy,
    /// Blocks from the card.
    Read,
    /// Blocks to the card.
    Write,
}

/// Why a command was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// Not known, or not in this state.
    Illegal,
    /// Not even answered.
    Lost,
    /// The argument of a secure command.
    Parameter,
    /// Outside the memory.
    Range,
    /// Misaligned.
    Address,
    /// A block length that cannot be.
    BlockLength,
    /// Erase commands out of order.
    EraseSequence,
    /// Wrong selection for erase.
    EraseParameter,
}

/// What a read command has to give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Feed {
    /// A block of this length.
    Block(usize),
    /// Not yet.
    Wait,
    /// An error in its place; nothing follows.
    Error(ErrorToken),
    /// There is none to come.
    Nothing,
}

/// The transfer in hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flow {
    None,
    /// One block, which lies in `Engine::register`. `result`: it is the result of a direct write.
    Register {
        length: usize,
        result: bool,
    },
    MemoryRead(Stretch),
    Answer {
        at: u32,
        blocks: u32,
    },
    MemoryWrite(Stretch),
    Token {
        at: u32,
        blocks: u32,
    },
    Direct(DirectTransfer),
    /// CMD42 on a locked card: one block, which opens nothing.
    Password,
    /// The card takes no more blocks; CMD12 ends it.
    Refused,
    /// All blocks have passed; CMD12 ends it (cards that need it).
    StopRead,
    StopToken,
    /// Reading has gone wrong; CMD12 ends it.
    Dry,
}

/// Which way blocks go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    None,
    Read,
    Write,
}

/// The card without its bus.
pub(crate) struct Engine {
    pub(crate) profile: Profile,
    pub(crate) registers: Registers,
    pub(crate) secure: Secure,
    pub(crate) functions: Functions,
    /// Error bits that wait to be told.
    pub(crate) errors: CardStatus,
    /// 4 bits wide (ACMD6).
    pub(crate) wide: bool,
    pub(super) memory: Memory,
    pub(super) block_length: u16,
    pub(super) flow: Flow,
    /// The next block to read is not there before this time.
    pub(super) ready_at: u64,
    pub(super) busy_until: u64,
    /// CMD37 keeps the card busy until the core is up again.
    pub(super) core_holds: bool,
    /// CMD23.
    pub(super) count: Option<u32>,
    /// ACMD22.
    pub(super) written: u32,
    /// A transfer with its count in the argument has just ended: CMD12 directly afterwards is taken.
    pub(super) stop_follows: bool,
    pub(super) register: [u8; BLOCK],
    pub(super) lost_writes: u32,
    pub(super) damaged_answers: u32,
    pub(super) loss: Loss,
    pub(super) now: u64,
}

impl Engine {
    pub(crate) fn new(profile: Profile, registers: Registers, area: Box<dyn Area>, secure: Secure) -> Self {
        Engine {
            functions: Functions { busy: profile.switch_busy, ..Functions::default() },
            lost_writes: profile.lost_writes,
            damaged_answers: profile.damaged_answers,
            loss: Loss::new(profile.mode_loss),
            profile,
            registers,
            secure,
            errors: CardStatus::default(),
            wide: false,
            memory: Memory::new(area),
            block_length: 512,
            flow: Flow::None,
            ready_at: 0,
            busy_until: 0,
            core_holds: false,
            count: None,
            written: 0,
            stop_follows: false,
            register: [0; BLOCK],
            now: 0,
        }
    }

    /// The time, in picoseconds; told before anything else is asked.
    pub(crate) fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// CMD0, or power-on.
    pub(crate) fn reset(&mut self) {
        self.volatile();
        self.secure.restart();
    }

    /// The supply goes.
    pub(crate) fn power_off(&mut self) {
        self.volatile();
        self.secure.power_off();
        self.memory.flush();
    }

    fn volatile(&mut self) {
        self.end_transfer();
        self.memory.reset();
        self.functions.reset();
        self.errors = CardStatus::default();
        self.wide = false;
        self.block_length = 512;
        self.busy_until = 0;
        self.core_holds = false;
        self.count = None;
        self.stop_follows = false;
    }

    /// A command arrives, whatever it is. The mode may get lost now.
    pub(crate) fn arrives(&mut self) {
        if self.loss.strikes() && self.functions.command_system != 0 {
            self.functions.command_system = 0;
            if !matches!(self.flow, Flow::MemoryRead(_) | Flow::MemoryWrite(_)) {
                self.end_transfer();
            }
            self.secure.reset();
            self.secure.settle();
        }
    }

    /// Which way blocks go now.
    pub(crate) fn direction(&self) -> Direction {
        match self.flow {
            Flow::None => Direction::None,
            Flow::Register { .. } | Flow::MemoryRead(_) | Flow::Answer { .. } | Flow::StopRead | Flow::Dry => {
                Direction::Read
            }
            Flow::MemoryWrite(_)
            | Flow::Token { .. }
            | Flow::Direct(_)
            | Flow::Password
            | Flow::Refused
            | Flow::StopToken => Direction::Write,
        }
    }

    /// True where only CMD12 ends the transfer.
    pub(crate) fn awaits_stop(&self) -> bool {
        match self.flow {
            Flow::MemoryRead(stretch) | Flow::MemoryWrite(stretch) => stretch.left.is_none(),
            Flow::Refused | Flow::StopRead | Flow::StopToken | Flow::Dry => true,
            _ => false,
        }
    }

    /// True where more than one block of the transfer is to come, or may be: SPI has another start token for those.
    pub(crate) fn is_multi_write(&self) -> bool {
        match self.flow {
            Flow::MemoryWrite(stretch) => stretch.left != Some(1) || self.written > 0,
            Flow::Token { blocks, .. } => blocks > 1,
            Flow::Direct(transfer) => transfer.total > 1,
            Flow::Refused => true,
            _ => false,
        }
    }

    /// True where the transfer in hand is that of CMD35.
    pub(crate) fn is_token_write(&self) -> bool {
        matches!(self.flow, Flow::Token { .. })
    }

    /// True where the transfer in hand is that of CMD35 or CMD57: its count is in the argument.
    pub(crate) fn is_secure_write(&self) -> bool {
        matches!(self.flow, Flow::Token { .. } | Flow::Direct(_))
    }

    /// True where a block would be taken.
    pub(crate) fn takes_blocks(&self) -> bool {
        matches!(self.flow, Flow::MemoryWrite(_) | Flow::Token { .. } | Flow::Direct(_) | Flow::Password)
    }

    /// True while the card holds its data line low.
    pub(crate) fn is_busy(&mut self) -> bool {
        self.core_holds = self.core_holds && self.secure.core.is_resetting();
        self.memory.go_on() || self.now < self.busy_until || self.core_holds
    }

    /// True while the card comes up after CMD0 or power-on: it shows so in ACMD41 only.
    pub(crate) fn is_starting(&mut self) -> bool {
        self.secure.core.is_resetting()
    }

    /// True while blocks are being erased.
    pub(crate) fn is_erasing(&self) -> bool {
        self.memory.is_erasing()
    }

    /// Waits a little where the secure core keeps the card busy: a host that polls is not to burn its processor for it.
    pub(crate) fn wait_for_core(&mut self, limit: Duration) {
        if self.secure.core.is_resetting() {
            self.secure.core.wait(limit);
        }
    }

    /// The card is busy until this time at least.
    pub(crate) fn busy_for(&mut self, picoseconds: u64) {
        self.busy_until = self.busy_until.max(self.now.saturating_add(picoseconds));
    }
}
