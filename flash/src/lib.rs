//! The medium of an emulated secure memory card.

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
