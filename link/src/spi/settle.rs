//! After an error: the card is clocked out of whatever it is in, and looked for.

use super::command::Phase;
use super::trouble::Trouble;
use super::wait::WRITE_LIMIT;
use super::{BLOCK, SpiHost};
use crate::sd::R1;
use crate::{BusFault, Taken};

/// Questions before a card that says nothing counts as removed.
const QUESTIONS: usize = 4;
/// Bytes that end a block in whose middle a card may be.
pub(super) const FLUSH: usize = BLOCK + 16;

impl SpiHost {
    /// Puts host and card in step again, and puts into the trouble what was learned by it.
    pub(super) fn settle(&mut self, mut trouble: Trouble, phase: Phase) -> Trouble {
        self.checks_in_doubt |= self.card_checks && matches!(phase, Phase::Writing { .. });
        match self.try_settle(&mut trouble, phase) {
            // What the controller says of itself is not to be covered up.
            Ok(false) if matches!(trouble.fault, BusFault::Io(_)) => self.unsure = true,
            Ok(true) => {}
            Ok(false) => {
                trouble.seen = match trouble.seen.as_str() {
                    "" => "the card says nothing any more".into(),
                    seen => format!("{seen}; then the card said nothing any more"),
                };
                trouble.fault = BusFault::Removed;
                self.unsure = true;
            }
            // It is out of step, or the controller failed: the next step begins by waiting.
            Err(_) => self.unsure = true,
        }
        // The error that is told is the first one.
        if self.wire.end().is_err() {
            self.unsure = true;
        }
        trouble
    }

    /// `Ok(false)`: there is no card.
    fn try_settle(&mut self, trouble: &mut Trouble, phase: Phase) -> Result<bool, Trouble> {
        self.wire.select(false)?;
        self.wire.send(&[], 2)?;
        // Without chip select a card leaves the line alone, and the pull-up makes it high.
        let low = self.wire.is_all(0x00);
        self.wire.select(true)?;
        if matches!(trouble.fault, BusFault::BusyTimeout(_)) {
            return Ok(!low);
        }
        match phase {
            Phase::Command | Phase::Reading { .. } => {}
            Phase::Writing { multi } => {
                if matches!(trouble.fault, BusFault::BlockUnclear | BusFault::NoResponse) {
                    self.wire.clock(FLUSH)?;
                }
                if multi {
                    self.stop_token(WRITE_LIMIT)?;
                }
            }
        }
        let mut silent = 0;
        for question in 0..QUESTIONS {
            if let Some(r1) = self.ask(&mut silent)? {
                // A card that left out its data because the command was illegal to it may say so only now.
                if r1.contains(R1::ILLEGAL) && matches!(trouble.fault, BusFault::DataTimeout(_)) {
                    trouble.fault = BusFault::Illegal;
                    trouble.taken = Taken::No;
                    trouble.seen = format!("no data, then {r1:?}");
                }
                self.unsure = false;
                return Ok(true);
            }
            match question {
                0 => self.lead_out(phase)?,
                _ if self.card_checks => self.spoiled_block()?,
                _ => self.wire.clock(FLUSH)?,
            }
        }
        self.unsure = true;
        Ok(!low && silent < QUESTIONS / 2)
    }

    /// CMD13: an answer in step, if there is one. Counts the times when nothing came at all.
    fn ask(&mut self, silent: &mut usize) -> Result<Option<R1>, Trouble> {
        match self.status() {
            // Behind a whole answer the line is high again.
            Ok(r2) => {
                self.wire.align();
                self.wire.ensure(8, 0)?;
                Ok((self.wire.peek() == 0xFF).then(|| r2.r1()))
            }
            Err(Trouble { fault: BusFault::NoResponse, .. }) => {
                *silent += usize::from(self.wire.is_all(0xFF));
                Ok(None)
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Ends what the card may be sending or waiting for.
    fn lead_out(&mut self, phase: Phase) -> Result<(), Trouble> {
        match phase {
            Phase::Reading { stop: true, .. } => self.stop().or(Ok(())),
            Phase::Reading { bytes, .. } => {
                let mut left = bytes;
                while left > 0 {
                    let now = left.min(super::wire::AHEAD_MAX / 2);
                    self.wire.send(&[], now)?;
                    left -= now;
                }
                Ok(())
            }
            Phase::Writing { .. } | Phase::Command => Ok(self.wire.clock(FLUSH)?),
        }
    }

    /// A card that waits for a block is sent one whose checksum is wrong in every bit, which it refuses.
    fn spoiled_block(&mut self) -> Result<(), Trouble> {
        let block = [0xFF; BLOCK];
        let checksum = !crate::sd::crc16(&block);
        self.trace
            .note(format_args!("the card does not answer: a block with a wrong checksum, in case it waits for one"));
        self.wire.send(&[&[crate::sd::START_BLOCK], &block, &checksum.to_be_bytes()], 16)?;
        Ok(())
    }
}
