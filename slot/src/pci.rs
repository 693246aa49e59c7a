//! The PCI configuration space of a device with one memory region and a legacy interrupt (PCI Local Bus Specification
//! 3.0, section 6.1).

use crate::device::Identity;

/// Bytes of the configuration space.
pub const SIZE: u64 = 256;

const COMMAND: usize = 0x04;
const BAR0: usize = 0x10;
const INTERRUPT_LINE: usize = 0x3C;
const INTERRUPT_PIN: usize = 0x3D;
/// Memory space, bus master, interrupt disable.
const COMMAND_WRITABLE: u16 = 1 << 1 | 1 << 2 | 1 << 10;

/// A configuration space: bytes, and which of their bits the guest may change. There are no capabilities.
#[derive(Clone, Debug)]
pub struct Config {
    bytes: [u8; 256],
    writable: [u8; 256],
}

impl Config {
    /// The space of a device with a memory region of `region` bytes (a power of two, at least 16) at its first base address.
    #[must_use]
    pub fn new(identity: Identity, region: u64) -> Self {
        let mut config = Config { bytes: [0; 256], writable: [0; 256] };
        config.put(0x00, &identity.vendor.to_le_bytes());
        config.put(0x02, &identity.device.to_le_bytes());
        let [base, sub, interface] = identity.class;
        config.put(0x08, &[identity.revision, interface, sub, base]);
        config.put(INTERRUPT_PIN, &[1]);
        let mask = u32::try_from(region.max(16).next_power_of_two() - 1).map_or(0, |mask| !mask);
        config.allow(COMMAND, &COMMAND_WRITABLE.to_le_bytes());
        config.allow(BAR0, &mask.to_le_bytes());
        config.allow(INTERRUPT_LINE, &[0xFF]);
        config
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (place, byte) in self.bytes.iter_mut().skip(at).zip(bytes) {
            *place = *byte;
        }
    }

    fn allow(&mut self, at: usize, bytes: &[u8]) {
        for (place, byte) in self.writable.iter_mut().skip(at).zip(bytes) {
            *place = *byte;
        }
    }

    /// Reads; beyond the space stands 0.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) {
        bytes.fill(0);
        let Ok(offset) = usize::try_from(offset) else { return };
        for (byte, value) in bytes.iter_mut().zip(self.bytes.iter().skip(offset)) {
            *byte = *value;
        }
    }

    /// Writes what may be changed.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        let Ok(offset) = usize::try_from(offset) else { return };
        let places = self.bytes.iter_mut().zip(self.writable.iter()).skip(offset);
        for ((place, writable), byte) in places.zip(bytes) {
            *place = *place & !writable | byte & writable;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new(Identity { vendor: 0x1B36, device: 0x0007, class: [0x08, 0x05, 0x01], revision: 2 }, 256)
    }

    fn word(config: &Config, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        config.read(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    #[test]
    fn a_bus_finds_who_is_there() {
        let config = config();
        assert_eq!(word(&config, 0), 0x0007_1B36);
        assert_eq!(word(&config, 8), 0x0805_0102);
        assert_eq!(word(&config, 0x3C) >> 8 & 0xFF, 1, "INTA");
        assert_eq!(word(&config, 0x34), 0, "no capabilities");
    }

    #[test]
    fn the_size_of_the_region_is_found_by_writing_ones() {
        let mut config = config();
        config.write(0x10, &[0xFF; 4]);
        assert_eq!(word(&config, 0x10), 0xFFFF_FF00);
        config.write(0x14, &[0xFF; 4]);
        assert_eq!(word(&config, 0x14), 0);
    }

    #[test]
    fn only_what_may_be_changed_changes_and_nothing_lies_beyond() {
        let mut config = config();
        config.write(0, &[0xFF; 256]);
        assert_eq!(word(&config, 0), 0x0007_1B36);
        assert_eq!(word(&config, 4), u32::from(COMMAND_WRITABLE));
        config.write(254, &[0xFF; 9]);
        config.write(u64::MAX, &[0xFF; 9]);
        let mut bytes = [7; 4];
        config.read(254, &mut bytes);
        assert_eq!(bytes, [0; 4]);
    }
}
