//! CAP files: what a Java Card converter makes, a zip file with one entry for each component.
//!
//! [`CapFile::read`] unpacks and checks everything that [`LoadFile`] checks, and what only a whole CAP file can show: that
//! the entries' names and tags agree and that nothing the Directory lists is left out. [`CapFile::load_file_data`] puts the
//! components into the order in which they are loaded.
//!
//! # Contract
//!
//! * Arbitrary bytes are accepted without panic. A file of more than 32 MiB, more than 4096 entries, a component above the
//!   65 535 bytes that its size field can express, or more than 16 MiB of components are refused; memory grows with what is
//!   unpacked, never with what a length claims.
//! * Entries that are no components (manifest, class files, export files) are not looked into.
//!
//! Source: Java Card Virtual Machine Specification 3.1, sections 6.2 and 6.3; compact format 2.1 to 2.3.

mod archive;
mod entry;
mod error;

pub use error::CapError;

use crate::load_file::{CapFault, Component, LoadFile, tag};
use archive::Entry;
use std::fmt;

/// A checked CAP file: its components, unpacked, without Debug.
#[derive(Clone)]
pub struct CapFile {
    /// In load order; StaticResources, custom components and Descriptor last.
    data: Vec<u8>,
}

/// Which components a load file takes along besides those that every package needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Include {
    /// Descriptor: for cards that verify bytecode. Off by default.
    pub descriptor: bool,
    /// StaticResources, where the package has them. On by default; cards that check sizes refuse a package without.
    pub static_resources: bool,
    /// Custom components, where the package has any. On by default; cards ignore those they do not know.
    pub custom: bool,
}

impl Default for Include {
    fn default() -> Self {
        Include { descriptor: false, static_resources: true, custom: true }
    }
}

impl CapFile {
    /// Unpacks and checks a `.cap` file.
    ///
    /// # Errors
    /// What is wrong with the zip, an entry or a component, by name.
    pub fn read(bytes: &[u8]) -> Result<Self, CapError> {
        let mut entries = archive::components(bytes)?;
        check_header(&entries)?;
        for entry in &entries {
            check_entry(entry)?;
        }
        entries.sort_by_key(|entry| load_rank(entry_tag(entry)));

        let debug = entries.iter().find(|entry| entry_tag(entry) == tag::DEBUG).map(info_len);
        let of_card = |entry: &&Entry| entry_tag(entry) != tag::DEBUG;
        let mut data = Vec::with_capacity(entries.iter().filter(of_card).map(|entry| entry.bytes.len()).sum());
        for entry in entries.iter().filter(of_card) {
            data.extend_from_slice(&entry.bytes);
        }
        let file = LoadFile::parse(&data)?;
        check_complete(&file, debug)?;
        Ok(CapFile { data })
    }

    /// Package, imports, applets and components.
    ///
    /// # Errors
    /// None in practice: the same bytes have been checked by [`CapFile::read`].
    pub fn load_file(&self) -> Result<LoadFile<'_>, CapFault> {
        LoadFile::parse(&self.data)
    }

    /// The components one behind the other in load order: 1, 2, 4, 3, 6, 7, 8, 10, 5, 9, then 13, custom ones and 11 as
    /// far as there are any and `include` asks for them. Never Debug.
    #[must_use]
    pub fn load_file_data(&self, include: Include) -> Vec<u8> {
        let wanted = |component: &Component<'_>| match component.tag {
            tag::DESCRIPTOR => include.descriptor,
            tag::STATIC_RESOURCES => include.static_resources,
            tag::CUSTOM.. => include.custom,
            _ => true,
        };
        let mut out = Vec::with_capacity(self.data.len());
        for component in self.load_file().iter().flat_map(LoadFile::components).filter(wanted) {
            let start = usize::try_from(component.offset).unwrap_or(usize::MAX);
            let end = usize::try_from(component.info_offset()).unwrap_or(usize::MAX);
            out.extend_from_slice(self.data.get(start..end).unwrap_or_default());
            out.extend_from_slice(component.info);
        }
        out
    }
}

impl fmt::Debug for CapFile {
    /// Size only: the contents are the issuer's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CapFile with {} bytes of components", self.data.len())
    }
}

/// The tag of a component; 0, which none has, for an empty entry.
fn entry_tag(entry: &Entry) -> u8 {
    entry.bytes.first().copied().unwrap_or(0)
}

/// Bytes behind tag and size of a component that is not StaticResources.
fn info_len(entry: &Entry) -> u32 {
    u32::try_from(entry.bytes.len().saturating_sub(3)).unwrap_or(u32::MAX)
}

fn load_rank(tag: u8) -> (usize, u8) {
    let behind = tag::LOAD_ORDER.len();
    match tag {
        tag::STATIC_RESOURCES => (behind, tag),
        tag::CUSTOM.. => (behind + 1, tag),
        tag::DESCRIPTOR => (behind + 2, tag),
        _ => (tag::LOAD_ORDER.iter().position(|&loaded| loaded == tag).unwrap_or(behind + 3), tag),
    }
}

/// A Header that tells of another format must be heard before sizes are read as this one writes them.
fn check_header(entries: &[Entry]) -> Result<(), CapError> {
    match entries.iter().find(|entry| entry_tag(entry) == tag::HEADER).map(|entry| LoadFile::parse(&entry.bytes)) {
        Some(Err(fault)) if fault.component == Some(tag::HEADER) => Err(fault.into()),
        _ => Ok(()),
    }
}

/// The tag belongs to the name, and the size field to the length.
fn check_entry(entry: &Entry) -> Result<(), CapError> {
    let name = || entry.name.path().to_owned();
    let found = entry_tag(entry);
    if !entry.name.fits(found) {
        return Err(CapError::EntryTag { name: name(), found });
    }
    let (claimed, present) = match (found, entry.bytes.as_slice()) {
        (tag::STATIC_RESOURCES, &[_, a, b, c, d, ref info @ ..]) => (u32::from_be_bytes([a, b, c, d]), info.len()),
        (tag::STATIC_RESOURCES, short) => (0, short.len()),
        (_, &[_, a, b, ref info @ ..]) => (u32::from(u16::from_be_bytes([a, b])), info.len()),
        (_, short) => (0, short.len()),
    };
    if usize::try_from(claimed) == Ok(present) {
        Ok(())
    } else {
        Err(CapError::ComponentLength { name: name(), claimed, present })
    }
}

/// Descriptor, Debug and custom components may be kept from a card, but not be missing from a CAP file.
fn check_complete(file: &LoadFile<'_>, debug: Option<u32>) -> Result<(), CapError> {
    let claimed = file.declared_size(tag::DEBUG).unwrap_or(0);
    match debug {
        None if claimed != 0 => return Err(CapError::Missing { tag: tag::DEBUG, size: claimed }),
        Some(found) if claimed != found => return Err(CapError::DebugSize { claimed, found }),
        _ => {}
    }
    let custom = file.custom_components().map(|(tag, _)| tag);
    for tag in std::iter::once(tag::DESCRIPTOR).chain(custom) {
        let size = file.declared_size(tag).unwrap_or(0);
        if size != 0 && file.component(tag).is_none() {
            return Err(CapError::Missing { tag, size });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::zipped;
