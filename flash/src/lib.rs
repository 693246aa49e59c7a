//! The medium of an emulated secure memory card: one image file, and on it a store of records and extents that keeps
//! its promises when the power goes.
//!
//! A [`Store`] holds *records*, small and under a [`Key`], and *extents*, contiguous pieces of the image for what is
//! big: batches and load files. A [commit](Store::commit) changes any number of records at once. Extents are read in
//! place, as a slice of the image ([`Store::bytes`]) or as a [`View`] that outlives changes to the store.
//!
//! ```
//! use smcard_flash::{Changes, CreateOptions, Key, RamMedium, Record, Store};
//!
//! let options = CreateOptions { size: 1 << 20, identity: *b"a card to try it" };
//! let mut store = Store::format(RamMedium::new(options.size), &options)?;
//!
//! let extent = store.reserve(5)?;
//! store.write(extent, 0, b"batch")?;
//! let mut changes = Changes::new();
//! changes.put(Key(0x0100_0000), Record { bytes: b"name".to_vec(), extent: Some(extent) });
//! store.commit(changes)?;
//!
//! let store = Store::open(store.into_medium())?;
//! let found = store.get(Key(0x0100_0000)).and_then(|record| record.extent).ok_or("no extent")?;
//! assert_eq!(&store.bytes(found)[..5], b"batch");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Promises
//!
//! * **Atomic.** After a commit, however it ended, the store holds all its changes or none; which, if it returned
//!   `Ok`, and if it returned an error other than [`FlashError::Medium`], is certain.
//! * **Durable.** What a commit that returned `Ok` put, and what was written to extents before it, survives.
//! * **Ordered.** A record never refers to content that was written before its commit and is not there.
//! * **Stable.** The state that [`Store::open`] shows does not go away, except after a flush that failed, and then only
//!   until the next write, which makes it certain first.
//! * **Mute, not half alive.** After a write or barrier that failed nothing is written any more; the store shows the
//!   last state known to be committed and refuses everything else until the image is opened again.
//! * **Reclaimed.** Pages that no record, reservation or view refers to are free. What a broken issue had reserved is
//!   free after opening, without any search.
//! * **Unchanged when refused.** An image that cannot be opened keeps every byte. Nothing is ever reset.
//!
//! # Failure model
//!
//! The promises hold if the medium does no worse than this:
//!
//! * Power may go at any moment, again while opening, and again after that.
//! * Of the writes since the last successful barrier any part may have taken effect, in any order, cut into pieces at
//!   sector boundaries; each piece wholly, not at all, or torn at any byte, and of the bits to be changed in that byte
//!   any subset. A sector that was written to and torn may hold anything at all, as far as the journal is concerned.
//! * Sectors not written to keep their content. A write of the bytes that stand there already does no harm.
//! * A successful barrier makes everything before it durable.
//! * Any write or barrier may fail: EIO, ENOSPC, a short write, a failed flush. After a failed flush any part of what
//!   was pending may be lost for good and yet be shown for a while; later barriers succeed all the same.
//! * The process may be killed at any moment while the host goes on: what was written is shown, and not yet durable.
//! * The image file may be cut short or made longer by others, while it is closed: this is noticed.
//!
//! The `sim` feature has a simulator of just such a medium. Damage that no loss of power makes (a flipped bit, a stray
//! write) is noticed in the superblock and in the journal, with two exceptions: damage to the last commits, if it
//! leaves no later one readable, looks as if they had been torn; and so does damage to the header of a half between a
//! compaction and the next commit. Extents have no checksum; who needs one keeps it in a record.
//!
//! # What it does not do
//!
//! Deleting does not wipe: pages and journal sectors keep their content until they are used again, and a fresh
//! reservation shows what stood there. The image is not encrypted; whoever may read the file may read the card.
//!
//! # Limits
//!
//! All numbers in an image are big-endian; all offsets and sizes are bytes.
//!
//! | what | limit |
//! |---|---|
//! | image | [`MIN_SIZE`] to [`MAX_SIZE`], whole pages of [`PAGE`] |
//! | journal half | 1/256 of the image, at least 64 KiB, at most 1 MiB (so that opening stays quick) |
//! | all records together | 472/512 of a journal half less one sector; a record counts its bytes and 9, or 17 with an extent |
//! | one commit | any number of changes, as long as the records fit afterwards |
//! | one extent | the longest free run of pages |
//! | time to open | in proportion to the journal, whatever the size of the image |
//! | barriers of a commit | 1; 1 more if extents were written; 2 in all if the journal changes halves, as with the first commit after opening; 1 more then |

#[cfg(test)]
mod checks;
mod entry;
mod error;
mod extent;
mod file;
mod frame;
mod holders;
mod io;
mod journal;
mod layout;
mod medium;
mod ram;
mod record;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod space;
mod stats;
mod store;
mod superblock;
mod view;

pub use error::FlashError;
pub use extent::Extent;
pub use file::MappedFile;
pub use holders::Holder;
pub use layout::{MAX_SIZE, MIN_SIZE, PAGE};
pub use medium::Medium;
pub use ram::RamMedium;
pub use record::{Changes, Key, Record};
pub use stats::{Durability, Stats};
pub use store::{CreateOptions, Store};
pub use view::View;
