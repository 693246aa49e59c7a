//! The card in SPI mode.

mod command;
mod fast;
mod machine;
mod output;

use super::engine::Engine;
use super::plug::{Inspection, Slot, SlotHandle};
use super::time::{BusTime, clock_period};
use machine::Machine;
use smcard_link::SpiBus;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Fastest clock (high speed).
const HZ_MAX: u32 = 50_000_000;
/// Longest wait of one exchange for a secure core that keeps the card busy.
const CORE_WAIT: Duration = Duration::from_micros(500);

/// An emulated card on an SPI bus of its own.
pub struct SpiCard {
    machine: Machine,
    slot: Arc<Slot>,
    time: BusTime,
    pulls: u32,
    message_max: usize,
    bytewise: bool,
    clocked: u64,
}

impl SpiCard {
    pub(super) fn new(engine: Engine, slot: Arc<Slot>, time: BusTime) -> Self {
        let pulls = slot.pulls();
        let machine = Machine::new(engine);
        SpiCard { machine, slot, time, pulls, message_max: 64 << 10, bytewise: false, clocked: 0 }
    }

    /// With another limit for messages, in bytes (at least 1); 64 KiB otherwise.
    #[must_use]
    pub fn with_message_max(mut self, bytes: usize) -> Self {
        self.message_max = bytes.max(1);
        self
    }

    /// With every byte through the byte machine: slower, and the same in every bit.
    #[must_use]
    pub fn bytewise(mut self) -> Self {
        self.bytewise = true;
        self
    }

    /// Pulls the card out and puts it in, from any thread.
    #[must_use]
    pub fn slot(&self) -> SlotHandle {
        SlotHandle::new(&self.slot)
    }

    /// The time of this bus.
    #[must_use]
    pub fn time(&self) -> BusTime {
        self.time.clone()
    }

    /// Bytes clocked so far, selected or not.
    #[must_use]
    pub fn clocked(&self) -> u64 {
        self.clocked
    }

    /// How the card stands inside; for tests.
    #[must_use]
    pub fn inspect(&self) -> Inspection {
        Inspection::of(&self.machine.engine, None)
    }

    /// Looks at the slot; `false`: there is no card.
    fn is_there(&mut self) -> bool {
        let pulls = self.slot.pulls();
        if pulls != self.pulls {
            self.pulls = pulls;
            self.machine.power_off();
            self.machine.power_on();
        }
        self.slot.is_present()
    }
}

impl SpiBus for SpiCard {
    fn select(&mut self, selected: bool) -> io::Result<()> {
        self.machine.selected = selected;
        Ok(())
    }

    fn exchange(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let begun = self.time.picoseconds();
        self.machine.now = self.machine.now.max(begun);
        if !self.is_there() {
            bytes.fill(0xFF);
        } else if self.bytewise {
            for byte in bytes.iter_mut() {
                *byte = self.machine.clock(*byte);
            }
        } else {
            self.machine.exchange(bytes);
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.clocked = self.clocked.saturating_add(length);
        self.time.advance(self.machine.byte_time.saturating_mul(length));
        self.machine.engine.wait_for_core(CORE_WAIT);
        Ok(())
    }

    fn set_clock(&mut self, hz: u32) -> io::Result<u32> {
        let hz = hz.clamp(1, HZ_MAX);
        self.machine.byte_time = 8 * clock_period(hz);
        Ok(hz)
    }

    fn message_max(&self) -> usize {
        self.message_max
    }

    fn power_cycle(&mut self) -> io::Result<bool> {
        self.machine.power_off();
        self.machine.power_on();
        Ok(true)
    }
}
