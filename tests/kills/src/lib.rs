#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
//! `kill -9` of `smcardd` at random moments under continuous `cp`, START, CLEAR, CONFIRM, `mv` and `rm`.
//!
//! Two clients work on one mounted card at the same time. The *operator* copies batches, starts them, clears and
//! confirms; the *preparer* copies, renames and removes batches of its own. Each writes down what the card has
//! acknowledged, in a [`ledger`](ledger::Ledger) that knows nothing of any card. The daemon is killed, started again on
//! the same image and the same mount point, and what the card then shows is compared with the ledger.
//!
//! # Contract
//!
//! * What was acknowledged is there: `cp` ended with 0 → the batch is in the store with its size and its number of
//!   commands; START was answered → the applications of a finished issue answer SELECT, those of a failed one do not;
//!   `rm`, `mv`, CLEAR, CONFIRM likewise.
//! * What was under way is there whole or not at all. An issue under way may have got as far as one of the points where
//!   the card's recovery commits; none of its applications can be selected then, and what it has not touched can.
//! * START again ends an issue that was broken off as if nothing had happened, and CLEAR takes it back exactly.
//! * At the end of a card's [`life`] everything is removed: all of its memory is free again.
//! * An answer that the ledger does not allow is as bad as a loss: the clients compare every answer with it.
//!
//! # Failure model
//!
//! The process dies at any instruction; the host and its page cache live on. Cuts of the host's power are the business
//! of the simulated medium (`make cuts`). A daemon that was killed may be killed again before its mount answers. For some
//! daemons the power of the card goes as well, up to four times, and they are killed while they mend that.
//!
//! # Repeating
//!
//! A card's life has an id, `KIND:SEED`, which fixes everything that is drawn: what the clients choose for each kill and
//! the time after which it comes. Where the scheduler lets it fall is not fixed, so an id repeats the circumstances, not
//! the instruction. What was found is printed with the ledger's last lines and the daemon's log.

pub mod card;
pub mod choice;
pub mod client;
pub mod content;
pub mod id;
pub mod ledger;
pub mod life;
pub mod load;
pub mod observe;
pub mod random;
pub mod report;
pub mod stock;

pub use id::LifeId;
pub use life::{live, live_forgetful};
pub use report::Report;
