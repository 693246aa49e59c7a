//! Host to card: what a terminal can ask of a secure memory card, whatever cable it hangs on.
//!
//! [`SecureCard`] is the seam between the terminal and the card. Behind it stands the emulated card (a function call) or
//! a driver for a real one. What the *card* says is a value (a [`Answer`] with a status word); what the *cable* does not
//! carry is an error ([`LinkError`]). The two are never mixed: a status word is not an error, and an error says nothing
//! about what the card did with the command.
//!
//! # Contract
//!
//! * An **exchange** is one request that the card answers: an APDU, or the direct write of one whole file (opened with
//!   its length, streamed, committed once). [`Counters::exchanges`] counts them; what a wire makes of an exchange is
//!   counted beside it.
//! * A command is never executed twice by the link's doing: it goes out again only where the card has said that it did not
//!   take it. After a [`LinkError`] the caller decides; [`LinkError::Untaken`] and [`LinkError::Unknown`] say what is known.
//! * After [`LinkError::Gone`] every call answers `Gone` until the card is back.
//! * The link keeps no secrets: it neither logs nor stores what it carries; a [`Trace`] is told lengths, headers and status
//!   words.

#![deny(unsafe_code)]

mod answer;
pub mod assd;
mod bus;
mod card;
mod counters;
mod error;
mod host;
pub mod mmc;
pub mod quirks;
pub mod sd;
pub mod spi;
mod trace;

pub use answer::Answer;
pub use bus::{Clock, SdBus, SdResponse, SpiBus, SystemClock, Transfer};
pub use card::{CardProperties, LinkStatus, NAME_MAX, PowerSwitch, PrivilegeKind, RecoveryKind, SecureCard, WriteId};
pub use counters::Counters;
pub use error::LinkError;
pub use host::{BusError, BusFault, CardHost, Data, Identity, Step, Taken, WriteToken};
pub use trace::{Mark, Recorder, Trace, TraceSink, argument_in_words};
