//! The batch file: all commands of an issue in one piece, and what such commands look like.
//!
//! A *batch* is what the preparer writes into a secure memory card in one access; the card's issuer later walks it
//! command by command. This crate holds everything that several rooms must agree on about it:
//!
//! * [`apdu`]: command APDUs as borrowed views, in the short, the extended and the direct-reference form;
//! * [`status`]: status words and their meaning;
//! * [`mod@format`]: the layout of the file; [`parse`]: views of a batch without copying; [`build`]: making one;
//! * [`fault`]: what can be wrong with a batch, with the offset and the reason;
//! * [`load_file`]: views of load file data (the components of a CAP file), for the card and for the CAP reader;
//! * [`script`]: lists of commands as other tools write them;
//! * [`cap`]: CAP files; [`issue`]: the commands that issue one; [`describe`]: a command in words;
//!   [`plan`]: what a batch would do to a card; [`aid`]: application identifiers.
//!
//! # Contract
//!
//! * Parsing accepts arbitrary bytes: it never panics, never allocates in proportion to a length it has only read, and
//!   names the offset and the reason of the *first* fault.
//! * [`Batch::parse`] takes time linear in the length of the file; iterating the commands afterwards can not fail.
//! * Building and parsing are inverse: what [`BatchBuilder`] makes, [`Batch::parse`] accepts, and gives back the same commands.
//! * All numbers in the file are big-endian. Lengths and offsets are in bytes and fit `u32`.
//! * Contents of a batch are secret: no `Debug` output and no error of this crate shows command data.

#![forbid(unsafe_code)]

pub mod aid;
pub mod apdu;
pub mod build;
pub mod cap;
pub mod describe;
pub mod fault;
pub mod format;
mod hex;
pub mod issue;
pub mod load_file;
pub mod parse;
pub mod plan;
pub mod script;
pub mod status;

pub use aid::Aid;
pub use apdu::{ApduError, CommandApdu, Form};
pub use build::{BatchBuilder, BuildError};
pub use cap::{CapError, CapFile};
pub use fault::{Fault, Reason};
pub use format::{BODY_OFFSET, Header, RecoveryPoint};
pub use issue::{IssueError, IssuePlan};
pub use load_file::{CapFault, CapReason, LoadFile};
pub use parse::{Batch, Command};
pub use status::StatusWord;
