//! The zip around a CAP file: entries found and unpacked within bounds.

use super::CapError;
use super::entry::Name;
use std::io::{Cursor, Read};
use zip::ZipArchive;
use zip::result::ZipError;

/// Most bytes of a CAP file: components, and the class and export files that converters add.
pub(super) const FILE_MAX: usize = 32 << 20;
/// Most entries of the zip.
const ENTRIES_MAX: usize = 4096;
/// Most bytes of all components together.
const TOTAL_MAX: u64 = 16 << 20;

/// An unpacked entry.
pub(super) struct Entry {
    pub(super) name: Name,
    pub(super) bytes: Vec<u8>,
}

/// Unpacks the components of a CAP file, in the order of the zip's directory.
pub(super) fn components(bytes: &[u8]) -> Result<Vec<Entry>, CapError> {
    if bytes.len() > FILE_MAX {
        return Err(CapError::FileTooLarge { found: bytes.len(), limit: FILE_MAX });
    }
    // A plain zip counts its entries in two bytes; only zip64 can make the reader believe in millions of them.
    if has_zip64_locator(bytes) {
        return Err(CapError::Zip64);
    }
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| CapError::Zip(words(&error)))?;
    if archive.len() > ENTRIES_MAX {
        return Err(CapError::TooManyEntries { found: archive.len(), limit: ENTRIES_MAX });
    }
    if directory_entries(bytes, archive.central_directory_start()) != archive.len() {
        return Err(CapError::RepeatedEntry);
    }

    let mut found: Vec<Entry> = Vec::new();
    let mut left = TOTAL_MAX;
    for index in 0..archive.len() {
        let Some(name) = archive.name_for_index(index).and_then(Name::of_component) else { continue };
        if let Some(other) = found.iter().find(|entry| entry.name.folder() != name.folder()) {
            let [a, b] = [&other.name, &name].map(|name| name.folder().to_owned());
            return Err(CapError::TwoPackages(a, b));
        }
        let bytes = unpack(&mut archive, index, &name, left)?;
        left = left.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        found.push(Entry { name, bytes });
    }
    if found.is_empty() { Err(CapError::NoComponents) } else { Ok(found) }
}

/// Unpacks one entry; memory grows with what is really there, never with what a length claims.
fn unpack(archive: &mut ZipArchive<Cursor<&[u8]>>, index: usize, name: &Name, left: u64) -> Result<Vec<u8>, CapError> {
    let limit = name.bound().min(left);
    let too_large = || CapError::EntryTooLarge { name: name.path().to_owned(), limit };
    let broken = |reason| CapError::Entry { name: name.path().to_owned(), reason };
    let entry = archive.by_index(index).map_err(|error| broken(words(&error)))?;
    let claimed = entry.size();
    if claimed > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let found = entry.take(limit + 1).read_to_end(&mut bytes).map_err(|error| broken(error.to_string()))?;
    let found = u64::try_from(found).unwrap_or(u64::MAX);
    if found > limit {
        return Err(too_large());
    }
    if found != claimed {
        return Err(CapError::EntryLength { name: name.path().to_owned(), claimed, found });
    }
    Ok(bytes)
}

/// Whether any end-of-directory record has a zip64 locator in front of it (APPNOTE 4.3.15).
fn has_zip64_locator(bytes: &[u8]) -> bool {
    const LOCATOR_LEN: usize = 20;
    bytes.windows(LOCATOR_LEN + 4).any(|window| window.starts_with(b"PK\x06\x07") && window.ends_with(b"PK\x05\x06"))
}

/// The number of entries in the zip's directory, those of one name counted each (APPNOTE 4.3.12).
fn directory_entries(bytes: &[u8], start: u64) -> usize {
    const HEADER_LEN: usize = 46;
    let mut rest = usize::try_from(start).ok().and_then(|start| bytes.get(start..)).unwrap_or_default();
    let mut count = 0;
    while let Some((header, behind)) = rest.split_first_chunk::<HEADER_LEN>() {
        let &[b'P', b'K', 1, 2, .., n0, n1, e0, e1, c0, c1, _, _, _, _, _, _, _, _, _, _, _, _] = header else { break };
        let lengths = [[n0, n1], [e0, e1], [c0, c1]].map(|length| usize::from(u16::from_le_bytes(length)));
        count += 1;
        rest = behind.get(lengths.iter().sum()..).unwrap_or_default();
    }
    count
}

fn words(error: &ZipError) -> String {
    match error {
        ZipError::Io(error) => error.to_string(),
        ZipError::InvalidArchive(reason) => reason.to_string(),
        ZipError::UnsupportedArchive(reason) => (*reason).to_owned(),
        error => error.to_string(),
    }
}
