//! A card in a slot, through the kernel's MMC ioctls.
//!
//! [`MmcHost`] makes one multi-command of what has to stay together and judges what comes back; an [`MmcPort`] carries
//! it: [`Device`] to `/dev/mmcblkN`, [`SoftKernel`] to a card that has no kernel above it.
//!
//! # What the kernel does with a command (Linux 6.1 to 6.12, `drivers/mmc/core/block.c`)
//!
//! * It stops at the first command that fails, and tells one errno for all of them; which one it was is seen from the
//!   responses, which go in as [`SENTINEL`].
//! * It does not look at the error bits of a response; that is done here.
//! * After a write and after a command with R1b it asks CMD13 until the card is ready; the response is then all those
//!   answers together, not the command's own.
//! * An illegal command looks like one that was not answered. CMD13 afterwards tells (and must be sent: the bit would
//!   otherwise come with somebody else's command). Some host drivers have an errno of their own for it.
//! * After an error a read buffer holds anything, the caller's own bytes for instance. It is cleared before, and not used.
//! * It may bring the card up anew at any time (suspend, error recovery). Then the secure mode is off; CMD36 tells.

mod device;
mod errno;
mod host;
mod port;
mod soft;
mod sysfs;
#[cfg(test)]
mod tests;

pub use device::{Device, DeviceError};
pub use host::MmcHost;
pub use port::{BYTES_MAX, COMMANDS_MAX, IocCommand, IocData, MmcPort, Registers, SENTINEL, flags};
pub use soft::SoftKernel;
