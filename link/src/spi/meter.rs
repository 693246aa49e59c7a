//! What a driver has clocked, to the byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
struct Counts {
    commands: AtomicU64,
    blocks: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// Counts commands, blocks, messages and bytes of an SPI driver. Clones count together, so one can be kept when the driver
/// is given away.
#[derive(Clone, Default)]
pub struct SpiMeter(Arc<Counts>);

fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(u64::try_from(amount).unwrap_or(u64::MAX), Ordering::Relaxed);
}

impl SpiMeter {
    pub(super) fn command(&self) {
        add(&self.0.commands, 1);
    }

    pub(super) fn block(&self) {
        add(&self.0.blocks, 1);
    }

    pub(super) fn message(&self, bytes: usize) {
        add(&self.0.messages, 1);
        add(&self.0.bytes, bytes);
    }

    /// Commands sent, CMD55 among them.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.0.commands.load(Ordering::Relaxed)
    }

    /// Data blocks sent, and those that came.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.0.blocks.load(Ordering::Relaxed)
    }

    /// Messages on the bus: what a system call is spent on.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.0.messages.load(Ordering::Relaxed)
    }

    /// Bytes clocked, eight clocks each, those with chip select high included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }
}
