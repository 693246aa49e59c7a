//! What went wrong inside a step, before it is known to which command it belongs.

use crate::sd::{Command, R1};
use crate::{BusError, BusFault, Taken};
use std::io;

/// A [`BusError`] in the making.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) fault: BusFault,
    pub(super) taken: Taken,
    pub(super) seen: String,
    pub(super) blocks: usize,
}

impl Trouble {
    /// Nothing has happened at the card.
    pub(super) fn new(fault: BusFault, seen: impl Into<String>) -> Self {
        Trouble { fault, taken: Taken::No, seen: seen.into(), blocks: 0 }
    }

    /// It cannot be told what has happened at the card.
    pub(super) fn unknown(fault: BusFault, seen: impl Into<String>) -> Self {
        Trouble { taken: Taken::Unknown, ..Self::new(fault, seen) }
    }

    /// A caller's mistake.
    pub(super) fn input(text: &'static str) -> Self {
        Self::new(BusFault::Io(io::Error::new(io::ErrorKind::InvalidInput, text)), "")
    }

    pub(super) fn with_blocks(mut self, blocks: usize) -> Self {
        self.blocks = blocks;
        self
    }

    pub(super) fn into_error(self, command: Command) -> BusError {
        let Trouble { fault, taken, seen, blocks } = self;
        BusError { command, fault, taken, seen, blocks }
    }
}

impl From<io::Error> for Trouble {
    /// The controller failed: what the card has seen of it cannot be told.
    fn from(error: io::Error) -> Self {
        Self::unknown(BusFault::Io(error), "")
    }
}

/// What a response says that is no good one.
pub(super) fn fault_of(r1: R1) -> Option<BusFault> {
    if r1.contains(R1::CRC) {
        Some(BusFault::CommandCrc)
    } else if r1.contains(R1::ILLEGAL) {
        Some(BusFault::Illegal)
    } else if r1.intersects(R1::ADDRESS.with(R1::PARAMETER)) {
        Some(BusFault::Argument)
    } else if r1.is_error() {
        Some(BusFault::Card)
    } else {
        None
    }
}
