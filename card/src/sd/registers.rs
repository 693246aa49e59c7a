//! The registers of the emulated card (PLSS chapter 5), made from its profile and the size of its memory.

use super::profile::{Profile, SdVersion};
use smcard_link::sd::{Capacity, Ocr, crc7};

/// Blocks of 512 bytes in one unit of an SDHC card's size.
const HIGH_UNIT: u64 = 1024;
/// Largest size field of an SDHC or SDXC card.
const HIGH_UNITS: u64 = 1 << 22;

/// What does not change while the card has power.
#[derive(Clone, Debug)]
pub(crate) struct Registers {
    pub(crate) cid: [u8; 16],
    csd: [u8; 16],
    pub(crate) scr: [u8; 8],
    pub(crate) capacity: Capacity,
    /// Blocks of 512 bytes.
    pub(crate) blocks: u64,
}

impl Registers {
    /// The registers of a card with `length` bytes of memory; what does not fill a unit of the size field is not used.
    /// `None`: too little for one unit.
    pub(crate) fn new(profile: &Profile, cid: [u8; 16], length: u64) -> Option<Self> {
        let blocks = length / 512;
        let (csd, blocks) = match profile.capacity {
            Capacity::High => high_csd(profile, blocks)?,
            Capacity::Standard => standard_csd(profile, blocks)?,
        };
        Some(Registers { cid, csd, scr: scr(profile), capacity: profile.capacity, blocks })
    }

    /// The CSD in default or high speed: TRAN_SPEED follows the access mode.
    pub(crate) fn csd(&self, high_speed: bool) -> [u8; 16] {
        let mut csd = self.csd;
        csd[3] = if high_speed { 0x5A } else { 0x32 };
        sealed(csd)
    }

    /// The OCR once the card is ready or not.
    pub(crate) fn ocr(&self, ready: bool) -> u32 {
        match (ready, self.capacity) {
            (false, _) => Ocr::VOLTAGES,
            (true, Capacity::Standard) => Ocr::VOLTAGES | Ocr::READY,
            (true, Capacity::High) => Ocr::VOLTAGES | Ocr::READY | Ocr::CCS,
        }
    }

    /// The SD status (section 4.10.2): bus width, and a hint for erasing (allocation units of 4 MiB, 1 s each).
    pub(crate) fn sd_status(wide: bool) -> [u8; 64] {
        let mut status = [0; 64];
        status[0] = if wide { 0x80 } else { 0 };
        status[10] = 0x90;
        status[12] = 1;
        status[13] = 1 << 2;
        status
    }
}

fn sealed(mut register: [u8; 16]) -> [u8; 16] {
    let [body @ .., _] = register;
    register[15] = crc7(&body) << 1 | 1;
    register
}

/// Classes 0 basic, 2 read, 4 write, 5 erase, 8 application, 10 switch; 7 lock only where the card is locked.
fn classes(profile: &Profile) -> u8 {
    if profile.locked { 0x5B } else { 0x53 }
}

fn high_csd(profile: &Profile, blocks: u64) -> Option<([u8; 16], u64)> {
    let units = (blocks / HIGH_UNIT).min(HIGH_UNITS);
    let size = u32::try_from(units.checked_sub(1)?).ok()?;
    let [_, s2, s1, s0] = size.to_be_bytes();
    let csd = [0x40, 0x0E, 0, 0x32, classes(profile), 0x59, 0, s2, s1, s0, 0x7F, 0x80, 0x0A, 0x40, 0, 0];
    Some((csd, units * HIGH_UNIT))
}

fn standard_csd(profile: &Profile, blocks: u64) -> Option<([u8; 16], u64)> {
    // Blocks of 512 up to 1 GiB, blocks of 1024 for 2 GiB; the smallest multiplier that reaches the size.
    let (length, multiplier) = [(9_u8, 0_u8), (9, 1), (9, 2), (9, 3), (9, 4), (9, 5), (9, 6), (9, 7), (10, 7)]
        .into_iter()
        .find(|(length, multiplier)| blocks >> (multiplier + 2 + length - 9) <= 4096)
        .unwrap_or((10, 7));
    let shift = multiplier + 2 + length - 9;
    let units = (blocks >> shift).min(4096);
    let [high, low] = u16::try_from(units.checked_sub(1)?).ok()?.to_be_bytes();
    let mut csd = [0; 16];
    csd[..6].copy_from_slice(&[0x00, 0x26, 0x00, 0x32, classes(profile), 0x50 | length]);
    // Reads may be shorter than a block; voltages as most cards have them.
    csd[6] = 0x80 | high >> 2;
    csd[7] = high << 6 | low >> 2;
    csd[8] = low << 6 | 0x2D;
    csd[9] = 0xB4 | multiplier >> 1;
    csd[10] = multiplier << 7 | 0x7F;
    csd[11] = 0x80;
    csd[12] = 0x08 | length >> 2;
    csd[13] = length << 6;
    Some((csd, units << shift))
}

/// SCR: erased memory reads zero; 1 and 4 bits; CMD23 from 3.0 on.
fn scr(profile: &Profile) -> [u8; 8] {
    let security = match profile.capacity {
        Capacity::Standard => 2 << 4,
        Capacity::High => 3 << 4,
    };
    match profile.sd_version {
        SdVersion::V1_10 => [0x01, security | 5, 0, 0, 0, 0, 0, 0],
        SdVersion::V3 => [0x02, security | 5, 0x80, 0x02, 0, 0, 0, 0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smcard_link::sd::{Csd, Scr};

    fn standard() -> Profile {
        Profile { capacity: Capacity::Standard, ..Profile::default() }
    }

    #[test]
    fn the_size_in_the_csd_is_that_of_the_memory() {
        for mib in [1_u64, 64, 1000, 4096, 65_536] {
            let registers = Registers::new(&Profile::default(), [0; 16], mib << 20).unwrap();
            assert_eq!(registers.blocks, mib << 11);
            assert_eq!(Csd(registers.csd(false)).blocks(), Some(mib << 11));
        }
        for kib in [64_u64, 1000, 1024, 65_536, 1 << 20, 2 << 20] {
            let registers = Registers::new(&standard(), [0; 16], kib << 10).unwrap();
            assert_eq!(Csd(registers.csd(false)).blocks(), Some(registers.blocks), "{kib} KiB");
            assert!(registers.blocks <= kib * 2 && registers.blocks * 4096 > kib * 2 * 4095, "{kib} KiB");
        }
        assert_eq!(Registers::new(&standard(), [0; 16], 4 << 30).unwrap().blocks, 4 << 20);
        assert!(Registers::new(&Profile::default(), [0; 16], (512 << 10) - 1).is_none());
    }

    #[test]
    fn registers_are_sealed_and_say_what_the_card_can() {
        let registers = Registers::new(&Profile::default(), [0; 16], 64 << 20).unwrap();
        let csd = Csd(registers.csd(false));
        assert!(csd.is_intact() && Csd(registers.csd(true)).is_intact());
        assert_eq!((csd.clock(), Csd(registers.csd(true)).clock()), (Some(25_000_000), Some(50_000_000)));
        assert_eq!(csd.classes(), 0b0101_0011_0101);
        assert!(Scr(registers.scr).has_switch() && Scr(registers.scr).command_support() & 2 == 2);
        assert_eq!(Ocr(registers.ocr(true)).capacity(), Capacity::High);
        assert!(!Ocr(registers.ocr(false)).is_ready());
    }
}
