//! A synchronous serial port with one SPI device, as in the Intel Quark X1000 (datasheet 329676, chapter "SPI"): the
//! counterpart of the SD slot for who wants `/dev/spidevN` in a guest.
//!
//! It is as small as a driver allows: every byte that is written goes over the bus at once, and what came in waits in a
//! FIFO. There is no DMA, so that a guest needs several register accesses for each byte; a few kilobytes a second is what
//! becomes of it. The chip select of this port is not a register: the card is selected while the port is enabled.

use crate::bay::Receptacle;
use crate::device::{Device, Identity, Pace};
use crate::memory::GuestMemory;
use smcard_link::SpiBus;
use std::collections::VecDeque;
use std::time::Duration;

const IDENTITY: Identity = Identity { vendor: 0x8086, device: 0x0935, class: [0x0C, 0x80, 0x00], revision: 0x10 };
const REGION: u64 = 0x100;
/// Bytes the receive FIFO holds; one less is shown as the transmit FIFO's level when it is full, which stops a driver.
const DEPTH: usize = 32;

const CONTROL0: u64 = 0x00;
const CONTROL1: u64 = 0x04;
const STATUS: u64 = 0x08;
const DATA: u64 = 0x10;

const ENABLE: u32 = 1 << 7;
const RECEIVE_INTERRUPT: u32 = 1 << 0;
const TRANSMIT_INTERRUPT: u32 = 1 << 1;
const RECEIVE_THRESHOLD_SHIFT: u32 = 11;
const THRESHOLD: u32 = 0x1F;
const NOT_FULL: u32 = 1 << 2;
const NOT_EMPTY: u32 = 1 << 3;
const TRANSMIT_REQUEST: u32 = 1 << 5;
const RECEIVE_REQUEST: u32 = 1 << 6;
const OVERRUN: u32 = 1 << 7;
const TRANSMIT_LEVEL_SHIFT: u32 = 8;
const RECEIVE_LEVEL_SHIFT: u32 = 13;

/// ACPI table for a guest that has the port at slot 0x10 of its first PCI bus: one SPI device that `spidev` takes. Its
/// source is `acpi/spidev.asl`.
pub const ACPI_TABLE: &[u8] = include_bytes!("../acpi/spidev.aml");

/// The port, and the card on its bus.
pub struct Port {
    card: Option<Box<dyn SpiBus>>,
    /// Registers without effect keep what is written.
    words: [u32; 64],
    received: VecDeque<u8>,
    overrun: bool,
}

impl Default for Port {
    fn default() -> Self {
        Port::new()
    }
}

impl Port {
    /// A port as after power-on, nothing on its bus.
    #[must_use]
    pub fn new() -> Self {
        Port { card: None, words: [0; 64], received: VecDeque::new(), overrun: false }
    }

    fn word(&self, offset: u64) -> u32 {
        usize::try_from(offset / 4).ok().and_then(|index| self.words.get(index)).copied().unwrap_or(0)
    }

    fn is_enabled(&self) -> bool {
        self.word(CONTROL0) & ENABLE != 0
    }

    fn is_full(&self) -> bool {
        self.received.len() + 1 >= DEPTH
    }

    fn status(&self) -> u32 {
        let level = u32::try_from(self.received.len()).unwrap_or(THRESHOLD).min(THRESHOLD);
        let threshold = self.word(CONTROL1) >> RECEIVE_THRESHOLD_SHIFT & THRESHOLD;
        let mut status = match (self.is_enabled(), self.is_full()) {
            (true, false) => NOT_FULL | TRANSMIT_REQUEST,
            (false, false) => NOT_FULL,
            (_, true) => THRESHOLD << TRANSMIT_LEVEL_SHIFT,
        };
        if level > 0 {
            status |= NOT_EMPTY | level << RECEIVE_LEVEL_SHIFT;
        }
        if self.is_enabled() && level > threshold {
            status |= RECEIVE_REQUEST;
        }
        if self.overrun { status | OVERRUN } else { status }
    }

    fn send(&mut self, byte: u8) {
        if !self.is_enabled() {
            return;
        }
        let mut bytes = [byte];
        // Without a card nothing drives the line: it is pulled up.
        if self.card.as_mut().is_none_or(|card| card.exchange(&mut bytes).is_err()) {
            bytes = [0xFF];
        }
        if self.received.len() >= DEPTH {
            self.overrun = true;
        } else {
            self.received.extend(bytes);
        }
    }

    /// Enabling selects the card, disabling lets it go and empties the FIFO.
    fn enable(&mut self, on: bool) {
        self.received.clear();
        self.overrun = false;
        if let Some(card) = &mut self.card {
            // An emulated card's chip select does not fail; one that does is silent.
            let _ = card.select(on);
        }
    }

    fn set(&mut self, offset: u64, value: u32) {
        match offset {
            STATUS if value & OVERRUN != 0 => self.overrun = false,
            STATUS => {}
            DATA => self.send(value.to_le_bytes()[0]),
            _ => {
                let before = self.is_enabled();
                let place = usize::try_from(offset / 4).ok().and_then(|index| self.words.get_mut(index));
                if let Some(place) = place {
                    *place = value;
                }
                if before != self.is_enabled() {
                    self.enable(!before);
                }
            }
        }
    }
}

impl Device for Port {
    fn identity(&self) -> Identity {
        IDENTITY
    }

    fn region_size(&self) -> u64 {
        REGION
    }

    fn read(&mut self, offset: u64, bytes: &mut [u8]) {
        bytes.fill(0);
        let value = match offset & !3 {
            STATUS => self.status(),
            DATA => self.received.pop_front().unwrap_or(0).into(),
            word => self.word(word),
        };
        for (byte, value) in
            bytes.iter_mut().zip(value.to_le_bytes().into_iter().skip((offset & 3).to_le_bytes()[0].into()))
        {
            *byte = value;
        }
    }

    /// All registers are 32 bits wide and are written as such; the data register may be written by bytes.
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut value = [0; 4];
        for (place, byte) in value.iter_mut().zip(bytes) {
            *place = *byte;
        }
        if bytes.len() == 4 && offset % 4 == 0 || offset == DATA && !bytes.is_empty() {
            self.set(offset, u32::from_le_bytes(value));
        }
    }

    fn reset(&mut self) {
        if self.is_enabled() {
            self.enable(false);
        }
        self.words = [0; 64];
    }

    fn step(&mut self, _: Duration, _: &dyn GuestMemory) -> Pace {
        Pace::Idle
    }

    fn line(&self) -> bool {
        let (status, enabled) = (self.status(), self.word(CONTROL1));
        let transmit = status & TRANSMIT_REQUEST != 0 && enabled & TRANSMIT_INTERRUPT != 0;
        let receive = status & (RECEIVE_REQUEST | OVERRUN) != 0 && enabled & RECEIVE_INTERRUPT != 0;
        self.is_enabled() && (transmit || receive)
    }
}

impl Receptacle for Port {
    type Card = Box<dyn SpiBus>;

    fn insert(&mut self, mut card: Self::Card) {
        let _ = card.select(self.is_enabled());
        self.card = Some(card);
    }

    fn eject(&mut self) -> bool {
        self.card.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    /// Answers each byte with its complement while it is selected.
    #[derive(Clone, Default)]
    struct Echo(Arc<Mutex<(bool, Vec<u8>)>>);

    impl SpiBus for Echo {
        fn select(&mut self, selected: bool) -> io::Result<()> {
            self.0.lock().unwrap().0 = selected;
            Ok(())
        }

        fn exchange(&mut self, bytes: &mut [u8]) -> io::Result<()> {
            let mut state = self.0.lock().unwrap();
            for byte in bytes {
                state.1.push(*byte);
                *byte = if state.0 { !*byte } else { 0xFF };
            }
            Ok(())
        }

        fn set_clock(&mut self, hz: u32) -> io::Result<u32> {
            Ok(hz)
        }

        fn message_max(&self) -> usize {
            4096
        }
    }

    fn get(port: &mut Port, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        port.read(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn set(port: &mut Port, offset: u64, value: u32) {
        port.write(offset, &value.to_le_bytes());
    }

    /// As a driver by interrupts: write while the FIFO is not full, read while there is something.
    fn transfer(port: &mut Port, bytes: &[u8]) -> Vec<u8> {
        set(port, CONTROL1, TRANSMIT_INTERRUPT | RECEIVE_INTERRUPT);
        set(port, CONTROL0, ENABLE | 7);
        let (mut sent, mut received) = (bytes.iter(), Vec::new());
        while received.len() < bytes.len() {
            assert!(port.line());
            while get(port, STATUS) >> TRANSMIT_LEVEL_SHIFT & THRESHOLD != THRESHOLD {
                let Some(byte) = sent.next() else { break };
                set(port, DATA, (*byte).into());
            }
            while get(port, STATUS) & NOT_EMPTY != 0 {
                received.push(get(port, DATA).to_le_bytes()[0]);
            }
        }
        set(port, CONTROL1, 0);
        assert!(!port.line());
        set(port, CONTROL0, 7);
        received
    }

    #[test]
    fn bytes_are_exchanged_while_the_port_is_enabled() {
        let echo = Echo::default();
        let mut port = Port::new();
        let message: Vec<u8> = (0..=255).collect();
        assert_eq!(transfer(&mut port, &message), [0xFF; 256], "nobody there");
        port.insert(Box::new(echo.clone()));
        assert_eq!(transfer(&mut port, &message), message.iter().map(|byte| !byte).collect::<Vec<_>>());
        assert!(!echo.0.lock().unwrap().0, "no longer selected");
        set(&mut port, DATA, 1);
        assert_eq!(echo.0.lock().unwrap().1.len(), 256, "a port that is not enabled sends nothing");
        assert!(port.eject() && !port.eject());
    }

    #[test]
    fn a_driver_that_does_not_read_loses_bytes_and_is_told() {
        let mut port = Port::new();
        set(&mut port, CONTROL0, ENABLE);
        for _ in 0..DEPTH + 1 {
            set(&mut port, DATA, 0);
        }
        assert_eq!(get(&mut port, STATUS) & (OVERRUN | NOT_FULL), OVERRUN);
        set(&mut port, STATUS, OVERRUN);
        assert_eq!(get(&mut port, STATUS) & OVERRUN, 0);
        port.reset();
        assert_eq!(get(&mut port, STATUS), NOT_FULL);
    }

    proptest! {
        #[test]
        fn no_guest_can_break_the_port(
            touches in prop::collection::vec((any::<bool>(), 0_u64..0x104, prop::collection::vec(any::<u8>(), 0..9)), 0..200)
        ) {
            let mut port = Port::new();
            port.insert(Box::new(Echo::default()));
            for (write, offset, mut bytes) in touches {
                if write { port.write(offset, &bytes) } else { port.read(offset, &mut bytes) }
                port.line();
                prop_assert!(port.received.len() <= DEPTH);
            }
        }
    }
}
