#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
//! The harness of the tests that cross rooms: a card in a file, mounted by the real `smcardd`, used by real programs.
//!
//! [`Mounted`] is one card with its own folder, image, configuration and daemon; several can live side by side, so tests
//! run in parallel. [`batch`] makes what is copied into it, [`damage`] what must be refused, [`mod@run`] runs programs and
//! [`console`] the examples of documents.
//!
//! # Contract
//!
//! * Preconditions: root, `/dev/fuse`, the binaries `smcardd` and `smcardctl` of the same build profile beside the test
//!   (`make mounted` builds them). A test that finds one missing fails and says which.
//! * Every wait is bounded. What takes longer is killed by its process id, and the test fails.
//! * Nothing is left behind: dropping a [`Mounted`] ends its daemon and its mount. Where that took force the test fails,
//!   unless it is failing already.
//!
//! Functions panic where the test cannot go on; the message says what was expected and what the daemon's log holds.

pub mod batch;
pub mod binaries;
pub mod console;
pub mod daemon;
pub mod damage;
pub mod mounted;
pub mod people;
pub mod power;
pub mod proc;
pub mod raw;
pub mod run;
pub mod setup;

pub use daemon::Daemon;
pub use mounted::Mounted;
pub use run::{Output, run, shell};
pub use setup::Setup;
