//! What has crossed a bus, counted in clocks.
//!
//! SPI has a clock for each bit, so eight times the bytes is exact. On the SD bus frames have a length and gaps between
//! them a minimum (PLSS section 4.12, timing values); a host and a card that lose no time need exactly that.

use smcard_link::sd::{START_BLOCK, START_MULTI, crc7, index};
use std::ops::Sub;
use std::time::Duration;

/// Bytes of a block.
const BLOCK: usize = 512;
/// A command frame.
const COMMAND: u64 = 48;
/// A response of 48 bits, and R2.
const SHORT: u64 = 48;
const LONG: u64 = 136;
/// Least clocks from command to response (NCR), from response to the next command (NRC), between commands where there is no
/// response (NCC).
const NCR: u64 = 2;
const NRC: u64 = 8;
const NCC: u64 = 8;
/// Least clocks before a block from the card (NAC), before a block to the card (NWR).
const NAC: u64 = 2;
const NWR: u64 = 2;
/// Start bit, CRC16 and end bit of each data line.
const FRAME: u64 = 1 + 16 + 1;
/// From the end of a written block to the CRC status, and the status: start, three bits, end.
const CRC_STATUS: u64 = 2 + 5;

/// Counts of a bus; differences of two readings are what happened in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Clocks.
    pub clocks: u64,
    /// Commands, those after CMD55 and CMD55 itself included.
    pub commands: u64,
    /// Data blocks to the card.
    pub blocks: u64,
    /// Commands CMD36: polls and other looks at a register.
    pub looks: u64,
    /// Commands, blocks and looks at the busy line (SD bus).
    pub steps: u64,
}

impl Sub for Traffic {
    type Output = Traffic;

    fn sub(self, before: Traffic) -> Traffic {
        Traffic {
            clocks: self.clocks - before.clocks,
            commands: self.commands - before.commands,
            blocks: self.blocks - before.blocks,
            looks: self.looks - before.looks,
            steps: self.steps - before.steps,
        }
    }
}

impl Traffic {
    /// How long it takes at a frequency.
    #[must_use]
    pub fn time(&self, hz: u64) -> Duration {
        let nanoseconds = u128::from(self.clocks) * 1_000_000_000 / u128::from(hz.max(1));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// A command on the SD bus, and its response in bits (`None`: there was none).
    pub(crate) fn sd_command(&mut self, command: u8, response: Response) {
        self.commands += 1;
        self.looks += u64::from(command == index::SEND_PSI);
        self.clocks += COMMAND
            + match response {
                Response::None => NCC,
                Response::Short => NCR + SHORT + NRC,
                Response::Long => NCR + LONG + NRC,
            };
    }

    /// A block from the card.
    pub(crate) fn sd_read(&mut self, bytes: usize, wide: bool) {
        self.clocks += NAC + FRAME + data(bytes, wide);
    }

    /// A block to the card.
    pub(crate) fn sd_write(&mut self, bytes: usize, wide: bool) {
        self.blocks += 1;
        self.clocks += NWR + FRAME + data(bytes, wide) + CRC_STATUS;
    }

    /// A message to the card on SPI. A command or a block stands at the beginning of one.
    pub(crate) fn spi(&mut self, message: &[u8]) {
        self.clocks += u64::try_from(message.len()).unwrap_or(u64::MAX) * 8;
        // The driver gives the card eight clocks before a command.
        let frame = message.strip_prefix(&[0xFF]).unwrap_or(message);
        if let Some((&[first, a, b, c, d, last], _)) = frame.split_first_chunk() {
            let command = first & 0xC0 == 0x40 && last == crc7(&[first, a, b, c, d]) << 1 | 1;
            self.commands += u64::from(command);
            self.looks += u64::from(command && first & 0x3F == index::SEND_PSI);
        }
        let block = message.len() > BLOCK && matches!(message.first(), Some(&(START_BLOCK | START_MULTI)));
        self.blocks += u64::from(block);
    }
}

/// What a command on the SD bus was answered with.
pub(crate) enum Response {
    None,
    Short,
    Long,
}

fn data(bytes: usize, wide: bool) -> u64 {
    let bits = u64::try_from(bytes).unwrap_or(u64::MAX) * 8;
    if wide { bits / 4 } else { bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of 512 bytes on four lines: 1024 clocks of data and 18 around them.
    #[test]
    fn a_read_of_one_block_takes_what_the_frames_add_up_to() {
        let mut traffic = Traffic::default();
        traffic.sd_command(17, Response::Short);
        traffic.sd_read(512, true);
        assert_eq!(traffic.clocks, 48 + 2 + 48 + 8 + 2 + 1024 + 18);
        traffic.sd_command(36, Response::Short);
        traffic.sd_read(32, false);
        assert_eq!((traffic.commands, traffic.blocks, traffic.looks), (2, 0, 1));
        traffic.spi(&[0xFF, 0x64, 0, 0, 0, 4, crc7(&[0x64, 0, 0, 0, 4]) << 1 | 1, 0xFF]);
        traffic.spi(&[0xFE; 515]);
        traffic.spi(&[0xFF; 600]);
        assert_eq!((traffic.commands, traffic.blocks, traffic.looks), (3, 1, 2), "what stands in a message");
        assert_eq!(Traffic { clocks: 50_000_000, ..traffic }.time(25_000_000), Duration::from_secs(2));
    }
}
