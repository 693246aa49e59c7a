//! Commits: from a set of changes to the journal, then to memory.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::Store;
use crate::entry;
use crate::error::FlashError;
use crate::io::Barrier;
use crate::layout::index;
use crate::medium::Medium;
use crate::record::{Changes, Key, Record};

impl<M: Medium> Store<M> {
    /// Applies all changes or none. When it returns `Ok` they are durable, and so is everything written to extents
    /// before.
    ///
    /// No changes at all is `Ok` and touches nothing.
    ///
    /// # Errors
    ///
    /// [`FlashError::Full`] if the records would not fit into a journal half, and [`FlashError::DeadExtent`] if one
    /// refers to an extent not in use: nothing changed. [`FlashError::Medium`]: whether the changes were applied is
    /// known only after opening again, until then the store shows the state before them and is mute.
    /// [`FlashError::Mute`].
    pub fn commit(&mut self, changes: Changes) -> Result<(), FlashError> {
        self.speak()?;
        if changes.is_empty() {
            return Ok(());
        }
        let extents = changes.by_key.values().filter_map(|change| change.as_ref()?.extent);
        for extent in extents {
            if !self.space.is_live(extent) {
                return Err(FlashError::DeadExtent { address: extent.address() });
            }
        }
        let live = self.live_after(&changes);
        let full = FlashError::Full { asked: live, largest: self.journal.capacity() };
        if live > self.journal.capacity() {
            return Err(full);
        }
        let (payload, append) = self.payload(&changes, live).ok_or(full)?;
        let written = self.write_commit(&payload, append);
        self.mute_on_error(written)?;
        self.apply(changes, live);
        Ok(())
    }

    /// Bytes of a snapshot after the changes.
    fn live_after(&self, changes: &Changes) -> u64 {
        let gone: u64 = changes.by_key.keys().filter_map(|key| self.records.get(key)).map(entry::put_size).sum();
        let come: u64 = changes.by_key.values().flatten().map(entry::put_size).sum();
        self.live - gone + come
    }

    /// What to write: the changes, to be appended, if they fit into the active half; otherwise all records after them.
    fn payload(&self, changes: &Changes, live: u64) -> Option<(Zeroizing<Vec<u8>>, bool)> {
        let changed = changes.by_key.iter().map(|(&key, change)| (key, change.as_ref()));
        let size = changed.clone().map(|(_, change)| entry::change_size(change)).sum();
        if self.journal.fits(size) {
            return Some((entry::encode(changed, index(size))?, true));
        }
        let mut after: BTreeMap<Key, Option<&Record>> = self.records.iter().map(|(&k, r)| (k, Some(r))).collect();
        after.extend(changed);
        after.retain(|_, record| record.is_some());
        Some((entry::encode(after.into_iter(), index(live))?, false))
    }

    fn write_commit(&mut self, payload: &[u8], append: bool) -> Result<(), FlashError> {
        self.journal.confirm(&mut self.io)?;
        if append {
            if self.unflushed {
                self.io.barrier(Barrier::Extents)?;
            }
            self.journal.append(&mut self.io, payload)?;
        } else {
            self.journal.compact(&mut self.io, payload)?;
            self.io.stats.compactions += 1;
        }
        self.unflushed = false;
        self.io.stats.commits += 1;
        self.io.stats.journal_fill = self.io.stats.journal_fill.max(self.journal.fill());
        Ok(())
    }

    /// Brings the changes to memory.
    fn apply(&mut self, changes: Changes, live: u64) {
        for extent in changes.by_key.values().filter_map(|change| change.as_ref()?.extent) {
            self.space.refer(extent);
        }
        for (key, change) in changes.by_key {
            let old = match change {
                Some(record) => self.records.insert(key, record),
                None => self.records.remove(&key),
            };
            if let Some(extent) = old.and_then(|record| record.extent) {
                self.space.unrefer(extent);
            }
        }
        self.live = live;
    }
}
