//! What pcscd calls (`ifdhandler.h`, version 3). Pointers become slices here and go no further; a panic ends here.
#![allow(non_snake_case, reason = "the names pcscd looks for")]

use crate::abi::{
    CM_IOCTL_GET_FEATURE_REQUEST, DWORD, IFD_COMMUNICATION_ERROR, IFD_ERROR_INSUFFICIENT_BUFFER, IFD_ERROR_TAG,
    IFD_ERROR_VALUE_READ_ONLY, IFD_ICC_NOT_PRESENT, IFD_ICC_PRESENT, IFD_NO_SUCH_DEVICE, IFD_NOT_SUPPORTED,
    IFD_POWER_DOWN, IFD_POWER_UP, IFD_PROTOCOL_NOT_SUPPORTED, IFD_RESET, IFD_SUCCESS, IOCTL_GET_TLV_PROPERTIES,
    IoHeader, RESPONSECODE, SCARD_ATTR_ATR_STRING, SCARD_ATTR_ICC_PRESENCE, SCARD_ATTR_VENDOR_IFD_VERSION,
    SCARD_ATTR_VENDOR_NAME, TAG_IFD_ATR, TAG_IFD_POLLING_THREAD_WITH_TIMEOUT, TAG_IFD_SIMULTANEOUS_ACCESS,
    TAG_IFD_SLOT_THREAD_SAFE, TAG_IFD_SLOTS_NUMBER, TAG_IFD_STOP_POLLING_THREAD, TAG_IFD_THREAD_SAFE,
};
use crate::properties::{features, properties};
use crate::reader::{Limits, Reader};
use crate::table;
use std::ffi::{CStr, OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

/// Opens the reader whose DEVICENAME is this: the path of the daemon's socket, best with `unix:` before it (without,
/// pcscd refuses the reader while there is no such file).
///
/// # Safety
/// `name` is null or points to a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn IFDHCreateChannelByName(lun: DWORD, name: *const c_char) -> RESPONSECODE {
    guarded(|| {
        if name.is_null() || lun & 0xFFFF != 0 {
            return IFD_NO_SUCH_DEVICE;
        }
        // SAFETY: not null, and by the caller's contract a string that ends.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        let path = Path::new(OsStr::from_bytes(name.strip_prefix(b"unix:").unwrap_or(name)));
        let reader = Reader::new(path, Limits::default()).ok().filter(|_| path.is_absolute());
        if reader.is_some_and(|reader| table::insert(lun, reader)) { IFD_SUCCESS } else { IFD_NO_SUCH_DEVICE }
    })
}

/// A reader without DEVICENAME: there is none.
#[unsafe(no_mangle)]
pub extern "C" fn IFDHCreateChannel(_lun: DWORD, _channel: DWORD) -> RESPONSECODE {
    IFD_NO_SUCH_DEVICE
}

/// Closes the reader.
#[unsafe(no_mangle)]
pub extern "C" fn IFDHCloseChannel(lun: DWORD) -> RESPONSECODE {
    guarded(|| match table::remove(lun) {
        Some(reader) => {
            reader.wake();
            IFD_SUCCESS
        }
        None => IFD_NO_SUCH_DEVICE,
    })
}

/// Tells a capability.
///
/// # Safety
/// `length` is null or points to the number of bytes that may be written at `value`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn IFDHGetCapabilities(
    lun: DWORD,
    tag: DWORD,
    length: *mut DWORD,
    value: *mut u8,
) -> RESPONSECODE {
    guarded(|| {
        let bytes = match capability(lun, tag) {
            Ok(bytes) => bytes,
            Err(code) => return code,
        };
        // SAFETY: by the caller's contract.
        unsafe { give(&bytes, value, length) }
    })
}

fn capability(lun: DWORD, tag: DWORD) -> Result<Vec<u8>, RESPONSECODE> {
    let wait: extern "C" fn(DWORD, c_int) -> RESPONSECODE = wait_for_card;
    let stop: extern "C" fn(DWORD) -> RESPONSECODE = stop_waiting;
    Ok(match tag {
        TAG_IFD_SLOTS_NUMBER | TAG_IFD_THREAD_SAFE => vec![1],
        TAG_IFD_SIMULTANEOUS_ACCESS => vec![table::READERS_MAX],
        TAG_IFD_SLOT_THREAD_SAFE => vec![0],
        TAG_IFD_POLLING_THREAD_WITH_TIMEOUT => (wait as usize).to_ne_bytes().to_vec(),
        TAG_IFD_STOP_POLLING_THREAD => (stop as usize).to_ne_bytes().to_vec(),
        TAG_IFD_ATR | SCARD_ATTR_ATR_STRING => reader(lun)?.atr(),
        SCARD_ATTR_ICC_PRESENCE => vec![if reader(lun)?.atr().is_empty() { 0 } else { 2 }],
        SCARD_ATTR_VENDOR_NAME => b"smcard".to_vec(),
        SCARD_ATTR_VENDOR_IFD_VERSION => 0x0001_0000_u32.to_ne_bytes().to_vec(),
        _ => return Err(IFD_ERROR_TAG),
    })
}

/// Sets a capability: none can be.
#[unsafe(no_mangle)]
pub extern "C" fn IFDHSetCapabilities(_lun: DWORD, tag: DWORD, _length: DWORD, _value: *const u8) -> RESPONSECODE {
    match tag {
        TAG_IFD_ATR | SCARD_ATTR_ATR_STRING | TAG_IFD_SLOTS_NUMBER => IFD_ERROR_VALUE_READ_ONLY,
        _ => IFD_ERROR_TAG,
    }
}

/// Chooses the protocol: a command is a message, so it is the same with each that `SCardConnect` can mean.
#[unsafe(no_mangle)]
pub extern "C" fn IFDHSetProtocolParameters(
    _lun: DWORD,
    protocol: DWORD,
    _flags: u8,
    _pts1: u8,
    _pts2: u8,
    _pts3: u8,
) -> RESPONSECODE {
    const T0: DWORD = 1;
    const T1: DWORD = 2;
    if matches!(protocol, T0 | T1) { IFD_SUCCESS } else { IFD_PROTOCOL_NOT_SUPPORTED }
}

/// Gives power, takes it, resets.
///
/// # Safety
/// `length` is null or points to a number that can be written; at `atr` 33 bytes can be, unless it is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn IFDHPowerICC(lun: DWORD, action: DWORD, atr: *mut u8, length: *mut DWORD) -> RESPONSECODE {
    guarded(|| {
        let mut room = DWORD::try_from(crate::reader::ATR_MAX).unwrap_or_default();
        let (answer, code) = match (reader(lun), action) {
            (Err(code), _) => (Vec::new(), code),
            (Ok(reader), IFD_POWER_UP | IFD_RESET) => match reader.power_up(action == IFD_RESET) {
                Ok(atr) => (atr, IFD_SUCCESS),
                Err(code) => (Vec::new(), code),
            },
            (Ok(reader), IFD_POWER_DOWN) => {
                reader.power_down();
                (Vec::new(), IFD_SUCCESS)
            }
            (Ok(_), _) => (Vec::new(), IFD_NOT_SUPPORTED),
        };
        // What pcscd puts into the length is not the size of its buffer, which is that of the longest ATR.
        // SAFETY: by the caller's contract; `room` is ours.
        let given = unsafe { give(&answer, atr, &raw mut room) };
        if !length.is_null() {
            // SAFETY: not null, and by the caller's contract it can be written.
            unsafe { length.write(room) };
        }
        if code == IFD_SUCCESS && !answer.is_empty() { given } else { code }
    })
}

/// Sends a command and gives the response.
///
/// # Safety
/// `command` points to `command_length` bytes; `length` is null or points to the number of bytes that may be written at
/// `response`; `received` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn IFDHTransmitToICC(
    lun: DWORD,
    _sent: IoHeader,
    command: *const u8,
    command_length: DWORD,
    response: *mut u8,
    length: *mut DWORD,
    received: *mut IoHeader,
) -> RESPONSECODE {
    const T1: DWORD = 1;
    guarded(|| {
        // SAFETY: by the caller's contract.
        let command = unsafe { taken(command, command_length) };
        // SAFETY: by the caller's contract.
        let room = unsafe { capacity(length) };
        let (Some(command), Some(room)) = (command, room) else { return IFD_COMMUNICATION_ERROR };
        let answered = reader(lun).and_then(|reader| reader.transmit(command, room));
        let (answer, code) = answered.map_or_else(|code| (Vec::new(), code), |answer| (answer, IFD_SUCCESS));
        if !received.is_null() {
            let header = IoHeader { protocol: T1, length: DWORD::try_from(size_of::<IoHeader>()).unwrap_or_default() };
            // SAFETY: not null, and by the caller's contract it can be written.
            unsafe { received.write(header) };
        }
        // SAFETY: by the caller's contract.
        let given = unsafe { give(&answer, response, length) };
        if code == IFD_SUCCESS { given } else { code }
    })
}

/// Asks the reader itself: features and properties (PC/SC part 10).
///
/// # Safety
/// At `answer` `answer_length` bytes can be written; `returned` is null or can be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn IFDHControl(
    lun: DWORD,
    code: DWORD,
    _request: *const u8,
    _request_length: DWORD,
    answer: *mut u8,
    answer_length: DWORD,
    returned: *mut DWORD,
) -> RESPONSECODE {
    guarded(|| {
        let mut room = answer_length;
        let bytes = match (reader(lun), code) {
            (Err(code), _) => Err(code),
            (Ok(_), CM_IOCTL_GET_FEATURE_REQUEST) => Ok(features()),
            (Ok(_), IOCTL_GET_TLV_PROPERTIES) => Ok(properties()),
            (Ok(_), _) => Err(IFD_NOT_SUPPORTED),
        };
        let (bytes, code) = bytes.map_or_else(|code| (Vec::new(), code), |bytes| (bytes, IFD_SUCCESS));
        // SAFETY: by the caller's contract; `room` is ours.
        let given = unsafe { give(&bytes, answer, &raw mut room) };
        if !returned.is_null() {
            // SAFETY: not null, and by the caller's contract it can be written.
            unsafe { returned.write(if given == IFD_SUCCESS { room } else { 0 }) };
        }
        if code == IFD_SUCCESS { given } else { code }
    })
}

/// Tells whether a card is in the reader.
#[unsafe(no_mangle)]
pub extern "C" fn IFDHICCPresence(lun: DWORD) -> RESPONSECODE {
    guarded(|| match reader(lun) {
        Ok(reader) if reader.presence() => IFD_ICC_PRESENT,
        Ok(_) => IFD_ICC_NOT_PRESENT,
        Err(code) => code,
    })
}

/// What pcscd calls in a thread of its own instead of asking for presence all the time: comes back when a card has come
/// or gone, `milliseconds` have passed, or [`stop_waiting`] was called.
extern "C" fn wait_for_card(lun: DWORD, milliseconds: c_int) -> RESPONSECODE {
    guarded(|| match reader(lun) {
        Ok(reader) => {
            reader.wait(Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)));
            IFD_SUCCESS
        }
        Err(code) => code,
    })
}

extern "C" fn stop_waiting(lun: DWORD) -> RESPONSECODE {
    guarded(|| {
        reader(lun).map_or_else(
            |code| code,
            |reader| {
                reader.wake();
                IFD_SUCCESS
            },
        )
    })
}

fn reader(lun: DWORD) -> Result<Arc<Reader>, RESPONSECODE> {
    table::reader(lun).ok_or(IFD_NO_SUCH_DEVICE)
}

/// No panic goes further than this.
fn guarded(act: impl FnOnce() -> RESPONSECODE) -> RESPONSECODE {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or(IFD_COMMUNICATION_ERROR)
}

/// The bytes at `start`; `None` for a null pointer or a length no buffer can have.
///
/// # Safety
/// `start` is null or points to `length` bytes that nobody changes for as long as the slice is used.
unsafe fn taken<'a>(start: *const u8, length: DWORD) -> Option<&'a [u8]> {
    let length = usize::try_from(length).ok().filter(|length| isize::try_from(*length).is_ok())?;
    if start.is_null() {
        return None;
    }
    // SAFETY: not null, of a length a slice can have, and by the caller's contract.
    Some(unsafe { slice::from_raw_parts(start, length) })
}

/// The number of bytes that may be written, as pcscd tells it.
///
/// # Safety
/// `length` is null or points to a number.
unsafe fn capacity(length: *const DWORD) -> Option<usize> {
    if length.is_null() {
        return None;
    }
    // SAFETY: not null, and by the caller's contract a number.
    usize::try_from(unsafe { length.read() }).ok()
}

/// Gives bytes to pcscd and tells their number; only the number, and 618, where they do not fit.
///
/// # Safety
/// `length` is null or points to the number of bytes that may be written at `start`, which is null or points to them.
unsafe fn give(bytes: &[u8], start: *mut u8, length: *mut DWORD) -> RESPONSECODE {
    // SAFETY: by the caller's contract.
    let room = unsafe { capacity(length) };
    let (Some(room), Ok(number)) = (room, DWORD::try_from(bytes.len())) else { return IFD_COMMUNICATION_ERROR };
    // SAFETY: `capacity` has found that it is not null; it can be written by the caller's contract.
    unsafe { length.write(number) };
    if bytes.is_empty() {
        return IFD_SUCCESS;
    }
    if start.is_null() || bytes.len() > room {
        return IFD_ERROR_INSUFFICIENT_BUFFER;
    }
    // SAFETY: not null, `room` bytes of it can be written, and it is no part of ours.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len()) };
    IFD_SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_communication_error() {
        assert_eq!(guarded(|| panic!("as a test wants it")), IFD_COMMUNICATION_ERROR);
    }
}
