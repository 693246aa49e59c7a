//! What the controller has to report, and whether its interrupt line is up.

use super::registers::interrupt;

/// Interrupt status, status enable and signal enable (section 1.8 of the specification): an event that is not enabled is
/// not remembered; one that is remembered raises the line only where its signal is enabled.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Interrupts {
    status: u32,
    enable: u32,
    signal: u32,
}

impl Interrupts {
    /// An event has happened.
    pub(crate) fn raise(&mut self, events: u32) {
        self.status |= events & self.enable;
    }

    /// The status word: bit 15 is the sum of the errors.
    pub(crate) fn status(&self) -> u32 {
        let error = if self.status & interrupt::ERRORS == 0 { 0 } else { interrupt::ERROR };
        self.status | error
    }

    /// Status bits are cleared by writing ones.
    pub(crate) fn clear(&mut self, ones: u32) {
        self.status &= !ones;
    }

    pub(crate) fn enable(&self) -> u32 {
        self.enable
    }

    /// What is disabled is forgotten.
    pub(crate) fn set_enable(&mut self, value: u32) {
        self.enable = value & interrupt::ALL;
        self.status &= self.enable;
    }

    pub(crate) fn signal(&self) -> u32 {
        self.signal
    }

    pub(crate) fn set_signal(&mut self, value: u32) {
        self.signal = value & interrupt::ALL;
    }

    /// True while the line is up.
    pub(crate) fn line(&self) -> bool {
        self.status & self.signal != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrupt::{COMMAND_COMPLETE, DATA_CRC, ERROR, REMOVED, TRANSFER_COMPLETE};

    #[test]
    fn only_enabled_events_are_remembered_and_only_signalled_ones_are_heard() {
        let mut interrupts = Interrupts::default();
        interrupts.raise(COMMAND_COMPLETE);
        interrupts.set_enable(COMMAND_COMPLETE | TRANSFER_COMPLETE);
        assert_eq!(interrupts.status(), 0);
        interrupts.raise(COMMAND_COMPLETE | REMOVED);
        assert_eq!((interrupts.status(), interrupts.line()), (COMMAND_COMPLETE, false));
        interrupts.set_signal(u32::MAX);
        assert!(interrupts.line());
        interrupts.clear(COMMAND_COMPLETE);
        assert!(!interrupts.line());
    }

    #[test]
    fn the_error_bit_is_the_sum_of_the_errors() {
        let mut interrupts = Interrupts::default();
        interrupts.set_enable(u32::MAX);
        interrupts.raise(DATA_CRC);
        assert_eq!(interrupts.status(), DATA_CRC | ERROR);
        interrupts.clear(ERROR);
        assert_eq!(interrupts.status(), DATA_CRC | ERROR, "read-only");
        interrupts.clear(DATA_CRC);
        assert_eq!(interrupts.status(), 0);
    }

    #[test]
    fn what_is_disabled_is_forgotten() {
        let mut interrupts = Interrupts::default();
        interrupts.set_enable(REMOVED);
        interrupts.raise(REMOVED);
        interrupts.set_enable(0);
        interrupts.set_enable(REMOVED);
        assert_eq!(interrupts.status(), 0);
    }
}
