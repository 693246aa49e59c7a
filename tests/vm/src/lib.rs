#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]
//! The drivers and the daemon on Debian's own kernel, in a virtual machine without hardware and without KVM.
//!
//! The guest boots once; its saved state is restored for every [`Scenario`] in a fraction of a second. [`Machine`] is
//! one running guest: commands run in it through its [`agent`], QEMU obeys through [`qmp`].
//!
//! # Contract
//!
//! * Preconditions: `scripts/vm-setup.sh` has run on this source tree, and the programs under test are built with the
//!   profile of this one (`make vm` does both). What is missing is an error that names it; nothing is skipped.
//! * Every wait is bounded, in the guest and on the host.
//! * Nothing is left behind: a [`Machine`] and every other [`process::Program`] ends when it is dropped, and the kernel ends
//!   it if this process dies first. Folders of scenarios are removed; the logs of a failed one are kept.
//! * A scenario begins with a guest that has booted, with no card in any slot, and cannot change what the next one finds.

pub mod agent;
pub mod board;
pub mod card;
pub mod cpio;
pub mod cuse;
mod lab;
pub mod line;
pub mod machine;
pub mod process;
pub mod qmp;
pub mod rig;
pub mod scenario;
pub mod scenarios;
pub mod slot;
pub mod snapshot;

pub use lab::Lab;
pub use machine::Machine;
pub use rig::Rig;
pub use scenario::Scenario;
