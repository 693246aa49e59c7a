//! A medium that loses power, fails, and does not forgive.
//!
//! [`Simulator`] keeps apart what is *shown* (what a reader sees) and what is *durable* (what a loss of power leaves),
//! and remembers the writes between the two. [`Simulator::cut`] takes the power away: of the pending writes any part
//! takes effect, in any order, torn at any byte and inside that byte at any bit. It can be armed to fail at a chosen
//! call. What the store promises never to do is an assertion here.

mod random;
mod sabotage;
mod tear;

use std::io;

use crate::layout::{Layout, PAGE, SECTOR, index};
use crate::medium::Medium;
use crate::superblock::Superblock;

pub use random::Random;
pub use sabotage::{Sabotage, sabotage};
pub use tear::Tear;

pub(crate) use sabotage::left_out;

/// How an armed call fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The power goes: a write is pending like those before it, a barrier did not happen.
    Power,
    /// The host returns this error number: nothing was written; of a failed barrier see [`Simulator`].
    Error(i32),
    /// The disk is full after this many bytes of a write; at a barrier as `Error(ENOSPC)`.
    Short(usize),
}

/// A write that no barrier has confirmed.
#[derive(Clone)]
struct Write {
    offset: usize,
    data: Vec<u8>,
}

/// A strict simulation of a [`Medium`].
///
/// A *failed barrier* behaves as Linux does at its worst: of what was pending some sectors become durable, the others
/// never will, although they are still shown (unless it is told to [`forget`](Simulator::forget)); no later barrier brings them back, only writing them again does.
///
/// # Panics
///
/// On what the store must not do: writing beyond the end; writing to superblock or journal in anything but whole
/// sectors; writing there other bytes over what is still pending; writing to a superblock that is not blank; any call after one
/// that failed, until [`restart`](Simulator::restart) or [`cut`](Simulator::cut).
#[derive(Clone)]
pub struct Simulator {
    durable: Vec<u8>,
    shown: Vec<u8>,
    pending: Vec<Write>,
    /// Superblocks and journal end here.
    managed: usize,
    calls: u64,
    armed: Option<(u64, Fault)>,
    failed: bool,
    at_barrier: bool,
    forgetful: bool,
}

impl Simulator {
    /// A blank medium of `size` bytes, rounded up to whole pages.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self::from_bytes(vec![0; index(size.next_multiple_of(PAGE))])
    }

    /// A medium that holds `bytes`, durable.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        let layout = match Superblock::read(&bytes) {
            Ok(found) => Ok(found.layout),
            Err(_) => Layout::for_size(bytes.len() as u64),
        };
        let managed = layout.map_or(0, |layout| index(layout.data_start()));
        let shown = bytes.clone();
        Self {
            durable: bytes,
            shown,
            pending: Vec::new(),
            managed,
            calls: 0,
            armed: None,
            failed: false,
            at_barrier: false,
            forgetful: false,
        }
    }

    /// A blank medium for an image smaller than any that a card has: journal halves and data area of so many pages.
    /// What is small is copied fast and compacted often. Only [`Store::format_small`](crate::Store::format_small) can
    /// format it.
    #[must_use]
    pub fn small(half_pages: u64, data_pages: u64) -> Self {
        Self::for_layout(Layout::small(half_pages, data_pages))
    }

    /// A blank medium for an image of another layout than its size would get.
    pub(crate) fn for_layout(layout: Layout) -> Self {
        Self { managed: index(layout.data_start()), ..Self::new(layout.size()) }
    }

    /// Lets a call fail: the next one for `after` = 0, or one later.
    pub fn arm(&mut self, after: u64, fault: Fault) {
        self.armed = Some((self.calls.saturating_add(after), fault));
    }

    /// From now on each successful barrier is followed by the host dropping its cache: what a failed barrier lost is
    /// no longer shown.
    pub fn forget(&mut self) {
        self.forgetful = true;
    }

    /// Writes and barriers so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Whether an armed call has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether that call was a barrier: what is pending then was so at the call before.
    #[must_use]
    pub fn has_failed_at_barrier(&self) -> bool {
        self.failed && self.at_barrier
    }

    /// Bytes written since the last barrier.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.pending.iter().map(|write| write.data.len()).sum()
    }

    /// Bits in which the durable content differs from what it would be after a barrier.
    #[must_use]
    pub fn pending_bits(&self) -> usize {
        tear::differences(&self.durable, &self.pending).iter().map(|(_, bits)| bits.count_ones() as usize).sum()
    }

    /// The power goes and comes back, tearing the pending writes at random.
    pub fn cut(&mut self, seed: u64) {
        self.tear(Tear::Random(seed));
    }

    /// The power goes and comes back, tearing the pending writes in a given way.
    pub fn tear(&mut self, tear: Tear) {
        let pending = std::mem::take(&mut self.pending);
        tear.apply(&mut self.durable, &pending, self.managed);
        self.shown.copy_from_slice(&self.durable);
        self.restart();
    }

    /// The process ends and another begins, on a host that keeps running: what is pending stays so.
    pub fn restart(&mut self) {
        self.armed = None;
        self.failed = false;
        self.at_barrier = false;
    }

    /// What a loss of power in which nothing pending takes effect would leave.
    #[must_use]
    pub fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// The fault of this call, if it is the armed one.
    fn strike(&mut self) -> Option<Fault> {
        assert!(!self.failed, "call after a failed one: the store is not mute");
        let fault = self.armed.filter(|&(call, _)| call == self.calls).map(|(_, fault)| fault);
        self.calls += 1;
        self.failed = fault.is_some();
        fault
    }

    fn check(&self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if offset >= self.managed {
            return;
        }
        assert!(end <= self.managed, "write at {offset} passes from the journal into the data area");
        assert!(offset % SECTOR == 0 && end % SECTOR == 0, "journal write at {offset}..{end} is not whole sectors");
        let overlap = self.pending.iter().any(|other| other.offset < end && offset < other.offset + other.data.len());
        let same = self.shown[offset..end] == *data;
        assert!(same || !overlap, "write at {offset}..{end} over what is still pending");
        let superblocks = index(2 * PAGE);
        let blank = self.shown.iter().take(superblocks.min(end)).skip(offset).all(|&byte| byte == 0);
        assert!(offset >= superblocks || blank, "superblock at {offset} written again");
    }

    fn accept(&mut self, offset: usize, data: &[u8]) {
        self.shown[offset..offset + data.len()].copy_from_slice(data);
        self.pending.push(Write { offset, data: data.to_vec() });
    }
}

impl Medium for Simulator {
    fn len(&self) -> u64 {
        self.shown.len() as u64
    }

    fn bytes(&self) -> &[u8] {
        &self.shown
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = index(offset);
        let end = offset.saturating_add(data.len());
        assert!(end <= self.shown.len(), "write at {offset}..{end} beyond the end at {}", self.shown.len());
        self.check(offset, data);
        match self.strike() {
            None => self.accept(offset, data),
            Some(Fault::Power) => {
                self.accept(offset, data);
                return Err(io::Error::other("the power is off"));
            }
            Some(Fault::Error(number)) => return Err(io::Error::from_raw_os_error(number)),
            Some(Fault::Short(length)) => {
                self.accept(offset, &data[..length.min(data.len())]);
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
        }
        Ok(())
    }

    fn barrier(&mut self) -> io::Result<()> {
        let fault = self.strike();
        self.at_barrier = fault.is_some();
        let number = match fault {
            None => {
                let pending = std::mem::take(&mut self.pending);
                Tear::Everything.apply(&mut self.durable, &pending, self.managed);
                if self.forgetful {
                    self.shown.copy_from_slice(&self.durable);
                }
                return Ok(());
            }
            Some(Fault::Power) => return Err(io::Error::other("the power is off")),
            Some(Fault::Error(number)) => number,
            Some(Fault::Short(_)) => libc::ENOSPC,
        };
        let pending = std::mem::take(&mut self.pending);
        Tear::Sectors(Random::new(self.calls).next()).apply(&mut self.durable, &pending, self.managed);
        Err(io::Error::from_raw_os_error(number))
    }
}

#[cfg(test)]
mod tests;
