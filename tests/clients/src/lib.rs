#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
//! Clients nobody here wrote, against the emulated card through pcscd: over vpcd and over our own IFD handler.
//!
//! [`rig`] is a pcscd of its own, with its own readers and its own socket, and a mounted card that is in both. A client
//! in this process would be one for good (libpcsclite looks once for pcscd's socket), so what is linked to it runs in a
//! process of its own: `smcard-clients client NAME READER`.
//!
//! # Contract
//!
//! * Preconditions: root (for the mount, and a mount namespace for pcscd), Debian's pcscd, vsmartcard-vpcd, opensc,
//!   pcsc-tools and python3-pyscard (`scripts/setup.sh clients`); the binaries of the same profile beside this one.
//! * A pcscd that runs already is neither used nor disturbed; every wait is bounded.
//!
//! Functions panic where the test cannot go on.

pub mod card;
pub mod hammer;
pub mod package;
pub mod rig;
pub mod scll;
pub mod tools;
