//! Time of a bus: what was clocked, what was slept, and, in real use, what has passed.

use smcard_link::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PS_PER_S: u64 = 1_000_000_000_000;
const PS_PER_NS: u64 = 1000;

/// The time that an emulated card and its host share. Clones show the same time.
///
/// *Counted* time stands still by itself: the bus moves it by the bits it carries (bits divided by frequency), a driver
/// by sleeping ([`Clock::sleep`] returns at once). Tests of millions of transfers take no real time and give the same
/// result each time. *System* time is the system's clock, with the clocked bits on top.
///
/// Counted in picoseconds, up to 213 days.
#[derive(Clone, Debug)]
pub struct BusTime {
    counted: Arc<AtomicU64>,
    since: Option<Instant>,
}

impl BusTime {
    /// Time that only clocks and sleeping move.
    #[must_use]
    pub fn counted() -> Self {
        BusTime { counted: Arc::default(), since: None }
    }

    /// The system's time.
    #[must_use]
    pub fn system() -> Self {
        BusTime { counted: Arc::default(), since: Some(Instant::now()) }
    }

    /// Picoseconds since the start.
    pub(crate) fn picoseconds(&self) -> u64 {
        let counted = self.counted.load(Ordering::Relaxed);
        counted.saturating_add(self.since.map_or(0, |since| picoseconds(since.elapsed())))
    }

    /// Moves time by what was clocked.
    pub(crate) fn advance(&self, picoseconds: u64) {
        self.counted.fetch_add(picoseconds, Ordering::Relaxed);
    }
}

impl Clock for BusTime {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.picoseconds() / PS_PER_NS)
    }

    fn sleep(&mut self, time: Duration) {
        match self.since {
            Some(_) => std::thread::sleep(time),
            None => self.advance(picoseconds(time)),
        }
    }
}

/// A duration in picoseconds.
pub(crate) fn picoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).saturating_mul(PS_PER_NS)
}

/// What one clock at `hz` takes; 1 Hz at least.
pub(crate) fn clock_period(hz: u32) -> u64 {
    PS_PER_S / u64::from(hz.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_time_moves_by_clocks_and_by_sleeping_only() {
        let mut time = BusTime::counted();
        let other = time.clone();
        time.sleep(Duration::from_millis(3));
        time.advance(8 * clock_period(25_000_000));
        assert_eq!(other.now(), Duration::from_nanos(3_000_320));
        assert_eq!(clock_period(400_000), 2_500_000);
    }
}
