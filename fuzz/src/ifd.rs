//! Whatever a daemon sends and whatever pcscd asks, the IFD handler ends in bounded time with a response that was sent as
//! such, in its turn, or with one of its errors.

use smcard_ifd::abi::{
    IFD_ERROR_INSUFFICIENT_BUFFER, IFD_ERROR_POWER_ACTION, IFD_ICC_NOT_PRESENT, IFD_RESPONSE_TIMEOUT, RESPONSECODE,
};
use smcard_ifd::reader::{ATR_MAX, Limits, Reader};
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The daemon closes behind its bytes, so nothing is ever waited for as long.
const LIMITS: Limits = Limits { command: Duration::from_secs(20), control: Duration::from_secs(20) };
const SELECT: [u8; 4] = [0x00, 0xA4, 0x04, 0x00];

/// The input: a number of operations (at most 15), these, and what the daemon sends behind its first ATR.
///
/// # Panics
/// If a promise is broken.
pub fn ifd(data: &[u8]) {
    let Some((&count, rest)) = data.split_first() else { return };
    let (operations, sent) = rest.split_at(usize::from(count & 0x0F).min(rest.len()));
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let name = format!("smcard-fuzz-ifd.{}.{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    let listener = UnixListener::bind(&path).expect("a socket");
    let begun = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || {
            let (mut stream, _) = listener.accept().expect("a reader");
            stream.read_exact(&mut [0; 3]).expect("a question for the ATR");
            stream.write_all(&[&[0, 2, 0x3B, 0x00], sent].concat()).expect("a reader that reads");
            stream.shutdown(Shutdown::Write).expect("a connection");
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let reader = Reader::new(&path, LIMITS).expect("a reader");
        assert!(reader.presence(), "a daemon that tells an ATR is a card");
        fs::remove_file(&path).expect("the socket's file");
        operate(&reader, operations, sent);
    });
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// Each answer is the next message that was sent, until the connection is lost; then there is none.
fn operate(reader: &Reader, operations: &[u8], mut sent: &[u8]) {
    let mut lost = false;
    for operation in operations {
        let (answer, most) = match operation & 3 {
            0 => (reader.power_up(operation & 4 != 0), ATR_MAX),
            1 => {
                reader.power_down();
                continue;
            }
            2 => {
                // Absence is told once; nobody listens any more, so it stays.
                let present = reader.presence();
                assert!(!(lost && present), "a lost card is present");
                lost |= !present;
                continue;
            }
            _ => (reader.transmit(&SELECT, usize::from(operation >> 2)), usize::from(operation >> 2)),
        };
        match (answer, next(&mut sent)) {
            (Ok(bytes), Some(message)) => {
                assert!(!lost && bytes == message && bytes.len() <= most, "{bytes:02X?} for {message:02X?}");
            }
            (Ok(bytes), None) => panic!("{bytes:02X?}, which was not sent"),
            (Err(code), message) => lost |= is_lost(code, message),
        }
    }
}

/// The next message, where it was sent whole.
fn next<'a>(sent: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = sent.split_first_chunk::<2>()?;
    let (message, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *sent = rest;
    Some(message)
}

/// True for errors after which there is no card; the others stand for a message.
fn is_lost(code: RESPONSECODE, message: Option<&[u8]>) -> bool {
    match (code, message.map(<[u8]>::len)) {
        (IFD_ICC_NOT_PRESENT, _) => true,
        (IFD_RESPONSE_TIMEOUT, Some(0 | 1)) => false,
        (IFD_ERROR_POWER_ACTION, Some(length)) if length == 0 || length > ATR_MAX => false,
        (IFD_ERROR_INSUFFICIENT_BUFFER, Some(_)) => false,
        (code, length) => panic!("{code} for a message of {length:?} bytes"),
    }
}
