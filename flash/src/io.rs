//! The one way from the store to its medium: counts, obeys the durability, names what failed.

use crate::error::FlashError;
use crate::medium::Medium;
use crate::stats::{Durability, Stats};

/// The barriers of the algorithm. Each orders what was written before it against what comes after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Barrier {
    /// Before the superblock: an image with a superblock has a journal.
    Made,
    /// After the superblock: the image exists.
    Formatted,
    /// After opening: what was read is what stays, even if the process that wrote it was killed before its barrier.
    Found,
    /// After writing the doubtful part again, before anything relies on it.
    Confirmed,
    /// Before the frame: a committed record refers to content that is there.
    Extents,
    /// After the frame: the commit is durable.
    Frame,
    /// Before the header: a half with a valid header has its snapshot.
    Snapshot,
    /// After the header: the commit is durable, and the other half is no longer needed.
    Header,
}

impl Barrier {
    /// What it does, for an error.
    fn action(self) -> &'static str {
        match self {
            Self::Made => "flush the new journal of",
            Self::Formatted => "flush the superblock of",
            Self::Found => "flush what was found in",
            Self::Confirmed => "flush the last commit of",
            Self::Extents => "flush the content of",
            Self::Frame => "flush a commit of",
            Self::Snapshot => "flush a snapshot of",
            Self::Header => "flush a journal header of",
        }
    }
}

/// A medium with its counters.
pub(crate) struct Io<M> {
    pub(crate) medium: M,
    pub(crate) stats: Stats,
    pub(crate) durability: Durability,
    /// Breaks the algorithm on purpose, to show that the checks notice.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) left_out: Option<Barrier>,
}

impl<M: Medium> Io<M> {
    pub(crate) fn new(medium: M) -> Self {
        Self {
            medium,
            stats: Stats::default(),
            durability: Durability::default(),
            #[cfg(any(test, feature = "sim"))]
            left_out: crate::sim::left_out(),
        }
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), FlashError> {
        let failed = |source| FlashError::Medium { action: "write", offset: Some(offset), source };
        self.medium.write(offset, data).map_err(failed)?;
        self.stats.bytes_written += data.len() as u64;
        Ok(())
    }

    pub(crate) fn barrier(&mut self, which: Barrier) -> Result<(), FlashError> {
        if self.durability == Durability::None {
            return Ok(());
        }
        if self.leaves_out(which) {
            return Ok(());
        }
        self.stats.barriers += 1;
        let failed = |source| FlashError::Medium { action: which.action(), offset: None, source };
        self.medium.barrier().map_err(failed)
    }

    /// Whether a test wants to see what happens without a barrier.
    pub(crate) fn leaves_out(&self, which: Barrier) -> bool {
        #[cfg(any(test, feature = "sim"))]
        return self.left_out == Some(which);
        #[cfg(not(any(test, feature = "sim")))]
        {
            let _ = which;
            false
        }
    }
}
