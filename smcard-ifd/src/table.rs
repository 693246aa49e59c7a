//! The readers pcscd has opened, by its number for them (upper half the reader, lower half the slot).

use crate::abi::DWORD;
use crate::reader::Reader;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most readers at a time.
pub(crate) const READERS_MAX: u8 = 16;

static READERS: Mutex<BTreeMap<DWORD, Arc<Reader>>> = Mutex::new(BTreeMap::new());

/// The reader of this number.
pub(crate) fn reader(lun: DWORD) -> Option<Arc<Reader>> {
    lock().get(&(lun >> 16)).cloned().filter(|_| lun & 0xFFFF == 0)
}

/// Enters a reader in the place of one that was left open; false where there are too many.
pub(crate) fn insert(lun: DWORD, reader: Reader) -> bool {
    let mut readers = lock();
    let room = readers.len() < usize::from(READERS_MAX) || readers.contains_key(&(lun >> 16));
    if room {
        readers.insert(lun >> 16, Arc::new(reader));
    }
    room
}

/// Takes a reader out. A call that has it in hand ends first.
pub(crate) fn remove(lun: DWORD) -> Option<Arc<Reader>> {
    lock().remove(&(lun >> 16))
}

fn lock() -> MutexGuard<'static, BTreeMap<DWORD, Arc<Reader>>> {
    READERS.lock().unwrap_or_else(PoisonError::into_inner)
}
