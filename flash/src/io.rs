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

/// Writes of at least so many bytes are worth to be begun before their barrier. Below, the host's call costs more than
/// the barrier saves.
const BEGIN_EARLY: usize = 64 * 1024;

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
        if data.len() >= BEGIN_EARLY && self.durability == Durability::Barrier {
            self.medium.expect_barrier(offset, data.len() as u64);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ram::RamMedium;
    use std::io;

    /// Notes what it is told.
    struct Listening(RamMedium, Vec<(u64, u64)>);

    impl Medium for Listening {
        fn len(&self) -> u64 {
            self.0.len()
        }

        fn bytes(&self) -> &[u8] {
            self.0.bytes()
        }

        fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.0.write(offset, data)
        }

        fn expect_barrier(&mut self, offset: u64, length: u64) {
            self.1.push((offset, length));
        }

        fn barrier(&mut self) -> io::Result<()> {
            self.0.barrier()
        }
    }

    #[test]
    fn a_medium_hears_of_large_writes_that_a_barrier_will_follow() {
        let mut medium = Listening(RamMedium::new(1 << 20), Vec::new());
        let large = vec![0; BEGIN_EARLY];
        // As the card has it: behind pointers.
        let mut io = Io::new(Box::new(&mut medium) as Box<dyn Medium>);
        io.write(7, &large).expect("fits");
        io.write(0, &large[1..]).expect("fits");
        io.durability = Durability::None;
        io.write(9, &large).expect("fits");
        drop(io);
        assert_eq!(medium.1, [(7, BEGIN_EARLY as u64)]);
    }
}
