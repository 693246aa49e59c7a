//! A host controller with a card on it: what the secure command set needs of the drivers for SPI and for a slot.
//!
//! A driver knows commands, blocks and their checksums, and brings a card from power-on to where it takes data. It knows
//! nothing of secure commands; it repeats nothing that a card may have taken.

use crate::sd::{Cid, Command};
use std::fmt;
use std::io;
use std::time::Duration;
use thiserror::Error;

/// A step of an exchange with the card: a command and what follows it.
#[derive(Debug)]
pub struct Step<'a> {
    /// The command; not one after CMD55.
    pub command: Command,
    /// What follows it.
    pub data: Data<'a>,
    /// How long the card may take: before it sends data, and for being busy afterwards. Zero: what the specification
    /// allows (reads 100 ms, writes 500 ms at least).
    pub limit: Duration,
}

/// What follows a command.
pub enum Data<'a> {
    /// Nothing.
    None,
    /// The card may be busy afterwards (R1b).
    Busy,
    /// Blocks from the card, `block` bytes each; `into` is a multiple of it.
    Read {
        /// Bytes of a block.
        block: usize,
        /// Where they go. After an error it holds nothing that can be used.
        into: &'a mut [u8],
    },
    /// Blocks of 512 bytes to the card, which is busy afterwards.
    Write {
        /// What goes.
        from: &'a [u8],
        /// The start token in SPI mode, where cards differ. Several blocks always go with the multi-block tokens.
        token: WriteToken,
    },
}

impl fmt::Debug for Data<'_> {
    /// Lengths only: what goes over the bus may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Data::None => f.write_str("no data"),
            Data::Busy => f.write_str("busy"),
            Data::Read { block, into } => write!(f, "read {} bytes in blocks of {block}", into.len()),
            Data::Write { from, token } => write!(f, "write {} bytes, {token:?}", from.len()),
        }
    }
}

/// The start token before one block to be written in SPI mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WriteToken {
    /// FE, as everywhere in the specification.
    #[default]
    Single,
    /// FC without a stop token, as one field driver sends with CMD35.
    Multi,
    /// FC with a stop token.
    MultiStop,
}

/// Whether the card may have acted on a step that went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It has refused the command or the block: nothing has happened.
    No,
    /// It cannot be told.
    Unknown,
}

/// What went wrong on the bus.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BusFault {
    /// No response.
    #[error("no response")]
    NoResponse,
    /// The card does not know the command, or not now.
    #[error("the card takes the command for illegal")]
    Illegal,
    /// The checksum of the command was wrong at the card.
    #[error("the command arrived damaged")]
    CommandCrc,
    /// Parameter, address or range.
    #[error("the card refuses the argument")]
    Argument,
    /// Another error bit of the response.
    #[error("the card reports an error")]
    Card,
    /// Locked with a password (CMD42).
    #[error("the card is locked with a password (CMD42)")]
    Locked,
    /// No data within the time limit.
    #[error("no data within {0:?}")]
    DataTimeout(Duration),
    /// Data came damaged.
    #[error("data arrived damaged")]
    DataCrc,
    /// The card has refused a block: it arrived damaged.
    #[error("a block arrived damaged at the card")]
    BlockCrc,
    /// The card has refused a block.
    #[error("the card refuses a block")]
    BlockRefused,
    /// What the card said of a block cannot be read.
    #[error("the card's reply to a block cannot be read")]
    BlockUnclear,
    /// Busy for longer than the limit.
    #[error("busy for longer than {0:?}")]
    BusyTimeout(Duration),
    /// The card is not there.
    #[error("there is no card")]
    Removed,
    /// The system refuses the access.
    #[error("{0}")]
    Forbidden(String),
    /// The host's own input/output.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A step that went wrong: what, where, and what was seen.
#[derive(Debug, Error)]
#[error("{command}: {fault}{}{seen}", if seen.is_empty() { "" } else { "; seen: " })]
pub struct BusError {
    /// The command.
    pub command: Command,
    /// What went wrong.
    pub fault: BusFault,
    /// Whether the card may have acted on it.
    pub taken: Taken,
    /// What was seen on the wire, in words or hexadecimal digits; never data of the card.
    pub seen: String,
    /// Blocks of this step that the card has taken for certain.
    pub blocks: usize,
}

/// What bringing up a card has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Its CID.
    pub cid: Cid,
    /// True where it knows CMD6 (SD version 1.10 and later).
    pub has_switch: bool,
}

/// A host controller with a card on it.
pub trait CardHost: Send {
    /// Brings the card from power-on to where it takes data. Group 2 of its functions is then at 0, or may be (a slot is
    /// brought up by the kernel, which leaves it as it is).
    ///
    /// # Errors
    /// No card, one that is locked, or no SD card.
    fn bring_up(&mut self) -> Result<Identity, BusError>;

    /// Does all steps, with nothing of anybody else's in between, and ends at the first that fails. The number of the
    /// failed step is the second part of the error.
    ///
    /// # Errors
    /// [`BusError`].
    fn run(&mut self, steps: &mut [Step<'_>]) -> Result<(), (BusError, usize)>;

    /// Most blocks of 512 bytes in one step.
    fn blocks_max(&self) -> usize;

    /// Commands, blocks and messages so far: what a wire made of the exchanges.
    fn transactions(&self) -> u64;

    /// Switches the card's supply off and on again; `false`: this host cannot.
    ///
    /// # Errors
    /// The controller.
    fn power_cycle(&mut self) -> io::Result<bool>;

    /// Lets time pass, on this host's clock.
    fn sleep(&mut self, time: Duration);

    /// Time on this host's clock, from a fixed point.
    fn now(&self) -> Duration;

    /// What the card hangs on, in words.
    fn describe(&self) -> String;
}
