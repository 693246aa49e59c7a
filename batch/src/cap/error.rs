//! Why a CAP file is refused.

use crate::load_file::{CapFault, tag};
use thiserror::Error;

/// Why a CAP file is refused. Names of entries come from the file and are printed escaped.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CapError {
    /// More bytes than any CAP file has.
    #[error("{found} bytes are more than a CAP file may have ({limit})")]
    FileTooLarge {
        /// Bytes of the file.
        found: usize,
        /// The bound.
        limit: usize,
    },
    /// Not a zip file, or a damaged one.
    #[error("not a readable zip file: {0}")]
    Zip(String),
    /// A zip file in the 64-bit form, which no CAP file needs.
    #[error("a zip64 file; CAP files are far smaller: write it as plain zip")]
    Zip64,
    /// More entries than any CAP file has.
    #[error("{found} zip entries are more than a CAP file may have ({limit})")]
    TooManyEntries {
        /// Entries in the zip's directory.
        found: usize,
        /// The bound.
        limit: usize,
    },
    /// Two zip entries of one name: tools would disagree about which one counts.
    #[error("the zip file has two entries of the same name")]
    RepeatedEntry,
    /// A zip file, but not a CAP file.
    #[error("no component (*/javacard/*.cap) is in the zip file: not a CAP file")]
    NoComponents,
    /// Components of two packages.
    #[error("components of two packages, {0:?} and {1:?}: one CAP file holds one package")]
    TwoPackages(String, String),
    /// An entry that cannot be unpacked.
    #[error("{name:?} cannot be unpacked: {reason}")]
    Entry {
        /// The entry's name.
        name: String,
        /// What the zip reader says.
        reason: String,
    },
    /// An entry larger than its component may be, or more bytes in all than the bound.
    #[error("{name:?} unpacks to more than {limit} bytes")]
    EntryTooLarge {
        /// The entry's name.
        name: String,
        /// The bound that it breaks.
        limit: u64,
    },
    /// An entry whose contents are longer or shorter than the zip's directory says.
    #[error("{name:?} should unpack to {claimed} bytes, but gives {found}")]
    EntryLength {
        /// The entry's name.
        name: String,
        /// Bytes that the zip's directory claims.
        claimed: u64,
        /// Bytes found.
        found: u64,
    },
    /// The component's tag is not the one that belongs to the entry's name.
    #[error("{name:?} holds component tag {found}, which does not belong to that name")]
    EntryTag {
        /// The entry's name.
        name: String,
        /// The tag found.
        found: u8,
    },
    /// The component's size field and the entry's length disagree.
    #[error("{name:?} says {claimed} bytes, {present} follow")]
    ComponentLength {
        /// The entry's name.
        name: String,
        /// Bytes that the component's size field claims.
        claimed: u32,
        /// Bytes present behind the size field.
        present: usize,
    },
    /// A component that the Directory lists and that may stay away from a card, but not from a CAP file.
    #[error("{} is missing, although the Directory gives it {size} bytes", component_name(*.tag))]
    Missing {
        /// Its tag.
        tag: u8,
        /// Bytes that the Directory gives it.
        size: u32,
    },
    /// The Debug component has another size than the Directory says.
    #[error("the Debug component has {found} bytes, the Directory says {claimed}")]
    DebugSize {
        /// Bytes that the Directory gives it; 0 also where the format has no such component.
        claimed: u32,
        /// Bytes found.
        found: u32,
    },
    /// A fault inside the components; its offset counts through the components in load order.
    #[error("{0}")]
    Frame(CapFault),
}

impl From<CapFault> for CapError {
    fn from(fault: CapFault) -> Self {
        CapError::Frame(fault)
    }
}

fn component_name(tag: u8) -> String {
    match tag::name(tag) {
        Some(name) => format!("the {name} component"),
        None => format!("custom component {tag}"),
    }
}
