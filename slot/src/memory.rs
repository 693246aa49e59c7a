//! The guest's memory as a device reaches it.

use thiserror::Error;

/// An address the device cannot reach: the guest has said something wrong, or the machine does not share its memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("no memory can be reached at guest address {address:#x}, {length} bytes")]
pub struct Unreachable {
    /// First byte asked for.
    pub address: u64,
    /// Bytes asked for.
    pub length: usize,
}

/// The guest's memory as the bus master sees it. Addresses are the guest's physical ones and untrusted.
pub trait GuestMemory {
    /// Copies from the guest. All or nothing as far as the caller can tell: what `bytes` holds after an error is not defined.
    ///
    /// # Errors
    /// Some of the addresses are not memory.
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Unreachable>;

    /// Copies to the guest.
    ///
    /// # Errors
    /// Some of the addresses are not memory, or memory that must not be written; others may have been written.
    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Unreachable>;

    /// True where there is memory at all. Without it a controller offers no DMA, and the guest carries every word itself.
    fn is_reachable(&self) -> bool;
}
