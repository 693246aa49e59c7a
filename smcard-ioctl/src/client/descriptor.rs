//! The open control file: the only place that calls the system, and the only unsafe code of this crate.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// What [`wait`](Descriptor::wait) saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// The event.
    Ready,
    /// Nothing in the given time.
    Nothing,
    /// The other side is gone.
    HungUp,
}

/// What may be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A finished operation of this open file has not been fetched (`POLLIN`).
    Result,
    /// The card's state has changed since the last STATUS (`POLLPRI`).
    StateChange,
}

/// What the client needs of an open control file; a seam for tests.
pub trait Descriptor {
    /// ioctl(2) with a structure of exactly the size that `number` tells.
    ///
    /// # Errors
    ///
    /// What the system says; `EINVAL` where `structure` has another size than the number.
    fn ioctl(&self, number: u32, structure: &mut [u8]) -> io::Result<()>;

    /// poll(2) for at most `timeout`.
    ///
    /// # Errors
    ///
    /// What the system says. A signal that was caught counts as [`Readiness::Nothing`].
    fn wait(&self, event: Event, timeout: Duration) -> io::Result<Readiness>;

    /// One write(2) of all the bytes.
    ///
    /// # Errors
    ///
    /// What the system says; `WriteZero` where it took fewer bytes.
    fn write(&self, bytes: &[u8]) -> io::Result<()>;

    /// One read(2).
    ///
    /// # Errors
    ///
    /// What the system says.
    fn read(&self, bytes: &mut [u8]) -> io::Result<usize>;
}

/// The control file, open.
#[derive(Debug)]
pub struct ControlFile(File);

impl ControlFile {
    /// Opens `path`; for submitting operations it must be `writable`.
    ///
    /// # Errors
    ///
    /// What the system says. Never waits, whatever the file is.
    pub fn open(path: &Path, writable: bool) -> io::Result<Self> {
        // O_NONBLOCK: opening a FIFO by mistake must not hang. It has no meaning for the control file.
        OpenOptions::new().read(true).write(writable).custom_flags(libc::O_NONBLOCK).open(path).map(Self)
    }
}

impl AsFd for ControlFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Descriptor for ControlFile {
    fn ioctl(&self, number: u32, structure: &mut [u8]) -> io::Result<()> {
        let size = usize::try_from((number >> 16) & 0x1FFF).unwrap_or(usize::MAX);
        if structure.len() != size {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // The type of the parameter differs between C libraries; the 32 bits are the same.
        #[allow(clippy::cast_possible_wrap, clippy::cast_lossless, reason = "the C library's own type")]
        let request = number as libc::Ioctl;
        // SAFETY: the descriptor is open for the whole call; the kernel reads and writes at most the `size` bytes
        // that the number carries, and `structure` is exactly that long and exclusively borrowed. Where the file is
        // not a control file and its driver gives the number another meaning, that meaning has the same size, for it
        // is part of the number.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), request, structure.as_mut_ptr()) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn wait(&self, event: Event, timeout: Duration) -> io::Result<Readiness> {
        let events = match event {
            Event::Result => libc::POLLIN,
            Event::StateChange => libc::POLLPRI,
        };
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events, revents: 0 };
        // Rounded up, so that a short rest does not become a busy loop.
        let milliseconds = timeout.as_nanos().div_ceil(1_000_000);
        let milliseconds = libc::c_int::try_from(milliseconds).unwrap_or(libc::c_int::MAX);
        // SAFETY: `poll` is one valid, exclusively borrowed pollfd, and the count says one.
        let result = unsafe { libc::poll(&raw mut poll, 1, milliseconds) };
        if result < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(Readiness::Nothing) } else { Err(error) };
        }
        Ok(if poll.revents & events != 0 {
            Readiness::Ready
        } else if poll.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0 {
            Readiness::HungUp
        } else {
            Readiness::Nothing
        })
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let written = (&self.0).write(bytes)?;
        if written == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi;

    #[test]
    fn a_structure_of_another_size_never_reaches_the_system() {
        let file = ControlFile::open(Path::new("/dev/null"), false).unwrap();
        let error = file.ioctl(abi::CLEAR, &mut [0; 15]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        // The right size does, and /dev/null knows no such ioctl.
        let error = file.ioctl(abi::CLEAR, &mut [0; 16]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
    }
}
