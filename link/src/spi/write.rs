//! Blocks to the card (PLSS sections 7.2.4 and 7.3.3).

use super::trouble::Trouble;
use super::wait::{BUSY_LIMIT, WRITE_LIMIT};
use super::{BLOCK, SpiHost};
use crate::sd::{Command, DataResponse, START_BLOCK, START_MULTI, STOP_MULTI, crc16, index};
use crate::{BusFault, Taken, WriteToken};
use std::time::Duration;

/// Bytes clocked behind a block before anything is known of the card.
pub(super) const TAIL_FIRST: usize = 8;
/// Fewest: the data response, a byte in which busy may begin (NBR), a byte that says "ready" (and is NWR of the next token).
const TAIL_MIN: usize = 3;
/// Most that are learned; a card that is busy for longer is waited for.
const TAIL_MAX: usize = 16;
/// Most bytes between a block and its data response.
const RESPONSE_WITHIN: usize = 16;

impl SpiHost {
    /// A write command, its blocks, and what the card says of them afterwards.
    pub(super) fn write(
        &mut self,
        command: Command,
        from: &[u8],
        token: WriteToken,
        limit: Duration,
    ) -> Result<(), Trouble> {
        self.send_good(command, 0)?;
        // At least one byte between response and token (NWR).
        self.wire.align();
        self.wire.ensure(8, 0)?;
        let start = if token == WriteToken::Single { START_BLOCK } else { START_MULTI };
        let mut certain = true;
        for (number, block) in from.chunks(BLOCK).enumerate() {
            let refused = match self.write_block(start, block, limit) {
                Ok((DataResponse::Accepted, plain)) => {
                    certain &= plain;
                    continue;
                }
                Ok((DataResponse::Crc, _)) => Trouble::new(BusFault::BlockCrc, ""),
                Ok((DataResponse::WriteError, _)) => Trouble::new(BusFault::BlockRefused, ""),
                Err(trouble) => return Err(trouble.with_blocks(number)),
            };
            return Err(self.after_refusal(refused, token == WriteToken::MultiStop).with_blocks(number));
        }
        self.trace.sent(from.len());
        let blocks = from.len() / BLOCK;
        if token == WriteToken::MultiStop {
            self.stop_token(limit).map_err(|trouble| trouble.with_blocks(blocks))?;
        }
        if command.index == index::WRITE_SEC_CMD && certain {
            // Its outcome is in the secure side's status register, and a card that wants CMD12 behind it wants it at once.
            return Ok(());
        }
        self.verdict(token == WriteToken::MultiStop).map_err(|trouble| trouble.with_blocks(blocks))
    }

    /// One block, until the card is ready for what comes next. The second part is true for a response on the byte grid that,
    /// if the block was taken, had busy behind it: one that no lost clock can have made of another.
    fn write_block(&mut self, start: u8, block: &[u8], limit: Duration) -> Result<(DataResponse, bool), Trouble> {
        self.wire.send(&[&[start], block, &crc16(block).to_be_bytes()], self.tail)?;
        self.wire.meter().block();
        let behind = self.wire.available();
        let clocked = self.wire.meter().bytes();
        let (response, on_grid) = self.data_response()?;
        if response != DataResponse::Accepted {
            return Ok((response, on_grid));
        }
        let until_response = (self.wire.meter().bytes() - clocked, self.wire.available());
        // Busy may begin one byte later (NBR).
        self.wire.ensure(16, 0)?;
        let mut busy = self.wire.peek() != 0xFF;
        self.wire.skip(8);
        busy |= self.wire.peek() != 0xFF;
        if !on_grid && !busy {
            // A refusal whose bits a lost clock has moved looks the same.
            return Err(Trouble::unknown(BusFault::BlockUnclear, "accepted, off the byte grid, and not busy"));
        }
        self.wait_ready(limit, WRITE_LIMIT)?;
        // All numbers here are of bytes behind the block.
        let total = |(more, left): (u64, usize)| {
            usize::try_from(more).unwrap_or(usize::MAX).saturating_add(behind / 8).saturating_sub(left / 8)
        };
        let ready_after = total((self.wire.meter().bytes() - clocked, self.wire.available()));
        let learned = if ready_after <= TAIL_MAX { ready_after } else { total(until_response) };
        self.tail = learned.clamp(TAIL_MIN, TAIL_MAX);
        Ok((response, on_grid && busy))
    }

    /// The data response: `xxx0sss1`. As Linux does, only the first byte may have its undefined bits 0 and be shifted;
    /// later ones are found by their first 0 bit, or by their byte. The second part is true for one on the byte grid.
    fn data_response(&mut self) -> Result<(DataResponse, bool), Trouble> {
        for late in 0..RESPONSE_WITHIN {
            self.wire.ensure(8, 0)?;
            let byte = self.wire.peek() | if late == 0 { 0xE0 } else { 0 };
            if byte == 0xFF {
                self.wire.skip(8);
                continue;
            }
            self.wire.ensure(16, 0)?;
            let seen = self.wire.hex(4);
            let ones = byte.leading_ones() as usize;
            let straight = DataResponse::from_byte(self.wire.peek());
            self.wire.skip(ones);
            let shifted = DataResponse::from_byte(self.wire.peek() >> 3);
            let Some(response) = shifted.or(straight) else {
                return Err(Trouble::unknown(BusFault::BlockUnclear, seen));
            };
            self.trace.response(&response);
            self.wire.skip(5);
            self.wire.align();
            return Ok((response, straight == Some(response)));
        }
        Err(Trouble::unknown(BusFault::BlockUnclear, format!("nothing within {RESPONSE_WITHIN} bytes")))
    }

    /// After a refusal: a card is not busy then. If it is, or if it knows of no write error, the response was a damaged
    /// "accepted" (one bit makes it "write error").
    fn after_refusal(&mut self, mut refused: Trouble, multi: bool) -> Trouble {
        let doubt = |refused: Trouble, seen: &str| Trouble { taken: Taken::Unknown, seen: seen.into(), ..refused };
        if self.wire.ensure(16, 0).is_err() {
            return doubt(refused, "the controller failed behind it");
        }
        let next = self.wire.peek();
        self.wire.skip(8);
        if next == 0 || self.wire.peek() == 0 {
            return doubt(refused, "refused, but busy");
        }
        if multi {
            // PLSS section 7.2.4: a multi-block write with an error ends with CMD12. What it answers is of no interest.
            if self.stop().is_err() {
                self.unsure = true;
            }
        }
        if matches!(refused.fault, BusFault::BlockRefused) {
            match self.status() {
                Ok(r2) if r2.is_error() => refused.seen = format!("{r2:?}"),
                _ => return doubt(refused, "a write error, of which CMD13 knows nothing"),
            }
        }
        refused
    }

    /// Ends a multi-block write. Busy begins one byte later.
    pub(super) fn stop_token(&mut self, limit: Duration) -> Result<(), Trouble> {
        self.wire.send(&[&[STOP_MULTI]], TAIL_MIN)?;
        self.wire.skip(8);
        self.wire.ensure(16, 0)?;
        self.wire.skip(8);
        self.wait_ready(limit, BUSY_LIMIT)
    }

    /// What became of the blocks (PLSS section 7.2.4: only CMD13 tells). A card that does not answer has missed the stop
    /// token, or has read a start token in its place.
    fn verdict(&mut self, stopped: bool) -> Result<(), Trouble> {
        let mut tries = 0;
        let r2 = loop {
            match self.status() {
                Ok(r2) if r2.r1().is_error() && tries < 3 => {}
                Ok(r2) => break r2,
                Err(trouble) if tries == 3 => return Err(Trouble::unknown(trouble.fault, trouble.seen)),
                Err(_) => {
                    self.wire.clock(BLOCK + TAIL_MAX)?;
                    if stopped {
                        self.stop_token(WRITE_LIMIT)?;
                    }
                }
            }
            tries += 1;
        };
        if r2.is_error() {
            return Err(Trouble::unknown(BusFault::Card, format!("after the blocks: {r2:?}")));
        }
        Ok(())
    }

    /// CMD13.
    pub(super) fn status(&mut self) -> Result<crate::sd::R2, Trouble> {
        let command = Command::new(index::SEND_STATUS, 0);
        self.trace.command(command);
        Ok(self.send(command, false, 0)?.r2())
    }
}
