//! Keys of the card's records: the kind in the top byte, an index below.

use smcard_flash::Key;
use std::ops::RangeInclusive;

/// What a record is about. The numbers are part of the image format and never change their meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// What is fixed when the card is made; index 0. Index 1: the implementation option of SCP02, 55 where it is missing.
    Settings = 0x01,
    /// Life cycle state of the card; index 0.
    LifeCycle = 0x02,
    /// Key sets; index = key version.
    Keys = 0x03,
    /// Sequence counters; index = key version.
    Sequence = 0x04,
    /// Files in the command store; index = file identifier.
    File = 0x05,
    /// Load files; index counts up.
    LoadFile = 0x06,
    /// Applications; index counts up.
    Application = 0x07,
    /// Persistent data of applications; index = that of the application.
    ApplicationData = 0x08,
    /// Data objects of the issuer security domain; index = tag.
    DataObject = 0x09,
    /// The last issue; index 0.
    History = 0x0A,
    /// A LOAD sequence inside an unfinished issue; index 0.
    LoadSession = 0x0B,
    /// Failed authentications in a row; index = key version. There only while there are any.
    Failures = 0x0C,
}

const INDEX_MASK: u32 = 0x00FF_FFFF;
const SHADOW: u32 = 0x8000_0000;

impl Kind {
    /// The key of this kind with an index of at most 24 bits (more are cut off).
    pub(crate) fn key(self, index: u32) -> Key {
        Key(u32::from(self as u8) << 24 | index & INDEX_MASK)
    }

    /// Whether a key is of this kind.
    pub(crate) fn has(self, key: Key) -> bool {
        self.keys().contains(&key)
    }

    /// All keys of this kind.
    pub(crate) fn keys(self) -> RangeInclusive<Key> {
        self.key(0)..=self.key(INDEX_MASK)
    }
}

/// The index of a key.
pub(crate) fn index(key: Key) -> u32 {
    key.0 & INDEX_MASK
}

/// The key under which the record that stood at `key` before an issue is kept.
pub(crate) fn shadow(key: Key) -> Key {
    Key(key.0 | SHADOW)
}

/// The key that a shadow belongs to.
pub(crate) fn shadowed(key: Key) -> Key {
    Key(key.0 & !SHADOW)
}

/// All shadows.
pub(crate) fn shadows() -> RangeInclusive<Key> {
    Key(SHADOW)..=Key(u32::MAX)
}
