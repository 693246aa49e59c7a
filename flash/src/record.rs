//! Records, their keys, and sets of changes.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::extent::Extent;

/// The name of a record. By convention the top byte is its kind and the low 24 bits an index; the store only
/// compares it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key(pub u32);

/// What stands under a key: some bytes, and possibly an extent of the data area.
///
/// The bytes may be secret: they never appear in `Debug` and are wiped when the record is dropped.
#[derive(Clone)]
pub struct Record {
    /// The content, kept in the journal and in memory.
    pub bytes: Vec<u8>,
    /// Where more content stands. The same extent may stand in several records.
    pub extent: Option<Extent>,
}

impl fmt::Debug for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Record").field("length", &self.bytes.len()).field("extent", &self.extent).finish()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl ZeroizeOnDrop for Record {}

/// Puts and deletions that a commit applies together or not at all. The last word on a key wins.
#[derive(Default, Debug)]
pub struct Changes {
    /// `None` deletes.
    pub(crate) by_key: BTreeMap<Key, Option<Record>>,
}

impl Changes {
    /// No changes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what stands under `key`.
    pub fn put(&mut self, key: Key, record: Record) {
        self.by_key.insert(key, Some(record));
    }

    /// Removes what stands under `key`, if anything does.
    pub fn delete(&mut self, key: Key) {
        self.by_key.insert(key, None);
    }

    /// Whether there is nothing to apply.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Number of keys concerned.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Adds the changes of `other`, which have the last word.
    pub fn merge(&mut self, other: Changes) {
        self.by_key.extend(other.by_key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(bytes: &[u8]) -> Record {
        Record { bytes: bytes.to_vec(), extent: None }
    }

    #[test]
    fn the_last_word_on_a_key_wins() {
        let mut changes = Changes::new();
        assert!(changes.is_empty());
        changes.put(Key(1), record(b"a"));
        changes.delete(Key(1));
        changes.delete(Key(2));
        changes.put(Key(2), record(b"b"));
        let mut later = Changes::new();
        later.delete(Key(2));
        later.put(Key(3), record(b"c"));
        changes.merge(later);
        assert_eq!(changes.len(), 3);
        let content: Vec<_> =
            changes.by_key.iter().map(|(key, change)| (key.0, change.as_ref().map(|r| r.bytes.clone()))).collect();
        assert_eq!(content, [(1, None), (2, None), (3, Some(b"c".to_vec()))]);
    }

    #[test]
    fn debug_shows_no_content() {
        let mut changes = Changes::new();
        changes.put(Key(0x0100_0000), record(&[0xAB; 7]));
        let shown = format!("{changes:?}");
        assert!(shown.contains("length: 7"), "{shown}");
        assert!(!shown.contains("171") && !shown.to_lowercase().contains("ab, "), "{shown}");
    }
}
