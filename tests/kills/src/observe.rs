//! What a mounted card shows: the files of its store, by the mount and by the card's own table; the record of the last
//! issue; which applications answer SELECT; how much memory is free.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use smcard_ioctl::{Client, ClientError};
use smcard_tests::Mounted;
use smcard_tests::run::until;

use crate::card::SUCCESS;
use crate::content::Aid;
use crate::stock;

/// Longest time for one command.
const LIMIT: Duration = Duration::from_secs(10);

/// The record of the last issue (GET DATA `DF72`), without the file's identifier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Record {
    /// 0 none, 1 unfinished, 2 done, 3 done and waiting for CONFIRM.
    pub state: u8,
    /// Commands given.
    pub given: u32,
    /// Commands in the batch.
    pub total: u32,
    /// Status word of a failure; 0 = none.
    pub sw: u16,
    /// Commands that stay.
    pub kept: u32,
}

/// What a card shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Name, size and number of commands of each file.
    pub files: BTreeMap<String, (u64, u32)>,
    /// The last issue.
    pub record: Record,
    /// The applications that answer SELECT with 9000.
    pub selectable: BTreeSet<Aid>,
    /// Free bytes of protected memory.
    pub free: u64,
}

/// Looks at a card that nobody else uses.
///
/// # Errors
/// The mount and the card's table differ, or something does not answer with sense.
pub fn observe(mounted: &Mounted) -> Result<Observed, String> {
    let client = Client::open(&mounted.path("control")).map_err(|error| error.to_string())?;
    // Whoever spoke with the card before may have selected an application.
    transmit(&client, &[0x00, 0xA4, 0x04, 0x00, 0x00])?;
    let files = table(&data(&client, 0xDF71)?)?;
    let listed: BTreeMap<String, u64> = mounted.batches().into_iter().collect();
    let sizes: BTreeMap<String, u64> = files.iter().map(|(name, (size, _))| (name.clone(), *size)).collect();
    if listed != sizes {
        return Err(format!("issue/ shows {listed:?}, and the card's table {sizes:?}"));
    }
    let record = record(&data(&client, 0xDF72)?)?;
    let memory = data(&client, 0xDF73)?;
    let free = memory.get(8..16).and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
    let mut selectable = BTreeSet::new();
    for aid in stock::applications() {
        let length = u8::try_from(aid.len()).unwrap();
        let command = [&[0x00, 0xA4, 0x04, 0x00, length], aid.as_slice()].concat();
        if transmit(&client, &command)?.0 == SUCCESS {
            selectable.insert(aid.clone());
        }
    }
    Ok(Observed { files, record, selectable, free: free.ok_or("the memory figures are cut short")? })
}

fn transmit(client: &Client, command: &[u8]) -> Result<(u16, Vec<u8>), String> {
    let mut outcome = client.transmit(command);
    // A closed control file lives on in a program that another thread is just starting.
    until(LIMIT, || {
        let busy = matches!(outcome, Err(ClientError::Busy { .. }));
        if busy {
            outcome = client.transmit(command);
        }
        !busy
    });
    let outcome = outcome.and_then(|ticket| client.wait(ticket, Some(LIMIT)));
    let outcome = outcome.map_err(|error| format!("{command:02X?}: {error}"))?;
    let response = outcome.response.as_bytes();
    match (outcome.error, response.split_last_chunk::<2>()) {
        (0, Some((data, sw))) => Ok((u16::from_be_bytes(*sw), data.to_vec())),
        (errno, _) => Err(format!("{command:02X?}: errno {errno}, {} bytes", response.len())),
    }
}

/// The value of a data object of the card.
fn data(client: &Client, tag: u16) -> Result<Vec<u8>, String> {
    let [p1, p2] = tag.to_be_bytes();
    let (sw, answer) = transmit(client, &[0x80, 0xCA, p1, p2, 0, 0, 0])?;
    let odd = || format!("GET DATA {tag:04X}: {sw:04X}, {answer:02X?}");
    let value = answer.strip_prefix(&tag.to_be_bytes()).and_then(value);
    match value {
        Some((value, [])) if sw == SUCCESS => Ok(value.to_vec()),
        _ => Err(odd()),
    }
}

/// Splits off a value behind its length, which is in BER form.
fn value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        _ => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
    };
    rest.split_at_checked(length)
}

fn table(mut bytes: &[u8]) -> Result<BTreeMap<String, (u64, u32)>, String> {
    let mut files = BTreeMap::new();
    let odd = || "the card's table of files makes no sense".to_owned();
    while let Some((0xE5, rest)) = bytes.split_first() {
        let (mut row, rest) = value(rest).ok_or_else(odd)?;
        bytes = rest;
        let mut fields = BTreeMap::new();
        while let Some((tag, rest)) = row.split_first() {
            let (field, rest) = value(rest).ok_or_else(odd)?;
            fields.insert(*tag, field);
            row = rest;
        }
        let number = |tag: u8| {
            let field = fields.get(&tag)?;
            Some(u32::from_be_bytes((*field).try_into().ok()?))
        };
        let name = fields.get(&0x81).map(|name| String::from_utf8_lossy(name).into_owned());
        match (name, number(0x82), fields.get(&0x83), number(0x84)) {
            (Some(name), Some(size), Some([0]), Some(commands)) => files.insert(name, (u64::from(size), commands)),
            _ => return Err(format!("an odd row in the card's table of files: {fields:02X?}")),
        };
    }
    if bytes.is_empty() { Ok(files) } else { Err(odd()) }
}

fn record(bytes: &[u8]) -> Result<Record, String> {
    let &[state, _, _, g0, g1, g2, g3, t0, t1, t2, t3, s0, s1, k0, k1, k2, k3] = bytes else {
        return Err(format!("a record of {} bytes of the last issue", bytes.len()));
    };
    Ok(Record {
        state,
        given: u32::from_be_bytes([g0, g1, g2, g3]),
        total: u32::from_be_bytes([t0, t1, t2, t3]),
        sw: u16::from_be_bytes([s0, s1]),
        kept: u32::from_be_bytes([k0, k1, k2, k3]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_files_is_read() {
        let row = |name: &[u8], size: u8| {
            let mut row = vec![0x80, 2, 0, 1, 0x81, u8::try_from(name.len()).unwrap()];
            row.extend_from_slice(name);
            row.extend_from_slice(&[0x82, 4, 0, 0, 1, size, 0x83, 1, 0, 0x84, 4, 0, 0, 0, 9]);
            [&[0xE5, 0x81, u8::try_from(row.len()).unwrap()], &row[..]].concat()
        };
        let both = [row(b"a", 2), row(b"bc", 3)].concat();
        let files = [("a".to_owned(), (258, 9)), ("bc".to_owned(), (259, 9))];
        assert_eq!(table(&both), Ok(files.into()));
        assert!(table(&both[..both.len() - 1]).is_err());
        assert!(table(&[&both[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_record_is_read() {
        let bytes = [1, 0, 7, 0, 0, 0, 5, 0, 0, 0, 9, 0x6A, 0x84, 0, 0, 0, 4];
        assert_eq!(record(&bytes), Ok(Record { state: 1, given: 5, total: 9, sw: 0x6A84, kept: 4 }));
        assert!(record(&bytes[1..]).is_err());
    }
}
