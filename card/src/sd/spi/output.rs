//! What the card drives onto its data line: responses, data, busy; late or off the byte grid where the profile says so.

use crate::sd::area::BLOCK;
use smcard_link::sd::{START_BLOCK, crc16};
use zeroize::Zeroizing;

/// Token, block, checksum.
pub(super) const FRAMED: usize = 1 + BLOCK + 2;
/// Longest response with everything before it.
const QUEUE: usize = 32;

/// What goes out next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Output {
    /// FF, or 00 while busy.
    Quiet,
    /// What is in the queue.
    Queue,
    /// FF before a token.
    Gap { left: u32 },
    /// A framed block.
    Block { at: usize, total: usize },
}

/// Bytes of a response, with the gap before it.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    bytes: [u8; QUEUE],
    at: usize,
    length: usize,
}

impl Queue {
    pub(super) fn new() -> Self {
        Queue { bytes: [0xFF; QUEUE], at: 0, length: 0 }
    }

    /// Starts anew, with `gap` bytes of FF.
    pub(super) fn start(&mut self, gap: u8) {
        self.at = 0;
        self.length = 0;
        for _ in 0..gap.min(16) {
            self.push(0xFF);
        }
    }

    /// Adds a byte; what does not fit is a mistake of this program and is left away.
    pub(super) fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    /// The next byte, and whether it is the last.
    pub(super) fn pop(&mut self) -> (u8, bool) {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0xFF);
        self.at += 1;
        (byte, self.at >= self.length)
    }
}

/// A block with its token before it and its checksum behind it.
#[derive(Clone)]
pub(super) struct Framed(pub(super) Box<Zeroizing<[u8; FRAMED]>>);

impl Framed {
    pub(super) fn new() -> Self {
        Framed(Box::new(Zeroizing::new([0xFF; FRAMED])))
    }

    /// Where the block's data goes.
    pub(super) fn body(&mut self) -> &mut [u8] {
        &mut self.0[1..=BLOCK]
    }

    /// Frames the first `length` bytes of the body; how long it is in all. `spoilt`: with a wrong checksum.
    pub(super) fn frame(&mut self, length: usize, spoilt: bool) -> usize {
        let length = length.min(BLOCK);
        let crc = crc16(&self.0[1..=length]) ^ u16::from(spoilt);
        self.0[0] = START_BLOCK;
        self.0[1 + length..3 + length].copy_from_slice(&crc.to_be_bytes());
        length + 3
    }
}

/// Puts stretches of bytes off the byte grid.
#[derive(Clone, Debug)]
pub(super) struct Shifter {
    shift: u32,
    bits: u32,
    count: u32,
    shifted: bool,
}

impl Shifter {
    pub(super) fn new(shift: u8) -> Self {
        Shifter { shift: u32::from(shift & 7), bits: 0, count: 0, shifted: false }
    }

    /// True where bytes pass as they are.
    pub(super) fn is_idle(&self) -> bool {
        self.shift == 0
    }

    /// True where a byte must come in before one can go out.
    pub(super) fn is_hungry(&self) -> bool {
        self.count < 8
    }

    /// Takes the next byte; `shifted`: it belongs to a stretch that lies off the grid.
    pub(super) fn push(&mut self, byte: u8, shifted: bool) {
        if shifted != self.shifted {
            let ones = if shifted { self.shift } else { (8 - self.count % 8) % 8 };
            self.bits = self.bits << ones | ((1 << ones) - 1);
            self.count += ones;
            self.shifted = shifted;
        }
        self.bits = self.bits << 8 | u32::from(byte);
        self.count += 8;
    }

    /// Gives the next byte.
    pub(super) fn pop(&mut self) -> u8 {
        self.count -= 8;
        (self.bits >> self.count).to_le_bytes()[0]
    }

    /// What has not gone out yet does not.
    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.shifted = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_off_the_grid_comes_whole_and_late() {
        let mut shifter = Shifter::new(3);
        let mut line = Vec::new();
        let mut source =
            [(0xFF, false), (0xFE, true), (0x12, true), (0x00, true), (0xFF, false), (0xFF, false)].into_iter();
        for _ in 0..6 {
            while shifter.is_hungry() {
                let (byte, shifted) = source.next().unwrap();
                shifter.push(byte, shifted);
            }
            line.push(shifter.pop());
        }
        // 1111_1111 111|1 1111 110|0 0010 010|0 0000 000|1 1111 1111...
        assert_eq!(line, [0xFF, 0xFF, 0xC2, 0x40, 0x1F, 0xFF]);
    }

    #[test]
    fn a_block_is_framed_with_its_checksum() {
        let mut framed = Framed::new();
        framed.body()[..9].copy_from_slice(b"123456789");
        assert_eq!(framed.frame(9, false), 12);
        assert_eq!(framed.0[..12], [0xFE, b'1', b'2', b'3', b'4', b'5', b'6', b'7', b'8', b'9', 0x31, 0xC3]);
    }
}
