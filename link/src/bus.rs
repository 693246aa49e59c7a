//! The two buses a card can hang on, as a host controller sees them: the native SD bus and SPI.
//!
//! The drivers of this crate and the emulated card meet here, so that one driver serves the desk and the handset. A bus
//! knows nothing of secure commands; it carries frames, blocks and bytes.

use std::io;
use std::time::{Duration, Instant};

/// What a card sends on the command line after a command (SD Physical Layer Simplified Specification section 4.9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SdResponse {
    /// A 48-bit response: bits 39..8, that is the card status of R1, the OCR of R3, RCA and status of R6, the echo of R7.
    Short(u32),
    /// A 136-bit response (R2): the CID or CSD register, its checksum byte included.
    Long([u8; 16]),
}

/// How the transfer of one data block went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Transfer {
    /// The block has passed, its checksum was right.
    Done,
    /// The card is not ready for it: ask again until the host's time limit has passed.
    Wait,
    /// The checksum was wrong; a card does not use such a block.
    Crc,
    /// The card neither sends nor takes a block here: it is not in a data state, or not there.
    Nothing,
}

/// A card on a native SD bus (1 or 4 bits), as a host controller drives it.
///
/// Checksums are the bus's business: a command that arrives damaged gets no response, a damaged response counts as none,
/// a damaged block is [`Transfer::Crc`].
pub trait SdBus: Send {
    /// Sends a command (index 0..=63) with its argument. `None`: no response, be it that the command has none (CMD0,
    /// CMD4, CMD15), that the card does not know it in its state (SD has no other way to say so), or that there is no card.
    fn command(&mut self, index: u8, argument: u32) -> Option<SdResponse>;

    /// Takes the next block that the card sends after a read command. `block` is as long as the command's block length.
    fn read_block(&mut self, block: &mut [u8]) -> Transfer;

    /// Sends the next block after a write command.
    fn write_block(&mut self, block: &[u8]) -> Transfer;

    /// True while the card holds DAT0 low: after a written block or a command with R1b.
    fn is_busy(&mut self) -> bool;

    /// Switches the card's supply. Off and on again is a power cycle.
    fn set_power(&mut self, on: bool);

    /// True while a card is in the slot.
    fn is_present(&mut self) -> bool;
}

/// A card on an SPI bus of its own, mode 0, most significant bit first.
pub trait SpiBus: Send {
    /// Drives chip select: true = low (the card listens). Takes effect with the next [`SpiBus::exchange`]; the level is
    /// kept between exchanges.
    ///
    /// # Errors
    /// The controller.
    fn select(&mut self, selected: bool) -> io::Result<()>;

    /// Clocks `bytes` out and puts what came in into their place.
    ///
    /// # Errors
    /// The controller; the card cannot fail here, it can only be silent (`FF`).
    fn exchange(&mut self, bytes: &mut [u8]) -> io::Result<()>;

    /// Asks for a clock and says which one it is, in Hz: the same or a lower one.
    ///
    /// # Errors
    /// The controller.
    fn set_clock(&mut self, hz: u32) -> io::Result<u32>;

    /// Longest exchange in bytes; longer ones are the driver's to divide.
    fn message_max(&self) -> usize;

    /// Switches the card's supply off and on again. `false`: this bus cannot.
    ///
    /// # Errors
    /// The controller.
    fn power_cycle(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

/// Time as a driver sees it. Limits are kept by it, never by counting loops.
pub trait Clock: Send {
    /// Time since some fixed point.
    fn now(&self) -> Duration;

    /// Lets time pass.
    fn sleep(&mut self, time: Duration);
}

/// The system's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&mut self, time: Duration) {
        std::thread::sleep(time);
    }
}
