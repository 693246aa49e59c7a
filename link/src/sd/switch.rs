//! CMD6: the function groups of a card (PLSS section 4.3.10).

/// Functions of group 2, the command system, that this crate knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Function {
    /// Memory only.
    Default = 0,
    /// "eC": McEX, ASSD 1.x.
    Assd1 = 1,
    /// ASSD 2.x.
    Assd2 = 4,
}

impl Function {
    /// The function with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Function::Default),
            1 => Some(Function::Assd1),
            4 => Some(Function::Assd2),
            _ => None,
        }
    }
}

/// The argument of CMD6, group by group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SwitchArgument(pub u32);

impl SwitchArgument {
    /// Asks for everything, changes nothing.
    pub const QUERY: SwitchArgument = SwitchArgument(0x00FF_FFFF);

    /// Sets group 2 to `function` and leaves the others.
    #[must_use]
    pub const fn set(function: Function) -> Self {
        SwitchArgument(0x80FF_FF0F | (function as u32) << 4)
    }

    /// True: set; false: check only.
    #[must_use]
    pub const fn is_set(self) -> bool {
        self.0 >> 31 == 1
    }

    /// The function asked for in `group` (1..=6); 15 keeps the current one.
    #[must_use]
    pub fn group(self, group: u8) -> u8 {
        let shift = u32::from(group.clamp(1, 6) - 1) * 4;
        (self.0 >> shift & 0xF).to_be_bytes()[3]
    }
}

/// The 64 bytes that a card answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SwitchStatus(pub [u8; 64]);

/// Result of a group that cannot be switched so: nothing was switched then, in no group.
pub const NOT_POSSIBLE: u8 = 0xF;

impl SwitchStatus {
    /// An answer with nothing in it: structure version 1, every bitmap empty.
    #[must_use]
    pub fn new() -> Self {
        let mut bytes = [0; 64];
        bytes[17] = 1;
        SwitchStatus(bytes)
    }

    /// Largest current in mA; 0 where the request cannot be met.
    #[must_use]
    pub const fn current(&self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    /// Sets the largest current.
    pub fn set_current(&mut self, milliamperes: u16) {
        [self.0[0], self.0[1]] = milliamperes.to_be_bytes();
    }

    /// Bitmap of the functions that `group` (1..=6) supports.
    #[must_use]
    pub fn supported(&self, group: u8) -> u16 {
        let at = 2 + 2 * usize::from(6 - group.clamp(1, 6));
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }

    /// Sets that bitmap.
    pub fn set_supported(&mut self, group: u8, functions: u16) {
        let at = 2 + 2 * usize::from(6 - group.clamp(1, 6));
        [self.0[at], self.0[at + 1]] = functions.to_be_bytes();
    }

    /// The function of `group` (1..=6) that is or would be in force; [`NOT_POSSIBLE`] where it cannot be.
    #[must_use]
    pub fn result(&self, group: u8) -> u8 {
        let group = group.clamp(1, 6);
        let byte = self.0[14 + usize::from(6 - group) / 2];
        if group % 2 == 0 { byte >> 4 } else { byte & 0xF }
    }

    /// Sets that result.
    pub fn set_result(&mut self, group: u8, function: u8) {
        let group = group.clamp(1, 6);
        let byte = &mut self.0[14 + usize::from(6 - group) / 2];
        *byte = if group % 2 == 0 { *byte & 0x0F | function << 4 } else { *byte & 0xF0 | function & 0xF };
    }

    /// True where the card says that the busy bitmaps are valid and `function` (0..=15) of `group` (1..=6) is busy.
    #[must_use]
    pub fn is_busy(&self, group: u8, function: u8) -> bool {
        let at = 18 + 2 * usize::from(6 - group.clamp(1, 6));
        self.0[17] == 1 && u16::from_be_bytes([self.0[at], self.0[at + 1]]) >> (function & 0xF) & 1 == 1
    }

    /// Marks a function busy.
    pub fn set_busy(&mut self, group: u8, function: u8) {
        let at = 18 + 2 * usize::from(6 - group.clamp(1, 6));
        let busy = u16::from_be_bytes([self.0[at], self.0[at + 1]]) | 1 << (function & 0xF);
        [self.0[at], self.0[at + 1]] = busy.to_be_bytes();
    }
}

impl Default for SwitchStatus {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_those_that_drivers_send() {
        assert_eq!(SwitchArgument::set(Function::Assd1), SwitchArgument(0x80FF_FF1F));
        assert_eq!(SwitchArgument::set(Function::Assd2), SwitchArgument(0x80FF_FF4F));
        assert_eq!(SwitchArgument::set(Function::Default), SwitchArgument(0x80FF_FF0F));
        assert_eq!(SwitchArgument(0x8012_3456).group(6), 1);
        assert_eq!(SwitchArgument(0x8012_3456).group(2), 5);
        assert!(SwitchArgument(0x8012_3456).is_set() && !SwitchArgument::QUERY.is_set());
    }

    /// Bytes as PLSS table 4-11 places them.
    #[test]
    fn the_status_has_its_fields_where_the_specification_puts_them() {
        let mut status = SwitchStatus::new();
        status.set_current(100);
        status.set_supported(2, 0x8013);
        status.set_supported(1, 0x8003);
        status.set_result(2, 4);
        status.set_result(1, 1);
        status.set_result(6, 0xF);
        status.set_busy(2, 4);
        assert_eq!(status.0[..2], [0, 100]);
        assert_eq!(status.0[10..14], [0x80, 0x13, 0x80, 0x03]);
        assert_eq!(status.0[14..18], [0xF0, 0x00, 0x41, 0x01]);
        assert_eq!(status.0[26..28], [0x00, 0x10]);
        assert_eq!((status.result(2), status.result(1), status.result(6)), (4, 1, NOT_POSSIBLE));
        assert!(status.is_busy(2, 4) && !status.is_busy(2, 1));
        status.0[17] = 0;
        assert!(!status.is_busy(2, 4));
    }
}
