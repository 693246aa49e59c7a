//! The ioctl numbers.
//!
//! Each is `_IOWR(0xC5, nr, struct)`: the structure goes in and comes back in place, its size is part of the number.

/// The type byte of every ioctl of the control file.
///
/// `0xC5` stands in no row of the kernel's list of ioctl numbers
/// (`Documentation/userspace-api/ioctl/ioctl-number.rst`). The obvious letters do: `'s'` is taken by `cdk.h`, `'S'`
/// by the CD-ROM drivers and SCSI.
pub const TYPE: u8 = 0xC5;

/// Sequence number of VERSION.
pub const NR_VERSION: u8 = 0x00;
/// Sequence number of STATUS.
pub const NR_STATUS: u8 = 0x01;
/// Sequence number of RESULT.
pub const NR_RESULT: u8 = 0x02;
/// Sequence number of AUTHENTICATE.
pub const NR_AUTHENTICATE: u8 = 0x10;
/// Sequence number of TRANSMIT.
pub const NR_TRANSMIT: u8 = 0x11;
/// Sequence number of START.
pub const NR_START: u8 = 0x12;
/// Sequence number of CLEAR.
pub const NR_CLEAR: u8 = 0x13;
/// Sequence number of CONFIRM.
pub const NR_CONFIRM: u8 = 0x14;
/// Sequence number of RESET.
pub const NR_RESET: u8 = 0x15;

/// The largest structure an ioctl number can carry on every architecture: 13 bits of size (powerpc, mips, sparc).
///
/// Others have 14 bits; a FUSE file takes no ioctl whose size the number does not tell.
pub const SIZE_MAX: usize = 8191;

/// `_IOWR(TYPE, nr, T)` of `<asm/ioctl.h>`.
///
/// The two direction bits of "both ways" are the same on every architecture, whether it keeps them in two bits or
/// in three, so this needs no case for each.
///
/// # Panics
///
/// At compile time, where `T` is larger than [`SIZE_MAX`].
pub const fn iowr<T>(nr: u8) -> u32 {
    let size = size_of::<T>();
    assert!(size <= SIZE_MAX, "structure too large for an ioctl number");
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the assertion above")]
    let size = size as u32;
    // `u32::from` is not const.
    let (ty, nr) = (TYPE as u32, nr as u32);
    0xC000_0000 | (size << 16) | (ty << 8) | nr
}

/// The type byte in an ioctl number.
pub const fn type_of(number: u32) -> u8 {
    number.to_be_bytes()[2]
}

/// The sequence number in an ioctl number.
pub const fn nr_of(number: u32) -> u8 {
    number.to_be_bytes()[3]
}
