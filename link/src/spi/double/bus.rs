//! The card on a bus.

use super::{Card, Traits};
use crate::{Clock, SpiBus};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// The card on its bus, and time that passes with its clock; clones share both.
#[derive(Clone)]
pub(in crate::spi) struct Double {
    card: Arc<Mutex<Card>>,
    message_max: usize,
}

impl Double {
    pub(in crate::spi) fn new(traits: Traits) -> Self {
        Double { card: Arc::new(Mutex::new(Card::new(traits))), message_max: 4096 }
    }

    pub(in crate::spi) fn with_messages_of(mut self, bytes: usize) -> Self {
        self.message_max = bytes;
        self
    }

    pub(in crate::spi) fn card(&self) -> MutexGuard<'_, Card> {
        self.card.lock().expect("no panic before")
    }
}

impl SpiBus for Double {
    fn select(&mut self, selected: bool) -> io::Result<()> {
        self.card().select(selected);
        Ok(())
    }

    fn exchange(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        assert!(bytes.len() <= self.message_max && !bytes.is_empty(), "a message of {} bytes", bytes.len());
        let mut card = self.card();
        for byte in bytes {
            *byte =
                if card.slips == 0 && card.sending.is_none() { card.clock(*byte) } else { card.clock_slipping(*byte) };
            let byte_time = Duration::from_nanos(8_000_000_000 / u64::from(card.hz));
            card.now += byte_time;
        }
        Ok(())
    }

    fn set_clock(&mut self, hz: u32) -> io::Result<u32> {
        self.card().hz = hz;
        Ok(hz)
    }

    fn message_max(&self) -> usize {
        self.message_max
    }
}

impl Clock for Double {
    fn now(&self) -> Duration {
        self.card().now
    }

    fn sleep(&mut self, time: Duration) {
        self.card().now += time;
    }
}
