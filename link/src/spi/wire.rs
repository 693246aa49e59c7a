//! The bus as a stream of bits: what went out, what came in, and where reading it stands.

use super::SpiMeter;
use crate::{Clock, SpiBus};
use std::io;
use std::time::Duration;
use zeroize::Zeroizing;

/// Most bytes that are kept.
const BUFFER: usize = 2 * AHEAD_MAX;
/// Most bytes that one call clocks.
pub(super) const AHEAD_MAX: usize = 16 * 1024;

/// A transaction's worth of the bus. Bytes that came in stand in `bytes`; all before `at` (in bits) has been read.
///
/// A card may answer out of step with the bytes of the host (PLSS demands alignment, some cards miss it), so everything
/// is read bit by bit; where the card is in step that is a plain copy.
pub(super) struct Wire {
    bus: Box<dyn SpiBus>,
    clock: Box<dyn Clock>,
    meter: SpiMeter,
    message_max: usize,
    bytes: Zeroizing<Vec<u8>>,
    at: usize,
}

impl Wire {
    pub(super) fn new(bus: Box<dyn SpiBus>, clock: Box<dyn Clock>) -> Self {
        let message_max = bus.message_max().max(1);
        let bytes = Zeroizing::new(Vec::with_capacity(BUFFER));
        Wire { bus, clock, meter: SpiMeter::default(), message_max, bytes, at: 0 }
    }

    pub(super) fn meter(&self) -> SpiMeter {
        self.meter.clone()
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.now()
    }

    pub(super) fn sleep(&mut self, time: Duration) {
        self.clock.sleep(time);
    }

    pub(super) fn select(&mut self, selected: bool) -> io::Result<()> {
        self.bus.select(selected)
    }

    pub(super) fn set_clock(&mut self, hz: u32) -> io::Result<u32> {
        self.bus.set_clock(hz)
    }

    pub(super) fn power_cycle(&mut self) -> io::Result<bool> {
        self.bus.power_cycle()
    }

    /// Bytes of one message on the bus.
    pub(super) fn message_max(&self) -> usize {
        self.message_max
    }

    /// Sends `parts` and clocks `tail` bytes more. What came in before is forgotten; reading begins behind `parts`.
    pub(super) fn send(&mut self, parts: &[&[u8]], tail: usize) -> io::Result<()> {
        self.bytes.clear();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        let sent = self.bytes.len();
        self.bytes.resize(sent + tail.min(AHEAD_MAX), 0xFF);
        self.at = sent * 8;
        self.exchange(0)
    }

    /// Clocks `count` bytes FF and keeps what came in; what has been read may be forgotten.
    pub(super) fn clock(&mut self, count: usize) -> io::Result<()> {
        let count = count.min(AHEAD_MAX);
        if self.bytes.len() + count > BUFFER {
            let read = (self.at / 8).min(self.bytes.len());
            self.bytes.copy_within(read.., 0);
            let kept = self.bytes.len() - read;
            self.bytes.truncate(kept);
            self.at -= read * 8;
        }
        let from = self.bytes.len();
        self.bytes.resize(from + count, 0xFF);
        self.exchange(from)
    }

    fn exchange(&mut self, from: usize) -> io::Result<()> {
        for message in self.bytes.get_mut(from..).unwrap_or_default().chunks_mut(self.message_max) {
            self.meter.message(message.len());
            self.bus.exchange(message)?;
        }
        Ok(())
    }

    /// Bits that have come in and were not read.
    pub(super) fn available(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.at)
    }

    /// Clocks what is missing of `bits`, and up to `ahead` bytes more if anything is missing.
    pub(super) fn ensure(&mut self, bits: usize, ahead: usize) -> io::Result<()> {
        while self.available() < bits {
            self.clock((bits - self.available()).div_ceil(8).max(ahead))?;
        }
        Ok(())
    }

    /// Where reading stands within its byte, in bits.
    pub(super) fn phase(&self) -> usize {
        self.at % 8
    }

    /// Goes on to the first 0 bit. `false`: there is none, all has been read.
    pub(super) fn seek_zero(&mut self) -> bool {
        let (start, phase) = (self.at / 8, self.at % 8);
        for (index, byte) in self.bytes.iter().enumerate().skip(start) {
            let seen = if index == start { byte | !(0xFF_u8 >> phase) } else { *byte };
            if seen != 0xFF {
                self.at = index * 8 + seen.leading_ones() as usize;
                return true;
            }
        }
        self.at = self.bytes.len() * 8;
        false
    }

    /// Goes on to behind the first whole byte FF. `false`: there is none, all has been read.
    pub(super) fn seek_ones(&mut self) -> bool {
        let start = self.at.div_ceil(8);
        let found = self.bytes.iter().skip(start).position(|byte| *byte == 0xFF);
        self.at = found.map_or(self.bytes.len(), |index| start + index + 1) * 8;
        found.is_some()
    }

    /// The next eight bits; those that have not come in are 1.
    pub(super) fn peek(&self) -> u8 {
        let byte = |index: usize| self.bytes.get(index).copied().unwrap_or(0xFF);
        let pair = u16::from_be_bytes([byte(self.at / 8), byte(self.at / 8 + 1)]);
        (pair << (self.at % 8)).to_be_bytes()[0]
    }

    /// Takes `count` bits as read.
    pub(super) fn skip(&mut self, count: usize) {
        self.at = (self.at + count).min(self.bytes.len() * 8);
    }

    /// Goes on to the next whole byte.
    pub(super) fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }

    /// Reads as many bytes as `into` is long; what has not come in is FF.
    pub(super) fn take(&mut self, into: &mut [u8]) {
        let (start, phase) = (self.at / 8, self.at % 8);
        let source = self.bytes.get(start..).unwrap_or_default();
        if phase == 0 {
            let length = into.len().min(source.len());
            let (there, missing) = into.split_at_mut(length);
            there.copy_from_slice(&source[..length]);
            missing.fill(0xFF);
        } else {
            let next = source.iter().skip(1).chain(std::iter::repeat(&0xFF));
            let pairs = source.iter().chain(std::iter::repeat(&0xFF)).zip(next);
            for (to, (high, low)) in into.iter_mut().zip(pairs) {
                *to = (u16::from_be_bytes([*high, *low]) << phase).to_be_bytes()[0];
            }
        }
        self.skip(into.len() * 8);
    }

    /// What came in from where reading stands, at most `count` bytes, in hexadecimal digits.
    pub(super) fn hex(&self, count: usize) -> String {
        let bytes = self.bytes.iter().skip(self.at / 8).take(count);
        bytes.map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
    }

    /// True where all that came in since the last [`Wire::send`] began is `byte`.
    pub(super) fn is_all(&self, byte: u8) -> bool {
        self.bytes.iter().all(|seen| *seen == byte)
    }

    /// Ends a transaction: eight clocks behind what was read (PLSS section 4.4 asks for them), then chip select goes up.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.ensure(8, 0)?;
        self.select(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    /// A bus that brings in what it was given, then FF.
    struct Script(Vec<u8>);

    impl SpiBus for Script {
        fn select(&mut self, _: bool) -> io::Result<()> {
            Ok(())
        }
        fn exchange(&mut self, bytes: &mut [u8]) -> io::Result<()> {
            for byte in bytes {
                *byte = if self.0.is_empty() { 0xFF } else { self.0.remove(0) };
            }
            Ok(())
        }
        fn set_clock(&mut self, hz: u32) -> io::Result<u32> {
            Ok(hz)
        }
        fn message_max(&self) -> usize {
            3
        }
    }

    fn wire(bytes: &[u8]) -> Wire {
        Wire::new(Box::new(Script(bytes.to_vec())), Box::new(SystemClock::default()))
    }

    #[test]
    fn bits_are_read_wherever_they_stand() {
        let data = [0x00, 0xFF, 0xA5, 0x01];
        for shift in 0..8_u32 {
            let mut stream = vec![0xFF_u8; 2];
            let bits = u64::from(u32::from_be_bytes(data)) << (32 - shift) | 0xFFFF_FFFF >> shift;
            stream.extend(if shift == 0 { data.to_vec() } else { bits.to_be_bytes()[..5].to_vec() });
            if shift > 0 {
                stream[2] |= !(0xFF >> shift);
            }
            let mut wire = wire(&stream);
            wire.send(&[&[0xFF]], 6).expect("sent");
            assert!(wire.seek_zero());
            assert_eq!(wire.phase(), shift as usize, "{stream:02X?}");
            assert_eq!(wire.peek(), 0);
            let mut into = [0; 4];
            wire.take(&mut into);
            assert_eq!(into, data);
            assert_eq!(wire.meter().messages(), 3, "seven bytes by three");
        }
    }

    #[test]
    fn a_long_stream_is_bounded_and_nothing_of_it_is_lost() {
        let mut wire = wire(&[]);
        for _ in 0..100 {
            wire.ensure(8 * 4000, 0).expect("clocked");
            let mut into = [0; 4000];
            wire.take(&mut into);
            assert_eq!(into, [0xFF; 4000]);
        }
        assert!(wire.bytes.capacity() == BUFFER);
        assert_eq!(wire.meter().bytes(), 400_000);
    }

    #[test]
    fn ready_is_a_whole_byte_of_ones() {
        let mut wire = wire(&[0x00, 0x00, 0x1F, 0xFF, 0x00]);
        wire.send(&[], 5).expect("sent");
        assert!(wire.seek_ones());
        assert_eq!(wire.available(), 8);
        assert!(!wire.seek_ones());
        assert_eq!(wire.available(), 0);
    }
}
