//! What a cable can fail at. A card that refuses is not among it.

use crate::BusError;
use std::io;
use std::time::Duration;
use thiserror::Error;

/// The cable did not carry a request or its answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// No card: pulled out, or its image was closed.
    #[error("the card is gone")]
    Gone,
    /// The card gave no answer: its outer interfaces are shut (privileged mode), or the power failed.
    #[error("the card gave no answer (waited {0:?})")]
    NoAnswer(Duration),
    /// The power was switched off during the exchange, as asked by [`crate::PowerSwitch::cut`].
    #[error("the power went during the exchange")]
    PowerCut,
    /// The card went mute after its medium failed; it must be reopened.
    #[error("the card is mute after a failure of its medium: {0}")]
    Mute(String),
    /// A direct write that is not open (any more), or a chunk beyond the announced length.
    #[error("direct write: {0}")]
    Write(&'static str),
    /// The host's own input/output failed.
    #[error("input/output on the link failed: {0}")]
    Io(#[from] io::Error),
    /// The card answered with something that is no answer.
    #[error("the card's answer is malformed: {0}")]
    Malformed(String),
    /// An APDU that this cable does not carry; nothing was sent.
    #[error("an APDU of {length} bytes does not go over this link: 4 to {max} bytes do")]
    Length {
        /// Its length in bytes.
        length: usize,
        /// The longest one, see [`crate::CardProperties::apdu_max`].
        max: usize,
    },
    /// The card has not taken the command: it can be sent again.
    #[error("the card has not taken the command, it can be sent again: {0}")]
    Untaken(#[source] BusError),
    /// The command went out, and what became of it cannot be found out.
    #[error(
        "whether the card has executed the command is not known: {why}{}{}; look at the card before sending it again",
        if error.is_some() { ": " } else { "" },
        error.as_ref().map(ToString::to_string).unwrap_or_default()
    )]
    Unknown {
        /// What was expected and did not come.
        why: &'static str,
        /// What was seen on the bus.
        #[source]
        error: Option<BusError>,
    },
    /// The card has broken the command off.
    #[error("the card has aborted the command, which may have been executed in part: {0}")]
    Aborted(String),
    /// The bus failed beside a command of the secure core.
    #[error(transparent)]
    Bus(BusError),
    /// The card has lost its secure command set and does not come back to it.
    #[error("the card takes no secure commands any more: {0}; take it out and put it in again")]
    ModeLost(String),
    /// The card refuses bytes of a file that it had agreed to take.
    #[error("the card refuses a part of the file with {0:04X}; write the file again")]
    FileRefused(u16),
    /// What the card has received of a file is not what was sent. Nothing of it is kept.
    #[error("the file arrived damaged at the card, which keeps nothing of it; write it again")]
    FileDamaged,
}
