//! What commands do to a card, said without a card.

use std::sync::Arc;

/// One change. A command that succeeds has any number of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Room is taken for this load file, whose blocks are on their way.
    Loading(Arc<[u8]>),
    /// A load given up, or complete: nothing is on its way.
    NotLoading,
    /// A load file is there.
    Loaded {
        /// AID of the package.
        package: Vec<u8>,
        /// Load file data.
        data: Arc<[u8]>,
    },
    /// An application is there, selectable.
    Installed {
        /// AID of the instance.
        instance: Vec<u8>,
        /// AID of its package.
        package: Vec<u8>,
        /// The NDEF message it begins with; only for packages with code on the card.
        message: Option<Vec<u8>>,
    },
    /// The message of an application is another.
    Message {
        /// AID of the instance.
        instance: Vec<u8>,
        /// The message, without its length.
        message: Vec<u8>,
    },
    /// A load file and all its applications are gone.
    Removed {
        /// AID of the package.
        package: Vec<u8>,
    },
    /// An application is gone.
    Uninstalled {
        /// AID of the instance.
        instance: Vec<u8>,
    },
    /// A data object of the issuer security domain has this value.
    Object {
        /// Its tag.
        tag: u16,
        /// Its value.
        value: Vec<u8>,
    },
    /// The card has this life cycle state.
    LifeCycle(u8),
    /// An application is locked, or not any more.
    Locked {
        /// AID of the instance.
        instance: Vec<u8>,
        /// Whether it is.
        locked: bool,
    },
}

/// A command of a batch, and what it does.
#[derive(Clone, Debug)]
pub struct Command {
    /// As it stands in the batch.
    pub bytes: Vec<u8>,
    /// What it does if it succeeds.
    pub effects: Vec<Effect>,
    /// The status word it fails with.
    pub refused: Option<u16>,
    /// A recovery point stands before it, if the batch has recovery information.
    pub point: bool,
    /// It leaves something behind that ends with the power: an application selected, a personalization begun. The
    /// issue cannot go on right behind it.
    pub volatile: bool,
}

impl Command {
    /// A command that succeeds.
    #[must_use]
    pub fn new(bytes: Vec<u8>, effects: Vec<Effect>) -> Self {
        Command { bytes, effects, refused: None, point: false, volatile: false }
    }

    /// A command that fails with a status word.
    #[must_use]
    pub fn refused(bytes: Vec<u8>, sw: u16) -> Self {
        Command { refused: Some(sw), ..Self::new(bytes, Vec::new()) }
    }

    /// With a recovery point before it.
    #[must_use]
    pub fn at_point(self) -> Self {
        Command { point: true, ..self }
    }

    /// See [`Command::volatile`].
    #[must_use]
    pub fn leaving_volatile(self) -> Self {
        Command { volatile: true, ..self }
    }
}
