//! Direct write: the arguments and blocks of CMD57 and CMD50.
//!
//! Nothing is known of what other cards expect here; this layout is the project's own (`docs/ASSD.md` section 5).

/// Bytes of an OPEN block before the name: length of the file (4), length of the name (1).
pub const OPEN_HEAD: usize = 5;

/// The argument of CMD57 (DIRECT_SECURE_WRITE).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DirectWrite {
    /// One block: file length (4), name length (1), name, zeros, CRC-32 of all before it in the last four bytes.
    Open,
    /// `blocks` blocks of a file, the first of them number `first`, modulo 65 536. The last block of a file is filled up
    /// with zeros.
    Data {
        /// The number that OPEN was answered with, 0..=7.
        write: u8,
        /// Number of the first block, modulo 65 536.
        first: u16,
        /// 1..=2048.
        blocks: u16,
    },
    /// One block: CRC-32 of the file (4), zeros, CRC-32 of all before it in the last four bytes.
    Commit {
        /// The number that OPEN was answered with.
        write: u8,
    },
    /// One block, not looked at.
    Abort {
        /// The number that OPEN was answered with.
        write: u8,
    },
}

impl DirectWrite {
    /// Most blocks in one transfer.
    pub const BLOCKS_MAX: u16 = 2048;
    /// Largest number of a write.
    pub const WRITE_MAX: u8 = 7;

    /// The argument.
    #[must_use]
    pub const fn argument(self) -> u32 {
        match self {
            DirectWrite::Open => 0,
            DirectWrite::Data { write, first, blocks } => {
                let count = if blocks == 0 || blocks > Self::BLOCKS_MAX { 1 } else { blocks };
                1 << 30 | (write as u32 & 7) << 27 | (count as u32 - 1) << 16 | first as u32
            }
            DirectWrite::Commit { write } => 2 << 30 | (write as u32 & 7) << 27,
            DirectWrite::Abort { write } => 3 << 30 | (write as u32 & 7) << 27,
        }
    }

    /// Reads an argument; `None` where a bit is set that must be zero.
    #[must_use]
    pub fn from_argument(argument: u32) -> Option<Self> {
        let [_, _, high, low] = argument.to_be_bytes();
        let write = (argument >> 27 & 7).to_be_bytes()[3];
        let rest = argument & 0x07FF_FFFF;
        match argument >> 30 {
            0 if argument == 0 => Some(DirectWrite::Open),
            1 => {
                let [_, _, count_high, count_low] = (rest >> 16).to_be_bytes();
                let blocks = u16::from_be_bytes([count_high, count_low]) + 1;
                Some(DirectWrite::Data { write, first: u16::from_be_bytes([high, low]), blocks })
            }
            2 if rest == 0 => Some(DirectWrite::Commit { write }),
            3 if rest == 0 => Some(DirectWrite::Abort { write }),
            _ => None,
        }
    }

    /// Blocks of its data.
    #[must_use]
    pub const fn blocks(self) -> u16 {
        match self {
            DirectWrite::Data { blocks, .. } => blocks,
            _ => 1,
        }
    }

    /// The number of a block, whole, when the card has `received` blocks and the argument says `first`: the one nearest
    /// below or at what has been received. `None` where that would be beyond it, or further back than one transfer.
    #[must_use]
    pub fn position(first: u16, received: u32) -> Option<u32> {
        let [_, _, high, low] = received.to_be_bytes();
        let back = u16::from_be_bytes([high, low]).wrapping_sub(first);
        if back > Self::BLOCKS_MAX { None } else { received.checked_sub(u32::from(back)) }
    }
}

/// The argument of CMD50 (DIRECT_SECURE_READ): one block each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DirectRead {
    /// The answer to the last OPEN or COMMIT, a checked token. It can be read again until the next OPEN, COMMIT or ABORT.
    Result,
    /// How far a write is: a [`WriteState`] at the front of the block, CRC-32 of all before it in the last four bytes.
    State {
        /// The number that OPEN was answered with.
        write: u8,
    },
}

impl DirectRead {
    /// The argument.
    #[must_use]
    pub const fn argument(self) -> u32 {
        match self {
            DirectRead::Result => 0,
            DirectRead::State { write } => 1 << 30 | (write as u32 & 7) << 27,
        }
    }

    /// Reads an argument; `None` where a bit is set that must be zero.
    #[must_use]
    pub fn from_argument(argument: u32) -> Option<Self> {
        match (argument >> 30, argument & 0x3FFF_FFFF) {
            (0, 0) => Some(DirectRead::Result),
            (1, rest) if rest & 0x07FF_FFFF == 0 => Some(DirectRead::State { write: (rest >> 27).to_be_bytes()[3] }),
            _ => None,
        }
    }
}

/// How far a direct write is: 12 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WriteState {
    /// False: no such write is open (any more).
    pub open: bool,
    /// Length announced, in bytes.
    pub length: u32,
    /// Blocks received.
    pub received: u32,
}

impl WriteState {
    /// As it stands in the block: open (1), zeros (3), length (4), received (4).
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 12] {
        let [a, b, c, d] = self.length.to_be_bytes();
        let [e, f, g, h] = self.received.to_be_bytes();
        [self.open as u8, 0, 0, 0, a, b, c, d, e, f, g, h]
    }

    /// Reads it; `None` for a coding that does not exist.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let [open @ (0 | 1), 0, 0, 0, a, b, c, d, e, f, g, h] = *bytes.first_chunk::<12>()? else { return None };
        let (length, received) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        Some(WriteState { open: open == 1, length, received })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_come_back_and_odd_ones_are_refused() {
        let all = [
            DirectWrite::Open,
            DirectWrite::Data { write: 0, first: 0, blocks: 1 },
            DirectWrite::Data { write: 7, first: 0xFFFF, blocks: 2048 },
            DirectWrite::Data { write: 3, first: 0x1234, blocks: 513 },
            DirectWrite::Commit { write: 5 },
            DirectWrite::Abort { write: 7 },
        ];
        for write in all {
            assert_eq!(DirectWrite::from_argument(write.argument()), Some(write), "{write:?}");
        }
        assert_eq!(DirectWrite::Data { write: 3, first: 0x1234, blocks: 513 }.argument(), 0x5A00_1234);
        for odd in [1, 0x8000_0001, 0xC400_0000, 0x2000_0000] {
            assert_eq!(DirectWrite::from_argument(odd), None, "{odd:08X}");
        }
        for read in [DirectRead::Result, DirectRead::State { write: 7 }] {
            assert_eq!(DirectRead::from_argument(read.argument()), Some(read));
        }
        for odd in [1, 0x4000_0001, 0x8000_0000] {
            assert_eq!(DirectRead::from_argument(odd), None, "{odd:08X}");
        }
    }

    #[test]
    fn a_position_is_found_from_its_low_part() {
        assert_eq!(DirectWrite::position(0, 0), Some(0));
        assert_eq!(DirectWrite::position(5, 7), Some(5));
        assert_eq!(DirectWrite::position(8, 7), None);
        assert_eq!(DirectWrite::position(0xFFFE, 0x1_0003), Some(0xFFFE));
        assert_eq!(DirectWrite::position(0x0003, 0x1_0003), Some(0x1_0003));
        assert_eq!(DirectWrite::position(0xFFFE, 3), None);
        assert_eq!(DirectWrite::position(0, 0x1_0000 - 1), None);
    }

    #[test]
    fn a_state_comes_back() {
        let state = WriteState { open: true, length: 0x1234_5678, received: 9 };
        assert_eq!(WriteState::from_bytes(&state.to_bytes()), Some(state));
        assert_eq!(WriteState::from_bytes(&[2; 12]), None);
        assert_eq!(WriteState::from_bytes(&[0; 11]), None);
    }
}
