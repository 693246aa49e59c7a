//! ADMA2: the descriptor table in the guest's memory that says where data comes from or goes to (section 1.13).
//!
//! A descriptor is 8 bytes, little-endian: attributes (16 bits), length (16 bits, 0 = 65 536), address (32 bits). The
//! table is the guest's and may be anything; a walk is bounded by [`DRY_MAX`] descriptors that carry no data.

use super::registers::adma;
use crate::memory::GuestMemory;

/// Descriptors without data (jumps and no-operations) that may follow each other. Drivers use one or two; a table that
/// jumps to itself ends here.
pub(crate) const DRY_MAX: u32 = 1024;

const VALID: u16 = 1 << 0;
const END: u16 = 1 << 1;
const INTERRUPT: u16 = 1 << 2;
const ACTION: u16 = 0b11 << 4;
const TRANSFER: u16 = 0b10 << 4;
const LINK: u16 = 0b11 << 4;
const DESCRIPTOR: u64 = 8;

/// Why a walk ended too early: value of the ADMA error status register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AdmaFault(pub(crate) u32);

const FETCH: AdmaFault = AdmaFault(adma::STATE_FETCH);
const TRANSFER_FAULT: AdmaFault = AdmaFault(adma::STATE_TRANSFER);
const LENGTH: AdmaFault = AdmaFault(adma::STATE_TRANSFER | adma::LENGTH_MISMATCH);
const STOPPED: AdmaFault = AdmaFault(adma::STATE_STOP | adma::LENGTH_MISMATCH);

/// Which way a copy goes.
pub(crate) enum Copy<'a> {
    /// From the guest.
    From(&'a mut [u8]),
    /// To the guest.
    To(&'a [u8]),
}

/// A walk through a descriptor table.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    /// The next descriptor.
    next: u64,
    address: u64,
    /// Bytes left of the current descriptor.
    left: u32,
    /// The current descriptor is the last.
    last: bool,
    /// An interrupt is due when the current descriptor is done.
    announce: bool,
}

impl Walk {
    pub(crate) fn new(table: u64) -> Self {
        Walk { next: table, address: 0, left: 0, last: false, announce: false }
    }

    /// Address of the next descriptor: what the ADMA system address register shows.
    pub(crate) fn position(&self) -> u64 {
        self.next
    }

    /// True when the last descriptor has been used up.
    pub(crate) fn is_finished(&self) -> bool {
        self.last && self.left == 0
    }

    /// Moves one block. True where a descriptor asked for an interrupt on the way.
    pub(crate) fn copy(&mut self, memory: &dyn GuestMemory, mut block: Copy<'_>) -> Result<bool, AdmaFault> {
        let mut announced = false;
        let length = match &block {
            Copy::From(bytes) => bytes.len(),
            Copy::To(bytes) => bytes.len(),
        };
        let mut done = 0;
        while done < length {
            if self.left == 0 {
                self.fetch(memory)?;
            }
            let left = usize::try_from(self.left).map_err(|_| LENGTH)?;
            let end = length.min(done.saturating_add(left));
            let moved = match &mut block {
                Copy::From(bytes) => bytes.get_mut(done..end).map(|part| memory.read(self.address, part)),
                Copy::To(bytes) => bytes.get(done..end).map(|part| memory.write(self.address, part)),
            };
            match moved {
                Some(Ok(())) => {}
                Some(Err(unreachable)) => {
                    log::debug!("ADMA: {unreachable}");
                    return Err(TRANSFER_FAULT);
                }
                None => return Err(LENGTH),
            }
            let count = u32::try_from(end - done).map_err(|_| LENGTH)?;
            self.address = self.address.wrapping_add(u64::from(count));
            self.left -= count;
            done = end;
            if self.left == 0 {
                announced |= std::mem::take(&mut self.announce);
            }
        }
        Ok(announced)
    }

    /// Goes on to the next descriptor that carries data.
    fn fetch(&mut self, memory: &dyn GuestMemory) -> Result<(), AdmaFault> {
        if self.last {
            return Err(STOPPED);
        }
        for _ in 0..DRY_MAX {
            let mut bytes = [0; 8];
            memory.read(self.next, &mut bytes).map_err(|unreachable| {
                log::debug!("ADMA descriptor: {unreachable}");
                FETCH
            })?;
            let [a0, a1, l0, l1, d0, d1, d2, d3] = bytes;
            let attributes = u16::from_le_bytes([a0, a1]);
            if attributes & VALID == 0 {
                return Err(FETCH);
            }
            let address = u64::from(u32::from_le_bytes([d0, d1, d2, d3]));
            self.next = match attributes & ACTION {
                LINK => address,
                _ => self.next.wrapping_add(DESCRIPTOR),
            };
            self.announce |= attributes & INTERRUPT != 0;
            self.last = attributes & END != 0;
            if attributes & ACTION == TRANSFER {
                self.address = address;
                self.left = match u16::from_le_bytes([l0, l1]) {
                    0 => 0x1_0000,
                    length => u32::from(length),
                };
                return Ok(());
            }
            if self.last {
                return Err(STOPPED);
            }
        }
        log::warn!("ADMA: {DRY_MAX} descriptors without data one after the other: the table is given up");
        Err(FETCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdhci::testing::Ram;

    fn descriptor(attributes: u16, length: u16, address: u32) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..2].copy_from_slice(&attributes.to_le_bytes());
        bytes[2..4].copy_from_slice(&length.to_le_bytes());
        bytes[4..].copy_from_slice(&address.to_le_bytes());
        bytes
    }

    fn ram(table: &[[u8; 8]]) -> Ram {
        let ram = Ram::new(0x20000);
        ram.write(0x100, table.as_flattened()).unwrap();
        ram
    }

    const TRAN: u16 = VALID | TRANSFER;

    #[test]
    fn a_block_is_gathered_from_several_places() {
        let table = [descriptor(TRAN, 3, 0x1000), descriptor(VALID, 9, 0), descriptor(TRAN | END, 5, 0x2000)];
        let ram = ram(&table);
        ram.write(0x1000, b"abc").unwrap();
        ram.write(0x2000, b"defgh").unwrap();
        let mut walk = Walk::new(0x100);
        let mut block = [0; 4];
        assert_eq!(walk.copy(&ram, Copy::From(&mut block)), Ok(false));
        assert_eq!((&block, walk.is_finished()), (b"abcd", false));
        assert_eq!(walk.copy(&ram, Copy::From(&mut block)), Ok(false));
        assert_eq!((&block, walk.is_finished()), (b"efgh", true));
        assert_eq!(walk.position(), 0x118);
        assert_eq!(walk.copy(&ram, Copy::From(&mut block)), Err(STOPPED));
    }

    #[test]
    fn links_are_followed_and_a_length_of_zero_is_64_kib() {
        let ram = ram(&[descriptor(VALID | LINK, 0, 0x300)]);
        ram.write(0x300, &descriptor(TRAN | END | INTERRUPT, 0, 0x8000)).unwrap();
        let mut walk = Walk::new(0x100);
        assert_eq!(walk.copy(&ram, Copy::To(&[7; 0x8000])), Ok(false));
        assert!(!walk.is_finished());
        assert_eq!(walk.copy(&ram, Copy::To(&[8; 0x8000])), Ok(true), "the descriptor wants an interrupt");
        assert!(walk.is_finished());
        let mut byte = [0];
        ram.read(0x17FFF, &mut byte).unwrap();
        assert_eq!(byte, [8]);
    }

    #[test]
    fn a_table_that_jumps_in_circles_ends() {
        let ram = ram(&[descriptor(VALID | LINK, 0, 0x100)]);
        assert_eq!(Walk::new(0x100).copy(&ram, Copy::From(&mut [0; 512])), Err(FETCH));
    }

    #[test]
    fn what_is_not_memory_or_not_valid_is_a_fault() {
        let fault = |table: &[[u8; 8]]| Walk::new(0x100).copy(&ram(table), Copy::From(&mut [0; 512]));
        assert_eq!(fault(&[descriptor(TRAN | END, 512, 0xFFFF_FF00)]), Err(TRANSFER_FAULT));
        assert_eq!(fault(&[descriptor(TRANSFER | END, 512, 0x1000)]), Err(FETCH));
        assert_eq!(fault(&[descriptor(VALID | LINK, 0, 0xFFFF_FFF8)]), Err(FETCH));
        assert_eq!(fault(&[descriptor(VALID | END, 0, 0)]), Err(STOPPED));
        assert_eq!(fault(&[descriptor(TRAN | END, 511, 0x1000)]), Err(STOPPED));
        assert_eq!(Walk::new(u64::MAX - 3).copy(&ram(&[]), Copy::From(&mut [0; 4])), Err(FETCH));
    }
}
