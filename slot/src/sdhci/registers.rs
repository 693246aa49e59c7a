//! Register map and bits of the host controller (SD Host Controller Simplified Specification 2.00, section 2.1).
//!
//! Registers are seen as aligned 32-bit words, little-endian; [`Lanes`] says which bytes of a word an access touches.

/// Size of the register file in bytes.
pub(crate) const SIZE: u64 = 0x100;

/// Word offsets.
pub(crate) mod word {
    pub(crate) const SDMA_ADDRESS: u8 = 0x00;
    pub(crate) const BLOCK: u8 = 0x04;
    pub(crate) const ARGUMENT: u8 = 0x08;
    pub(crate) const COMMAND: u8 = 0x0C;
    pub(crate) const RESPONSE: u8 = 0x10;
    pub(crate) const RESPONSE_LAST: u8 = 0x1C;
    pub(crate) const BUFFER: u8 = 0x20;
    pub(crate) const PRESENT: u8 = 0x24;
    pub(crate) const HOST_CONTROL: u8 = 0x28;
    pub(crate) const CLOCK_CONTROL: u8 = 0x2C;
    pub(crate) const INTERRUPT_STATUS: u8 = 0x30;
    pub(crate) const STATUS_ENABLE: u8 = 0x34;
    pub(crate) const SIGNAL_ENABLE: u8 = 0x38;
    pub(crate) const AUTO_CMD12: u8 = 0x3C;
    pub(crate) const CAPABILITIES: u8 = 0x40;
    pub(crate) const MAXIMUM_CURRENT: u8 = 0x48;
    pub(crate) const FORCE_EVENT: u8 = 0x50;
    pub(crate) const ADMA_ERROR: u8 = 0x54;
    pub(crate) const ADMA_ADDRESS: u8 = 0x58;
    pub(crate) const SLOT_AND_VERSION: u8 = 0xFC;
}

/// Transfer mode, lower half of the command word.
pub(crate) mod mode {
    pub(crate) const DMA: u16 = 1 << 0;
    pub(crate) const COUNT: u16 = 1 << 1;
    pub(crate) const AUTO_CMD12: u16 = 1 << 2;
    pub(crate) const READ: u16 = 1 << 4;
    pub(crate) const MULTI: u16 = 1 << 5;
}

/// Command register, upper half of the command word.
pub(crate) mod command {
    /// No response, 136 bits, 48 bits, 48 bits with busy.
    pub(crate) const RESPONSE: u16 = 0b11;
    pub(crate) const RESPONSE_LONG: u16 = 0b01;
    pub(crate) const RESPONSE_BUSY: u16 = 0b11;
    pub(crate) const DATA: u16 = 1 << 5;
    pub(crate) const TYPE: u16 = 0b11 << 6;
    pub(crate) const TYPE_ABORT: u16 = 0b11 << 6;
}

/// Present state.
pub(crate) mod present {
    pub(crate) const DATA_INHIBIT: u32 = 1 << 1;
    pub(crate) const DATA_ACTIVE: u32 = 1 << 2;
    pub(crate) const WRITE_ACTIVE: u32 = 1 << 8;
    pub(crate) const READ_ACTIVE: u32 = 1 << 9;
    pub(crate) const BUFFER_WRITE: u32 = 1 << 10;
    pub(crate) const BUFFER_READ: u32 = 1 << 11;
    pub(crate) const INSERTED: u32 = 1 << 16;
    pub(crate) const STABLE: u32 = 1 << 17;
    pub(crate) const DETECT_PIN: u32 = 1 << 18;
    /// The write-protect switch stands at "writable".
    pub(crate) const WRITABLE: u32 = 1 << 19;
    pub(crate) const DAT0: u32 = 1 << 20;
    pub(crate) const DAT3_TO_1: u32 = 0b111 << 21;
    pub(crate) const CMD_LINE: u32 = 1 << 24;
}

/// Host control (byte 0), power control (byte 1), block gap and wakeup (bytes 2 and 3).
pub(crate) mod host {
    pub(crate) const DMA_SELECT: u32 = 0b11 << 3;
    pub(crate) const DMA_ADMA2: u32 = 0b10 << 3;
    /// Bits that can be set: LED, width, speed, DMA, power and voltage.
    pub(crate) const WRITABLE: u32 = 0x0000_0FDF;
    pub(crate) const POWER: u32 = 1 << 8;
    pub(crate) const VOLTAGE: u32 = 0b111 << 9;
    pub(crate) const VOLTAGE_3V3: u32 = 0b111 << 9;
}

/// Clock control (half 0), timeout control (byte 2), software reset (byte 3).
pub(crate) mod clock {
    pub(crate) const INTERNAL: u32 = 1 << 0;
    pub(crate) const STABLE: u32 = 1 << 1;
    pub(crate) const CARD: u32 = 1 << 2;
    pub(crate) const WRITABLE: u32 = 0x000F_FF05;
    pub(crate) const RESET_ALL: u32 = 1 << 24;
    pub(crate) const RESET_COMMAND: u32 = 1 << 25;
    pub(crate) const RESET_DATA: u32 = 1 << 26;
}

/// Interrupt status: normal in the lower half, error in the upper.
pub(crate) mod interrupt {
    pub(crate) const COMMAND_COMPLETE: u32 = 1 << 0;
    pub(crate) const TRANSFER_COMPLETE: u32 = 1 << 1;
    pub(crate) const DMA: u32 = 1 << 3;
    pub(crate) const BUFFER_WRITE: u32 = 1 << 4;
    pub(crate) const BUFFER_READ: u32 = 1 << 5;
    pub(crate) const INSERTED: u32 = 1 << 6;
    pub(crate) const REMOVED: u32 = 1 << 7;
    /// Sum of the error half, read-only.
    pub(crate) const ERROR: u32 = 1 << 15;
    pub(crate) const COMMAND_TIMEOUT: u32 = 1 << 16;
    pub(crate) const COMMAND_END_BIT: u32 = 1 << 18;
    pub(crate) const DATA_TIMEOUT: u32 = 1 << 20;
    pub(crate) const DATA_CRC: u32 = 1 << 21;
    pub(crate) const DATA_END_BIT: u32 = 1 << 22;
    pub(crate) const AUTO_CMD12: u32 = 1 << 24;
    pub(crate) const ADMA: u32 = 1 << 25;
    /// Every error that this controller can report.
    pub(crate) const ERRORS: u32 = 0x03FF_0000;
    /// Everything that can be enabled.
    pub(crate) const ALL: u32 = ERRORS | 0x01FF;
}

/// Auto CMD12 error status: no response.
pub(crate) const AUTO_CMD12_TIMEOUT: u32 = 1 << 1;

/// ADMA error status.
pub(crate) mod adma {
    pub(crate) const STATE_STOP: u32 = 0b00;
    pub(crate) const STATE_FETCH: u32 = 0b01;
    pub(crate) const STATE_TRANSFER: u32 = 0b11;
    pub(crate) const LENGTH_MISMATCH: u32 = 1 << 2;
}

/// Clock that data time limits are counted with, in Hz. With 1 MHz they reach from 8 ms to 134 s, so that every time a
/// secure command may take can be waited for.
pub(crate) const TIMEOUT_CLOCK: u32 = 1_000_000;

/// Capabilities without DMA: timeout clock 1 MHz, base clock 50 MHz, blocks up to 512 bytes, high speed, 3.3 V.
pub(crate) const CAPABILITIES: u32 = 1 | 1 << 7 | 50 << 8 | 1 << 21 | 1 << 24;
/// Capability: ADMA2.
pub(crate) const CAPABILITY_ADMA2: u32 = 1 << 19;
/// Maximum current at 3.3 V in units of 4 mA.
pub(crate) const MAXIMUM_CURRENT_3V3: u32 = 50;
/// Specification version 2.00 in the upper half (the controller of version 3.00 and its voltage switching is not needed
/// below 50 MHz).
pub(crate) const VERSION: u32 = 0x0001 << 16;

/// An access to an aligned word: its bytes and which of them it touches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lanes {
    /// Bytes in their places; untouched ones are zero.
    pub(crate) value: u32,
    /// `FF` in each byte that is touched.
    pub(crate) mask: u32,
}

impl Lanes {
    /// The word after the access.
    pub(crate) fn merge(self, old: u32) -> u32 {
        old & !self.mask | self.value
    }

    /// True where the access touches the most significant byte of a half, or of the word: that byte triggers.
    pub(crate) fn touches(self, byte: u32) -> bool {
        self.mask >> (8 * byte) & 0xFF != 0
    }
}

/// The words an access touches: for each its offset, the position of its first byte in the access and the bytes' number.
///
/// An access that reaches beyond the register file is cut off there.
pub(crate) fn words(offset: u64, length: usize) -> impl Iterator<Item = (u8, u32, usize, usize)> {
    let mut done = 0_usize;
    std::iter::from_fn(move || {
        let at = offset.checked_add(u64::try_from(done).ok()?)?;
        if done >= length || at >= SIZE {
            return None;
        }
        let at = u8::try_from(at).ok()?;
        let first = u32::from(at & 3);
        let room = 4 - usize::from(at & 3);
        let count = room.min(length - done);
        let item = (at & !3, first, done, count);
        done += count;
        Some(item)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_is_cut_into_aligned_words() {
        let of = |offset, length| words(offset, length).collect::<Vec<_>>();
        assert_eq!(of(0x0E, 2), [(0x0C, 2, 0, 2)]);
        assert_eq!(of(0x2F, 1), [(0x2C, 3, 0, 1)]);
        assert_eq!(of(0x06, 8), [(0x04, 2, 0, 2), (0x08, 0, 2, 4), (0x0C, 0, 6, 2)]);
        assert_eq!(of(0xFE, 4), [(0xFC, 2, 0, 2)]);
        assert_eq!(of(0x100, 4), []);
        assert_eq!(of(u64::MAX, 4), []);
        assert_eq!(of(0x10, 0), []);
    }

    #[test]
    fn lanes_keep_what_they_do_not_touch() {
        let lanes = Lanes { value: 0x00AB_0000, mask: 0x00FF_0000 };
        assert_eq!(lanes.merge(0x1122_3344), 0x11AB_3344);
        assert!(lanes.touches(2) && !lanes.touches(3));
    }
}
