//! What a card answers to a command: R1 and R2 of SPI mode, the card status of SD mode.

use std::fmt;

macro_rules! flags {
    ($(#[$doc:meta])* $type:ident($raw:ty) { $($(#[$bitdoc:meta])* $name:ident = $bit:expr, $word:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Default)]
        pub struct $type(pub $raw);

        impl $type {
            $($(#[$bitdoc])* pub const $name: $type = $type(1 << $bit);)*

            /// True where all bits of `other` are set.
            #[must_use]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// True where any bit of `other` is set.
            #[must_use]
            pub const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// Both.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                $type(self.0 | other.0)
            }

            fn words(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(if self.contains($type::$name) { write!(f, " {}", $word)?; })*
                Ok(())
            }
        }
    };
}

flags! {
    /// The first byte of every response in SPI mode (PLSS section 7.3.2.1); bit 7 is 0.
    R1(u8) {
        /// The card is being initialised.
        IDLE = 0, "idle";
        /// An erase sequence was cleared.
        ERASE_RESET = 1, "erase reset";
        /// The command is not known, or not in this state.
        ILLEGAL = 2, "illegal command";
        /// The command's checksum was wrong.
        CRC = 3, "checksum of the command wrong";
        /// Erase commands out of order.
        ERASE_SEQUENCE = 4, "erase sequence";
        /// A misaligned address.
        ADDRESS = 5, "address";
        /// The argument is outside what is allowed.
        PARAMETER = 6, "parameter";
    }
}

impl R1 {
    /// Every bit but "idle" is an error.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 & 0x7E != 0
    }
}

impl fmt::Debug for R1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R1 {:02X}", self.0)?;
        self.words(f)
    }
}

flags! {
    /// The two bytes of CMD13 in SPI mode, R1 in the high byte (PLSS section 7.3.2.3).
    R2(u16) {
        /// Locked with a password (CMD42).
        LOCKED = 0, "locked";
        /// Write protection skipped at erase, or lock and unlock failed.
        LOCK_FAILED = 1, "lock failed";
        /// An error nothing else names.
        ERROR = 2, "error";
        /// The card's controller failed.
        CC_ERROR = 3, "controller error";
        /// Data could not be corrected.
        ECC_FAILED = 4, "ECC failed";
        /// Write protected.
        WP_VIOLATION = 5, "write protected";
        /// Wrong selection for erase.
        ERASE_PARAMETER = 6, "erase parameter";
        /// Outside the card, or a CSD that cannot be overwritten.
        OUT_OF_RANGE = 7, "out of range";
    }
}

impl R2 {
    /// The R1 in it.
    #[must_use]
    pub const fn r1(self) -> R1 {
        R1(self.0.to_be_bytes()[0])
    }

    /// Anything but "idle" and "locked".
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.r1().is_error() || self.0 & 0x00FE != 0
    }
}

impl fmt::Debug for R2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R2 {:04X}", self.0)?;
        self.r1().words(f)?;
        self.words(f)
    }
}

flags! {
    /// The card status of SD mode (PLSS section 4.10.1).
    CardStatus(u32) {
        /// Argument out of range.
        OUT_OF_RANGE = 31, "out of range";
        /// Misaligned address.
        ADDRESS_ERROR = 30, "address";
        /// Block length not allowed.
        BLOCK_LEN_ERROR = 29, "block length";
        /// Erase commands out of order.
        ERASE_SEQ_ERROR = 28, "erase sequence";
        /// Wrong selection for erase.
        ERASE_PARAM = 27, "erase parameter";
        /// Write protected.
        WP_VIOLATION = 26, "write protected";
        /// Locked with a password (CMD42).
        CARD_IS_LOCKED = 25, "locked";
        /// Lock or unlock failed.
        LOCK_UNLOCK_FAILED = 24, "lock failed";
        /// The checksum of the previous command was wrong.
        COM_CRC_ERROR = 23, "checksum of the command before wrong";
        /// The previous command was not known, or not in that state.
        ILLEGAL_COMMAND = 22, "command before illegal";
        /// Data could not be corrected.
        CARD_ECC_FAILED = 21, "ECC failed";
        /// The card's controller failed.
        CC_ERROR = 20, "controller error";
        /// An error nothing else names.
        ERROR = 19, "error";
        /// The CSD cannot be overwritten.
        CSD_OVERWRITE = 16, "CSD overwrite";
        /// Write protection skipped at erase.
        WP_ERASE_SKIP = 15, "write protection skipped";
        /// An erase sequence was cleared.
        ERASE_RESET = 13, "erase reset";
        /// The buffer is empty: the bus is free.
        READY_FOR_DATA = 8, "ready for data";
        /// CMD55 has been taken.
        APP_CMD = 5, "application command";
    }
}

/// The state of a card on the SD bus (PLSS section 4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum CardState {
    Idle = 0,
    Ready = 1,
    Identification = 2,
    Standby = 3,
    Transfer = 4,
    Data = 5,
    Receive = 6,
    Programming = 7,
    Disconnected = 8,
}

impl CardStatus {
    /// Bits that say something went wrong; "locked" and the state are not among them.
    pub const ERRORS: CardStatus = CardStatus(0xFDF9_A000);

    /// True where any error bit is set.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.intersects(Self::ERRORS)
    }

    /// The state in which the card received the command; `None` for reserved codings.
    #[must_use]
    pub const fn state(self) -> Option<CardState> {
        Some(match self.0 >> 9 & 0xF {
            0 => CardState::Idle,
            1 => CardState::Ready,
            2 => CardState::Identification,
            3 => CardState::Standby,
            4 => CardState::Transfer,
            5 => CardState::Data,
            6 => CardState::Receive,
            7 => CardState::Programming,
            8 => CardState::Disconnected,
            _ => return None,
        })
    }

    /// This status with that state.
    #[must_use]
    pub const fn in_state(self, state: CardState) -> Self {
        CardStatus(self.0 & !(0xF << 9) | (state as u32) << 9)
    }
}

impl fmt::Debug for CardStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {:08X}", self.0)?;
        match self.state() {
            Some(state) => write!(f, " {state:?}")?,
            None => write!(f, " state reserved")?,
        }
        self.words(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_read_as_words() {
        assert_eq!(format!("{:?}", R1(0x05)), "R1 05 idle illegal command");
        assert_eq!(format!("{:?}", R2(0x0401)), "R2 0401 illegal command locked");
        assert_eq!(
            format!("{:?}", CardStatus(0x0040_0900)),
            "status 00400900 Transfer command before illegal ready for data"
        );
        assert!(!R1(0x01).is_error() && R1(0x04).is_error());
        assert!(!R2(0x0001).is_error() && R2(0x0080).is_error());
    }

    #[test]
    fn a_card_in_transfer_state_is_no_error() {
        let status = CardStatus(0x0000_0900);
        assert_eq!(status.state(), Some(CardState::Transfer));
        assert!(!status.is_error() && status.contains(CardStatus::READY_FOR_DATA));
        assert!(!CardStatus::CARD_IS_LOCKED.is_error());
        assert!(CardStatus::ILLEGAL_COMMAND.is_error());
        assert_eq!(CardStatus::default().in_state(CardState::Programming).state(), Some(CardState::Programming));
        assert_eq!(CardStatus(0xF << 9).state(), None);
    }
}
