//! The simulator under a card: lent to it, and handed back when the card is gone.

use smcard_flash::Medium;
use smcard_flash::sim::{Fault, Simulator};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// What a card holds: the simulator, which goes back to its [`Lender`] when the card is dropped.
pub struct Lent {
    simulator: Simulator,
    back: Sender<Simulator>,
    orders: Arc<Orders>,
}

/// What the lender wants done before the next call.
#[derive(Default)]
struct Orders {
    waiting: AtomicBool,
    /// The failed call is forgiven; and perhaps another is to fail.
    next: Mutex<Option<Option<Fault>>>,
}

/// The other end.
pub struct Lender {
    back: Receiver<Simulator>,
    orders: Arc<Orders>,
}

impl Lender {
    /// Lends a simulator.
    #[must_use]
    pub fn lend(simulator: Simulator) -> (Self, Lent) {
        let (sender, back) = channel();
        let orders = Arc::<Orders>::default();
        (Lender { back, orders: Arc::clone(&orders) }, Lent { simulator, back: sender, orders })
    }

    /// The host has recovered: from the next call on the medium serves again, as a process that is started anew finds
    /// it; or fails once more with `fault`.
    pub fn revive(&self, fault: Option<Fault>) {
        *self.orders.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
        self.orders.waiting.store(true, Ordering::Release);
    }

    /// The simulator, once what held it is dropped; `None` if that is not so.
    #[must_use]
    pub fn take_back(self) -> Option<Simulator> {
        self.back.try_recv().ok()
    }
}

impl Lent {
    fn obey(&mut self) {
        if self.orders.waiting.swap(false, Ordering::AcqRel) {
            let order = self.orders.next.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(fault) = order {
                self.simulator.restart();
                if let Some(fault) = fault {
                    self.simulator.arm(0, fault);
                }
            }
        }
    }
}

impl Medium for Lent {
    fn len(&self) -> u64 {
        self.simulator.len()
    }

    fn bytes(&self) -> &[u8] {
        self.simulator.bytes()
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.obey();
        self.simulator.write(offset, data)
    }

    fn barrier(&mut self) -> io::Result<()> {
        self.obey();
        self.simulator.barrier()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let simulator = std::mem::replace(&mut self.simulator, Simulator::from_bytes(Vec::new()));
        // Nobody may be waiting.
        let _ = self.back.send(simulator);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lent_comes_back_and_serves_again() {
        let (lender, mut lent) = Lender::lend(Simulator::new(4096));
        lent.simulator.arm(0, Fault::Error(5));
        assert!(lent.write(0, &[1]).is_err());
        lender.revive(Some(Fault::Error(5)));
        assert!(lent.write(0, &[1]).is_err());
        lender.revive(None);
        lent.write(0, &[1]).expect("revived");
        drop(lent);
        assert_eq!(lender.take_back().expect("dropped").bytes()[0], 1);
    }

    #[test]
    fn what_is_still_held_does_not() {
        let (lender, _lent) = Lender::lend(Simulator::new(4096));
        assert!(lender.take_back().is_none());
    }
}
