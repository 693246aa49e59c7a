//! Why an operation is refused, and what the caller sees of it.
//!
//! One enum for everything the file system and the control file say no to. The table from reason to errno is one
//! exhaustive match: a new reason does not compile before it has its errno.

use log::Level;
use rustix::io::Errno;
use smcard_batch::{Fault, StatusWord};
use smcard_link::LinkError;
use thiserror::Error;

/// Why an operation is refused. Carries what a message must name, never contents of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The bytes are no batch, or a damaged one.
    #[error("{0}")]
    Fault(Fault),
    /// The file was closed before the batch was complete.
    #[error("cut short after {received} of {total} bytes")]
    CutShort {
        /// Bytes that came.
        received: u64,
        /// Bytes the header announces, or those of a header where it did not come whole.
        total: u64,
    },
    /// Bytes behind the end of a batch.
    #[error("offset {0}: the file is longer than its header says")]
    Trailing(u64),
    /// A write that does not continue where the last one ended.
    #[error("write at offset {offset}, but {expected} bytes have come: a batch is written from beginning to end")]
    OutOfOrder {
        /// Where the write should have begun.
        expected: u64,
        /// Where it began.
        offset: u64,
    },
    /// The protected area has no room for the file.
    #[error("no room for {0} bytes in protected memory; remove a batch or an application")]
    Full(u64),
    /// Too many empty files in the drop box.
    #[error("{0} empty files wait for their contents already")]
    TooManyFiles(usize),
    /// No secure channel, and none is to be had.
    #[error("not authenticated: {0}")]
    NotAuthenticated(String),
    /// The descriptor does not allow operations on the card, or the caller is another than the one that opened it.
    #[error("operations need a descriptor opened for writing by the caller itself")]
    NotOperator,
    /// A batch is never read back.
    #[error("a batch cannot be read back")]
    WriteOnly,
    /// The card issues itself.
    #[error("the card is issuing itself")]
    Issuing,
    /// The progress table has stopped the card.
    #[error("the progress table wants no START before RESET or CLEAR")]
    Stopped,
    /// Another open control file is in a dialogue with the card.
    #[error("another program is in a dialogue with the card")]
    Dialogue,
    /// The file is being received.
    #[error("the file is being received")]
    Receiving,
    /// The card takes no more files at once.
    #[error("the card receives as many files at once as it can")]
    TooManyUploads,
    /// More operations wait for the card than the daemon keeps.
    #[error("too many operations wait for the card")]
    QueueFull,
    /// No card.
    #[error("the card is gone")]
    Gone,
    /// The daemon is about to end.
    #[error("the daemon is ending")]
    Ending,
    /// The link did not carry the request or its answer.
    #[error("{text}")]
    Link {
        /// The errno for it.
        errno: Errno,
        /// What happened.
        text: String,
    },
    /// The card said no to something the caller cannot mend.
    #[error("the card refused {operation}: {sw} ({})", sw.meaning())]
    Card {
        /// What it refused.
        operation: &'static str,
        /// Its status word.
        sw: StatusWord,
    },
    /// No such name, file or ticket.
    #[error("no such file, application or ticket")]
    NotFound,
    /// The name exists.
    #[error("the name exists")]
    Exists,
    /// The tree does not know such a thing.
    #[error("{0}")]
    NotPermitted(&'static str),
    /// An argument nobody can mean.
    #[error("{0}")]
    Invalid(&'static str),
    /// No such open file, or not opened for this.
    #[error("the file is not open for this")]
    BadHandle,
    /// The file was removed while it was open.
    #[error("the file was removed while it was being written")]
    Removed,
    /// A name longer than the card's file table holds.
    #[error("the name is longer than 255 bytes")]
    NameTooLong,
    /// A directory where a file is wanted.
    #[error("is a directory")]
    IsDirectory,
    /// A file where a directory is wanted.
    #[error("is not a directory")]
    NotDirectory,
    /// Space cannot be reserved, and the like.
    #[error("not supported here")]
    Unsupported,
    /// Not an ioctl of the control file.
    #[error("not an ioctl of this file")]
    NotAnIoctl,
    /// The operation has not ended.
    #[error("the operation has not ended")]
    Pending,
    /// More results than the daemon keeps.
    #[error("16 results that nobody has fetched")]
    TooManyResults,
    /// TRANSMIT of a written command, and none was written.
    #[error("no command was written")]
    NothingWritten,
    /// A command longer than any APDU.
    #[error("longer than any command")]
    TooLong,
}

impl Refusal {
    /// What the caller sees: always in 1..=511, which is what the kernel takes.
    #[must_use]
    pub fn errno(&self) -> Errno {
        match self {
            Refusal::Fault(_) | Refusal::CutShort { .. } | Refusal::Trailing(_) => Errno::BADMSG,
            Refusal::OutOfOrder { .. } => Errno::SPIPE,
            Refusal::Full(_) | Refusal::TooManyFiles(_) => Errno::NOSPC,
            Refusal::NotAuthenticated(_) | Refusal::NotOperator | Refusal::WriteOnly => Errno::ACCESS,
            Refusal::Issuing
            | Refusal::Stopped
            | Refusal::Dialogue
            | Refusal::Receiving
            | Refusal::TooManyUploads
            | Refusal::QueueFull => Errno::BUSY,
            Refusal::Gone | Refusal::Ending => Errno::NODEV,
            Refusal::Link { errno, .. } => *errno,
            Refusal::Card { .. } => Errno::IO,
            Refusal::NotFound => Errno::NOENT,
            Refusal::Exists => Errno::EXIST,
            Refusal::NotPermitted(_) => Errno::PERM,
            Refusal::Invalid(_) => Errno::INVAL,
            Refusal::BadHandle => Errno::BADF,
            Refusal::Removed => Errno::STALE,
            Refusal::NameTooLong => Errno::NAMETOOLONG,
            Refusal::IsDirectory => Errno::ISDIR,
            Refusal::NotDirectory => Errno::NOTDIR,
            Refusal::Unsupported => Errno::OPNOTSUPP,
            Refusal::NotAnIoctl => Errno::NOTTY,
            Refusal::Pending => Errno::AGAIN,
            Refusal::TooManyResults => Errno::NOBUFS,
            Refusal::NothingWritten => Errno::NODATA,
            Refusal::TooLong => Errno::MSGSIZE,
        }
    }

    /// How loud the log should be: what a caller does wrong is no fault of the daemon.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Refusal::Fault(_)
            | Refusal::CutShort { .. }
            | Refusal::Trailing(_)
            | Refusal::OutOfOrder { .. }
            | Refusal::Full(_)
            | Refusal::NotAuthenticated(_)
            | Refusal::Card { .. } => Level::Warn,
            Refusal::Gone | Refusal::Link { .. } => Level::Error,
            _ => Level::Debug,
        }
    }
}

impl From<LinkError> for Refusal {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Gone => Refusal::Gone,
            other => Refusal::Link { errno: link_errno(&other), text: other.to_string() },
        }
    }
}

/// The errno by which RESULT and file operations tell a failure of the link.
#[must_use]
pub fn link_errno(error: &LinkError) -> Errno {
    match error {
        LinkError::Gone => Errno::NODEV,
        LinkError::NoAnswer(_) => Errno::TIMEDOUT,
        LinkError::PowerCut => Errno::CANCELED,
        LinkError::Malformed(_) => Errno::PROTO,
        LinkError::Length { .. } => Errno::MSGSIZE,
        LinkError::Unknown { .. } => Errno::REMOTEIO,
        // Mute, Write, Io, the bus, and what a later version of the link adds.
        _ => Errno::IO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smcard_batch::Reason;
    use std::time::Duration;

    #[test]
    fn the_table_of_the_design_holds() {
        let fault = Fault { offset: 12, reason: Reason::Checksum };
        assert_eq!(Refusal::Fault(fault).errno(), Errno::BADMSG);
        assert_eq!(Refusal::CutShort { received: 1, total: 2 }.errno(), Errno::BADMSG);
        assert_eq!(Refusal::OutOfOrder { expected: 0, offset: 4 }.errno(), Errno::SPIPE);
        assert_eq!(Refusal::Full(1).errno(), Errno::NOSPC);
        assert_eq!(Refusal::NotAuthenticated(String::new()).errno(), Errno::ACCESS);
        assert_eq!(Refusal::Issuing.errno(), Errno::BUSY);
        assert_eq!(Refusal::Gone.errno(), Errno::NODEV);
        assert_eq!(Refusal::NotAnIoctl.errno(), Errno::NOTTY);
        assert_eq!(Refusal::Fault(fault).to_string(), "offset 12: the checksum does not match: the file is damaged");
    }

    #[test]
    fn every_failure_of_the_link_has_an_errno_the_kernel_takes() {
        for error in [
            LinkError::Gone,
            LinkError::NoAnswer(Duration::from_secs(1)),
            LinkError::PowerCut,
            LinkError::Mute("medium".into()),
            LinkError::Write("unknown"),
            LinkError::Io(std::io::Error::other("wire")),
            LinkError::Malformed("short".into()),
            LinkError::Length { length: 1000, max: 510 },
            LinkError::Unknown { why: "its answer was lost", error: None },
            LinkError::FileDamaged,
        ] {
            let raw = Refusal::from(error).errno().raw_os_error();
            assert!((1..=511).contains(&raw), "{raw}");
        }
    }
}
