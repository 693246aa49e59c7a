//! What the reader says of itself: features and properties (PC/SC part 10 sections 2.2 and 2.6.14).

use crate::abi::IOCTL_GET_TLV_PROPERTIES;
use crate::wire::MESSAGE_MAX;

/// `FEATURE_GET_TLV_PROPERTIES`.
const FEATURE: u8 = 0x12;
/// `dwMaxAPDUDataSize`, a u32, little-endian.
const MAX_APDU_DATA_SIZE: u8 = 0x0A;
/// Header, extended Lc and extended Le of the longest command; a response's status word is shorter.
const OVERHEAD: usize = 4 + 3 + 2;

/// The list of features: number, length, control code (big-endian).
#[must_use]
pub fn features() -> Vec<u8> {
    let mut list = vec![FEATURE, 0x04];
    list.extend_from_slice(&u32::try_from(IOCTL_GET_TLV_PROPERTIES).unwrap_or_default().to_be_bytes());
    list
}

/// The properties: extended APDUs, with as much data as fits into a message.
#[must_use]
pub fn properties() -> Vec<u8> {
    let most = u32::try_from(MESSAGE_MAX - OVERHEAD).unwrap_or_default();
    let mut list = vec![MAX_APDU_DATA_SIZE, 0x04];
    list.extend_from_slice(&most.to_le_bytes());
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_as_part_10_has_them() {
        assert_eq!(features(), [0x12, 0x04, 0x42, 0x00, 0x00, 0x12]);
        assert_eq!(properties(), [0x0A, 0x04, 0xF6, 0xFF, 0x00, 0x00]);
    }
}
