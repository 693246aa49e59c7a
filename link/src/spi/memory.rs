//! The open area of the card: reading, writing and erasing blocks of 512 bytes.

use super::trouble::Trouble;
use super::{BLOCK, BLOCKS_MAX, SpiHost};
use crate::sd::{Capacity, Command, index};
use crate::{BusError, BusFault, CardHost, Data, Step, WriteToken};
use std::time::Duration;

/// Repeats of a transfer that went wrong on the wire. All that is done here can be done twice.
const TRIES: usize = 16;
/// Blocks that a card erases together; each takes up to 250 ms (PLSS section 4.14).
const ERASE_UNIT: u64 = 8192;
/// The same as a limit.
const ERASE_UNIT_LIMIT: Duration = Duration::from_millis(250);

impl SpiHost {
    /// Blocks of 512 bytes in the open area; zero until the card has been brought up.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.card.map_or(0, |card| card.blocks)
    }

    /// Reads blocks, from block `first` on; `into` is as long as they are. A transfer that goes wrong on the wire is
    /// repeated.
    ///
    /// # Errors
    /// [`BusError`], after repeating in vain; blocks outside of the card.
    pub fn read_blocks(&mut self, first: u64, into: &mut [u8]) -> Result<(), BusError> {
        let (mut done, mut size, mut tries) = (0, BLOCKS_MAX * BLOCK, 0);
        while let Some(left) = into.get_mut(done..).filter(|left| !left.is_empty()) {
            let length = left.len().min(size);
            let part = left.split_at_mut(length).0;
            let index = if length == BLOCK { index::READ_SINGLE_BLOCK } else { index::READ_MULTIPLE_BLOCK };
            let command = self.addressed(index, first.saturating_add(blocks(done)), length)?;
            let data = Data::Read { block: BLOCK, into: part };
            match self.run(&mut [Step { command, data, limit: Duration::ZERO }]) {
                Ok(()) => (done, tries) = (done + length, 0),
                Err((error, _)) if tries == TRIES || !may_repeat(&error) => return Err(error),
                // The less goes at once, the less a bit error takes with it.
                Err(_) => (tries, size) = (tries + 1, (size / 4).next_multiple_of(BLOCK)),
            }
        }
        Ok(())
    }

    /// Writes whole blocks, from block `first` on. A transfer that goes wrong on the wire is repeated from the first
    /// block that may not have been taken.
    ///
    /// # Errors
    /// [`BusError`], after repeating in vain; blocks outside of the card. What the blocks hold is not known then.
    pub fn write_blocks(&mut self, first: u64, from: &[u8]) -> Result<(), BusError> {
        let (mut done, mut size, mut tries) = (0, BLOCKS_MAX * BLOCK, 0);
        while let Some(left) = from.get(done..).filter(|left| !left.is_empty()) {
            let part = left.get(..size).unwrap_or(left);
            let index = if part.len() == BLOCK { index::WRITE_BLOCK } else { index::WRITE_MULTIPLE_BLOCK };
            let command = self.addressed(index, first.saturating_add(blocks(done)), part.len())?;
            let data = Data::Write { from: part, token: WriteToken::Single };
            match self.run(&mut [Step { command, data, limit: Duration::ZERO }]) {
                Ok(()) => (done, tries) = (done + part.len(), 0),
                Err((error, _)) if tries == TRIES || !may_repeat(&error) => return Err(error),
                // Where a block was refused, the ones before it were taken; otherwise they may not have reached the memory.
                Err((error, _)) => {
                    let taken = if matches!(error.fault, BusFault::BlockCrc) { error.blocks * BLOCK } else { 0 };
                    done += taken.min(part.len());
                    tries = if taken == 0 { tries + 1 } else { 0 };
                    size = (size / 4).next_multiple_of(BLOCK);
                }
            }
        }
        Ok(())
    }

    /// Erases the blocks from `first` to `last`, both included. What they hold then is the card's choice: all 0 or all 1.
    ///
    /// # Errors
    /// [`BusError`], after repeating in vain; blocks outside of the card.
    pub fn erase(&mut self, first: u64, last: u64) -> Result<(), BusError> {
        let start = self.addressed(index::ERASE_WR_BLK_START, first, BLOCK)?;
        if last < first {
            return Err(Trouble::input("a range to be erased ends before it begins").into_error(start));
        }
        let end = self.addressed(index::ERASE_WR_BLK_END, last, BLOCK)?;
        let units = u32::try_from(last.saturating_sub(first) / ERASE_UNIT + 2).unwrap_or(u32::MAX);
        let mut tries = 0;
        loop {
            let step = |command, data, limit| Step { command, data, limit };
            let steps = &mut [
                step(start, Data::None, Duration::ZERO),
                step(end, Data::None, Duration::ZERO),
                step(Command::new(index::ERASE, 0), Data::Busy, ERASE_UNIT_LIMIT.saturating_mul(units.max(4))),
            ];
            match self.run(steps) {
                Ok(()) => return Ok(()),
                Err((error, _)) if tries == TRIES || !may_repeat(&error) => return Err(error),
                Err(_) => tries += 1,
            }
        }
    }

    /// The command with the address of block `first`, if `bytes` from there on are within the card.
    fn addressed(&self, index: u8, first: u64, bytes: usize) -> Result<Command, BusError> {
        let refuse = |text| Err(Trouble::input(text).into_error(Command::new(index, 0)));
        let Some(card) = self.card else {
            return Err(
                Trouble::new(BusFault::Removed, "the card has not been brought up").into_error(Command::new(index, 0))
            );
        };
        let count = blocks(bytes);
        if bytes % BLOCK != 0 || first.checked_add(count).is_none_or(|end| end > card.blocks) {
            return refuse("blocks outside of the card, or not whole ones");
        }
        let address = match card.capacity {
            Capacity::High => Some(first),
            Capacity::Standard => first.checked_mul(512),
        };
        match address.and_then(|address| u32::try_from(address).ok()) {
            Some(address) => Ok(Command::new(index, address)),
            None => refuse("blocks beyond what can be addressed"),
        }
    }
}

fn blocks(bytes: usize) -> u64 {
    u64::try_from(bytes / BLOCK).unwrap_or(u64::MAX)
}

/// True where the wire is to blame, or may be.
fn may_repeat(error: &BusError) -> bool {
    !matches!(error.fault, BusFault::Removed | BusFault::Locked | BusFault::Io(_) | BusFault::BusyTimeout(_))
}
