//! The one way from the store to its medium: counts, obeys the durability, names what failed.

use crate::error::FlashError;
use crate::medium::Medium;
use crate::stats::{Durability, Stats};

/// A medium with its counters.
pub(crate) struct Io<M> {
    pub(crate) medium: M,
    pub(crate) stats: Stats,
    pub(crate) durability: Durability,
}

impl<M: Medium> Io<M> {
    pub(crate) fn new(medium: M) -> Self {
        Self { medium, stats: Stats::default(), durability: Durability::default() }
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), FlashError> {
        self.medium.write(offset, data).map_err(|source| FlashError::Medium { action: "write", offset, source })?;
        self.stats.bytes_written += data.len() as u64;
        Ok(())
    }

    pub(crate) fn barrier(&mut self) -> Result<(), FlashError> {
        if self.durability == Durability::None {
            return Ok(());
        }
        self.stats.barriers += 1;
        self.medium.barrier().map_err(|source| FlashError::Medium { action: "flush", offset: 0, source })
    }
}
