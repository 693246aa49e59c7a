//! Why no batch can be made of a CAP file.

use super::load::BLOCKS_MAX;
use crate::aid::{Aid, AidError};
use crate::build::BuildError;
use crate::load_file::CapFault;
use thiserror::Error;

/// Why no batch can be made of a CAP file.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The CAP file itself.
    #[error("{0}")]
    Cap(CapFault),
    /// An AID in the CAP file.
    #[error("{0}")]
    Aid(AidError),
    /// The blocks of LOAD are counted in one byte.
    #[error(
        "{bytes} bytes of load file make {blocks} LOAD commands of {size} bytes, but the block number ends at \
         {BLOCKS_MAX} blocks; use larger blocks or one LOAD for direct reference (--direct)"
    )]
    TooManyBlocks {
        /// Bytes of the load file, with its tag.
        bytes: usize,
        /// Bytes of a block.
        size: usize,
        /// Blocks needed.
        blocks: usize,
    },
    /// Blocks of no bytes.
    #[error("LOAD blocks must have 1 to 255 bytes")]
    BlockSize,
    /// More load file than four bytes can count.
    #[error("the load file is longer than 4 GiB")]
    TooLong,
    /// An instance of an applet that the package does not define.
    #[error("the package has no applet {module}; it has: {known}")]
    UnknownModule {
        /// The applet asked for.
        module: Aid,
        /// The applets of the package, or "none".
        known: String,
    },
    /// An instance under the package's own AID, or two of one AID: a card refuses the second.
    #[error("instance AID {0} is used twice or is the package's own")]
    InstanceTaken(Aid),
    /// Neither one nor three bytes of privileges.
    #[error("privileges have 1 or 3 bytes, not {0}")]
    Privileges(usize),
    /// More install parameters than one command carries.
    #[error("INSTALL for {instance} would have {found} data bytes, a command carries 255: shorten the parameters")]
    InstallTooLong {
        /// The instance.
        instance: Aid,
        /// Data bytes needed.
        found: usize,
    },
    /// The batch.
    #[error("{0}")]
    Build(BuildError),
}

impl From<BuildError> for IssueError {
    fn from(error: BuildError) -> Self {
        IssueError::Build(error)
    }
}
