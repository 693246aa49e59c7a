//! Faults on SPI.

use super::{FaultHandle, Faults, Rare, bits, flip};
use crate::sd::loss::Draw;
use smcard_link::SpiBus;
use std::io;
use std::sync::atomic::Ordering;

/// A direction whose bytes may lie off the other side's grid.
#[derive(Default)]
struct Lane {
    bits: u64,
    count: u32,
}

impl Lane {
    fn push(&mut self, byte: u8) {
        self.bits = self.bits << 8 | u64::from(byte);
        self.count = (self.count + 8).min(56);
    }

    fn pop(&mut self) -> Option<u8> {
        self.count = self.count.checked_sub(8)?;
        Some((self.bits >> self.count).to_le_bytes()[0])
    }

    /// The bit that came last is lost, or comes twice.
    fn slip(&mut self, doubled: bool) {
        if doubled {
            self.bits = self.bits << 1 | self.bits & 1;
            self.count += 1;
        } else {
            self.bits >>= 1;
            self.count = self.count.saturating_sub(1);
        }
    }

    fn clear(&mut self) {
        self.count = 0;
    }
}

/// An SPI bus with faults. The card behind it must have a supply that can be switched ([`SpiBus::power_cycle`]) where it is
/// to be pulled out.
pub struct FaultySpi<B> {
    bus: B,
    handle: FaultHandle,
    faults: Faults,
    to_card: Rare,
    from_card: Rare,
    slips: Rare,
    draw: Draw,
    inward: Lane,
    outward: Lane,
    clocked: u64,
    selected: bool,
    out: bool,
}

impl<B: SpiBus> FaultySpi<B> {
    /// Puts faults on a bus.
    pub fn new(bus: B, faults: Faults) -> Self {
        FaultySpi {
            bus,
            handle: FaultHandle::default(),
            to_card: Rare::new(faults.to_card, faults.seed ^ 1),
            from_card: Rare::new(faults.from_card, faults.seed ^ 2),
            slips: Rare::new(faults.slips, faults.seed ^ 3),
            draw: Draw::new(faults.seed ^ 4),
            faults,
            inward: Lane::default(),
            outward: Lane::default(),
            clocked: 0,
            selected: false,
            out: false,
        }
    }

    /// Looks at the faults, and pauses them.
    #[must_use]
    pub fn handle(&self) -> FaultHandle {
        self.handle.clone()
    }

    /// The bus behind the faults.
    pub fn bus(&self) -> &B {
        &self.bus
    }

    /// Clocks bytes while the card is out: time passes, nobody is there.
    fn without_card(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.bus.exchange(bytes)?;
        bytes.fill(0xFF);
        Ok(())
    }

    fn pull(&mut self) -> io::Result<()> {
        self.bus.select(false)?;
        self.bus.power_cycle()?;
        self.out = true;
        Ok(())
    }

    fn insert(&mut self) -> io::Result<()> {
        self.bus.power_cycle()?;
        self.bus.select(self.selected)?;
        self.out = false;
        Ok(())
    }

    /// Bytes that lie wholly before or wholly behind a removal.
    fn carry(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        if self.out {
            return self.without_card(bytes);
        }
        if self.handle.is_paused() {
            return self.bus.exchange(bytes);
        }
        let total = bits(bytes.len());
        let flipped = self.to_card.strike(total, |bit| flip(bytes, bit));
        self.handle.0.to_card.fetch_add(flipped, Ordering::Relaxed);
        let mut slipped = Vec::new();
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.slips.strike(length, |at| slipped.push(at));
        if slipped.is_empty() && self.inward.count == 0 && self.outward.count == 0 {
            self.bus.exchange(bytes)?;
        } else {
            self.carry_slipping(bytes, &slipped)?;
        }
        let flipped = self.from_card.strike(total, |bit| flip(bytes, bit));
        self.handle.0.from_card.fetch_add(flipped, Ordering::Relaxed);
        Ok(())
    }

    fn carry_slipping(&mut self, bytes: &mut [u8], slipped: &[u64]) -> io::Result<()> {
        for (byte, at) in bytes.iter_mut().zip(0_u64..) {
            self.inward.push(*byte);
            let slips = slipped.contains(&at).then(|| self.draw.below(4));
            if let Some(kind @ (0 | 1)) = slips {
                self.inward.slip(kind == 0);
            }
            while let Some(byte) = self.inward.pop() {
                let mut byte = [byte];
                self.bus.exchange(&mut byte)?;
                self.outward.push(byte[0]);
            }
            if let Some(kind @ 2..) = slips {
                self.outward.slip(kind == 2);
            }
            if self.outward.count < 8 {
                self.outward.push(0xFF);
            }
            *byte = self.outward.pop().unwrap_or(0xFF);
            self.handle.0.slips.fetch_add(u64::from(slips.is_some()), Ordering::Relaxed);
        }
        Ok(())
    }

    /// One byte, in the middle of which the card is pulled out: the card never sees it whole.
    fn tear(&mut self, byte: &mut u8) -> io::Result<()> {
        self.pull()?;
        let seen = self.draw.below(8);
        *byte = 0xFF >> seen | self.draw.next().to_le_bytes()[0];
        Ok(())
    }

    fn stick(&self, bytes: &mut [u8], first: u64) {
        for (byte, at) in bytes.iter_mut().zip(first..) {
            if self.faults.stuck.contains(&at) {
                *byte = 0x00;
            }
        }
    }
}

impl<B: SpiBus> SpiBus for FaultySpi<B> {
    fn select(&mut self, selected: bool) -> io::Result<()> {
        self.selected = selected;
        self.inward.clear();
        self.outward.clear();
        if self.out { Ok(()) } else { self.bus.select(selected) }
    }

    fn exchange(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let first = self.clocked;
        let mut rest = &mut *bytes;
        while !rest.is_empty() {
            let removed = &self.faults.removed;
            let length = u64::try_from(rest.len()).unwrap_or(u64::MAX);
            // Up to the next byte at which the card goes or comes.
            let edge = [removed.start, removed.end].into_iter().filter(|edge| *edge > self.clocked).min();
            if removed.contains(&self.clocked) && !self.out {
                let (byte, behind) = rest.split_at_mut(1);
                self.tear(&mut byte[0])?;
                self.clocked += 1;
                rest = behind;
                continue;
            }
            if self.out && !removed.contains(&self.clocked) {
                self.insert()?;
            }
            let size = edge.map_or(length, |edge| length.min(edge - self.clocked));
            let (piece, behind) = rest.split_at_mut(usize::try_from(size).unwrap_or(usize::MAX).max(1));
            self.carry(piece)?;
            self.clocked += size.max(1);
            rest = behind;
        }
        if self.faults.stuck.start < self.clocked && first < self.faults.stuck.end {
            self.stick(bytes, first);
        }
        Ok(())
    }

    fn set_clock(&mut self, hz: u32) -> io::Result<u32> {
        self.bus.set_clock(hz)
    }

    fn message_max(&self) -> usize {
        self.bus.message_max()
    }

    fn power_cycle(&mut self) -> io::Result<bool> {
        self.bus.power_cycle()
    }
}
