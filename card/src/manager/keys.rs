//! PUT KEY (GlobalPlatform 2.3.1 section 11.8) and DELETE of keys (section 11.2): key sets of up to three keys.
//!
//! One command adds or replaces one key or several; all of them or none. A key comes encrypted under the data encryption
//! key: the channel's, or, in a batch, the long-term one of its preparer's key set as it was before the issue.

use super::{ChannelState, Manager, Origin};
use crate::memory::Kind;
use crate::refusal::{Outcome, Refusal, Response, refuse};
use crate::scp::keyset::{self, KEYS, KeySet, KeyType, StaticKeys, VERSION_MAX};
use crate::scp03;
use smcard_batch::{CommandApdu, StatusWord};
use zeroize::Zeroizing;

/// P1: more PUT KEY commands follow. Each is whole in itself.
const MORE: u8 = 0x80;
/// P2: several keys, with identifiers in a row.
const SEVERAL: u8 = 0x80;

/// Fewer bytes than this fill a key to whole blocks.
const FILL_MAX: usize = 16;
/// Longest key block.
const BLOCK_MAX: u8 = 0x7F;

/// A key as it came: identifier, type, value in the clear, its check value.
struct Arrived {
    identifier: u8,
    kind: KeyType,
    value: Zeroizing<Vec<u8>>,
    check: [u8; 3],
}

impl Manager {
    pub(super) fn put_key(&mut self, origin: Origin, command: &CommandApdu<'_>) -> Outcome {
        let (old, first) = (command.p1 & !MORE, command.p2 & !SEVERAL);
        let (&new, fields) = command.data.split_first().ok_or(StatusWord::WRONG_DATA)?;
        if !(1..=VERSION_MAX).contains(&new) {
            log::info!("PUT KEY: {new:02X} is no key version");
            return refuse(StatusWord::WRONG_DATA);
        }
        let arrived = self.arrived_keys(origin, first, command.p2 & SEVERAL != 0, fields)?;
        let before = if old == 0 { None } else { Some(self.replaced_set(old, &arrived)?) };
        let set = self.merged_set(old, new, &arrived)?;
        let all_new = before.as_ref().is_none_or(|before| set.is_all_new(before));
        if let (Some(mut rest), true) = (before, old != new) {
            arrived.iter().for_each(|key| rest.remove(key.identifier));
            self.keep_set(old, &rest);
        }
        self.keep_set(new, &set);
        self.stays_open(old)?;
        if origin == Origin::Interface {
            self.renew_counters(old, new, all_new);
        }
        let mut response = vec![new];
        arrived.iter().for_each(|key| response.extend_from_slice(&key.check));
        log::info!("PUT KEY: {} key(s) of version {new:02X}", arrived.len());
        Ok(Response::data(response))
    }

    /// DELETE of keys: `D0` identifier, `D2` version, or both.
    pub(super) fn delete_keys(&mut self, objects: &[(u16, &[u8])]) -> Outcome {
        let byte = |wanted: u16| -> Result<Option<u8>, Refusal> {
            match objects.iter().filter(|(tag, _)| *tag == wanted).map(|(_, value)| *value).collect::<Vec<_>>()[..] {
                [] => Ok(None),
                [[byte]] => Ok(Some(*byte)),
                _ => refuse(StatusWord::WRONG_DATA),
            }
        };
        let (identifier, version) = (byte(0xD0)?, byte(0xD2)?);
        if objects.iter().any(|(tag, _)| !matches!(tag, 0xD0 | 0xD2)) {
            return refuse(StatusWord::WRONG_DATA);
        }
        let mut deleted = 0;
        for (number, mut set) in keyset::key_sets(&self.memory) {
            if version.is_some_and(|version| version != number) {
                continue;
            }
            let wanted =
                |present: &u8| identifier.is_none_or(|wanted| wanted == *present) && set.key(*present).is_some();
            let going: Vec<u8> = (1..=3).filter(wanted).collect();
            going.iter().for_each(|identifier| set.remove(*identifier));
            if !going.is_empty() {
                self.keep_set(number, &set);
                deleted += going.len();
            }
        }
        if deleted == 0 {
            log::info!("DELETE: no key {identifier:02X?} of version {version:02X?} on the card");
            return refuse(StatusWord::REFERENCE_NOT_FOUND);
        }
        self.stays_open(version.unwrap_or(0))?;
        log::info!("DELETE: {deleted} key(s)");
        Ok(Response::data(vec![0x00]))
    }

    /// The key data fields in the clear, checked (tables 11-68 to 11-71).
    fn arrived_keys(
        &self,
        origin: Origin,
        first: u8,
        several: bool,
        mut fields: &[u8],
    ) -> Result<Vec<Arrived>, Refusal> {
        let mut keys = Vec::new();
        while !fields.is_empty() {
            let identifier = u8::try_from(keys.len()).ok().and_then(|count| first.checked_add(count));
            let identifier = identifier.filter(|identifier| (1..=KEYS).contains(&usize::from(*identifier)));
            let Some(identifier) = identifier else {
                log::info!("PUT KEY: keys of a secure channel have the identifiers 1 to 3");
                return refuse(StatusWord::WRONG_DATA);
            };
            let (key, rest) = self.arrived_key(origin, identifier, fields)?;
            keys.push(key);
            fields = rest;
        }
        if keys.is_empty() || (!several && keys.len() > 1) {
            return refuse(StatusWord::WRONG_DATA);
        }
        Ok(keys)
    }

    fn arrived_key<'a>(
        &self,
        origin: Origin,
        identifier: u8,
        fields: &'a [u8],
    ) -> Result<(Arrived, &'a [u8]), Refusal> {
        let (Field { kind, block, check: given }, rest) = key_field(fields).ok_or(StatusWord::WRONG_DATA)?;
        let Some(kind) = KeyType::from_byte(kind) else {
            log::info!("PUT KEY: keys of type {kind:02X} are not served");
            return refuse(StatusWord::WRONG_DATA);
        };
        // Either the bare cryptogram (table 11-71), or behind the length of the key where it may have been filled (11-70).
        let (length, encrypted) = match block.split_first() {
            Some((&length, encrypted)) if !kind.allows(block.len()) => (usize::from(length), encrypted),
            _ => (block.len(), block),
        };
        let fill = encrypted.len().checked_sub(length).filter(|fill| *fill < FILL_MAX);
        if !kind.allows(length) || fill.is_none() {
            log::info!("PUT KEY: {length} bytes are no key of type {:02X}", kind as u8);
            return refuse(StatusWord::WRONG_DATA);
        }
        let mut value = self.decrypted_key(origin, encrypted)?;
        value.truncate(length);
        let check = kind.check_value(&value).ok_or(StatusWord::WRONG_DATA)?;
        if !given.is_empty() && given != check {
            log::info!("PUT KEY: the check value of key {identifier} is another");
            return refuse(StatusWord::SECURITY_NOT_SATISFIED);
        }
        Ok((Arrived { identifier, kind, value, check }, rest))
    }

    fn decrypted_key(&self, origin: Origin, encrypted: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let value = match (origin, &self.context.channel) {
            (Origin::Interface, ChannelState::Open(channel)) => channel.decrypt_key(encrypted),
            (Origin::Interface, _) => return refuse(StatusWord::SECURITY_NOT_SATISFIED),
            (Origin::Issuer, _) => match self.preparers_keys() {
                Some(StaticKeys::Aes(keys)) => scp03::decrypt_key(&keys.dek, encrypted),
                Some(StaticKeys::Des(_)) => {
                    log::info!("PUT KEY in a batch: SCP02 encrypts keys for one session only, a batch needs SCP03");
                    return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
                }
                None => {
                    log::info!("PUT KEY in a batch: the key set of its preparer is not on the card any more");
                    return refuse(StatusWord::REFERENCE_NOT_FOUND);
                }
            },
        };
        Ok(value.ok_or(StatusWord::WRONG_DATA)?)
    }

    /// The key set under whose authority the batch runs, as it was before the issue.
    fn preparers_keys(&self) -> Option<StaticKeys> {
        let version = self.context.authority?;
        KeySet::read(self.memory.before_issue(Kind::Keys.key(u32::from(version)))?)?.complete()
    }

    /// The set that P1 names, which has all the keys that are to be replaced.
    fn replaced_set(&self, old: u8, arrived: &[Arrived]) -> Result<KeySet, Refusal> {
        let set = keyset::key_set(&self.memory, old);
        let Some(set) = set.filter(|set| arrived.iter().all(|key| set.key(key.identifier).is_some())) else {
            log::info!("PUT KEY: the keys to replace, of version {old:02X}, are not all on the card");
            return refuse(StatusWord::REFERENCE_NOT_FOUND);
        };
        Ok(set)
    }

    /// The set of the new version with the keys that have come.
    fn merged_set(&self, old: u8, new: u8, arrived: &[Arrived]) -> Result<KeySet, Refusal> {
        let kind = arrived.first().map_or(KeyType::Aes, |key| key.kind);
        let mut set = keyset::key_set(&self.memory, new).unwrap_or_else(|| KeySet::empty(kind));
        let clash = arrived.iter().find(|key| set.key(key.identifier).is_some());
        if let Some(key) = clash.filter(|_| old != new) {
            log::info!("PUT KEY: key {} of version {new:02X} is on the card already", key.identifier);
            return refuse(StatusWord::WRONG_DATA);
        }
        arrived.iter().for_each(|key| set.remove(key.identifier));
        if set.is_empty() {
            set.kind = kind;
        }
        let same_kind = arrived.iter().all(|key| key.kind == set.kind);
        let placed = arrived.iter().all(|key| set.put(key.identifier, key.value.clone()));
        if !same_kind || !placed || !set.is_uniform() {
            log::info!("PUT KEY: the keys of version {new:02X} would not be of one type and length");
            return refuse(StatusWord::WRONG_DATA);
        }
        Ok(set)
    }

    fn keep_set(&mut self, version: u8, set: &KeySet) {
        let key = Kind::Keys.key(u32::from(version));
        if set.is_empty() {
            self.memory.delete(key);
        } else {
            self.memory.put(key, set.record());
        }
    }

    /// A card without a complete key set would be nobody's for ever.
    fn stays_open(&self, version: u8) -> Result<(), Refusal> {
        if keyset::key_sets(&self.memory).iter().any(|(_, set)| set.complete().is_some()) {
            return Ok(());
        }
        log::info!("the card would be left without a complete key set; version {version:02X} is its last");
        refuse(StatusWord::CONDITIONS_NOT_SATISFIED)
    }

    /// A key set of new keys has all its tries, and its sequence counter begins anew. Where a key stays, or comes back to
    /// a version that has been used, the counter goes on: no challenge and no session key comes twice.
    fn renew_counters(&mut self, old: u8, new: u8, all_new: bool) {
        let failures = Kind::Failures.key(u32::from(new));
        if self.memory.get(failures).is_some() {
            self.memory.delete(failures);
        }
        let sequence = Kind::Sequence.key(u32::from(new));
        let kept = self.sequence(new).max(if old == 0 { 0 } else { self.sequence(old) });
        let next = if all_new && old == new { 0 } else { kept };
        if self.memory.get(sequence).is_none() || next != self.sequence(new) {
            self.memory.put(sequence, super::tries::counter_record(next));
        }
    }
}

/// One key data field, undecoded.
struct Field<'a> {
    kind: u8,
    block: &'a [u8],
    check: &'a [u8],
}

/// The first key data field: type, key block, check value; and what follows it.
fn key_field(fields: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (&kind, rest) = fields.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (block, rest) = rest.split_at_checked(usize::from(length)).filter(|_| length <= BLOCK_MAX)?;
    let (&length, rest) = rest.split_first()?;
    let (check, rest) = rest.split_at_checked(usize::from(length))?;
    Some((Field { kind, block, check }, rest))
}
