//! The client's side: safe functions over an open control file.

mod descriptor;
mod error;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

pub use descriptor::{ControlFile, Descriptor, Event, Readiness};
pub use error::ClientError;

use crate::abi::{self, ABI_VERSION};
use crate::answer::{CardStatus, Outcome, VersionInfo};
use crate::apdu::Apdu;
use crate::layout::Structure;
use crate::request::{Selector, StartRequest};
use crate::value::OperationState;

/// The longest single poll(2). Bounds how late a wake-up lost by the daemon can be noticed.
const POLL_SLICE: Duration = Duration::from_secs(1);
/// Pause where poll(2) reports another ticket's result again and again.
const OTHER_RESULT_PAUSE: Duration = Duration::from_millis(5);

/// An operation on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// The number the daemon gave it.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// An open control file.
///
/// No call waits for the card except [`wait`](Client::wait), and that one waits in poll(2), where every signal ends
/// it. Dropping a client leaves its operations to run to their end.
#[derive(Debug)]
pub struct Client<D: Descriptor = ControlFile> {
    descriptor: D,
    path: PathBuf,
}

impl Client {
    /// Opens a control file for operations and checks that the daemon speaks this version.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotACard`], [`ClientError::NotPermitted`], [`ClientError::Gone`], [`ClientError::Version`].
    pub fn open(path: &Path) -> Result<Self, ClientError> {
        Self::open_as(path, true)
    }

    /// Opens a control file for [`version`](Client::version) and [`status`](Client::status) only; needs no operator.
    ///
    /// # Errors
    ///
    /// As [`open`](Client::open).
    pub fn open_read_only(path: &Path) -> Result<Self, ClientError> {
        Self::open_as(path, false)
    }

    fn open_as(path: &Path, writable: bool) -> Result<Self, ClientError> {
        let descriptor = ControlFile::open(path, writable).map_err(|source| match source.raw_os_error() {
            Some(libc::EACCES | libc::EPERM | libc::EROFS) => ClientError::NotPermitted { operation: "open control" },
            _ if error::is_gone(&source) => ClientError::Gone { operation: "open control", source },
            _ => ClientError::NotACard { path: path.to_owned(), source },
        })?;
        Self::with_descriptor(descriptor, path)
    }
}

impl std::os::fd::AsFd for Client {
    /// For a program's own event loop: `POLLIN` = a result is ready, `POLLPRI` = the card's state has changed.
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl<D: Descriptor> Client<D> {
    /// A client over something that behaves like the open control file; `path` only names it in errors.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotACard`], [`ClientError::Gone`], [`ClientError::Version`].
    pub fn with_descriptor(descriptor: D, path: &Path) -> Result<Self, ClientError> {
        let client = Self { descriptor, path: path.to_owned() };
        let info = client.version()?;
        if info.abi == u32::from(ABI_VERSION) {
            Ok(client)
        } else {
            Err(ClientError::Version { daemon: info.abi, program: ABI_VERSION })
        }
    }

    /// The file, as it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// VERSION: what the daemon speaks.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotACard`] where the file knows no such ioctl.
    pub fn version(&self) -> Result<VersionInfo, ClientError> {
        let raw = self.call("VERSION", abi::VERSION, &abi::Version { version: ABI_VERSION, ..Default::default() });
        match raw {
            Ok(raw) => Ok(VersionInfo::from(&raw)),
            Err(ClientError::Usage { source, .. }) => Err(ClientError::NotACard { path: self.path.clone(), source }),
            Err(error) => Err(error),
        }
    }

    /// STATUS: where the card stands, from the daemon's memory.
    ///
    /// # Errors
    ///
    /// [`ClientError::Gone`], [`ClientError::Answer`].
    pub fn status(&self) -> Result<CardStatus, ClientError> {
        let request = abi::Status { version: ABI_VERSION, ..Default::default() };
        let raw = self.call("STATUS", abi::STATUS, &request)?;
        CardStatus::try_from(&raw).map_err(|source| ClientError::Answer { operation: "STATUS", source })
    }

    /// Waits until the card's state may have changed since the last [`status`](Client::status), or `timeout` is over.
    ///
    /// # Errors
    ///
    /// [`ClientError::Gone`] where the daemon ends meanwhile.
    pub fn wait_for_state_change(&self, timeout: Duration) -> Result<Readiness, ClientError> {
        self.poll("STATUS", Event::StateChange, timeout)
    }

    /// AUTHENTICATE: opens a secure channel; `None` = as the daemon is configured.
    ///
    /// # Errors
    ///
    /// As every submission: [`ClientError::NotPermitted`], [`ClientError::Gone`], [`ClientError::Busy`],
    /// [`ClientError::Usage`].
    pub fn authenticate(&self, level: Option<u8>, key_version: Option<u8>) -> Result<Ticket, ClientError> {
        let request = abi::Authenticate {
            version: ABI_VERSION,
            level: level.unwrap_or(0),
            key_version: key_version.unwrap_or(0),
            ..Default::default()
        };
        self.call("AUTHENTICATE", abi::AUTHENTICATE, &request).map(|raw| Ticket(raw.ticket))
    }

    /// TRANSMIT: sends one command of 4 to [`abi::EXTENDED_COMMAND_MAX`] bytes.
    ///
    /// # Errors
    ///
    /// As every submission, and [`ClientError::Value`] for another length.
    pub fn transmit(&self, command: &[u8]) -> Result<Ticket, ClientError> {
        if !(4..=abi::EXTENDED_COMMAND_MAX).contains(&command.len()) {
            return Err(ClientError::Value { field: "command", reason: "an APDU has 4 to 65544 bytes" });
        }
        let mut request = abi::Transmit { version: ABI_VERSION, ..Default::default() };
        match (u16::try_from(command.len()), request.command.get_mut(..command.len())) {
            (Ok(length), Some(field)) => {
                field.copy_from_slice(command);
                request.length = length;
            }
            _ => {
                self.descriptor.write(command).map_err(|source| ClientError::from_io("TRANSMIT", source))?;
                request.flags = abi::TRANSMIT_EXTENDED;
            }
        }
        self.call("TRANSMIT", abi::TRANSMIT, &request).map(|raw| Ticket(raw.ticket))
    }

    /// START: lets the card issue itself.
    ///
    /// # Errors
    ///
    /// As every submission, and [`ClientError::Value`] for a name that cannot be one.
    pub fn start(&self, start: &StartRequest) -> Result<Ticket, ClientError> {
        let mut request = abi::Start {
            version: ABI_VERSION,
            offset: start.offset,
            length: start.length,
            failure_format: start.failure_format.to_wire(),
            ..Default::default()
        };
        match &start.selector {
            Selector::Only => request.selector = abi::SELECT_NONE,
            Selector::Id(id) => {
                request.selector = abi::SELECT_ID;
                request.id = *id;
            }
            Selector::Name(name) => {
                let reason = "a file name has 1 to 255 bytes, no zero and no slash";
                let room = request.name.get_mut(..name.len()).filter(|room| room.len() < abi::NAME_SIZE);
                match room {
                    Some(room) if !name.is_empty() && !name.contains(&0) && !name.contains(&b'/') => {
                        room.copy_from_slice(name);
                    }
                    _ => return Err(ClientError::Value { field: "name", reason }),
                }
                request.selector = abi::SELECT_NAME;
            }
        }
        self.call("START", abi::START, &request).map(|raw| Ticket(raw.ticket))
    }

    /// CLEAR: removes what an unfinished issue has written.
    ///
    /// # Errors
    ///
    /// As every submission.
    pub fn clear(&self) -> Result<Ticket, ClientError> {
        self.submit("CLEAR", abi::CLEAR)
    }

    /// CONFIRM: makes a card that asked for it usable.
    ///
    /// # Errors
    ///
    /// As every submission.
    pub fn confirm(&self) -> Result<Ticket, ClientError> {
        self.submit("CONFIRM", abi::CONFIRM)
    }

    /// RESET: power off and on.
    ///
    /// # Errors
    ///
    /// As every submission.
    pub fn reset(&self) -> Result<Ticket, ClientError> {
        self.submit("RESET", abi::RESET)
    }

    /// RESULT: what became of an operation, if it has ended. The whole response is read where it is long.
    ///
    /// # Errors
    ///
    /// [`ClientError::Pending`], [`ClientError::UnknownTicket`], [`ClientError::Gone`], [`ClientError::Answer`].
    pub fn result(&self, ticket: Ticket) -> Result<Outcome, ClientError> {
        let request = abi::OperationResult { version: ABI_VERSION, ticket: ticket.0, ..Default::default() };
        let raw = self.call("RESULT", abi::RESULT, &request).map_err(|error| match error {
            ClientError::Io { source, .. } if source.raw_os_error() == Some(libc::EAGAIN) => {
                ClientError::Pending(ticket.0)
            }
            ClientError::Io { source, .. } if source.raw_os_error() == Some(libc::ENOENT) => {
                ClientError::UnknownTicket(ticket.0)
            }
            error => error,
        })?;
        let mut outcome =
            Outcome::try_from(&raw).map_err(|source| ClientError::Answer { operation: "RESULT", source })?;
        if raw.flags & abi::RESULT_MORE != 0 {
            outcome.response = self.read_response(raw.response_length)?;
        }
        Ok(outcome)
    }

    /// Waits for an operation; `None` = as long as it takes.
    ///
    /// # Errors
    ///
    /// [`ClientError::Pending`] where `timeout` is over first, and the errors of [`result`](Client::result).
    pub fn wait(&self, ticket: Ticket, timeout: Option<Duration>) -> Result<Outcome, ClientError> {
        // A time limit beyond what the clock can count is none.
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut woken = false;
        loop {
            match self.result(ticket) {
                Err(ClientError::Pending(_)) => {}
                ended => return ended,
            }
            let left = end.map_or(POLL_SLICE, |end| end.saturating_duration_since(Instant::now()).min(POLL_SLICE));
            if left.is_zero() {
                return Err(ClientError::Pending(ticket.0));
            }
            if woken {
                thread::sleep(OTHER_RESULT_PAUSE.min(left));
            }
            woken = self.poll("RESULT", Event::Result, left)? == Readiness::Ready;
        }
    }

    fn submit(&self, operation: &'static str, number: u32) -> Result<Ticket, ClientError> {
        let request = abi::Submit { version: ABI_VERSION, ..Default::default() };
        self.call(operation, number, &request).map(|raw| Ticket(raw.ticket))
    }

    fn poll(&self, operation: &'static str, event: Event, timeout: Duration) -> Result<Readiness, ClientError> {
        let gone = || std::io::Error::from_raw_os_error(libc::ENODEV);
        match self.descriptor.wait(event, timeout) {
            Ok(Readiness::HungUp) => Err(ClientError::Gone { operation, source: gone() }),
            Ok(readiness) => Ok(readiness),
            Err(source) => Err(ClientError::from_io(operation, source)),
        }
    }

    fn call<T: Structure>(&self, operation: &'static str, number: u32, request: &T) -> Result<T, ClientError> {
        let mut bytes = zeroize::Zeroizing::new(request.to_bytes());
        self.descriptor.ioctl(number, &mut bytes).map_err(|source| ClientError::from_io(operation, source))?;
        T::from_bytes(&bytes)
            .map_err(|_| ClientError::Usage { operation, source: std::io::Error::from_raw_os_error(libc::EINVAL) })
    }

    /// Reads a response of `length` bytes, at most [`abi::EXTENDED_RESPONSE_MAX`] as checked before.
    fn read_response(&self, length: u32) -> Result<Apdu, ClientError> {
        let length = usize::try_from(length).unwrap_or(0).min(abi::EXTENDED_RESPONSE_MAX);
        let mut response = vec![0; length];
        let mut rest = response.as_mut_slice();
        while !rest.is_empty() {
            match self.descriptor.read(rest) {
                Ok(0) => {
                    let source = std::io::ErrorKind::UnexpectedEof.into();
                    return Err(ClientError::Io { operation: "read the response", source });
                }
                Ok(n) => rest = rest.get_mut(n..).unwrap_or_default(),
                Err(source) if source.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ClientError::from_io("read the response", source)),
            }
        }
        Ok(Apdu::from(response))
    }
}

impl Outcome {
    /// Whether the operation got what it wanted.
    pub fn is_done(&self) -> bool {
        self.state == OperationState::Done
    }
}

#[cfg(test)]
mod tests;
