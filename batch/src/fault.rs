//! What can be wrong with a batch: the first fault, with its offset and its reason.

use std::fmt;

/// The first fault found in a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Where it stands: bytes from the start of the file.
    pub offset: u32,
    /// What is wrong there.
    pub reason: Reason,
}

macro_rules! reasons {
    ($($(#[$doc:meta])+ $name:ident = $code:literal, $text:literal;)*) => {
        /// Why a batch is refused. Each reason has a code of one byte, by which a card tells it to the terminal.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])+ $name = $code,)* }

        impl Reason {
            /// All reasons, in the order of their codes.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// The reason with this code, if there is one.
            #[must_use]
            pub fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Reason::$name),)* _ => None }
            }

            /// The reason in words.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Reason::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// Fewer bytes than a header and the number of APDUs.
    HeaderCut = 1, "the file ends inside the header";
    /// The first four bytes are not `SMCB`.
    Magic = 2, "not a batch: it does not begin with SMCB";
    /// A version this code does not know.
    Version = 3, "unknown version of the batch format";
    /// Flag bits other than 0 and 1.
    Flags = 4, "unknown flag bits";
    /// The reserved bytes 6 and 7 are not zero.
    Reserved = 5, "reserved bytes are not zero";
    /// The file ends before the body does.
    BodyCut = 6, "the file is shorter than its header says";
    /// Bytes behind the body.
    Trailing = 7, "the file is longer than its header says";
    /// The body does not match its CRC-32.
    Checksum = 8, "the checksum does not match: the file is damaged";
    /// The recovery information does not fit the body.
    RecoveryCut = 9, "the recovery information is longer than the file";
    /// The recovery information is not a whole number of pairs.
    RecoveryLength = 10, "the length of the recovery information is no multiple of 8";
    /// Command numbers in the recovery information are not ascending, zero or beyond the last command.
    RecoveryNumber = 11, "a recovery point names a command number out of order or out of range";
    /// An offset in the recovery information is not where its command stands.
    RecoveryOffset = 12, "a recovery point does not point at its command";
    /// The file ends inside a command or its length.
    CommandCut = 13, "the file ends inside a command";
    /// A command that is no APDU.
    CommandForm = 14, "a command is not a valid APDU";
    /// Bytes behind the last command.
    CommandTrailing = 15, "bytes follow the last command";
    /// Longer than offsets of four bytes can express.
    TooLong = 16, "the file is longer than 4 GiB";
}

impl Fault {
    /// Bytes of the form in which a card tells a fault: code, then offset.
    pub const ENCODED_LEN: usize = 5;

    /// Code (1 byte) and offset (4 bytes, big-endian): how the card's answer to a direct write names the fault.
    #[must_use]
    pub fn encode(self) -> [u8; Self::ENCODED_LEN] {
        let [a, b, c, d] = self.offset.to_be_bytes();
        [self.reason as u8, a, b, c, d]
    }

    /// The inverse of [`Fault::encode`]; `None` for another length or an unknown code.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let &[code, a, b, c, d] = bytes else { return None };
        Some(Fault { offset: u32::from_be_bytes([a, b, c, d]), reason: Reason::from_code(code)? })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {}: {}", self.offset, self.reason.text())
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_survives_the_wire() {
        for &reason in Reason::ALL {
            let fault = Fault { offset: 0xDEAD_BEEF, reason };
            assert_eq!(Fault::decode(&fault.encode()), Some(fault));
        }
        assert_eq!(Fault::decode(&[0, 0, 0, 0, 0]), None);
        assert_eq!(Fault::decode(&[1, 0, 0, 0]), None);
    }

    #[test]
    fn a_fault_names_offset_and_reason() {
        let fault = Fault { offset: 12, reason: Reason::Checksum };
        assert_eq!(fault.to_string(), "offset 12: the checksum does not match: the file is damaged");
    }
}
