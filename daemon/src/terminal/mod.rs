//! The terminal: what stands between a file operation and the card (system S5).
//!
//! * [`manager`]: the self-issue manager, which knows when to authenticate, select, start;
//! * [`generator`]: the command generator; * [`sender`]: the command sender;
//! * [`conduct`]: one issue with what follows it; * [`order`]: what is asked of it, what comes of it;
//! * [`progress`]: the progress table that says what does;
//! * [`watchdog`]: the time limit on an exchange;
//! * [`receiver`]: the response receiver; * [`session`]: the secure channel;
//! * [`inventory`]: what the card says is on it, read as input from outside.
//!
//! Nothing here knows of files, handles or FUSE.

pub mod conduct;
pub mod generator;
pub mod inventory;
pub mod manager;
pub mod order;
mod pattern;
pub mod progress;
pub mod receiver;
pub mod sender;
pub mod session;
mod tlv;
pub mod watchdog;

pub use conduct::Conduct;
pub use generator::Target;
pub use inventory::{CardInfo, IssueRecord, IssueState, Memory, StoredFile};
pub use manager::Manager;
pub use order::{Conclusion, Next, Order, Step};
pub use progress::Table;
pub use receiver::IssueResult;
pub use session::{Attempt, KeyRing};
pub use watchdog::Limits;

#[cfg(test)]
mod conduct_tests;
#[cfg(test)]
mod tests;
