//! What can go wrong, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::holders::{Holder, listed};

/// Why an image was not made, opened or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlashError {
    /// Another process holds the image.
    #[error("{} is in use by {}; stop it first", path.display(), listed(holders))]
    Locked {
        /// The image.
        path: PathBuf,
        /// Who holds it; empty if this user may not see them.
        holders: Vec<Holder>,
    },
    /// The host refused something with the image file.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The image.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// A write or barrier failed. The store is mute from now on.
    #[error("cannot {action} the image{}: {source}; the card is mute until it is opened again", place(*offset))]
    Medium {
        /// What was tried.
        action: &'static str,
        /// Byte offset in the image; `None` for a barrier, which concerns the whole.
        offset: Option<u64>,
        /// What the host said.
        source: io::Error,
    },
    /// An earlier write or barrier failed; what it left is known only after opening again.
    #[error("the card is mute since a write failed; open the image again")]
    Mute,
    /// No image can have this size.
    #[error("an image of {asked} bytes is not possible; choose {least} to {most} bytes")]
    Size {
        /// Bytes asked for.
        asked: u64,
        /// Fewest possible.
        least: u64,
        /// Most possible.
        most: u64,
    },
    /// The medium to be formatted has another size than the image to be made.
    #[error("the medium has {actual} bytes, the image to be made on it {wanted}; make them equal")]
    Unequal {
        /// Bytes of the medium.
        actual: u64,
        /// Bytes of the image.
        wanted: u64,
    },
    /// The medium to be formatted holds something already.
    #[error("the medium is not blank: it holds something at offset {offset}; nothing was changed, take a new file")]
    NotBlank {
        /// Offset of the first byte that is not zero.
        offset: u64,
    },
    /// The image has no superblock: its creation never ended.
    #[error("the image was never completely made (its superblock is blank); remove it and make it again")]
    Unfinished,
    /// Something else than a card image.
    #[error("not a card image: no SMCARDFL at offset {offset}; check the path, nothing was changed")]
    Magic {
        /// Offset of the superblock.
        offset: u64,
    },
    /// An image of another format version.
    #[error(
        "the image has format version {found} (at offset {offset}), this program knows {known}; use the program that made it"
    )]
    Version {
        /// Offset of the version.
        offset: u64,
        /// The version there.
        found: u32,
        /// The version that can be opened.
        known: u32,
    },
    /// A superblock does not match its checksum.
    #[error("the superblock at offset {offset} is damaged; {}; nothing was changed", advice(*copy))]
    Superblock {
        /// Offset of the damaged superblock.
        offset: u64,
        /// Offset of an undamaged copy, if there is one.
        copy: Option<u64>,
    },
    /// Both superblocks have a valid checksum and still make no sense.
    #[error("the superblock at offset {offset} is not possible: {reason}; restore the image from a copy")]
    Impossible {
        /// Offset of the field.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The image file was cut or has grown.
    #[error("the image has {actual} bytes but was made with {recorded}; it was {}", cut_or_grown(*recorded, *actual))]
    Length {
        /// Bytes it was made with.
        recorded: u64,
        /// Bytes it has.
        actual: u64,
    },
    /// The journal contradicts itself: damage, not a loss of power.
    #[error("the journal is damaged at offset {offset}: {reason}; nothing was changed, restore the image from a copy")]
    Journal {
        /// Offset of the sector.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// No room. For an extent: bytes asked for, and the largest piece free. For a commit: bytes that all records
    /// would take, and the most they may.
    #[error("no room for {asked} bytes, at most {largest} fit; delete something")]
    Full {
        /// Bytes asked for.
        asked: u64,
        /// Most that fit.
        largest: u64,
    },
    /// A write that would leave its extent.
    #[error("write of {length} bytes at offset {offset} of an extent of {capacity} bytes")]
    Bounds {
        /// Offset in the extent.
        offset: u64,
        /// Bytes to be written.
        length: u64,
        /// Bytes of the extent.
        capacity: u64,
    },
    /// A write into an extent of which a view lives.
    #[error("the extent at offset {address} cannot be written while it is being read; drop its view first")]
    Viewed {
        /// Offset in the image.
        address: u64,
    },
    /// An extent that is neither reserved nor referred to by a record.
    #[error("the extent at offset {address} is not in use; reserve one first")]
    DeadExtent {
        /// Offset in the image.
        address: u64,
    },
}

fn place(offset: Option<u64>) -> String {
    offset.map(|offset| format!(" at offset {offset}")).unwrap_or_default()
}

fn advice(copy: Option<u64>) -> String {
    match copy {
        Some(offset) => format!("an undamaged copy of these 4096 bytes stands at offset {offset}"),
        None => "so is its copy: restore the image, or remove it if it was just being made".to_owned(),
    }
}

fn cut_or_grown(recorded: u64, actual: u64) -> &'static str {
    if actual < recorded {
        "cut short: restore it from a copy"
    } else {
        "made longer: cut it back to the size it was made with"
    }
}
