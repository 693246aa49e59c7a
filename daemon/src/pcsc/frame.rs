//! Messages on a stream, as vpcd has them: length (u16, big-endian), then as many bytes.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

/// Longest message.
pub(super) const MESSAGE_MAX: usize = 65_535;
/// How often the rest of a message is waited for with reminders of the acknowledgement, and how long between two.
const REMINDERS: u32 = 100;
const REMINDER: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000 };
/// Bytes of its length.
const LENGTH: usize = 2;

/// A byte stream with a time limit for reading.
pub(super) trait Stream: Read + Write {
    /// Before each read; `within` a message, or before one.
    ///
    /// # Errors
    /// The connection broke.
    fn rearm(&self, within: bool) -> io::Result<()>;
}

impl Stream for TcpStream {
    /// The kernel forgets quick acknowledgements as soon as it likes; without them the other side, which sends length and
    /// command apart, waits 40 ms for our acknowledgement between the two. Now and then it is late all the same; so within
    /// a message it is asked for again and again.
    fn rearm(&self, within: bool) -> io::Result<()> {
        rustix::net::sockopt::set_tcp_quickack(self, true)?;
        for _ in 0..if within { REMINDERS } else { 0 } {
            // What is wrong with the connection the read that follows will say.
            if poll(&mut [PollFd::new(self, PollFlags::IN)], Some(&REMINDER)).is_ok_and(|ready| ready > 0) {
                break;
            }
            rustix::net::sockopt::set_tcp_quickack(self, true)?;
        }
        Ok(())
    }
}

impl Stream for UnixStream {
    fn rearm(&self, _within: bool) -> io::Result<()> {
        Ok(())
    }
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received<'a> {
    /// A whole message.
    Message(&'a [u8]),
    /// The time limit passed; what has come of a message is kept.
    Nothing,
    /// The other side has closed.
    End,
}

/// A stream cut into messages.
pub(super) struct Frames<S> {
    stream: S,
    buffer: zeroize::Zeroizing<Vec<u8>>,
    filled: usize,
    /// Length of the message handed out last, which goes with the next call.
    done: usize,
}

impl<S: Stream> Frames<S> {
    pub(super) fn new(stream: S) -> Self {
        let buffer = zeroize::Zeroizing::new(vec![0; LENGTH + MESSAGE_MAX]);
        Frames { stream, buffer, filled: 0, done: 0 }
    }

    /// The next message, or what there is instead.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) fn next(&mut self) -> io::Result<Received<'_>> {
        self.buffer.copy_within(self.done..self.filled, 0);
        self.filled -= std::mem::take(&mut self.done);
        while self.whole().is_none() {
            self.stream.rearm(self.filled > 0)?;
            let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
            match self.stream.read(room) {
                Ok(0) => return Ok(Received::End),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(Received::Nothing);
                }
                Err(error) => return Err(error),
            }
        }
        self.done = self.whole().unwrap_or_default();
        Ok(Received::Message(self.buffer.get(LENGTH..self.done).unwrap_or_default()))
    }

    /// Length of the first message with its length field, where it has come whole.
    fn whole(&self) -> Option<usize> {
        let length = self.buffer.get(..self.filled)?.first_chunk::<LENGTH>()?;
        let end = LENGTH + usize::from(u16::from_be_bytes(*length));
        (end <= self.filled).then_some(end)
    }

    /// Sends a message in one piece. One that is too long is not sent, but one byte 00 instead.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let length = u16::try_from(parts.iter().map(|part| part.len()).sum::<usize>());
        let parts = if length.is_ok() { parts } else { &[&[0][..]] };
        let length = length.unwrap_or(1).to_be_bytes();
        let message = zeroize::Zeroizing::new([&[&length[..]], parts].concat().concat());
        self.stream.write_all(&message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in the pieces they were put in.
    struct Pieces(Vec<Vec<u8>>, Vec<u8>);

    impl Read for Pieces {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            if piece.is_empty() {
                return Err(ErrorKind::WouldBlock.into());
            }
            room[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Stream for Pieces {
        fn rearm(&self, _within: bool) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn messages_are_the_same_however_they_are_cut() {
        let stream = [0, 1, 4, 0, 5, 0x80, 0xCA, 0, 0x66, 0, 0, 0, 0, 1, 2];
        for cut in 1..stream.len() {
            let mut pieces: Vec<Vec<u8>> = stream.chunks(cut).map(<[u8]>::to_vec).collect();
            pieces.insert(1, Vec::new());
            let mut frames = Frames::new(Pieces(pieces, Vec::new()));
            let mut messages = Vec::new();
            let mut nothings = 0;
            loop {
                match frames.next().unwrap() {
                    Received::Message(message) => messages.push(message.to_vec()),
                    Received::Nothing => nothings += 1,
                    Received::End => break,
                }
            }
            assert_eq!(messages, [&[4][..], &[0x80, 0xCA, 0, 0x66, 0], &[], &[2]], "cut at {cut}");
            assert_eq!(nothings, 1);
        }
    }

    #[test]
    fn the_longest_message_passes_both_ways_and_a_longer_one_is_none() {
        let message = vec![0x5A; MESSAGE_MAX];
        let mut frames = Frames::new(Pieces(Vec::new(), Vec::new()));
        frames.send(&[&message[..2], &message[2..]]).unwrap();
        assert_eq!(frames.stream.1.len(), LENGTH + MESSAGE_MAX);
        let sent = std::mem::take(&mut frames.stream.1);
        frames.stream.0 = sent.chunks(1000).map(<[u8]>::to_vec).collect();
        assert_eq!(frames.next().unwrap(), Received::Message(&message));
        frames.send(&[&message, &[0]]).unwrap();
        assert_eq!(frames.stream.1, [0, 1, 0]);
    }
}
