//! Commands of the secure side one at a time: registers, reset, stop. What a command means is decided elsewhere.

use super::enter::Doubts;
use super::power::Switch;
use crate::assd::{BLOCK, PSI_LENGTH, Properties, Register, SecureState, Status, Version};
use crate::quirks::{PsiLength, Quirks, Stop};
use crate::sd::{Command, Function, index};
use crate::{BusError, BusFault, CardHost, Data, Identity, LinkError, Step, Trace, WriteToken};
use std::sync::Arc;
use std::time::Duration;

/// How often the status register is read before it counts as unreadable. Reading it changes nothing.
const STATUS_TRIES: u32 = 16;
/// How often a card must say that it does not know CMD36 until it is believed: one bit of a response makes no loss.
const LOST_AFTER: u32 = 2;
/// The unit of most times in the properties register.
const QUARTER: Duration = Duration::from_millis(250);
/// Least limit of being busy after CMD35 and CMD37.
const BUSY_LEAST: Duration = Duration::from_millis(500);

/// How registers are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// 32 bytes, after CMD16(32), with CMD16(512) behind them.
    Short,
    /// 32 bytes; the card refuses CMD16.
    Plain,
    /// A block of 512 with the register in front.
    Block,
}

/// The status register cannot be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// The card does not know CMD36, or does not respond at all: the secure mode is not on.
    Lost(BusError),
    /// Damaged again and again, or the host's own trouble.
    Bus(BusError),
    /// A state that does not exist, again and again.
    Nonsense(u8),
    /// There is no card, or its power was cut.
    Link(LinkError),
}

/// The card on its host, with what has been learned of it.
pub(super) struct Wire {
    pub(super) host: Box<dyn CardHost>,
    pub(super) trace: Trace,
    pub(super) quirks: Quirks,
    pub(super) identity: Identity,
    pub(super) function: Function,
    pub(super) system: u8,
    pub(super) properties: Properties,
    pub(super) form: Option<Form>,
    /// CMD12 after CMD35 and after CMD34, as far as learned.
    pub(super) stop_after_write: Stop,
    pub(super) stop_after_read: Stop,
    pub(super) switch: Arc<Switch>,
    pub(super) gone: bool,
}

/// Gaps between polls: from 1 ms on, growing by half up to 16 ms.
pub(super) struct Gaps(Duration);

impl Gaps {
    pub(super) const fn new() -> Self {
        Gaps(Duration::from_millis(1))
    }

    pub(super) fn next(&mut self) -> Duration {
        let gap = self.0;
        self.0 = (gap + gap / 2).min(Duration::from_millis(16));
        gap
    }
}

impl Wire {
    /// An error where the card is gone or its power was cut.
    pub(super) fn powered(&self) -> Result<(), LinkError> {
        match () {
            () if self.gone => Err(LinkError::Gone),
            () if self.switch.is_cut() => Err(LinkError::PowerCut),
            () => Ok(()),
        }
    }

    /// Waits, and says whether the power was cut meanwhile.
    pub(super) fn wait(&mut self, gap: Duration) -> Result<(), LinkError> {
        self.host.sleep(gap);
        self.powered()
    }

    /// Steps with nothing in between; notices where the card is gone.
    pub(super) fn run(&mut self, steps: &mut [Step<'_>]) -> Result<(), (BusError, usize)> {
        self.host.run(steps).inspect_err(|(error, _)| {
            self.trace.error(error);
            self.gone |= matches!(error.fault, BusFault::Removed);
        })
    }

    /// One step.
    pub(super) fn step(&mut self, command: Command, data: Data<'_>, limit: Duration) -> Result<(), BusError> {
        self.run(&mut [Step { command, data, limit }]).map_err(|(error, _)| error)
    }

    /// CMD16.
    pub(super) fn block_length(&mut self, length: u32) -> Result<(), BusError> {
        self.step(Command::new(index::SET_BLOCKLEN, length), Data::None, Duration::ZERO)
    }

    /// One attempt at a register.
    pub(super) fn read_register(&mut self, register: Register, form: Form) -> Result<[u8; PSI_LENGTH], BusError> {
        let psi = Command::new(index::SEND_PSI, register as u32);
        let mut block = [0; BLOCK];
        let length = if form == Form::Block { BLOCK } else { PSI_LENGTH };
        let Some(into) = block.get_mut(..length) else { return Ok([0; PSI_LENGTH]) };
        let read = Step { command: psi, data: Data::Read { block: length, into }, limit: Duration::ZERO };
        if form == Form::Short {
            let length = |bytes| Step {
                command: Command::new(index::SET_BLOCKLEN, bytes),
                data: Data::None,
                limit: Duration::ZERO,
            };
            match self.run(&mut [length(32), read, length(512)]) {
                Ok(()) => {}
                // The register is there; what failed is setting the length back.
                Err((error, 2)) if !self.gone => self.restore_length().map_err(|_| error)?,
                Err((error, _)) => {
                    if !self.gone {
                        // A length left behind would disturb whoever uses the memory.
                        let _ = self.restore_length();
                    }
                    return Err(error);
                }
            }
        } else {
            self.run(&mut [read]).map_err(|(error, _)| error)?;
        }
        let mut bytes = [0; PSI_LENGTH];
        bytes.copy_from_slice(block.get(..PSI_LENGTH).unwrap_or(&[0; PSI_LENGTH]));
        Ok(bytes)
    }

    fn restore_length(&mut self) -> Result<(), BusError> {
        let first = self.block_length(512);
        if first.is_ok() || self.gone { first } else { self.block_length(512) }
    }

    /// The status register, read until it can be read. `Lost` is certain; everything else was tried often enough.
    pub(super) fn status(&mut self) -> Result<(Status, SecureState), Unread> {
        let form = self.form.unwrap_or(Form::Short);
        let mut illegal = 0;
        let mut last = Unread::Nonsense(0xFF);
        for attempt in 0..STATUS_TRIES {
            self.powered().map_err(Unread::Link)?;
            if attempt > 0 {
                self.host.sleep(Duration::from_millis(1));
            }
            self.trace.round();
            last = match self.read_register(Register::Status, form).map(Status) {
                Ok(status) => {
                    self.trace.register(&status);
                    match status.state() {
                        Ok(state) => return Ok((status, state)),
                        Err(byte) => Unread::Nonsense(byte),
                    }
                }
                Err(_) if self.gone => return Err(Unread::Link(LinkError::Gone)),
                Err(error) => match error.fault {
                    BusFault::Illegal => {
                        illegal += 1;
                        if illegal >= LOST_AFTER {
                            return Err(Unread::Lost(error));
                        }
                        continue;
                    }
                    BusFault::NoResponse => Unread::Lost(error),
                    BusFault::Forbidden(_) | BusFault::Io(_) => return Err(Unread::Bus(error)),
                    _ => Unread::Bus(error),
                },
            };
            illegal = 0;
        }
        Err(last)
    }

    /// CMD37: selects the security system and resets it. Repeated where it is not known to have worked: two resets in a
    /// row are one.
    pub(super) fn reset_core(&mut self) -> Result<(), BusError> {
        let system = if self.properties.version() < Version::V2_0 { 0 } else { u32::from(self.system) };
        let command = Command::new(index::CONTROL_ASSD_SYSTEM, system << 8 | 1);
        let limit = (QUARTER * u32::from(self.properties.control_busy())).max(BUSY_LEAST);
        let mut left = self.quirks.retries;
        loop {
            self.trace.round();
            match self.step(command, Data::Busy, limit) {
                Ok(()) => return Ok(()),
                Err(error) if left == 0 || self.gone || matches!(error.fault, BusFault::Argument) => return Err(error),
                Err(_) => left -= 1,
            }
            self.host.sleep(Duration::from_millis(1));
        }
    }

    /// A transfer to the card that is busy afterwards as CMD35 is.
    pub(super) fn write(&mut self, command: Command, from: &[u8], limit: Duration) -> Result<(), BusError> {
        let token = match command.index {
            index::WRITE_SEC_CMD if from.len() == BLOCK => self.quirks.write_token,
            _ => WriteToken::Single,
        };
        self.step(command, Data::Write { from, token }, limit)
    }

    /// CMD12, where this card may want it; what becomes of it is learned from.
    pub(super) fn stop(&mut self, after_write: bool, limit: Duration) {
        let learned = if after_write { self.stop_after_write } else { self.stop_after_read };
        if learned == Stop::No || self.gone {
            return;
        }
        let stopped = self.step(Command::new(index::STOP_TRANSMISSION, 0), Data::Busy, limit);
        if learned == Stop::Learn {
            let lesson = match &stopped {
                Ok(()) => Stop::Yes,
                Err(error) if matches!(error.fault, BusFault::NoResponse | BusFault::Illegal) => Stop::No,
                Err(_) => return,
            };
            let (word, what) =
                (if lesson == Stop::Yes { "wants" } else { "needs no" }, if after_write { "CMD35" } else { "CMD34" });
            self.trace.note(format_args!("the card {word} CMD12 after {what}"));
            *(if after_write { &mut self.stop_after_write } else { &mut self.stop_after_read }) = lesson;
        }
    }

    /// How long the card may be busy after CMD35.
    pub(super) fn write_limit(&self) -> Duration {
        let units = self.properties.write_latency().max(self.properties.write_busy());
        (QUARTER * u32::from(units)).max(BUSY_LEAST)
    }

    /// How long CMD34 may let wait for its block.
    pub(super) fn read_limit(&self) -> Duration {
        QUARTER * u32::from(self.properties.read_latency())
    }

    /// How long an answer may take.
    pub(super) fn answer_limit(&self) -> Duration {
        self.quirks.answer_timeout.max(QUARTER * u32::from(self.properties.write_latency()))
    }

    /// How long OPEN and COMMIT may take.
    pub(super) fn memory_limit(&self) -> Duration {
        self.quirks.answer_timeout.max(QUARTER * u32::from(self.properties.memory_write_time()))
    }

    /// The form of registers to begin with.
    pub(super) fn first_form(&mut self) -> Result<Form, BusError> {
        match self.quirks.psi_length {
            PsiLength::Block => Ok(Form::Block),
            wanted => {
                let mut doubts = Doubts::default();
                loop {
                    let error = match self.block_length(32) {
                        Ok(()) => return Ok(Form::Short),
                        Err(error) => error,
                    };
                    if doubts.is_final(&error.fault) {
                        if self.gone || matches!(error.fault, BusFault::Forbidden(_) | BusFault::Io(_)) {
                            return Err(error);
                        }
                        let form = if wanted == PsiLength::Short { Form::Plain } else { Form::Block };
                        self.trace.note(format_args!("the card refuses CMD16: registers are read as {form:?}"));
                        return Ok(form);
                    }
                    self.host.sleep(Duration::from_millis(1));
                }
            }
        }
    }
}
