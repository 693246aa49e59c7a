//! Doubles: a guest's memory in a vector, a small memory card with knobs, and a host that does what drivers do.

mod card;
mod host;

pub(crate) use card::{CSD, Card};
pub(crate) use host::{DATA, Failed, Host, TABLE, Way};

use crate::memory::{GuestMemory, Unreachable};
use std::sync::Mutex;

/// Memory from address 0 on.
pub(crate) struct Ram(Mutex<Vec<u8>>);

impl Ram {
    pub(crate) fn new(size: usize) -> Self {
        Ram(Mutex::new(vec![0; size]))
    }
}

fn range(address: u64, length: usize) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(address).ok()?;
    Some(start..start.checked_add(length)?)
}

impl GuestMemory for Ram {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Unreachable> {
        let unreachable = Unreachable { address, length: bytes.len() };
        let memory = self.0.lock().unwrap();
        let part = range(address, bytes.len()).and_then(|range| memory.get(range)).ok_or(unreachable)?;
        bytes.copy_from_slice(part);
        Ok(())
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Unreachable> {
        let unreachable = Unreachable { address, length: bytes.len() };
        let mut memory = self.0.lock().unwrap();
        let part = range(address, bytes.len()).and_then(|range| memory.get_mut(range)).ok_or(unreachable)?;
        part.copy_from_slice(bytes);
        Ok(())
    }

    fn is_reachable(&self) -> bool {
        !self.0.lock().unwrap().is_empty()
    }
}
