//! A secure memory card in the SD slot of a virtual machine.
//!
//! QEMU 10.1 and later lets a process of its own be a PCI device (`vfio-user-pci`). Here that process is an SD host
//! controller with an emulated secure memory card in its slot, so that an unmodified guest kernel sees the card as
//! `/dev/mmcblkN`: memory area, secure commands, hot plug and all.
//!
//! ```text
//!  guest kernel ── registers, interrupt ──► vfio ──► sdhci ──► SdBus ──► the emulated card
//!       └───────── memory (DMA) ◄───────────┘
//! ```
//!
//! # Contract
//!
//! * One thread serves all; nothing in it waits but the loop itself ([`serve`]). A card that is slow costs the guest time,
//!   not the program.
//! * The guest and its monitor are untrusted: whatever they send, the program does not panic, does not allocate beyond what
//!   [`vfio`] and [`sdhci`] name, and reaches no memory but the guest's.
//! * A card's image is locked while it is in the slot and free when it is out of it. Pulling a card is a power cut for it:
//!   what it has acknowledged is kept, the rest is the card's recovery.
//! * What crosses the slot is neither logged nor kept.
#![forbid(unsafe_code)]

pub mod bay;
pub mod card;
pub mod control;
mod device;
mod memory;
pub mod options;
pub mod pci;
pub mod sdhci;
pub mod serve;
pub mod socket;
pub mod ssp;
pub mod vfio;

pub use device::{Device, Identity, Pace};
pub use memory::{GuestMemory, Unreachable};
