//! A bus with a card on it that can be counted, cut at any byte, and used by one host after the other.

use crate::traffic::{Response, Traffic};
use smcard_card::sd::SlotHandle;
use smcard_link::sd::index;
use smcard_link::{SdBus, SdResponse, SpiBus, Transfer};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The bus; clones are the same one.
pub struct Line<B>(Arc<Mutex<Inner<B>>>);

struct Inner<B> {
    bus: B,
    traffic: Traffic,
    /// The card is pulled after so many more bytes (SPI) or calls (SD).
    wire: Option<(u64, SlotHandle)>,
    /// CMD55 came directly before.
    application: bool,
    wide: bool,
}

impl<B> Clone for Line<B> {
    fn clone(&self) -> Self {
        Line(Arc::clone(&self.0))
    }
}

impl<B> Line<B> {
    /// A bus.
    pub fn new(bus: B) -> Self {
        Line(Arc::new(Mutex::new(Inner {
            bus,
            traffic: Traffic::default(),
            wire: None,
            application: false,
            wide: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has crossed it.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.lock().traffic
    }

    /// The card is pulled after `steps` more: bytes on SPI; commands, blocks and looks at the busy line on an SD bus.
    pub fn pull_after(&self, steps: u64, slot: SlotHandle) {
        self.lock().wire = Some((steps, slot));
    }

    /// It is not pulled any more. `false`: it has been.
    #[must_use]
    pub fn spare(&self) -> bool {
        self.lock().wire.take().is_some()
    }

    /// Lets somebody look at what is behind it.
    pub fn with<T>(&self, look: impl FnOnce(&mut B) -> T) -> T {
        look(&mut self.lock().bus)
    }
}

impl<B> Inner<B> {
    /// A step on an SD bus.
    fn step(&mut self) {
        self.traffic.steps += 1;
        if let Some((left, slot)) = &mut self.wire {
            if *left == 0 {
                slot.remove();
                self.wire = None;
            } else {
                *left -= 1;
            }
        }
    }
}

impl<B: SpiBus> SpiBus for Line<B> {
    fn select(&mut self, selected: bool) -> io::Result<()> {
        self.lock().bus.select(selected)
    }

    fn exchange(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let inner = &mut *self.lock();
        inner.traffic.spi(bytes);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        match inner.wire.take() {
            Some((left, slot)) if left < length => {
                let (before, after) = bytes.split_at_mut(usize::try_from(left).unwrap_or(0));
                inner.bus.exchange(before)?;
                slot.remove();
                inner.bus.exchange(after)
            }
            wire => {
                inner.wire = wire.map(|(left, slot)| (left - length, slot));
                inner.bus.exchange(bytes)
            }
        }
    }

    fn set_clock(&mut self, hz: u32) -> io::Result<u32> {
        self.lock().bus.set_clock(hz)
    }

    fn message_max(&self) -> usize {
        self.lock().bus.message_max()
    }

    fn power_cycle(&mut self) -> io::Result<bool> {
        self.lock().bus.power_cycle()
    }
}

impl<B: SdBus> SdBus for Line<B> {
    fn command(&mut self, number: u8, argument: u32) -> Option<SdResponse> {
        let inner = &mut *self.lock();
        inner.step();
        let response = inner.bus.command(number, argument);
        let kind = match response {
            None => Response::None,
            Some(SdResponse::Short(_)) => Response::Short,
            Some(SdResponse::Long(_)) => Response::Long,
        };
        inner.traffic.sd_command(number, kind);
        match number {
            index::GO_IDLE_STATE => inner.wide = false,
            index::ACMD_SET_BUS_WIDTH if inner.application && response.is_some() => inner.wide = argument & 3 == 2,
            _ => {}
        }
        inner.application = number == index::APP_CMD;
        response
    }

    fn read_block(&mut self, block: &mut [u8]) -> Transfer {
        let inner = &mut *self.lock();
        inner.step();
        let transfer = inner.bus.read_block(block);
        if matches!(transfer, Transfer::Done | Transfer::Crc) {
            inner.traffic.sd_read(block.len(), inner.wide);
        }
        transfer
    }

    fn write_block(&mut self, block: &[u8]) -> Transfer {
        let inner = &mut *self.lock();
        inner.step();
        let transfer = inner.bus.write_block(block);
        if matches!(transfer, Transfer::Done | Transfer::Crc) {
            inner.traffic.sd_write(block.len(), inner.wide);
        }
        transfer
    }

    fn is_busy(&mut self) -> bool {
        let inner = &mut *self.lock();
        inner.step();
        inner.bus.is_busy()
    }

    fn set_power(&mut self, on: bool) {
        self.lock().bus.set_power(on);
    }

    fn is_present(&mut self) -> bool {
        self.lock().bus.is_present()
    }
}
