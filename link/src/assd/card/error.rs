//! Why a card is not opened.

use crate::sd::{Cid, cid_text};
use crate::{BusError, BusFault, LinkError};
use std::time::Duration;
use thiserror::Error;

/// Why a card is not opened. It is left as it was, but for its command system, which is memory again where that worked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no card.
    #[error("there is no card: {0}")]
    NoCard(#[source] BusError),
    /// It is locked with a password.
    #[error("the card is locked with a password (CMD42); unlock it with the program that has locked it")]
    Locked,
    /// The system refuses the access.
    #[error("{0}")]
    Forbidden(String),
    /// It is no card that was wanted.
    #[error("this is another card: its CID is {}, expected is {}", cid_text(&found.0), cid_text(&expected.0))]
    WrongCard {
        /// The card that is there.
        found: Cid,
        /// The card that was wanted.
        expected: Cid,
    },
    /// It is a memory card without the secure command set.
    #[error("the card has no secure command set (ASSD): {0}")]
    NotSecure(String),
    /// It says that it has the secure command set, and does not answer it.
    #[error(
        "the card says that it has the secure command set (CMD6, function {function}), and does not answer it: {error}; \
        it is a memory card, or the reader does not pass secure commands"
    )]
    Lies {
        /// The function of group 2.
        function: u8,
        /// What became of CMD36.
        #[source]
        error: BusError,
    },
    /// The security system that was asked for is not among those of the card.
    #[error("the card has no security system {wanted}; its bitmap is {systems:04X} (option system)")]
    NoSystem {
        /// The one wanted.
        wanted: u8,
        /// Those it has, bit n = index n.
        systems: u16,
    },
    /// It works on something, and does not come to an end.
    #[error("the card has been working on a command for {0:?} already; wait, or take its power")]
    Busy(Duration),
    /// It does not come to where a command could be sent.
    #[error("the card does not come to rest: {0}")]
    Restless(String),
    /// It has failed.
    #[error("the card is mute: {0}")]
    Mute(String),
    /// Its power was cut meanwhile.
    #[error("the power was cut while the card was being opened")]
    PowerCut,
    /// The bus.
    #[error(transparent)]
    Bus(BusError),
}

impl OpenError {
    /// What the bus said, sorted.
    pub(super) fn from_bus(error: BusError) -> Self {
        match error.fault {
            BusFault::Removed => OpenError::NoCard(error),
            BusFault::Locked => OpenError::Locked,
            BusFault::Forbidden(text) => OpenError::Forbidden(text),
            _ => OpenError::Bus(error),
        }
    }

    /// As a card in use fails that cannot be entered again.
    pub(super) fn into_link(self) -> LinkError {
        match self {
            OpenError::NoCard(_) | OpenError::WrongCard { .. } => LinkError::Gone,
            OpenError::Bus(error) => LinkError::Bus(error),
            OpenError::Busy(time) => LinkError::NoAnswer(time),
            OpenError::Mute(text) => LinkError::Mute(text),
            OpenError::PowerCut => LinkError::PowerCut,
            other => LinkError::ModeLost(other.to_string()),
        }
    }

    /// As an error of the link reads while a card is being opened.
    pub(super) fn from_link(error: LinkError, removed: impl FnOnce() -> BusError) -> Self {
        match error {
            LinkError::Gone => OpenError::NoCard(removed()),
            LinkError::NoAnswer(time) => OpenError::Busy(time),
            LinkError::PowerCut => OpenError::PowerCut,
            LinkError::Mute(text) => OpenError::Mute(text),
            LinkError::Bus(error) => OpenError::from_bus(error),
            other => OpenError::Restless(other.to_string()),
        }
    }
}
