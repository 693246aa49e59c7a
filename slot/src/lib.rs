//! A secure memory card in the SD slot of a virtual machine.
//!
//! QEMU 10.1 and later lets a process of its own be a PCI device (`vfio-user-pci`). Here that process is an SD host
//! controller with an emulated secure memory card in its slot, so that an unmodified guest kernel sees the card as
//! `/dev/mmcblkN`: memory area, secure commands, hot plug and all.
#![forbid(unsafe_code)]

mod device;
mod memory;
pub mod pci;
pub mod sdhci;
pub mod vfio;

pub use device::{Device, Identity, Pace};
pub use memory::{GuestMemory, Unreachable};
