//! Faults of a wire, for tests: bit errors either way, lost and surplus bits, a line that sticks, a card that is pulled out.
//!
//! [`FaultySpi`] works on the bits of the byte stream. [`FaultySd`] does what a controller and a card do with theirs: it
//! makes frames and blocks with their checksums, damages them, and lets the checksums decide. Everything is drawn from a
//! seed, so that a run can be repeated.

mod native;
mod spi;

pub use native::{DamagedBus, FaultySd};
pub use spi::FaultySpi;

use super::loss::Draw;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What goes wrong. Rates are "one in so many"; 0 is never.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// Where the drawing starts.
    pub seed: u64,
    /// Bits flipped on their way to the card.
    pub to_card: u32,
    /// Bits flipped on their way from the card.
    pub from_card: u32,
    /// Bytes (SPI) in which a bit is lost or comes twice, in either direction. Both sides are in step again when chip select
    /// is raised.
    pub slips: u32,
    /// The card's data line is low, counted in bytes clocked (SPI) or questions about busy (native).
    pub stuck: Range<u64>,
    /// The card is out: from the middle of this byte (SPI) or before this command or block (native) on; it comes back, as
    /// after power-on, at the end of the range.
    pub removed: Range<u64>,
}

/// What has gone wrong so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FaultCounts {
    /// Bits flipped on their way to the card.
    pub to_card: u64,
    /// Bits flipped on their way from the card.
    pub from_card: u64,
    /// Bits lost or doubled.
    pub slips: u64,
}

#[derive(Default)]
struct Shared {
    paused: AtomicBool,
    to_card: AtomicU64,
    from_card: AtomicU64,
    slips: AtomicU64,
}

/// Looks at a faulty bus, and pauses its random faults, while a driver has it.
#[derive(Clone, Default)]
pub struct FaultHandle(Arc<Shared>);

impl FaultHandle {
    /// No random faults from now on, or again.
    pub fn pause(&self, paused: bool) {
        self.0.paused.store(paused, Ordering::Relaxed);
    }

    /// What has gone wrong so far.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        FaultCounts {
            to_card: self.0.to_card.load(Ordering::Relaxed),
            from_card: self.0.from_card.load(Ordering::Relaxed),
            slips: self.0.slips.load(Ordering::Relaxed),
        }
    }

    fn is_paused(&self) -> bool {
        self.0.paused.load(Ordering::Relaxed)
    }
}

/// Events that come once in so many, far apart or close together as chance has it.
struct Rare {
    one_in: u32,
    draw: Draw,
    /// Places until the next one.
    left: u64,
}

impl Rare {
    fn new(one_in: u32, seed: u64) -> Self {
        let mut rare = Rare { one_in, draw: Draw::new(seed), left: 0 };
        rare.left = rare.gap();
        rare
    }

    /// The gap to the next event, geometrically distributed: the logarithm of a uniform number, its fraction taken for
    /// linear.
    fn gap(&mut self) -> u64 {
        if self.one_in == 0 {
            return u64::MAX;
        }
        let uniform = self.draw.next() | 1;
        let zeros = u64::from(uniform.leading_zeros());
        let fraction = uniform << zeros << 1 >> 48;
        let log2 = (zeros << 16) + (0xFFFF - fraction);
        // ln 2 in 16 bits.
        (((u64::from(self.one_in) * log2) >> 16) * 45_426) >> 16
    }

    /// Goes through `places`; calls `hit` with each place where an event is.
    fn strike(&mut self, places: u64, mut hit: impl FnMut(u64)) -> u64 {
        let (mut at, mut hits) = (0_u64, 0);
        while self.left < places - at {
            at += self.left;
            hit(at);
            hits += 1;
            at += 1;
            self.left = self.gap();
        }
        if self.one_in > 0 {
            self.left -= places - at;
        }
        hits
    }
}

/// Turns one bit of `bytes` over, the most significant first; beyond their end nothing.
fn flip(bytes: &mut [u8], bit: u64) {
    if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|at| bytes.get_mut(at)) {
        *byte ^= 0x80 >> (bit % 8);
    }
}

fn bits(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX / 8) * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_events_are_as_rare_as_said_and_as_scattered() {
        for one_in in [10, 1000] {
            let mut rare = Rare::new(one_in, 42);
            let (mut hits, mut close, mut last) = (0_u64, 0_u64, None::<u64>);
            for message in 0..20_000_u64 {
                rare.strike(u64::from(one_in), |at| {
                    let place = message * u64::from(one_in) + at;
                    close += u64::from(last.is_some_and(|last| place - last <= u64::from(one_in) / 10));
                    last = Some(place);
                    hits += 1;
                });
            }
            assert!((18_000..22_500).contains(&hits), "{hits}");
            // Of exponential gaps a tenth of the mean or less are 9.5 in 100.
            assert!((800..4500).contains(&close), "{close}");
        }
        assert_eq!(Rare::new(0, 1).strike(1 << 40, |_| ()), 0);
    }
}
