//! An image as records: what the card keeps, read without the card (formats as in `docs/CARD.md` and the crates' own).

use smcard_flash::sim::Simulator;
use smcard_flash::{FlashError, Key, Medium, Record, Store};
use std::io;

/// Kinds of records that refer to content (the top byte of their key).
mod kind {
    pub(super) const FILE: u32 = 0x05;
    pub(super) const LOAD_FILE: u32 = 0x06;
    pub(super) const LOAD_SESSION: u32 = 0x0B;
    pub(super) const SHADOW: u32 = 0x80;
}

/// A medium to look at: what is written to it is an error, what is flushed is ignored.
struct Glass<'a>(&'a [u8]);

impl Medium for Glass<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn bytes(&self) -> &[u8] {
        self.0
    }

    fn write(&mut self, _offset: u64, _data: &[u8]) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
    }

    fn barrier(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything that decides what a card does: its records with keys and places, and what they refer to. Two images with
/// the same dump hold the same card.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dump(Vec<u8>);

/// What the card's commands do not show of its content.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Contents {
    /// Of each file of the command store: identifier, content.
    pub files: Vec<(u16, Vec<u8>)>,
    /// Of each load file: AID, load file data.
    pub load_files: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads an image. No byte of it changes.
///
/// # Errors
/// It is none.
pub fn dump(simulator: &Simulator) -> Result<Dump, FlashError> {
    let store = Store::open(Glass(simulator.bytes()))?;
    let mut bytes = Vec::with_capacity(4096);
    for (Key(key), record) in store.range(..) {
        bytes.extend(key.to_be_bytes());
        bytes.extend(u32::try_from(record.bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(&record.bytes);
        if let Some(extent) = record.extent {
            bytes.extend(extent.address().to_be_bytes());
            bytes.extend(extent.capacity().to_be_bytes());
            let content = store.bytes(extent);
            let length = used(key, record).unwrap_or(content.len()).min(content.len());
            bytes.extend(&content[..length]);
        }
    }
    Ok(Dump(bytes))
}

/// What files and load files hold.
///
/// # Errors
/// It is no image.
pub fn contents(simulator: &Simulator) -> Result<Contents, FlashError> {
    let store = Store::open(Glass(simulator.bytes()))?;
    let mut contents = Contents::default();
    for (Key(key), record) in store.range(..) {
        let Some(extent) = record.extent else { continue };
        let bytes = store.bytes(extent);
        let bytes = bytes[..used(key, record).unwrap_or(0).min(bytes.len())].to_vec();
        match key >> 24 {
            kind::FILE => contents.files.push((u16::try_from(key & 0xFFFF).unwrap_or(0), bytes)),
            kind::LOAD_FILE => contents.load_files.push((aid(&record.bytes).unwrap_or_default().to_vec(), bytes)),
            _ => {}
        }
    }
    Ok(contents)
}

/// Bytes of its extent that a record counts on.
fn used(key: u32, record: &Record) -> Option<usize> {
    let shadow = key >> 24 & kind::SHADOW != 0;
    let bytes = if shadow { record.bytes.get(1..)? } else { &record.bytes };
    let number = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let after_aids = || {
        let domain = 1 + aid(bytes)?.len();
        Some(domain + 1 + aid(bytes.get(domain..)?)?.len())
    };
    let used = match key >> 24 & !kind::SHADOW {
        kind::FILE => number(2 + usize::from(u16::from_be_bytes(*bytes.first_chunk()?)))?,
        kind::LOAD_FILE => number(after_aids()? + 2)?,
        kind::LOAD_SESSION => number(after_aids()? + 8)?,
        _ => return None,
    };
    usize::try_from(used).ok()
}

/// The AID behind its length.
fn aid(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first()?;
    rest.get(..usize::from(*length))
}
