//! The payload of a frame: puts and deletions, one after another, keys ascending.
//!
//! Big-endian. No count: the entries fill the payload.
//!
//! | entry | bytes |
//! |---|---|
//! | put | `01`, key (4), length (4), content |
//! | put with extent | `02`, key (4), first page (4), pages (4), length (4), content |
//! | delete | `03`, key (4) |

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::extent::Extent;
use crate::record::{Key, Record};

const PUT: u8 = 1;
const PUT_WITH_EXTENT: u8 = 2;
const DELETE: u8 = 3;

/// Bytes of a deletion.
const DELETE_SIZE: u64 = 5;

/// Bytes of the entry that puts `record`.
pub(crate) fn put_size(record: &Record) -> u64 {
    let fixed = if record.extent.is_some() { 17 } else { 9 };
    fixed + record.bytes.len() as u64
}

/// Bytes of the entry for a change.
pub(crate) fn change_size(change: Option<&Record>) -> u64 {
    change.map_or(DELETE_SIZE, put_size)
}

/// The payload for some changes in ascending order. Their sizes together must be `size`.
pub(crate) fn encode<'a>(
    changes: impl Iterator<Item = (Key, Option<&'a Record>)>,
    size: usize,
) -> Option<Zeroizing<Vec<u8>>> {
    let mut payload = Zeroizing::new(Vec::with_capacity(size));
    for (key, change) in changes {
        let tag = match change {
            None => DELETE,
            Some(Record { extent: None, .. }) => PUT,
            Some(Record { extent: Some(_), .. }) => PUT_WITH_EXTENT,
        };
        payload.push(tag);
        payload.extend_from_slice(&key.0.to_be_bytes());
        if let Some(record) = change {
            if let Some(extent) = record.extent {
                payload.extend_from_slice(&extent.first.to_be_bytes());
                payload.extend_from_slice(&extent.count.to_be_bytes());
            }
            payload.extend_from_slice(&u32::try_from(record.bytes.len()).ok()?.to_be_bytes());
            payload.extend_from_slice(&record.bytes);
        }
    }
    Some(payload)
}

/// Applies the entries of a payload to `records`.
///
/// # Errors
///
/// What is wrong with the payload; `records` is then of no use.
pub(crate) fn replay(mut payload: &[u8], records: &mut BTreeMap<Key, Record>) -> Result<(), &'static str> {
    let mut last = None;
    while let Some((&tag, rest)) = payload.split_first() {
        payload = rest;
        let key = Key(number(&mut payload)?);
        if last.is_some_and(|last| last >= key) {
            return Err("keys that do not ascend");
        }
        last = Some(key);
        let extent = match tag {
            PUT => None,
            PUT_WITH_EXTENT => Some(Extent { first: number(&mut payload)?, count: number(&mut payload)? }),
            DELETE => {
                records.remove(&key);
                continue;
            }
            _ => return Err("an entry of unknown kind"),
        };
        let length = usize::try_from(number(&mut payload)?).map_err(|_| CUT)?;
        let (bytes, rest) = payload.split_at_checked(length).ok_or(CUT)?;
        payload = rest;
        records.insert(key, Record { bytes: bytes.to_vec(), extent });
    }
    Ok(())
}

const CUT: &str = "an entry that passes the end of its frame";

fn number(payload: &mut &[u8]) -> Result<u32, &'static str> {
    let (bytes, rest) = payload.split_first_chunk::<4>().ok_or(CUT)?;
    *payload = rest;
    Ok(u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(bytes: &[u8], extent: Option<(u32, u32)>) -> Record {
        Record { bytes: bytes.to_vec(), extent: extent.map(|(first, count)| Extent { first, count }) }
    }

    /// A put, a put with extent and a deletion, written down by hand from the format.
    const PAYLOAD: &[u8] = &[
        1, 0x01, 0, 0, 2, 0, 0, 0, 3, b'a', b'b', b'c', //
        2, 0x02, 0, 0, 1, 0, 0, 0, 34, 0, 0, 0, 1, 0, 0, 0, 2, 0xAA, 0xBB, //
        3, 0x03, 0, 0, 0,
    ];

    #[test]
    fn entries_are_what_the_format_says() {
        let (plain, extended) = (record(b"abc", None), record(&[0xAA, 0xBB], Some((34, 1))));
        let changes = [(Key(0x0100_0002), Some(&plain)), (Key(0x0200_0001), Some(&extended)), (Key(0x0300_0000), None)];
        let size: u64 = changes.iter().map(|&(_, change)| change_size(change)).sum();
        assert_eq!(size, 36);
        let payload = encode(changes.into_iter(), 36).unwrap();
        assert_eq!(*payload, PAYLOAD);
        assert_eq!(payload.capacity(), 36, "no copy of a secret is left behind by growing");
    }

    #[test]
    fn replay_puts_replaces_and_deletes() {
        let mut records = BTreeMap::from([
            (Key(0x0100_0002), record(b"old", Some((40, 2)))),
            (Key(0x0300_0000), record(b"gone", None)),
            (Key(0x0400_0000), record(b"stays", None)),
        ]);
        replay(PAYLOAD, &mut records).unwrap();
        let found: Vec<_> =
            records.iter().map(|(key, record)| (key.0, record.bytes.as_slice(), record.extent)).collect();
        let extent = Some(Extent { first: 34, count: 1 });
        assert_eq!(
            found,
            [(0x0100_0002, &b"abc"[..], None), (0x0200_0001, &[0xAA, 0xBB], extent), (0x0400_0000, b"stays", None),]
        );
    }

    #[test]
    fn malformed_payloads_say_why() {
        let fault = |payload: &[u8]| replay(payload, &mut BTreeMap::new()).unwrap_err();
        assert_eq!(fault(&[0, 0, 0, 0, 1]), "an entry of unknown kind");
        assert_eq!(fault(&[3, 0, 0, 0, 1, 3, 0, 0, 0, 1]), "keys that do not ascend");
        assert_eq!(fault(&[1, 0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 1]), CUT);
        let ends = [12, 31, 36];
        for length in (1..PAYLOAD.len()).filter(|length| !ends.contains(length)) {
            assert_eq!(fault(&PAYLOAD[..length]), CUT, "cut to {length}");
        }
    }
}
