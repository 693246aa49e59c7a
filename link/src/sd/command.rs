//! Commands: index, argument, and what follows them on the bus.

use super::crc7;
use std::fmt;
use thiserror::Error;

/// Indices of the commands that a host or a card of this crate knows (PLSS section 4.7.4; the secure ones are those that
/// CMD6 function group 2 brings in).
pub mod index {
    #![allow(missing_docs)]
    pub const GO_IDLE_STATE: u8 = 0;
    pub const ALL_SEND_CID: u8 = 2;
    pub const SEND_RELATIVE_ADDR: u8 = 3;
    pub const SET_DSR: u8 = 4;
    pub const SWITCH_FUNC: u8 = 6;
    pub const SELECT_CARD: u8 = 7;
    pub const SEND_IF_COND: u8 = 8;
    pub const SEND_CSD: u8 = 9;
    pub const SEND_CID: u8 = 10;
    pub const VOLTAGE_SWITCH: u8 = 11;
    pub const STOP_TRANSMISSION: u8 = 12;
    pub const SEND_STATUS: u8 = 13;
    pub const GO_INACTIVE_STATE: u8 = 15;
    pub const SET_BLOCKLEN: u8 = 16;
    pub const READ_SINGLE_BLOCK: u8 = 17;
    pub const READ_MULTIPLE_BLOCK: u8 = 18;
    pub const SET_BLOCK_COUNT: u8 = 23;
    pub const WRITE_BLOCK: u8 = 24;
    pub const WRITE_MULTIPLE_BLOCK: u8 = 25;
    pub const PROGRAM_CSD: u8 = 27;
    pub const ERASE_WR_BLK_START: u8 = 32;
    pub const ERASE_WR_BLK_END: u8 = 33;
    /// READ_SEC_CMD: the answer of the secure core.
    pub const READ_SEC_CMD: u8 = 34;
    /// WRITE_SEC_CMD: a command for the secure core.
    pub const WRITE_SEC_CMD: u8 = 35;
    /// SEND_PSI: a register of the secure side.
    pub const SEND_PSI: u8 = 36;
    /// CONTROL_TRM (1.x), CONTROL_ASSD_SYSTEM (2.x).
    pub const CONTROL_ASSD_SYSTEM: u8 = 37;
    pub const ERASE: u8 = 38;
    pub const LOCK_UNLOCK: u8 = 42;
    /// DIRECT_SECURE_READ.
    pub const DIRECT_SECURE_READ: u8 = 50;
    pub const APP_CMD: u8 = 55;
    pub const GEN_CMD: u8 = 56;
    /// DIRECT_SECURE_WRITE.
    pub const DIRECT_SECURE_WRITE: u8 = 57;
    pub const READ_OCR: u8 = 58;
    pub const CRC_ON_OFF: u8 = 59;
    /// After CMD55.
    pub const ACMD_SET_BUS_WIDTH: u8 = 6;
    /// After CMD55.
    pub const ACMD_SD_STATUS: u8 = 13;
    /// After CMD55.
    pub const ACMD_SEND_NUM_WR_BLOCKS: u8 = 22;
    /// After CMD55.
    pub const ACMD_SET_WR_BLK_ERASE_COUNT: u8 = 23;
    /// After CMD55.
    pub const ACMD_SD_SEND_OP_COND: u8 = 41;
    /// After CMD55.
    pub const ACMD_SET_CLR_CARD_DETECT: u8 = 42;
    /// After CMD55.
    pub const ACMD_SEND_SCR: u8 = 51;
}

/// A command with its argument.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Command {
    /// 0..=63.
    pub index: u8,
    /// The argument.
    pub argument: u32,
}

/// What follows a command (PLSS sections 4.7.2 and 7.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// No data.
    Control,
    /// Data from the card.
    Read,
    /// Data to the card.
    Write,
}

/// The response of a command in SPI mode (PLSS section 7.3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResponseKind {
    /// One byte.
    R1,
    /// One byte, then busy.
    R1b,
    /// Two bytes.
    R2,
    /// One byte and the OCR.
    R3,
    /// One byte and the interface condition.
    R7,
}

impl Command {
    /// A command; of `index` the low six bits count.
    #[must_use]
    pub const fn new(index: u8, argument: u32) -> Self {
        Command { index: index & 0x3F, argument }
    }

    /// The six bytes on the wire.
    #[must_use]
    pub fn frame(self) -> Frame {
        let [a, b, c, d] = self.argument.to_be_bytes();
        let head = [0x40 | self.index, a, b, c, d];
        Frame([head[0], a, b, c, d, crc7(&head) << 1 | 1])
    }

    /// The direction of the data that follows it; `application`: it comes after CMD55.
    #[must_use]
    pub fn kind(self, application: bool) -> Kind {
        use index as i;
        match (application, self.index) {
            (true, i::ACMD_SD_STATUS | i::ACMD_SEND_NUM_WR_BLOCKS | i::ACMD_SEND_SCR) => Kind::Read,
            (true, _) => Kind::Control,
            (false, i::GEN_CMD) if self.argument & 1 == 0 => Kind::Write,
            (
                false,
                i::SWITCH_FUNC
                | i::SEND_CSD
                | i::SEND_CID
                | i::READ_SINGLE_BLOCK
                | i::READ_MULTIPLE_BLOCK
                | i::READ_SEC_CMD
                | i::SEND_PSI
                | i::DIRECT_SECURE_READ
                | i::GEN_CMD,
            ) => Kind::Read,
            (
                false,
                i::WRITE_BLOCK
                | i::WRITE_MULTIPLE_BLOCK
                | i::PROGRAM_CSD
                | i::LOCK_UNLOCK
                | i::WRITE_SEC_CMD
                | i::DIRECT_SECURE_WRITE,
            ) => Kind::Write,
            (false, _) => Kind::Control,
        }
    }

    /// The form of its response in SPI mode.
    #[must_use]
    pub fn spi_response(self, application: bool) -> ResponseKind {
        use index as i;
        match (application, self.index) {
            (_, i::SEND_STATUS) => ResponseKind::R2,
            (false, i::STOP_TRANSMISSION | i::ERASE | i::CONTROL_ASSD_SYSTEM) => ResponseKind::R1b,
            (false, i::READ_OCR) => ResponseKind::R3,
            (false, i::SEND_IF_COND) => ResponseKind::R7,
            _ => ResponseKind::R1,
        }
    }

    /// Its name in the specification, for people.
    #[must_use]
    pub fn name(self, application: bool) -> &'static str {
        use index as i;
        match (application, self.index) {
            (true, i::ACMD_SET_BUS_WIDTH) => "SET_BUS_WIDTH",
            (true, i::ACMD_SD_STATUS) => "SD_STATUS",
            (true, i::ACMD_SEND_NUM_WR_BLOCKS) => "SEND_NUM_WR_BLOCKS",
            (true, i::ACMD_SET_WR_BLK_ERASE_COUNT) => "SET_WR_BLK_ERASE_COUNT",
            (true, i::ACMD_SD_SEND_OP_COND) => "SD_SEND_OP_COND",
            (true, i::ACMD_SET_CLR_CARD_DETECT) => "SET_CLR_CARD_DETECT",
            (true, i::ACMD_SEND_SCR) => "SEND_SCR",
            (_, i::GO_IDLE_STATE) => "GO_IDLE_STATE",
            (_, i::ALL_SEND_CID) => "ALL_SEND_CID",
            (_, i::SEND_RELATIVE_ADDR) => "SEND_RELATIVE_ADDR",
            (_, i::SET_DSR) => "SET_DSR",
            (_, i::SWITCH_FUNC) => "SWITCH_FUNC",
            (_, i::SELECT_CARD) => "SELECT_CARD",
            (_, i::SEND_IF_COND) => "SEND_IF_COND",
            (_, i::SEND_CSD) => "SEND_CSD",
            (_, i::SEND_CID) => "SEND_CID",
            (_, i::VOLTAGE_SWITCH) => "VOLTAGE_SWITCH",
            (_, i::STOP_TRANSMISSION) => "STOP_TRANSMISSION",
            (_, i::SEND_STATUS) => "SEND_STATUS",
            (_, i::GO_INACTIVE_STATE) => "GO_INACTIVE_STATE",
            (_, i::SET_BLOCKLEN) => "SET_BLOCKLEN",
            (_, i::READ_SINGLE_BLOCK) => "READ_SINGLE_BLOCK",
            (_, i::READ_MULTIPLE_BLOCK) => "READ_MULTIPLE_BLOCK",
            (_, i::SET_BLOCK_COUNT) => "SET_BLOCK_COUNT",
            (_, i::WRITE_BLOCK) => "WRITE_BLOCK",
            (_, i::WRITE_MULTIPLE_BLOCK) => "WRITE_MULTIPLE_BLOCK",
            (_, i::PROGRAM_CSD) => "PROGRAM_CSD",
            (_, i::ERASE_WR_BLK_START) => "ERASE_WR_BLK_START",
            (_, i::ERASE_WR_BLK_END) => "ERASE_WR_BLK_END",
            (_, i::READ_SEC_CMD) => "READ_SEC_CMD",
            (_, i::WRITE_SEC_CMD) => "WRITE_SEC_CMD",
            (_, i::SEND_PSI) => "SEND_PSI",
            (_, i::CONTROL_ASSD_SYSTEM) => "CONTROL_ASSD_SYSTEM",
            (_, i::ERASE) => "ERASE",
            (_, i::LOCK_UNLOCK) => "LOCK_UNLOCK",
            (_, i::DIRECT_SECURE_READ) => "DIRECT_SECURE_READ",
            (_, i::APP_CMD) => "APP_CMD",
            (_, i::GEN_CMD) => "GEN_CMD",
            (_, i::DIRECT_SECURE_WRITE) => "DIRECT_SECURE_WRITE",
            (_, i::READ_OCR) => "READ_OCR",
            (_, i::CRC_ON_OFF) => "CRC_ON_OFF",
            _ => "unknown",
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CMD{} {:08X}", self.index, self.argument)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CMD{} {}({:08X})", self.index, self.name(false), self.argument)
    }
}

/// A command as it stands on the wire: start bit 0, transmission bit 1, index, argument, CRC7, end bit 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame(pub [u8; 6]);

/// Why six bytes are no command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum FrameError {
    /// Start, transmission or end bit.
    #[error("start, transmission or end bit of the command is wrong")]
    Framing,
    /// The checksum.
    #[error("the command's checksum is wrong")]
    Checksum,
}

impl Frame {
    /// The command in it, its checksum unchecked: a card with checksums switched off reads it so.
    ///
    /// # Errors
    /// [`FrameError::Framing`].
    pub fn unchecked(self) -> Result<Command, FrameError> {
        let [head, a, b, c, d, tail] = self.0;
        if head & 0xC0 != 0x40 || tail & 1 != 1 {
            return Err(FrameError::Framing);
        }
        Ok(Command::new(head, u32::from_be_bytes([a, b, c, d])))
    }

    /// True where the checksum is right.
    #[must_use]
    pub fn is_intact(self) -> bool {
        crc7(&self.0[..5]) == self.0[5] >> 1
    }

    /// The command in it.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn command(self) -> Result<Command, FrameError> {
        let command = self.unchecked()?;
        if self.is_intact() { Ok(command) } else { Err(FrameError::Checksum) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PLSS sections 4.5 and 7.2 print CMD0; the others were computed with an independent implementation.
    const FRAMES: &[(u8, u32, [u8; 6])] = &[
        (0, 0, [0x40, 0x00, 0x00, 0x00, 0x00, 0x95]),
        (8, 0x1AA, [0x48, 0x00, 0x00, 0x01, 0xAA, 0x87]),
        (12, 0, [0x4C, 0x00, 0x00, 0x00, 0x00, 0x61]),
        (13, 0, [0x4D, 0x00, 0x00, 0x00, 0x00, 0x0D]),
        (16, 32, [0x50, 0x00, 0x00, 0x00, 0x20, 0x5D]),
        (16, 512, [0x50, 0x00, 0x00, 0x02, 0x00, 0x15]),
        (34, 1, [0x62, 0x00, 0x00, 0x00, 0x01, 0x15]),
        (35, 1, [0x63, 0x00, 0x00, 0x00, 0x01, 0x79]),
        (36, 0, [0x64, 0x00, 0x00, 0x00, 0x00, 0x7D]),
        (36, 4, [0x64, 0x00, 0x00, 0x00, 0x04, 0x35]),
        (36, 6, [0x64, 0x00, 0x00, 0x00, 0x06, 0x11]),
        (37, 1, [0x65, 0x00, 0x00, 0x00, 0x01, 0x03]),
        (37, 0x101, [0x65, 0x00, 0x00, 0x01, 0x01, 0x15]),
        (55, 0, [0x77, 0x00, 0x00, 0x00, 0x00, 0x65]),
        (41, 0x4000_0000, [0x69, 0x40, 0x00, 0x00, 0x00, 0x77]),
        (58, 0, [0x7A, 0x00, 0x00, 0x00, 0x00, 0xFD]),
        (59, 1, [0x7B, 0x00, 0x00, 0x00, 0x01, 0x83]),
        (59, 0, [0x7B, 0x00, 0x00, 0x00, 0x00, 0x91]),
        (6, 0x00FF_FFFF, [0x46, 0x00, 0xFF, 0xFF, 0xFF, 0xE3]),
        (6, 0x80FF_FF1F, [0x46, 0x80, 0xFF, 0xFF, 0x1F, 0xFB]),
        (6, 0x80FF_FF4F, [0x46, 0x80, 0xFF, 0xFF, 0x4F, 0x01]),
        (6, 0x80FF_FF0F, [0x46, 0x80, 0xFF, 0xFF, 0x0F, 0xC9]),
    ];

    #[test]
    fn commands_are_framed_as_others_frame_them() {
        for &(index, argument, bytes) in FRAMES {
            let command = Command::new(index, argument);
            assert_eq!(command.frame(), Frame(bytes), "{command:?}");
            assert_eq!(Frame(bytes).command(), Ok(command));
        }
    }

    #[test]
    fn every_single_bit_error_in_a_frame_is_noticed() {
        for &(_, _, bytes) in FRAMES {
            for bit in 0..48 {
                let mut bytes = bytes;
                bytes[bit / 8] ^= 0x80 >> (bit % 8);
                assert!(Frame(bytes).command().is_err(), "bit {bit}");
            }
        }
    }

    #[test]
    fn the_kind_follows_from_the_index() {
        let kind = |index, argument| Command::new(index, argument).kind(false);
        assert_eq!(kind(index::SWITCH_FUNC, 0), Kind::Read);
        assert_eq!(kind(index::WRITE_SEC_CMD, 1), Kind::Write);
        assert_eq!(kind(index::SEND_PSI, 0), Kind::Read);
        assert_eq!(kind(index::GEN_CMD, 0), Kind::Write);
        assert_eq!(kind(index::GEN_CMD, 1), Kind::Read);
        assert_eq!(kind(index::CONTROL_ASSD_SYSTEM, 1), Kind::Control);
        assert_eq!(Command::new(6, 0).kind(true), Kind::Control);
        assert_eq!(Command::new(13, 0).kind(true), Kind::Read);
        assert_eq!(Command::new(37, 1).spi_response(false), ResponseKind::R1b);
        assert_eq!(format!("{}", Command::new(36, 4)), "CMD36 SEND_PSI(00000004)");
    }
}
