//! Key sets as the card keeps them: up to three keys of one kind under a version number.
//!
//! The record of a key set is either 48 bytes, three AES-128 keys (images of 0.1.0), or begins with the record version 02:
//! `02 | type | ENC | MAC | DEK`, each key behind a two-byte length, which is 0 for a key that is missing. No record of
//! version 02 is 48 bytes long.

use crate::memory::{Kind, Memory, Reader, Writer};
use crate::scp02::{self, TdesKey};
use crate::scp03::{self, AesKey};
use smcard_flash::Record;
use zeroize::Zeroizing;

const RECORD_VERSION: u8 = 0x02;
const FIRST_RECORD_LEN: usize = 48;
/// Keys of a set: encryption, MAC, data encryption, with the identifiers 1, 2 and 3.
pub(crate) const KEYS: usize = 3;
/// The greatest key version number (GlobalPlatform 2.3.1 section 11.8.2.1).
pub(crate) const VERSION_MAX: u8 = 0x7F;

/// What kind of keys a set holds, as PUT KEY and GET DATA code it (GlobalPlatform 2.3.1 table 11-16).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum KeyType {
    Des = 0x80,
    Aes = 0x88,
}

impl KeyType {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x80 => Some(KeyType::Des),
            0x88 => Some(KeyType::Aes),
            _ => None,
        }
    }

    /// Bytes that keys of this kind may have.
    pub(crate) fn allows(self, length: usize) -> bool {
        match self {
            KeyType::Des => length == 16,
            KeyType::Aes => matches!(length, 16 | 24 | 32),
        }
    }

    /// The check value of a key; `None` for a length that this kind does not have.
    pub(crate) fn check_value(self, key: &[u8]) -> Option<[u8; 3]> {
        Some(match self {
            KeyType::Des => TdesKey::new(key.try_into().ok()?).check_value(),
            KeyType::Aes => AesKey::new(key)?.check_value(),
        })
    }
}

/// A complete key set.
pub(crate) enum StaticKeys {
    Des(scp02::StaticKeys),
    Aes(scp03::StaticKeys),
}

type Key = Zeroizing<Vec<u8>>;

/// The keys of one version.
#[derive(Clone)]
pub(crate) struct KeySet {
    pub(crate) kind: KeyType,
    keys: [Option<Key>; KEYS],
}

impl KeySet {
    pub(crate) fn empty(kind: KeyType) -> Self {
        KeySet { kind, keys: [None, None, None] }
    }

    pub(crate) fn aes(keys: &scp03::StaticKeys) -> Self {
        let keys = [&keys.enc, &keys.mac, &keys.dek].map(|key| Some(Zeroizing::new(key.as_bytes().to_vec())));
        KeySet { kind: KeyType::Aes, keys }
    }

    pub(crate) fn des(keys: &scp02::StaticKeys) -> Self {
        let keys = [&keys.enc, &keys.mac, &keys.dek].map(|key| Some(Zeroizing::new(key.as_bytes().to_vec())));
        KeySet { kind: KeyType::Des, keys }
    }

    /// The set that a record holds; `None` for a damaged one.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let key = |bytes: &[u8]| Some(Zeroizing::new(bytes.to_vec()));
        if bytes.len() == FIRST_RECORD_LEN {
            let keys = [key(reader.raw(16)?), key(reader.raw(16)?), key(reader.raw(16)?)];
            return Some(KeySet { kind: KeyType::Aes, keys });
        }
        if reader.u8()? != RECORD_VERSION {
            return None;
        }
        let mut set = Self::empty(KeyType::from_byte(reader.u8()?)?);
        for place in &mut set.keys {
            let bytes = reader.bytes()?;
            if !bytes.is_empty() {
                *place = set.kind.allows(bytes.len()).then(|| key(bytes))?;
            }
        }
        reader.end()?;
        (!set.is_empty()).then_some(set)
    }

    /// The record to keep. Three AES-128 keys keep the form they always had.
    pub(crate) fn record(&self) -> Record {
        let all: Vec<&[u8]> = self.keys.iter().flatten().map(|key| key.as_slice()).collect();
        let bytes = if self.kind == KeyType::Aes && all.len() == KEYS && all.iter().all(|key| key.len() == 16) {
            all.concat()
        } else {
            let writer = Writer::new().u8(RECORD_VERSION).u8(self.kind as u8);
            let keys = self.keys.iter().map(|key| key.as_ref().map_or(&[][..], |key| key));
            keys.fold(writer, Writer::bytes).finish()
        };
        Record { bytes, extent: None }
    }

    /// The keys for a secure channel; `None` while one is missing.
    pub(crate) fn complete(&self) -> Option<StaticKeys> {
        let [enc, mac, dek] = [self.key(1)?, self.key(2)?, self.key(3)?];
        Some(match self.kind {
            KeyType::Aes => StaticKeys::Aes(scp03::StaticKeys::from_slices(enc, mac, dek)?),
            KeyType::Des => StaticKeys::Des(scp02::StaticKeys::new(
                enc.try_into().ok()?,
                mac.try_into().ok()?,
                dek.try_into().ok()?,
            )),
        })
    }

    /// The key with this identifier (1 to 3).
    pub(crate) fn key(&self, identifier: u8) -> Option<&[u8]> {
        let place = usize::from(identifier).checked_sub(1)?;
        self.keys.get(place)?.as_ref().map(|key| key.as_slice())
    }

    /// Puts a key in its place; false for an identifier that is none of a key set.
    pub(crate) fn put(&mut self, identifier: u8, key: Key) -> bool {
        let place = usize::from(identifier).checked_sub(1).and_then(|place| self.keys.get_mut(place));
        place.is_some_and(|place| {
            *place = Some(key);
            true
        })
    }

    /// Takes a key out of its place.
    pub(crate) fn remove(&mut self, identifier: u8) {
        if let Some(place) = usize::from(identifier).checked_sub(1).and_then(|place| self.keys.get_mut(place)) {
            *place = None;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.iter().all(Option::is_none)
    }

    /// All keys present have the same length.
    pub(crate) fn is_uniform(&self) -> bool {
        let mut lengths = self.keys.iter().flatten().map(|key| key.len());
        let first = lengths.next();
        lengths.all(|length| Some(length) == first)
    }

    /// True where no key of this set is one of `other`'s in the same place.
    pub(crate) fn is_all_new(&self, other: &KeySet) -> bool {
        self.keys.iter().zip(&other.keys).all(|(new, old)| new.is_some() && (new != old))
    }
}

/// The key set of this version as the command in hand may see it (see [`Memory::settled`]).
pub(crate) fn key_set(memory: &Memory, version: u8) -> Option<KeySet> {
    KeySet::read(memory.settled(Kind::Keys.key(u32::from(version)))?)
}

/// All key sets with their versions, lowest first.
pub(crate) fn key_sets(memory: &Memory) -> Vec<(u8, KeySet)> {
    (0..=u8::MAX).filter_map(|version| Some((version, key_set(memory, version)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(kind: KeyType, length: usize, present: [bool; 3]) -> KeySet {
        let mut set = KeySet::empty(kind);
        for (identifier, present) in (1..).zip(present) {
            if present {
                assert!(set.put(identifier, vec![identifier; length].into()));
            }
        }
        set
    }

    #[test]
    fn every_set_comes_back_from_its_record_and_no_two_forms_are_taken_for_each_other() {
        let some = [[true, true, true], [true, false, false], [false, true, true]];
        let kinds = [(KeyType::Des, 16), (KeyType::Aes, 16), (KeyType::Aes, 24), (KeyType::Aes, 32)];
        for (kind, length) in kinds {
            for present in some {
                let kept = set(kind, length, present);
                let record = kept.record();
                let bytes = &record.bytes;
                let first_form = kind == KeyType::Aes && length == 16 && present == [true; 3];
                assert_eq!(bytes.len() == FIRST_RECORD_LEN, first_form);
                let read = KeySet::read(bytes).expect("a set");
                assert!(read.kind == kind && read.keys == kept.keys);
                assert_eq!(read.complete().is_some(), present == [true; 3]);
                for cut in 0..bytes.len() {
                    assert!(KeySet::read(&bytes[..cut]).is_none_or(|_| cut == FIRST_RECORD_LEN), "cut at {cut}");
                }
            }
        }
        assert!(KeySet::read(&KeySet::empty(KeyType::Aes).record().bytes).is_none(), "an empty set is none");
    }

    #[test]
    fn identifiers_are_1_to_3() {
        let mut set = KeySet::empty(KeyType::Des);
        for identifier in [0, 4, 255] {
            assert!(!set.put(identifier, vec![0; 16].into()));
            assert_eq!(set.key(identifier), None);
            set.remove(identifier);
        }
        assert!(set.is_empty());
    }
}
