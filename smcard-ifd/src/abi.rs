//! Names and numbers of pcsc-lite: `ifdhandler.h` (version 3 of the interface), `reader.h`, `wintypes.h` for Linux.
#![allow(clippy::upper_case_acronyms, reason = "the names of wintypes.h")]

use std::ffi::{c_long, c_ulong};

/// `DWORD`: as wide as a pointer.
pub type DWORD = c_ulong;
/// `RESPONSECODE`.
pub type RESPONSECODE = c_long;

/// `SCARD_IO_HEADER`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoHeader {
    /// 0 = T=0, 1 = T=1.
    pub protocol: DWORD,
    /// Not used.
    pub length: DWORD,
}

/// Done.
pub const IFD_SUCCESS: RESPONSECODE = 0;
/// The tag is not known.
pub const IFD_ERROR_TAG: RESPONSECODE = 600;
/// A capability that cannot be set.
pub const IFD_ERROR_VALUE_READ_ONLY: RESPONSECODE = 602;
/// Another protocol than the card's.
pub const IFD_PROTOCOL_NOT_SUPPORTED: RESPONSECODE = 607;
/// The card does not come up.
pub const IFD_ERROR_POWER_ACTION: RESPONSECODE = 608;
/// The connection broke.
pub const IFD_COMMUNICATION_ERROR: RESPONSECODE = 612;
/// No answer, or none in time.
pub const IFD_RESPONSE_TIMEOUT: RESPONSECODE = 613;
/// The request is not known.
pub const IFD_NOT_SUPPORTED: RESPONSECODE = 614;
/// A card is in the reader.
pub const IFD_ICC_PRESENT: RESPONSECODE = 615;
/// None is.
pub const IFD_ICC_NOT_PRESENT: RESPONSECODE = 616;
/// There is no such reader.
pub const IFD_NO_SUCH_DEVICE: RESPONSECODE = 617;
/// The caller's buffer is too small.
pub const IFD_ERROR_INSUFFICIENT_BUFFER: RESPONSECODE = 618;

/// Action of `IFDHPowerICC`: on.
pub const IFD_POWER_UP: DWORD = 500;
/// Off.
pub const IFD_POWER_DOWN: DWORD = 501;
/// Reset.
pub const IFD_RESET: DWORD = 502;

/// The ATR.
pub const TAG_IFD_ATR: DWORD = 0x0303;
/// The ATR, as `SCardGetAttrib` names it.
pub const SCARD_ATTR_ATR_STRING: DWORD = 0x0009_0303;
/// The manufacturer's name.
pub const SCARD_ATTR_VENDOR_NAME: DWORD = 0x0001_0100;
/// Version of the reader: major, minor, build (2 bytes), as one u32.
pub const SCARD_ATTR_VENDOR_IFD_VERSION: DWORD = 0x0001_0102;
/// 0 = no card, 2 = present and swallowed; one byte.
pub const SCARD_ATTR_ICC_PRESENCE: DWORD = 0x0009_0300;
/// Number of slots.
pub const TAG_IFD_SLOTS_NUMBER: DWORD = 0x0FAE;
/// Several slots of one reader can be used at the same time.
pub const TAG_IFD_SLOT_THREAD_SAFE: DWORD = 0x0FAC;
/// Several readers can be used at the same time.
pub const TAG_IFD_THREAD_SAFE: DWORD = 0x0FAD;
/// How many readers this library can serve.
pub const TAG_IFD_SIMULTANEOUS_ACCESS: DWORD = 0x0FAF;
/// A function that ends a wait for a card.
pub const TAG_IFD_STOP_POLLING_THREAD: DWORD = 0x0FB2;
/// A function that waits until a card comes or goes, or a time has passed.
pub const TAG_IFD_POLLING_THREAD_WITH_TIMEOUT: DWORD = 0x0FB3;

/// `CM_IOCTL_GET_FEATURE_REQUEST` (PC/SC part 10 section 2.2, as pcsc-lite numbers it).
pub const CM_IOCTL_GET_FEATURE_REQUEST: DWORD = 0x4200_0000 + 3400;
/// Our number for `FEATURE_GET_TLV_PROPERTIES`.
pub const IOCTL_GET_TLV_PROPERTIES: DWORD = 0x4200_0000 + 18;
