//! What the FUSE thread asks of the card thread.

use crate::core::Core;
use crate::dropbox::pool::Chunk;
use crate::refusal::Refusal;
use crate::reply::Reply;
use smcard_ioctl::Operation;
use std::fmt;
use std::sync::Arc;

/// What is done on the card thread once a secure channel is open, or cannot be had.
pub type WithChannel = Box<dyn FnOnce(&Arc<Core>, Result<(), Refusal>) + Send>;
/// What is done on the card thread once the caches are fresh, or as fresh as they get.
pub type WithFresh = Box<dyn FnOnce(&Arc<Core>) + Send>;

/// Parts of what is known of the card, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Parts(u8);

impl Parts {
    /// Nothing.
    pub const NONE: Parts = Parts(0);
    /// The file management table.
    pub const FILES: Parts = Parts(1);
    /// The record of the last issue.
    pub const ISSUE: Parts = Parts(2);
    /// The figures of protected memory.
    pub const MEMORY: Parts = Parts(4);
    /// The card's own state.
    pub const CARD: Parts = Parts(8);
    /// Card content.
    pub const APPS: Parts = Parts(16);
    /// Everything that is known without a secure channel.
    pub const OPEN: Parts = Parts(15);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Parts) -> Parts {
        Parts(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn within(self, other: Parts) -> Parts {
        Parts(self.0 & other.0)
    }

    /// What is not in the other.
    #[must_use]
    pub const fn without(self, other: Parts) -> Parts {
        Parts(self.0 & !other.0)
    }

    /// True where they share something.
    #[must_use]
    pub const fn touches(self, other: Parts) -> bool {
        self.0 & other.0 != 0
    }
}

/// The first chunk of a file opens the direct write.
#[derive(Debug)]
pub struct OpenWrite {
    /// Name of the file.
    pub name: Vec<u8>,
}

/// Bytes of an upload.
#[derive(Debug)]
pub struct Write {
    /// The open file.
    pub fh: u64,
    /// Its inode number.
    pub ino: u64,
    /// Bytes of the whole file.
    pub length: u32,
    /// Set for the first chunk.
    pub open: Option<OpenWrite>,
    /// The bytes.
    pub chunk: Chunk,
    /// With these the file is whole.
    pub last: bool,
    /// Bytes of the write(2) they came with.
    pub size: u32,
    /// Who waits; `None` where the writer was answered already.
    pub reply: Option<Reply<u32>>,
}

/// One thing to be done with the card.
pub enum Job {
    /// Make sure of a secure channel, then go on.
    Channel(WithChannel),
    /// Ask the card again what is stale, then go on.
    Refresh(Parts, WithFresh),
    /// Pass bytes of an upload on.
    Write(Write),
    /// Give an upload up.
    Abort {
        /// The open file.
        fh: u64,
    },
    /// Remove a batch.
    Erase {
        /// Its inode number.
        ino: u64,
        /// Who waits.
        reply: Reply<()>,
    },
    /// Rename a batch.
    Rename {
        /// Its inode number.
        ino: u64,
        /// Its new name.
        name: Vec<u8>,
        /// Who waits.
        reply: Reply<()>,
    },
    /// An operation of the control file.
    Operation {
        /// The open control file.
        fh: u64,
        /// Its ticket.
        ticket: u64,
        /// What to do; a written command has been put in.
        operation: Operation,
    },
    /// The card may have been taken out.
    Look,
    /// The program that was in a dialogue with the card is gone.
    EndDialogue,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Job::Channel(_) => f.write_str("Channel"),
            Job::Refresh(parts, _) => write!(f, "Refresh({parts:?})"),
            Job::Write(write) => write!(f, "{write:?}"),
            Job::Abort { fh } => write!(f, "Abort({fh})"),
            Job::Erase { ino, .. } => write!(f, "Erase({ino})"),
            Job::Rename { ino, .. } => write!(f, "Rename({ino})"),
            Job::Operation { ticket, operation, .. } => write!(f, "Operation({ticket}, {:?})", operation.kind()),
            Job::Look => f.write_str("Look"),
            Job::EndDialogue => f.write_str("EndDialogue"),
        }
    }
}
