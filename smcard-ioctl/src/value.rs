//! The values that small fields take.

macro_rules! wire_enum {
    (
        $(#[$meta:meta])*
        $name:ident { $( $(#[doc = $doc:expr])* $variant:ident = $value:literal / $text:literal ),* $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $( $(#[doc = $doc])* $variant = $value ),* }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[ $( Self::$variant ),* ];

            /// The value in the structure; `None` where this version knows no such value.
            pub const fn from_wire(value: u8) -> Option<Self> {
                match value { $( $value => Some(Self::$variant), )* _ => None }
            }

            /// The value in the structure.
            pub const fn to_wire(self) -> u8 {
                match self { $( Self::$variant => $value ),* }
            }

            /// The word for it, as in the file `status`.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text ),* }
            }

            /// What it means, one line an element.
            pub const fn doc(self) -> &'static [&'static str] {
                match self { $( Self::$variant => &[ $( $doc ),* ] ),* }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

wire_enum! {
    /// Where the card stands (`card_state` of STATUS).
    CardState {
        /// no card, or one that does not answer
        None = 0 / "none",
        /// waits for commands
        Ready = 1 / "ready",
        /// waits for commands, and a secure channel is open: batches can be written
        Authenticated = 2 / "authenticated",
        /// issues itself; nothing passes its interfaces meanwhile
        Issuing = 3 / "issuing",
        /// the last issue ended with a failure; what came before it stays until CLEAR
        Failed = 4 / "failed",
        /// the last issue succeeded
        Done = 5 / "done",
    }
}

wire_enum! {
    /// How an operation ended (`state` of RESULT). One that has not ended gets `EAGAIN` instead of a structure.
    OperationState {
        /// the card answered, and where the operation asks for success, with success
        Done = 1 / "done",
        /// the card said no, or did not answer ("result" tells which)
        Failed = 2 / "failed",
    }
}

wire_enum! {
    /// What was submitted (`kind` of RESULT).
    OperationKind {
        /// AUTHENTICATE
        Authenticate = 1 / "authenticate",
        /// TRANSMIT
        Transmit = 2 / "transmit",
        /// START
        Start = 3 / "start",
        /// CLEAR
        Clear = 4 / "clear",
        /// CONFIRM
        Confirm = 5 / "confirm",
        /// RESET
        Reset = 6 / "reset",
    }
}

wire_enum! {
    /// How the card tells a failed issue (`failure_format` of START).
    FailureFormat {
        /// the count of commands given as four bytes of response data, before the status word
        Data = 0 / "data",
        /// status word 63CX, X = count of commands given, where it fits
        Counter = 1 / "counter",
    }
}

/// The word for a card's life cycle (GlobalPlatform Card Specification 2.3.1, table 11-6); `None` for other values.
pub const fn life_cycle_name(value: u8) -> Option<&'static str> {
    match value {
        0x01 => Some("OP_READY"),
        0x07 => Some("INITIALIZED"),
        0x0F => Some("SECURED"),
        0x7F => Some("CARD_LOCKED"),
        0xFF => Some("TERMINATED"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back_and_no_other_is_taken() {
        for value in 0..=u8::MAX {
            assert_eq!(CardState::from_wire(value).is_some(), value <= 5);
            assert_eq!(OperationState::from_wire(value).is_some(), (1..=2).contains(&value));
            assert_eq!(OperationKind::from_wire(value).is_some(), (1..=6).contains(&value));
            assert_eq!(FailureFormat::from_wire(value).is_some(), value <= 1);
        }
        for state in CardState::ALL {
            assert_eq!(CardState::from_wire(state.to_wire()), Some(*state));
        }
        for kind in OperationKind::ALL {
            assert_eq!(OperationKind::from_wire(kind.to_wire()), Some(*kind));
        }
    }
}
