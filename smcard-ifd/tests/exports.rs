//! The handler as pcscd sees it, with a daemon that does what the test wants.
#![allow(unsafe_code, reason = "what is tested are functions for C")]
#![allow(clippy::unwrap_used, clippy::multiple_unsafe_ops_per_block, reason = "a test ends where one fails")]

use smcard_ifd::abi::*;
use smcard_ifd::exports::*;
use std::ffi::{CString, c_int};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const ATR: [u8; 5] = [0x3B, 0x80, 0x80, 0x01, 0x01];

/// A reader number no other test has.
fn lun() -> DWORD {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    DWORD::from(NEXT.fetch_add(1, Ordering::Relaxed)) << 16
}

struct Reader(DWORD);

impl Reader {
    fn open(path: &Path) -> Self {
        let lun = lun();
        let name = CString::new(format!("unix:{}", path.display())).unwrap();
        // SAFETY: a string.
        assert_eq!(unsafe { IFDHCreateChannelByName(lun, name.as_ptr()) }, IFD_SUCCESS);
        Reader(lun)
    }

    fn power(&self, action: DWORD) -> (RESPONSECODE, Vec<u8>) {
        let (mut atr, mut length) = ([0; 33], 33);
        // SAFETY: room for an ATR.
        let code = unsafe { IFDHPowerICC(self.0, action, atr.as_mut_ptr(), &raw mut length) };
        (code, atr[..usize::try_from(length).unwrap()].to_vec())
    }

    fn transmit(&self, command: &[u8], room: usize) -> (RESPONSECODE, Vec<u8>) {
        let mut response = vec![0; room];
        let mut length = DWORD::try_from(room).unwrap();
        let sent = IoHeader { protocol: 1, length: 16 };
        let mut received = IoHeader { protocol: 99, length: 0 };
        let number = DWORD::try_from(command.len()).unwrap();
        // SAFETY: buffers of the lengths that are told.
        let code = unsafe {
            IFDHTransmitToICC(
                self.0,
                sent,
                command.as_ptr(),
                number,
                response.as_mut_ptr(),
                &raw mut length,
                &raw mut received,
            )
        };
        assert_eq!(received.protocol, 1);
        if code == IFD_SUCCESS {
            response.truncate(usize::try_from(length).unwrap());
        } else {
            response.clear();
        }
        (code, response)
    }

    fn capability(&self, tag: DWORD, room: usize) -> (RESPONSECODE, Vec<u8>) {
        let (mut value, mut length) = (vec![0; room], DWORD::try_from(room).unwrap());
        // SAFETY: a buffer of the length that is told.
        let code = unsafe { IFDHGetCapabilities(self.0, tag, &raw mut length, value.as_mut_ptr()) };
        value.truncate(usize::try_from(length).unwrap());
        (code, value)
    }

    fn control(&self, code: DWORD, room: usize) -> (RESPONSECODE, Vec<u8>) {
        let (mut answer, mut returned) = (vec![0; room], 99);
        let number = DWORD::try_from(room).unwrap();
        // SAFETY: a buffer of the length that is told.
        let code = unsafe { IFDHControl(self.0, code, ptr::null(), 0, answer.as_mut_ptr(), number, &raw mut returned) };
        answer.truncate(usize::try_from(returned).unwrap());
        (code, answer)
    }

    fn present(&self) -> bool {
        match IFDHICCPresence(self.0) {
            IFD_ICC_PRESENT => true,
            IFD_ICC_NOT_PRESENT => false,
            other => panic!("{other}"),
        }
    }

    fn polling(&self) -> (extern "C" fn(DWORD, c_int) -> RESPONSECODE, extern "C" fn(DWORD) -> RESPONSECODE) {
        let pointer = |tag| usize::from_ne_bytes(self.capability(tag, 8).1.try_into().unwrap());
        let (wait, stop) = (pointer(TAG_IFD_POLLING_THREAD_WITH_TIMEOUT), pointer(TAG_IFD_STOP_POLLING_THREAD));
        // SAFETY: what the tag promises.
        let wait = unsafe { std::mem::transmute::<usize, extern "C" fn(DWORD, c_int) -> RESPONSECODE>(wait) };
        // SAFETY: what the tag promises.
        let stop = unsafe { std::mem::transmute::<usize, extern "C" fn(DWORD) -> RESPONSECODE>(stop) };
        (wait, stop)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        assert_eq!(IFDHCloseChannel(self.0), IFD_SUCCESS);
    }
}

/// What the daemon does with a command.
#[derive(Clone, Copy)]
enum Does {
    Echo,
    Answer(&'static [u8]),
    CloseAfter(&'static [u8]),
}

/// Accepts one reader and serves it until that closes.
fn daemon(listener: UnixListener, does: Does) -> thread::JoinHandle<(UnixListener, Vec<u8>)> {
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut controls = Vec::new();
        while let Some(message) = receive(&mut stream) {
            match (&message[..], does) {
                ([0x04], _) => send(&mut stream, &ATR),
                ([control], _) => controls.push(*control),
                (command, Does::Echo) => send(&mut stream, &[command, &[0x90, 0x00]].concat()),
                (_, Does::Answer(bytes)) => stream.write_all(bytes).unwrap(),
                (_, Does::CloseAfter(bytes)) => {
                    stream.write_all(bytes).unwrap();
                    break;
                }
            }
        }
        (listener, controls)
    })
}

fn receive(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

fn send(stream: &mut UnixStream, message: &[u8]) {
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, message].concat()).unwrap();
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pcsc.sock");
    (folder, path)
}

#[test]
fn a_card_is_powered_asked_reset_and_switched_off() {
    let (_folder, path) = place();
    let serving = daemon(UnixListener::bind(&path).unwrap(), Does::Echo);
    let reader = Reader::open(&path);
    assert!(reader.present());
    assert_eq!(reader.capability(TAG_IFD_ATR, 33), (IFD_SUCCESS, Vec::new()));
    assert_eq!(reader.power(IFD_POWER_UP), (IFD_SUCCESS, ATR.to_vec()));
    assert_eq!(reader.capability(SCARD_ATTR_ATR_STRING, 33), (IFD_SUCCESS, ATR.to_vec()));
    assert_eq!(reader.capability(TAG_IFD_ATR, 4).0, IFD_ERROR_INSUFFICIENT_BUFFER);
    assert_eq!(reader.transmit(&[0, 0xA4, 4, 0], 256), (IFD_SUCCESS, vec![0, 0xA4, 4, 0, 0x90, 0]));
    assert_eq!(reader.transmit(&[0, 0xA4, 4, 0], 5).0, IFD_ERROR_INSUFFICIENT_BUFFER);
    let long: Vec<u8> = (0..65_533_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let (code, response) = reader.transmit(&long, 65_548);
    assert_eq!((code, response.len()), (IFD_SUCCESS, 65_535));
    assert_eq!(response[..65_533], long);
    assert_eq!(reader.transmit(&vec![0; 65_536], 65_548).0, IFD_COMMUNICATION_ERROR, "not cut, but refused");
    assert_eq!(reader.transmit(&[4], 256).0, IFD_COMMUNICATION_ERROR, "one byte is no command");
    assert_eq!(reader.power(IFD_RESET), (IFD_SUCCESS, ATR.to_vec()));
    assert_eq!(reader.power(IFD_POWER_DOWN).0, IFD_SUCCESS);
    assert_eq!(reader.power(503).0, IFD_NOT_SUPPORTED);
    assert!(reader.present());
    drop(reader);
    assert_eq!(serving.join().unwrap().1, [1, 2, 0]);
}

#[test]
fn the_reader_says_what_it_can() {
    let (_folder, path) = place();
    let reader = Reader::open(&path);
    for (tag, value) in [(TAG_IFD_SLOTS_NUMBER, 1), (TAG_IFD_THREAD_SAFE, 1), (TAG_IFD_SLOT_THREAD_SAFE, 0)] {
        assert_eq!(reader.capability(tag, 1), (IFD_SUCCESS, vec![value]));
    }
    assert_eq!(reader.capability(0x0FB1, 8).0, IFD_ERROR_TAG);
    assert_eq!(reader.control(CM_IOCTL_GET_FEATURE_REQUEST, 64), (IFD_SUCCESS, vec![0x12, 4, 0x42, 0, 0, 0x12]));
    assert_eq!(reader.control(IOCTL_GET_TLV_PROPERTIES, 64), (IFD_SUCCESS, vec![0x0A, 4, 0xF6, 0xFF, 0, 0]));
    assert_eq!(reader.control(IOCTL_GET_TLV_PROPERTIES, 5).0, IFD_ERROR_INSUFFICIENT_BUFFER);
    assert_eq!(reader.control(1, 64), (IFD_NOT_SUPPORTED, Vec::new()));
    assert_eq!(IFDHSetProtocolParameters(reader.0, 2, 0, 0, 0, 0), IFD_SUCCESS);
    assert_eq!(IFDHSetProtocolParameters(reader.0, 4, 0, 0, 0, 0), IFD_PROTOCOL_NOT_SUPPORTED);
}

#[test]
fn without_daemon_or_card_the_reader_is_empty() {
    let (_folder, path) = place();
    let reader = Reader::open(&path);
    assert!(!reader.present());
    assert_eq!(reader.power(IFD_POWER_UP).0, IFD_ICC_NOT_PRESENT);
    assert_eq!(reader.transmit(&[0, 0xA4, 4, 0], 256).0, IFD_ICC_NOT_PRESENT);
    let listener = UnixListener::bind(&path).unwrap();
    let closing = thread::spawn(move || {
        drop(listener.accept().unwrap());
        listener
    });
    assert!(!reader.present(), "a daemon that closes at once has no card");
    let serving = daemon(closing.join().unwrap(), Does::Echo);
    assert!(reader.present());
    drop(reader);
    serving.join().unwrap();
}

#[test]
fn a_card_that_was_lost_is_absent_before_another_is_present() {
    let (_folder, path) = place();
    let serving = daemon(UnixListener::bind(&path).unwrap(), Does::CloseAfter(&[0, 5, 1]));
    let reader = Reader::open(&path);
    assert_eq!(reader.power(IFD_POWER_UP).0, IFD_SUCCESS);
    assert_eq!(reader.transmit(&[0, 0xA4, 4, 0], 256).0, IFD_ICC_NOT_PRESENT, "closed in the middle of an answer");
    let serving = daemon(serving.join().unwrap().0, Does::Echo);
    assert_eq!(reader.transmit(&[0, 0xA4, 4, 0], 256).0, IFD_ICC_NOT_PRESENT, "not the other card");
    assert!(!reader.present());
    assert!(reader.present());
    assert_eq!(reader.capability(TAG_IFD_ATR, 33).1, [], "which has no power yet");
    assert_eq!(reader.power(IFD_POWER_UP).0, IFD_SUCCESS);
    drop(reader);
    assert_eq!(serving.join().unwrap().1, [1]);
}

#[test]
fn a_card_that_gives_no_answer_stays_in_the_reader() {
    let (_folder, path) = place();
    let serving = daemon(UnixListener::bind(&path).unwrap(), Does::Answer(&[0, 1, 0]));
    let reader = Reader::open(&path);
    assert_eq!(reader.power(IFD_POWER_UP).0, IFD_SUCCESS);
    assert_eq!(reader.transmit(&[0, 0xA4, 4, 0], 256).0, IFD_RESPONSE_TIMEOUT);
    assert_eq!(reader.transmit(&[0, 0xA4, 4, 0], 256).0, IFD_RESPONSE_TIMEOUT);
    assert!(reader.present());
    drop(reader);
    serving.join().unwrap();
}

#[test]
fn a_wait_ends_with_the_card_with_the_time_and_when_it_is_stopped() {
    let (_folder, path) = place();
    let reader = Reader::open(&path);
    let (wait, stop) = reader.polling();
    let timed = |milliseconds| {
        let begun = Instant::now();
        assert_eq!(wait(reader.0, milliseconds), IFD_SUCCESS);
        begun.elapsed()
    };
    assert!(timed(100) >= Duration::from_millis(100));
    assert!(timed(0) < Duration::from_secs(5));
    thread::scope(|scope| {
        let lun = reader.0;
        scope.spawn(move || {
            thread::sleep(Duration::from_millis(100));
            stop(lun);
        });
        assert!(timed(60_000) < Duration::from_secs(10), "stopped");
        let listener = scope.spawn(|| {
            thread::sleep(Duration::from_millis(100));
            UnixListener::bind(&path).map(|listener| daemon(listener, Does::CloseAfter(&[0, 2, 0x90, 0]))).unwrap()
        });
        assert!(timed(60_000) < Duration::from_secs(10), "a card came");
        assert!(reader.present());
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(100));
            reader.transmit(&[0, 0xA4, 4, 0], 256);
        });
        assert!(timed(60_000) < Duration::from_secs(10), "it went");
        assert!(!reader.present());
        drop(listener.join().unwrap().join().unwrap());
    });
}

#[test]
fn what_is_not_there_is_refused_and_null_is_survived() {
    assert_eq!(IFDHICCPresence(0x7FFF_0000), IFD_NO_SUCH_DEVICE);
    assert_eq!(IFDHCloseChannel(0x7FFF_0000), IFD_NO_SUCH_DEVICE);
    assert_eq!(IFDHCreateChannel(0, 1), IFD_NO_SUCH_DEVICE);
    let relative = CString::new("pcsc.sock").unwrap();
    let (_folder, path) = place();
    let reader = Reader::open(&path);
    let (lun, header) = (reader.0, IoHeader { protocol: 1, length: 16 });
    // SAFETY: null is allowed everywhere, and a string is one.
    unsafe {
        assert_eq!(IFDHCreateChannelByName(0x7FFE_0000, ptr::null()), IFD_NO_SUCH_DEVICE);
        assert_eq!(IFDHCreateChannelByName(0x7FFE_0000, relative.as_ptr()), IFD_NO_SUCH_DEVICE);
        assert_eq!(IFDHGetCapabilities(lun, TAG_IFD_SLOTS_NUMBER, ptr::null_mut(), ptr::null_mut()), 612);
        let mut room = 8;
        assert_eq!(IFDHGetCapabilities(lun, TAG_IFD_SLOTS_NUMBER, &raw mut room, ptr::null_mut()), 618);
        assert_eq!(room, 1);
        assert_eq!(IFDHPowerICC(lun, IFD_POWER_UP, ptr::null_mut(), ptr::null_mut()), IFD_ICC_NOT_PRESENT);
        let null = ptr::null_mut();
        assert_eq!(IFDHTransmitToICC(lun, header, ptr::null(), 5, null, ptr::null_mut(), ptr::null_mut()), 612);
        let returned = ptr::null_mut();
        assert_eq!(IFDHControl(lun, IOCTL_GET_TLV_PROPERTIES, ptr::null(), 0, null, 6, returned), 618);
    }
}
