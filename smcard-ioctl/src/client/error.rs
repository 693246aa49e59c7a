//! What can go wrong between a program and the control file.

use std::io;
use std::path::PathBuf;

use crate::answer::UnknownValue;

/// Why a call to the control file failed. The card's own refusals are no errors: they are outcomes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The file does not exist, or does not know these ioctls.
    #[error("{}: not the control file of a mounted card ({source})", path.display())]
    NotACard {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The caller may not do this (`EACCES`, `EPERM`).
    #[error("{operation}: not permitted")]
    NotPermitted {
        /// What was tried.
        operation: &'static str,
    },
    /// The card or the daemon is gone.
    #[error("{operation}: the card is gone ({source})")]
    Gone {
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The card issues itself, or another program is in a dialogue with it (`EBUSY`).
    #[error("{operation}: the card is issuing")]
    Busy {
        /// What was tried.
        operation: &'static str,
    },
    /// The request is not one this daemon takes (`EINVAL` and its kin).
    #[error("{operation}: request refused ({source})")]
    Usage {
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A value does not fit its field.
    #[error("{field}: {reason}")]
    Value {
        /// The field.
        field: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// The daemon speaks another version of the interface.
    #[error("the daemon speaks version {daemon} of the control interface, this program version {program}")]
    Version {
        /// The daemon's.
        daemon: u32,
        /// This crate's.
        program: u16,
    },
    /// No operation of this open file has the ticket (any more).
    #[error("operation {0} is not known")]
    UnknownTicket(u64),
    /// The operation still runs.
    #[error("operation {0} still runs")]
    Pending(u64),
    /// The daemon's answer cannot be read.
    #[error("{operation}: {source}")]
    Answer {
        /// What was tried.
        operation: &'static str,
        /// What is wrong with it.
        source: UnknownValue,
    },
    /// Any other error of the system.
    #[error("{operation}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl ClientError {
    /// Sorts an error of the system by its errno.
    pub(crate) fn from_io(operation: &'static str, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EACCES | libc::EPERM | libc::EROFS | libc::EBADF) => Self::NotPermitted { operation },
            Some(libc::EBUSY) => Self::Busy { operation },
            Some(libc::EINVAL | libc::ENOTTY | libc::ENOBUFS | libc::ENODATA | libc::EMSGSIZE | libc::EOPNOTSUPP) => {
                Self::Usage { operation, source }
            }
            _ if is_gone(&source) => Self::Gone { operation, source },
            _ => Self::Io { operation, source },
        }
    }
}

/// The errno values of a card without a card, and of a mount without its daemon.
pub(crate) fn is_gone(source: &io::Error) -> bool {
    matches!(source.raw_os_error(), Some(libc::ENODEV | libc::ENXIO | libc::ENOTCONN | libc::ECONNABORTED))
}
