//! Blocks from the card (PLSS sections 7.2.3 and 7.3.3).

use super::SpiHost;
use super::trouble::Trouble;
use super::wait::{BUSY_LIMIT, Wait};
use crate::sd::{Command, ErrorToken, crc16, index};
use crate::{BusFault, Taken};
use std::time::Duration;

/// Bytes clocked with the first command beyond the block: the gap between response and token, when it is short.
const GAP: usize = 4;
/// Bytes around a block: token and checksum.
const AROUND: usize = 3;

/// True for reads that end only with CMD12. Those of the secure command set have their count in the argument.
pub(super) fn needs_stop(command: Command) -> bool {
    command.index == index::READ_MULTIPLE_BLOCK
}

impl SpiHost {
    /// A read command and its blocks.
    pub(super) fn read(
        &mut self,
        command: Command,
        block: usize,
        into: &mut [u8],
        limit: Duration,
    ) -> Result<(), Trouble> {
        let all = into.len() / block * (block + AROUND);
        if let Err(mut trouble) = self.send_good(command, GAP + all) {
            // The card may have sent its data: the response got lost, or arrived damaged and more came behind it.
            if matches!(trouble.fault, BusFault::NoResponse) || self.wire.seek_zero() {
                trouble.taken = Taken::Unknown;
            }
            return Err(trouble);
        }
        self.receive(block, into, limit).map_err(|trouble| Trouble::unknown(trouble.fault, trouble.seen))?;
        if needs_stop(command) {
            self.stop()?;
        }
        Ok(())
    }

    /// The blocks of a read command whose response has been read.
    pub(super) fn receive(&mut self, block: usize, into: &mut [u8], limit: Duration) -> Result<(), Trouble> {
        let mut left = into.len();
        for to in into.chunks_mut(block) {
            // What is missing of this block is clocked together with all that follows, as far as the buffer goes.
            let ahead = left / block * (block + AROUND);
            self.start_token(self.wait_data(limit))?;
            self.wire.ensure((block + AROUND) * 8, ahead.saturating_sub(self.wire.available() / 8))?;
            self.wire.take(to);
            let mut checksum = [0; 2];
            self.wire.take(&mut checksum);
            self.wire.meter().block();
            // A token that one bit error makes end early gives a block that is late by zeros, and a CRC that begins with zero
            // does not see those: in the end a zero is left over, where the line must be high.
            let high = self.wire.peek() & 0x80 != 0;
            if self.host_checks && (u16::from_be_bytes(checksum) != crc16(to) || !high) {
                return Err(Trouble::unknown(BusFault::DataCrc, format!("{left} bytes before the end")));
            }
            left -= to.len();
        }
        self.trace.received(into.len());
        Ok(())
    }

    /// Goes on to behind the start token. Its 0 bit is the first in a row of ones; a 0 bit at the beginning of a byte begins
    /// an error token, except that one byte 00 may stand in front.
    fn start_token(&mut self, mut wait: Wait) -> Result<(), Trouble> {
        let phase = self.wire.phase();
        let mut zero_byte = false;
        loop {
            if !self.wire.seek_zero() {
                if self.wait_more(&mut wait)? {
                    continue;
                }
                return Err(Trouble::unknown(BusFault::DataTimeout(wait.limit()), "no start token"));
            }
            if self.wire.phase() == phase {
                self.wire.ensure(8, 0)?;
                let byte = self.wire.peek();
                if byte == 0 && !zero_byte {
                    zero_byte = true;
                    self.wire.skip(8);
                    continue;
                }
                if let Some(token) = ErrorToken::from_byte(byte) {
                    return Err(refused(token));
                }
                if byte == 0 {
                    return Err(Trouble::unknown(BusFault::DataCrc, "00 00 in place of a start token"));
                }
            }
            self.wire.skip(1);
            return Ok(());
        }
    }

    /// Ends a read without a count: CMD12, and busy behind it.
    pub(super) fn stop(&mut self) -> Result<(), Trouble> {
        self.trace.command(Command::new(index::STOP_TRANSMISSION, 0));
        self.send(Command::new(index::STOP_TRANSMISSION, 0), false, 0)?;
        self.busy(BUSY_LIMIT)
    }
}

/// What an error token says.
fn refused(token: ErrorToken) -> Trouble {
    let has = |other: ErrorToken| token.byte() & other.byte() != 0;
    let fault = if has(ErrorToken::OUT_OF_RANGE) {
        BusFault::Argument
    } else if has(ErrorToken::LOCKED) {
        BusFault::Locked
    } else {
        BusFault::Card
    };
    Trouble::unknown(fault, format!("{token:?}"))
}
