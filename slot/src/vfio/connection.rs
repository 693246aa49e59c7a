//! A connection: messages with their file descriptors in, answers out, never waiting for the rest of a message.

use super::message::{BODY_MAX, DESCRIPTORS_MAX, HEADER, Header};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::io::{self, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use thiserror::Error;

/// How long a peer that does not take its answers is waited for.
const SEND_LIMIT: Duration = Duration::from_secs(5);

/// Why a connection has ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer has closed it.
    #[error("the virtual machine has closed the connection")]
    Closed,
    /// A message whose length cannot be.
    #[error("a message of {0} bytes: at least {HEADER} and at most {max} are possible", max = HEADER + BODY_MAX)]
    Length(u32),
    /// A message of which the peer took a piece, or none, in time.
    #[error("answering the virtual machine: {0}")]
    Send(#[source] io::Error),
    /// The socket.
    #[error("reading from the virtual machine: {0}")]
    Receive(#[source] io::Error),
}

/// A message.
#[derive(Debug)]
pub struct Message {
    /// Its header.
    pub header: Header,
    /// What follows the header.
    pub body: Vec<u8>,
    /// What came with it.
    pub descriptors: Vec<OwnedFd>,
}

/// A connection to a peer.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    /// Bytes of the message that is coming in, and how many are still to come.
    bytes: Vec<u8>,
    missing: usize,
    header: Option<Header>,
    descriptors: Vec<OwnedFd>,
}

impl Connection {
    /// Takes a connected socket.
    ///
    /// # Errors
    /// The socket does not take its options.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(SEND_LIMIT))?;
        Ok(Connection { stream, bytes: Vec::new(), missing: HEADER, header: None, descriptors: Vec::new() })
    }

    /// The next message, if all of it is there. Never waits.
    ///
    /// # Errors
    /// The connection has ended, or can only be ended.
    pub fn receive(&mut self) -> Result<Option<Message>, ConnectionError> {
        loop {
            if self.missing > 0 {
                if !self.fill()? {
                    return Ok(None);
                }
                continue;
            }
            let bytes = std::mem::take(&mut self.bytes);
            if let Some(header) = self.header.take() {
                self.missing = HEADER;
                let descriptors = std::mem::take(&mut self.descriptors);
                return Ok(Some(Message { header, body: bytes, descriptors }));
            }
            let Some(first) = bytes.first_chunk::<HEADER>() else { continue };
            let header = Header::parse(first);
            let body = usize::try_from(header.size).ok().and_then(|size| size.checked_sub(HEADER));
            self.missing = body.filter(|body| *body <= BODY_MAX).ok_or(ConnectionError::Length(header.size))?;
            self.header = Some(header);
        }
    }

    /// Takes what has come of the present message and nothing beyond it, so that descriptors stay with their message.
    fn fill(&mut self) -> Result<bool, ConnectionError> {
        let start = self.bytes.len();
        self.bytes.resize(start + self.missing, 0);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let free = self.bytes.get_mut(start..).unwrap_or_default();
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(&self.stream, &mut [IoSliceMut::new(free)], &mut control, flags);
        let count = match received {
            Ok(received) => received.bytes,
            Err(Errno::AGAIN | Errno::INTR) => {
                self.bytes.truncate(start);
                return Ok(false);
            }
            Err(Errno::CONNRESET) => return Err(ConnectionError::Closed),
            Err(error) => return Err(ConnectionError::Receive(error.into())),
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                let room = DESCRIPTORS_MAX.saturating_sub(self.descriptors.len());
                self.descriptors.extend(descriptors.take(room));
            }
        }
        if count == 0 {
            return Err(ConnectionError::Closed);
        }
        self.bytes.truncate(start + count);
        self.missing = self.missing.saturating_sub(count);
        Ok(true)
    }

    /// Sends an answer.
    ///
    /// # Errors
    /// The connection has ended, or can only be ended.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.stream.write_all(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => ConnectionError::Closed,
            _ => ConnectionError::Send(error),
        })
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use std::io::IoSlice;

    fn pair() -> (UnixStream, Connection) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (ours, Connection::new(theirs).unwrap())
    }

    fn message(command: u16, size: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![1, 0];
        bytes.extend(command.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(body);
        bytes
    }

    fn send_with(stream: &UnixStream, bytes: &[u8], file: &impl AsFd) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = [file.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
        sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::empty()).unwrap();
    }

    #[test]
    fn a_message_in_pieces_is_put_together_without_waiting() {
        let (mut peer, mut connection) = pair();
        let bytes = message(10, 20, b"body");
        for byte in &bytes {
            assert!(connection.receive().unwrap().is_none());
            peer.write_all(&[*byte]).unwrap();
        }
        let message = connection.receive().unwrap().unwrap();
        assert_eq!((message.header.command, message.body.as_slice()), (10, &b"body"[..]));
        assert!(connection.receive().unwrap().is_none());
    }

    #[test]
    fn descriptors_stay_with_their_message() {
        let (mut peer, mut connection) = pair();
        let file = tempfile::tempfile().unwrap();
        peer.write_all(&message(13, 16, b"")).unwrap();
        send_with(&peer, &message(2, 18, b"xy"), &file);
        peer.write_all(&message(8, 16, b"")).unwrap();
        let counts: Vec<_> = std::iter::from_fn(|| connection.receive().unwrap())
            .map(|message| (message.header.command, message.descriptors.len()))
            .collect();
        assert_eq!(counts, [(13, 0), (2, 1), (8, 0)]);
    }

    #[test]
    fn a_length_that_cannot_be_ends_the_connection() {
        for size in [0, 15, u32::try_from(HEADER + BODY_MAX).unwrap() + 1, u32::MAX] {
            let (mut peer, mut connection) = pair();
            peer.write_all(&message(9, size, b"")).unwrap();
            assert!(matches!(connection.receive(), Err(ConnectionError::Length(told)) if told == size));
        }
    }

    #[test]
    fn the_end_is_told_once_all_messages_are_read() {
        let (mut peer, mut connection) = pair();
        peer.write_all(&message(13, 16, b"")).unwrap();
        drop(peer);
        assert!(connection.receive().unwrap().is_some());
        assert!(matches!(connection.receive(), Err(ConnectionError::Closed)));
    }
}
