//! One reader, with a Unix socket for a slot.

use crate::abi::{
    IFD_COMMUNICATION_ERROR, IFD_ERROR_INSUFFICIENT_BUFFER, IFD_ERROR_POWER_ACTION, IFD_ICC_NOT_PRESENT,
    IFD_RESPONSE_TIMEOUT, RESPONSECODE,
};
use crate::wire::{Control, Failure, Wire, wait_for_end};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest ATR (ISO 7816-3 section 8.2.1), bytes.
pub const ATR_MAX: usize = 33;
/// How often an empty slot is looked at while somebody waits for a card.
const LOOK: Duration = Duration::from_millis(250);

/// How long the daemon may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For the answer to a command.
    pub command: Duration,
    /// For the ATR and for taking a message.
    pub control: Duration,
}

impl Default for Limits {
    /// A minute for a command, which may write megabytes; two seconds for what costs the card nothing.
    fn default() -> Self {
        Limits { command: Duration::from_secs(60), control: Duration::from_secs(2) }
    }
}

/// A reader.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    limits: Limits,
    slot: Mutex<Slot>,
    /// Ends a wait; written by one side, read by the other.
    wake: (UnixStream, UnixStream),
    /// Why connecting failed last, so that it is said once.
    refused: AtomicI32,
}

/// The card in it.
#[derive(Debug, Default)]
struct Slot {
    wire: Option<Wire>,
    atr: Vec<u8>,
    /// The card was lost, and pcscd has not been told yet: until then no other one is taken for it.
    lost: bool,
}

impl Reader {
    /// A reader whose card is behind this socket; nothing is asked of it yet.
    ///
    /// # Errors
    /// The system refuses a pair of sockets.
    pub fn new(path: &Path, limits: Limits) -> io::Result<Self> {
        let wake = UnixStream::pair()?;
        wake.0.set_nonblocking(true)?;
        wake.1.set_nonblocking(true)?;
        Ok(Reader { path: path.to_owned(), limits, slot: Mutex::default(), wake, refused: AtomicI32::new(0) })
    }

    /// True where a card is in the reader. Asks the card nothing: an open connection is a card. One that was lost since
    /// is absent once, even if it is back.
    #[must_use]
    pub fn presence(&self) -> bool {
        let mut slot = self.lock();
        slot.lost = false;
        slot.wire.is_some()
    }

    fn is_present(&self) -> bool {
        self.lock().wire.is_some()
    }

    /// The ATR of the card that has power; empty where none has.
    #[must_use]
    pub fn atr(&self) -> Vec<u8> {
        self.lock().atr.clone()
    }

    /// Power on, or a reset: the ATR.
    ///
    /// # Errors
    /// 616 no card, 608 it does not come up, 612 and 613 no answer.
    pub fn power_up(&self, reset: bool) -> Result<Vec<u8>, RESPONSECODE> {
        let mut slot = self.lock();
        slot.atr.clear();
        let control = if reset { Control::Reset } else { Control::PowerOn };
        let wire = slot.wire.as_mut().ok_or(IFD_ICC_NOT_PRESENT)?;
        let answered = wire.exchange(&[control], &[Control::GetAtr as u8], self.limits.control);
        let atr = answered.map_err(|failure| slot.failed(failure))?;
        if atr.is_empty() || atr.len() > ATR_MAX {
            return Err(IFD_ERROR_POWER_ACTION);
        }
        slot.atr.clone_from(&atr);
        Ok(atr)
    }

    /// Power off. A card that is gone has none.
    pub fn power_down(&self) {
        let mut slot = self.lock();
        slot.atr.clear();
        let told = slot.wire.as_mut().map(|wire| wire.tell(Control::PowerOff, self.limits.control));
        if let Some(Err(failure)) = told {
            slot.failed(failure);
        }
    }

    /// A command, and its response of at most `room` bytes.
    ///
    /// # Errors
    /// 616 no card, 613 the card gives no answer or not in time, 612 the connection broke, 618 the response does not fit.
    pub fn transmit(&self, command: &[u8], room: usize) -> Result<Vec<u8>, RESPONSECODE> {
        // One byte would be taken for something else, and is no command.
        if command.len() < 2 {
            return Err(IFD_COMMUNICATION_ERROR);
        }
        let mut slot = self.lock();
        let wire = slot.wire.as_mut().ok_or(IFD_ICC_NOT_PRESENT)?;
        let answered = wire.exchange(&[], command, self.limits.command);
        let response = answered.map_err(|failure| slot.failed(failure))?;
        match response.len() {
            // What the daemon sends where the card gives no answer.
            0 | 1 => Err(IFD_RESPONSE_TIMEOUT),
            length if length > room => Err(IFD_ERROR_INSUFFICIENT_BUFFER),
            _ => Ok(response),
        }
    }

    /// Waits until the card comes or goes, the time has passed, or [`Reader::wake`] is called.
    pub fn wait(&self, time: Duration) {
        let deadline = Instant::now() + time;
        let was_present = self.is_present();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let connection = self.lock().wire.as_ref().and_then(|wire| wire.watch().ok());
            let step = if connection.is_some() { left } else { left.min(LOOK) };
            let _gone = wait_for_end(connection.as_ref(), &self.wake.1, step);
            let woken = (&self.wake.1).read(&mut [0; 16]).is_ok();
            if woken || self.is_present() != was_present || Instant::now() >= deadline {
                return;
            }
        }
    }

    /// Ends a wait; one that begins later is ended as well.
    pub fn wake(&self) {
        // Full is woken enough.
        let _ = (&self.wake.0).write(&[0]);
    }

    /// The slot; what is closed is thrown away, and where there is nothing it is looked for.
    fn lock(&self) -> MutexGuard<'_, Slot> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.wire.as_ref().is_some_and(|wire| !wire.is_open()) {
            slot.lose();
        }
        if slot.wire.is_none() && !slot.lost {
            slot.wire = self.connect();
        }
        slot
    }

    /// A daemon without card closes at once; the connection is believed in only where it has not.
    fn connect(&self) -> Option<Wire> {
        let mut wire = match Wire::connect(&self.path) {
            Ok(wire) => wire,
            Err(error) => {
                let number = error.raw_os_error().unwrap_or(-1);
                if self.refused.swap(number, Ordering::Relaxed) != number {
                    // pcscd may have closed its standard error.
                    let _ = writeln!(io::stderr(), "smcard-ifd: {}: {error}", self.path.display());
                }
                return None;
            }
        };
        self.refused.store(0, Ordering::Relaxed);
        wire.exchange(&[], &[Control::GetAtr as u8], self.limits.control).ok().map(|_| wire)
    }
}

impl Slot {
    fn lose(&mut self) {
        *self = Slot { wire: None, atr: Vec::new(), lost: true };
    }

    /// What pcscd is told; the connection is given up where a late answer could be taken for another's.
    fn failed(&mut self, failure: Failure) -> RESPONSECODE {
        if failure != Failure::TooLong {
            self.lose();
        }
        match failure {
            Failure::Closed => IFD_ICC_NOT_PRESENT,
            Failure::Late => IFD_RESPONSE_TIMEOUT,
            Failure::Broken | Failure::TooLong => IFD_COMMUNICATION_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::net::UnixListener;
    use std::thread;

    const SHORT: Limits = Limits { command: Duration::from_millis(80), control: Duration::from_millis(80) };
    const SELECT: [u8; 4] = [0x00, 0xA4, 0x04, 0x00];

    /// A daemon that answers what it is asked first with an ATR and goes on with `bytes`; whether it is asked more.
    fn with_daemon<T>(bytes: &[u8], test: impl FnOnce(&Reader) -> T) -> T {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pcsc.sock");
        let listener = UnixListener::bind(&path).unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.read_exact(&mut [0; 3]).unwrap();
                stream.write_all(&[&[0, 2, 0x3B, 0x00], bytes].concat()).unwrap();
                // Until the reader closes.
                let _ = stream.read_to_end(&mut Vec::new());
            });
            let reader = Reader::new(&path, SHORT).unwrap();
            assert!(reader.presence());
            let done = test(&reader);
            drop(reader);
            done
        })
    }

    #[test]
    fn an_answer_that_is_late_meets_nobody() {
        for part in [&[][..], &[0], &[0, 3, 0x90]] {
            with_daemon(part, |reader| {
                let begun = Instant::now();
                assert_eq!(reader.transmit(&SELECT, 256), Err(IFD_RESPONSE_TIMEOUT), "{part:?}");
                assert!(begun.elapsed() < Duration::from_secs(5));
                assert_eq!(reader.transmit(&SELECT, 256), Err(IFD_ICC_NOT_PRESENT), "the connection is given up");
            });
        }
    }

    #[test]
    fn an_atr_is_neither_empty_nor_longer_than_any() {
        for (length, up) in [(0, false), (1, true), (33, true), (34, false)] {
            let atr = vec![0x3B; usize::from(length)];
            with_daemon(&[&[0, length], &atr[..]].concat(), |reader| {
                let expected = if up { Ok(atr.clone()) } else { Err(IFD_ERROR_POWER_ACTION) };
                assert_eq!(reader.power_up(false), expected);
            });
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn whatever_a_daemon_sends_a_response_is_whole_and_fits(
            bytes in proptest::collection::vec(0..4_u8, 0..40),
            room in 0..20_usize,
        ) {
            with_daemon(&bytes, |reader| {
                let mut rest = &bytes[..];
                for _ in 0..8 {
                    match reader.transmit(&SELECT, room) {
                        Ok(response) => {
                            prop_assert!(response.len() >= 2 && response.len() <= room);
                            prop_assert_eq!(Some(&response[..]), rest.get(2..2 + response.len()));
                            rest = &rest[2 + response.len()..];
                        }
                        Err(IFD_ERROR_INSUFFICIENT_BUFFER | IFD_RESPONSE_TIMEOUT) if reader.is_present() => {
                            let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
                            rest = &rest[2 + length..];
                        }
                        Err(code) => {
                            prop_assert!(matches!(code, 612 | 613 | 616), "{}", code);
                            break;
                        }
                    }
                }
                Ok(())
            })?;
        }
    }
}
