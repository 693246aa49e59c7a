//! What a cable can fail at. A card that refuses is not among it.

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
}
