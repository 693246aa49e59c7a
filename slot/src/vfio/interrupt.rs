//! The legacy interrupt line (INTx) on its way to the guest: an event counter that is struck when the line goes up.
//!
//! The line is level-triggered, the counter is not. Each strike therefore masks the line until the monitor says that the
//! guest has looked; if it is still up then, it is struck again (`VFIO_IRQ_INFO_AUTOMASKED` of `linux/vfio.h`).

use rustix::io::Errno;
use std::os::fd::OwnedFd;

const DATA_NONE: u32 = 1 << 0;
const DATA_BOOL: u32 = 1 << 1;
const DATA_EVENTFD: u32 = 1 << 2;
const ACTION_MASK: u32 = 1 << 3;
const ACTION_UNMASK: u32 = 1 << 4;
const ACTION_TRIGGER: u32 = 1 << 5;
const ACTIONS: u32 = ACTION_MASK | ACTION_UNMASK | ACTION_TRIGGER;

/// Flags of the interrupt: by event counter, maskable, masks itself.
pub const FLAGS: u32 = 0b111;

/// The line.
#[derive(Debug, Default)]
pub struct Line {
    counter: Option<OwnedFd>,
    masked: bool,
}

impl Line {
    /// Set-up by the monitor. `descriptors` are those of the message.
    ///
    /// # Errors
    /// `EINVAL`: flags that make no sense, or that have no sense for this line.
    pub fn set(&mut self, flags: u32, count: u32, descriptors: Vec<OwnedFd>) -> Result<(), Errno> {
        let data = flags & (DATA_NONE | DATA_BOOL | DATA_EVENTFD);
        match (flags & ACTIONS, data) {
            (ACTION_TRIGGER, DATA_EVENTFD) if count == 1 => {
                // No descriptor takes the former away.
                self.counter = descriptors.into_iter().next();
                self.masked = false;
            }
            (ACTION_TRIGGER, DATA_NONE) if count == 0 => {
                self.counter = None;
                self.masked = false;
            }
            (ACTION_TRIGGER, DATA_NONE) if count == 1 => self.strike(),
            (ACTION_MASK, DATA_NONE) => self.masked = true,
            (ACTION_UNMASK, DATA_NONE) => self.masked = false,
            _ => return Err(Errno::INVAL),
        }
        Ok(())
    }

    /// Tells the guest of a line that is up, unless it knows.
    pub fn update(&mut self, up: bool) {
        if up && !self.masked && self.counter.is_some() {
            self.masked = true;
            self.strike();
        }
    }

    fn strike(&self) {
        if let Some(counter) = &self.counter {
            // It fails only where the counter is full: the guest has been told often enough.
            let _ = rustix::io::write(counter, &1_u64.to_ne_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{EventfdFlags, eventfd};

    fn counter() -> (OwnedFd, OwnedFd) {
        let counter = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
        (counter.try_clone().unwrap(), counter)
    }

    fn strikes(counter: &OwnedFd) -> u64 {
        let mut bytes = [0; 8];
        rustix::io::read(counter, &mut bytes).map_or(0, |_| u64::from_ne_bytes(bytes))
    }

    #[test]
    fn a_line_that_stays_up_is_struck_once_for_each_unmasking() {
        let (given, counter) = counter();
        let mut line = Line::default();
        line.update(true);
        line.set(DATA_EVENTFD | ACTION_TRIGGER, 1, vec![given]).unwrap();
        line.update(false);
        assert_eq!(strikes(&counter), 0);
        line.update(true);
        line.update(true);
        assert_eq!(strikes(&counter), 1);
        line.set(DATA_NONE | ACTION_UNMASK, 1, Vec::new()).unwrap();
        line.update(true);
        assert_eq!(strikes(&counter), 1);
        line.set(DATA_NONE | ACTION_UNMASK, 1, Vec::new()).unwrap();
        line.update(false);
        assert_eq!(strikes(&counter), 0);
        line.set(DATA_NONE | ACTION_MASK, 1, Vec::new()).unwrap();
        line.update(true);
        assert_eq!(strikes(&counter), 0);
    }

    #[test]
    fn the_counter_can_be_taken_away() {
        let (given, counter) = counter();
        let mut line = Line::default();
        line.set(DATA_EVENTFD | ACTION_TRIGGER, 1, vec![given]).unwrap();
        line.set(DATA_NONE | ACTION_TRIGGER, 0, Vec::new()).unwrap();
        line.update(true);
        assert_eq!(strikes(&counter), 0);
        assert_eq!(line.set(DATA_BOOL | ACTION_TRIGGER, 1, Vec::new()), Err(Errno::INVAL));
        assert_eq!(line.set(u32::MAX, 1, Vec::new()), Err(Errno::INVAL));
    }
}
