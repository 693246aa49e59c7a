//! The daemon that mounts a secure memory card: FUSE tree, drop box, control file, terminal.
//!
//! ```text
//!  programs ──► kernel ──► fuse ──► core ──► queue ──► card_thread ──► terminal ──► link
//!                            ▲       │  ▲                  │
//!                            └───────┘  └───── state ◄─────┘
//! ```
//!
//! * [`fuse`] decodes requests and replies; it alone knows FUSE. [`core`] is every operation of the mount as a method.
//! * [`dropbox`] knows what becomes of bytes written into `issue/`, [`control`] what an open control file is,
//!   [`tree`], [`values`] and [`apps`] what else there is to see, [`status`] where the card stands.
//! * [`card_thread`] does one [`job`] after the other with the card, through the [`terminal`].
//! * [`pcsc`] brings an emulated card's second interface to programs that speak PC/SC.
//! * [`tell`] tells results onwards: to a command, to an MQTT broker.
//! * [`serve`] puts it together: [`options`], [`config`], [`keys`], [`secret`], [`source`], [`mount`], [`background`], [`notify`].
//!
//! # Preconditions
//!
//! * The kernel enforces ownership and modes (`default_permissions` is always set). For an ioctl, which it does not
//!   check again, [`core`] looks at how and by whom the control file was opened.
//! * One daemon has the card; its link and an image's lock see to that.
//!
//! # Invariants
//!
//! * The FUSE thread never waits for the card. What needs the card is a job that carries its [`reply::Reply`].
//! * Every request is answered once, with an errno in 1..=511 or success; a reply that is lost answers by itself. A
//!   program inside an ioctl cannot be killed, so none waits for the card: operations are submitted, polled, fetched.
//! * A batch is in the card's store entirely or not at all. A failed overwrite leaves the earlier batch as it was.
//! * The write(2) that completes a batch tells what the card said about it. A batch that is cut short is told by the
//!   close of the process that opened it, or, where nobody can be told, by log and `status`.
//! * The card is asked only what somebody wants to know, and never between the upload of a batch and the result of its
//!   START: an issue is two exchanges.
//! * Authentication is tried once. After a refusal it is not tried again until AUTHENTICATE asks for it.
//! * A mount that is not this daemon's own is never unmounted.
//!
//! # Failure model
//!
//! * The card answers with a status word: a value in results, for file operations the errno of [`refusal`].
//! * The link fails: the errno of the operation; secure channel and current application are no longer taken for granted.
//! * The card is gone: `ENODEV` for everything that needs it, until it is back; it is looked for once a second.
//! * A panic in either thread: the caller gets an error, the daemon unmounts and ends with exit code 70.
//! * The daemon is killed: the next start replaces the dead mount.
//!
//! # Secrets
//!
//! Keys and the contents of batches never reach logs, errors or `Debug`; buffers that held them are wiped. The process
//! dumps no core and cannot be traced.

#![forbid(unsafe_code)]

pub mod apps;
pub mod background;
pub mod card_thread;
pub mod config;
pub mod control;
pub mod core;
pub mod dropbox;
pub mod fuse;
pub mod hygiene;
pub mod job;
pub mod keys;
pub mod logging;
pub mod mount;
pub mod notify;
pub mod options;
pub mod pcsc;
pub mod presence;
pub mod queue;
pub mod refusal;
pub mod reply;
pub mod secret;
pub mod serve;
pub mod source;
pub mod status;
pub mod tell;
pub mod terminal;
#[cfg(test)]
mod testing;
pub mod tree;
pub mod values;
