//! A card on SPI: [`SpiHost`] drives it over an [`SpiBus`], [`Spidev`] is such a bus of Linux.
//!
//! # Contract
//!
//! * **Preconditions.** The card is alone on the bus. The bus keeps the level of chip select between messages.
//! * **Checksums.** Every command and every block goes with a right checksum, whether the card looks at it or not.
//!   Checksums of blocks from the card are looked at unless it refuses CMD59 or checksums are switched off; those of CID
//!   and CSD always.
//! * **In step.** Nothing is sent to a busy card. A block goes out only after the card has taken the command, and the
//!   next block only after the card has taken the one before and is ready: a card that is not in a data state reads
//!   what it is sent as commands, and one that becomes ready in the middle of a block reads the rest of it as tokens.
//!   For that reason a command and its block, or two blocks, are never put into one message. After an error the card is
//!   clocked out of whatever it is in before the error is told. A card that has missed a start token may read a block as
//!   commands; that it checks them, and with what, is set again before the next step.
//! * **Late and shifted answers** are found bit by bit: a response up to 16 bytes after the command, tokens and data at
//!   any bit, one byte 00 in front of a start token.
//! * **Time.** Waiting is limited by the clock, not by counting. A card that is polled for long is polled in growing
//!   gaps, with no clocks in between.
//! * **Failure.** [`Taken::No`](crate::Taken::No) is said where the card has refused, or cannot have got, the command
//!   or a block; all else is [`Taken::Unknown`](crate::Taken::Unknown). Nothing is repeated by [`SpiHost::run`]
//!   (CMD13 excepted, which has no effect, and the token that ends a write). Bringing up a card, and reading and writing
//!   its open area, repeat what may be repeated.
//! * **Memory.** One buffer of 32 KiB; nothing grows with what the card says. It is wiped when the driver goes.
//!
//! Sources: SD Physical Layer Simplified Specification 4.10 ("PLSS"), chapter 7; what Linux's `mmc_spi` tolerates.

mod bring_up;
mod command;
mod memory;
mod meter;
mod read;
mod settle;
mod spidev;
mod trouble;
mod wait;
mod wire;
mod write;

#[cfg(test)]
mod double;
#[cfg(test)]
mod noise;
#[cfg(test)]
mod tests;

pub use meter::SpiMeter;
pub use spidev::Spidev;

use crate::sd::{Capacity, Command, index};
use crate::{BusError, BusFault, CardHost, Clock, Data, Identity, SpiBus, Step, Trace, WriteToken};
use command::Phase;
use std::io;
use std::time::Duration;
use trouble::Trouble;
use wire::Wire;

/// Bytes of a block of memory.
const BLOCK: usize = 512;
/// Longest block a step can read (PLSS section 4.3.3).
const BLOCK_MAX: usize = 2048;
/// Most blocks in one step: what one CMD57 can announce.
const BLOCKS_MAX: usize = 2048;

/// What can be chosen about an SPI bus.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpiOptions {
    /// Fastest clock in Hz; the card's own limit is kept as well. Below 400 kHz it holds for bringing up, too.
    pub clock_hz: u32,
    /// Whether the card is told to check checksums (CMD59).
    pub crc: SpiCrc,
    /// What the bus is called in a description, for instance `/dev/spidev0.0`.
    pub name: String,
}

impl Default for SpiOptions {
    fn default() -> Self {
        SpiOptions { clock_hz: 25_000_000, crc: SpiCrc::On, name: "SPI".into() }
    }
}

/// Whether checksums are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SpiCrc {
    /// By card and host; a card that refuses CMD59 is used without.
    #[default]
    On,
    /// By neither.
    Off,
}

/// What is known of a card that has been brought up.
#[derive(Clone, Copy, Debug)]
struct Card {
    capacity: Capacity,
    blocks: u64,
    identity: Identity,
}

/// A card on an SPI bus.
pub struct SpiHost {
    wire: Wire,
    options: SpiOptions,
    trace: Trace,
    card: Option<Card>,
    /// The card checks what it is sent.
    card_checks: bool,
    /// A block may have been read as commands, CMD59 among them: it is told again to check.
    checks_in_doubt: bool,
    /// Checksums of blocks from the card are looked at.
    host_checks: bool,
    /// The card may be busy, or in the middle of something.
    unsure: bool,
    /// Bytes to clock behind a block, learned from the card's latest answer to one.
    tail: usize,
    clock_hz: u32,
}

impl SpiHost {
    /// A driver for the card on `bus`. Nothing happens on the bus yet; [`CardHost::bring_up`] comes first.
    #[must_use]
    pub fn new(bus: Box<dyn SpiBus>, clock: Box<dyn Clock>, options: SpiOptions, trace: Trace) -> Self {
        SpiHost {
            wire: Wire::new(bus, clock),
            options,
            trace,
            card: None,
            card_checks: false,
            checks_in_doubt: false,
            host_checks: false,
            unsure: true,
            tail: write::TAIL_FIRST,
            clock_hz: 0,
        }
    }

    /// What has been clocked. The meter goes on counting when the driver is given away.
    #[must_use]
    pub fn meter(&self) -> SpiMeter {
        self.wire.meter()
    }

    fn step(&mut self, step: &mut Step<'_>) -> Result<(), BusError> {
        let command = step.command;
        if self.card.is_none() {
            return Err(Trouble::new(BusFault::Removed, "the card has not been brought up").into_error(command));
        }
        self.trace.command(command);
        let limit = step.limit;
        match &mut step.data {
            Data::None => self.whole(command, Phase::Command, |host| host.control(command, false, limit)),
            Data::Busy => self.whole(command, Phase::Command, |host| host.control(command, true, limit)),
            Data::Read { block, into } => {
                let (block, length) = (*block, into.len());
                if !(1..=BLOCK_MAX).contains(&block) || length == 0 || length % block != 0 {
                    return Err(
                        Trouble::input("blocks to read must be whole ones of 1 to 2048 bytes").into_error(command)
                    );
                }
                let phase = Phase::Reading { bytes: length + length / block * 16, stop: read::needs_stop(command) };
                self.whole(command, phase, |host| host.read(command, block, into, limit))
            }
            Data::Write { from, token } => {
                if from.is_empty() || from.len() % BLOCK != 0 {
                    return Err(Trouble::input("blocks to write must be whole ones of 512 bytes").into_error(command));
                }
                let multi = from.len() > BLOCK || command.index == index::WRITE_MULTIPLE_BLOCK;
                let token = if multi { WriteToken::MultiStop } else { *token };
                let phase = Phase::Writing { multi: token != WriteToken::Single };
                self.whole(command, phase, |host| host.write(command, from, token, limit))
            }
        }
    }

    /// A whole transaction: afterwards chip select is high and the card in step, whatever has happened.
    fn whole(
        &mut self,
        command: Command,
        phase: Phase,
        does: impl FnOnce(&mut Self) -> Result<(), Trouble>,
    ) -> Result<(), BusError> {
        let trouble = match self.ready().and_then(|()| does(self)).and_then(|()| Ok(self.wire.end()?)) {
            Ok(()) => return Ok(()),
            Err(trouble) => trouble,
        };
        let error = self.settle(trouble, phase).into_error(command);
        self.trace.error(&error);
        Err(error)
    }
}

impl CardHost for SpiHost {
    fn bring_up(&mut self) -> Result<Identity, BusError> {
        let card = self.start().inspect_err(|error| self.trace.error(error))?;
        self.card = Some(card);
        Ok(card.identity)
    }

    fn run(&mut self, steps: &mut [Step<'_>]) -> Result<(), (BusError, usize)> {
        steps.iter_mut().enumerate().try_for_each(|(number, step)| self.step(step).map_err(|error| (error, number)))
    }

    fn blocks_max(&self) -> usize {
        BLOCKS_MAX
    }

    /// Commands and blocks.
    fn transactions(&self) -> u64 {
        let meter = self.wire.meter();
        meter.commands() + meter.blocks()
    }

    fn power_cycle(&mut self) -> io::Result<bool> {
        let done = self.wire.power_cycle()?;
        if done {
            self.card = None;
        }
        Ok(done)
    }

    fn sleep(&mut self, time: Duration) {
        self.wire.sleep(time);
    }

    fn now(&self) -> Duration {
        self.wire.now()
    }

    fn describe(&self) -> String {
        let checks = match (self.card_checks, self.host_checks) {
            (true, _) => "checksums on both sides",
            (false, true) => "checksums of the card's data only",
            (false, false) => "no checksums",
        };
        match &self.card {
            Some(card) => {
                let addressing = match card.capacity {
                    Capacity::Standard => "bytes",
                    Capacity::High => "blocks",
                };
                format!(
                    "{}, {} Hz, {checks}, {} MiB addressed by {addressing}, messages of {} bytes",
                    self.options.name,
                    self.clock_hz,
                    card.blocks / 2048,
                    self.wire.message_max()
                )
            }
            None => format!("{}, no card brought up", self.options.name),
        }
    }
}
