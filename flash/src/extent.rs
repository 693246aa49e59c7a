//! A contiguous piece of the data area.

use crate::layout::PAGE;

/// A contiguous run of data pages, at least one.
///
/// An extent comes from [`Store::reserve`](crate::Store::reserve) or from a committed record and means something only
/// to the store it came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

impl Extent {
    /// Bytes it can hold: whole pages.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        u64::from(self.count) * PAGE
    }

    /// Byte offset of its start in the image.
    #[must_use]
    pub fn address(&self) -> u64 {
        u64::from(self.first) * PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_and_address_are_bytes_even_beyond_4_gib() {
        let extent = Extent { first: 0x0010_0000, count: 0x0020_0000 };
        assert_eq!(extent.address(), 0x1_0000_0000);
        assert_eq!(extent.capacity(), 0x2_0000_0000);
    }
}
