//! Messages on the socket: length (u16, big-endian), then as many bytes; the messages of vpcd.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest command and longest response, bytes.
pub const MESSAGE_MAX: usize = 65_535;

/// What is asked of the card with one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Control {
    /// Power off.
    PowerOff = 0x00,
    /// Power on.
    PowerOn = 0x01,
    /// Reset.
    Reset = 0x02,
    /// The ATR is answered.
    GetAtr = 0x04,
}

/// How an exchange failed. The connection is of no use any more, but for [`Failure::TooLong`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The daemon has closed: the card is out of the reader.
    Closed,
    /// Nothing, or only a part, came in time.
    Late,
    /// The connection broke.
    Broken,
    /// The message is longer than [`MESSAGE_MAX`]; nothing was sent.
    TooLong,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::Late,
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => Failure::Closed,
            _ => Failure::Broken,
        }
    }
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Wire(UnixStream);

impl Wire {
    /// Connects; at once or not at all, unless the daemon's queue is full.
    ///
    /// # Errors
    /// No socket there, nobody behind it, or we may not.
    pub fn connect(path: &Path) -> io::Result<Self> {
        UnixStream::connect(path).map(Wire)
    }

    /// The same connection once more, for another thread to watch.
    ///
    /// # Errors
    /// The system has no room.
    pub fn watch(&self) -> io::Result<UnixStream> {
        self.0.try_clone()
    }

    /// True while the daemon has not closed. Neither waits nor sends.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match recv(&self.0, &mut [0; 1][..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((_, 0)) => false,
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => true,
            Err(_) => false,
        }
    }

    /// Sends messages without an answer of their own, then one more, and takes its answer within `limit`. Empty is an
    /// answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn exchange(&mut self, before: &[Control], message: &[u8], limit: Duration) -> Result<Vec<u8>, Failure> {
        let deadline = Instant::now() + limit;
        self.send(before, Some(message), deadline)?;
        let mut length = [0; 2];
        self.receive(&mut length, deadline)?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        self.receive(&mut answer, deadline)?;
        Ok(answer)
    }

    /// Sends a message that has no answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn tell(&mut self, control: Control, limit: Duration) -> Result<(), Failure> {
        self.send(&[control], None, Instant::now() + limit)
    }

    fn send(&mut self, before: &[Control], message: Option<&[u8]>, deadline: Instant) -> Result<(), Failure> {
        let mut bytes: Vec<u8> = before.iter().flat_map(|control| [0, 1, *control as u8]).collect();
        if let Some(message) = message {
            let length = u16::try_from(message.len()).map_err(|_| Failure::TooLong)?;
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(message);
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            self.0.set_write_timeout(Some(left(deadline)?))?;
            match self.0.write(rest) {
                Ok(0) => return Err(Failure::Closed),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn receive(&mut self, mut room: &mut [u8], deadline: Instant) -> Result<(), Failure> {
        while !room.is_empty() {
            self.0.set_read_timeout(Some(left(deadline)?))?;
            match self.0.read(room) {
                Ok(0) => return Err(Failure::Closed),
                Ok(read) => room = room.get_mut(read..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Drop for Wire {
    /// Ends it for whoever watches it as well.
    fn drop(&mut self) {
        // Where it is closed already, that is what is wanted.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Waits until the other end closes or the time has passed; false where it is still open. `wake` ends the wait as well.
#[must_use]
pub fn wait_for_end(connection: Option<&UnixStream>, wake: &UnixStream, time: Duration) -> bool {
    // What a command in hand receives is none of our business: only the end is.
    let mut polled = vec![PollFd::new(wake, PollFlags::IN)];
    polled.extend(connection.map(|connection| PollFd::new(connection, PollFlags::RDHUP)));
    // An interrupted wait is a short one; who waits looks again.
    let _ = poll(&mut polled, Timespec::try_from(time).ok().as_ref());
    polled.get(1).is_some_and(|connection| !connection.revents().is_empty())
}

fn left(deadline: Instant) -> Result<Duration, Failure> {
    Some(deadline.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero()).ok_or(Failure::Late)
}
