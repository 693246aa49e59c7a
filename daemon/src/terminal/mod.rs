//! The terminal: what stands between a file operation and the card (system S5).
//!
//! * [`manager`]: the self-issue manager, which knows when to authenticate, select, start;
//! * [`generator`]: the command generator; * [`sender`]: the command sender;
//! * [`receiver`]: the response receiver; * [`session`]: the secure channel;
//! * [`inventory`]: what the card says is on it, read as input from outside.
//!
//! Nothing here knows of files, handles or FUSE.

pub mod generator;
pub mod inventory;
pub mod manager;
pub mod receiver;
pub mod sender;
pub mod session;
mod tlv;

pub use generator::Target;
pub use inventory::{CardInfo, IssueRecord, IssueState, Memory, StoredFile};
pub use manager::Manager;
pub use receiver::IssueResult;
pub use session::{Attempt, KeyRing};

#[cfg(test)]
mod tests;
