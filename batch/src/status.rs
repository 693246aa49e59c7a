//! Status words: what a card says about a command (ISO/IEC 7816-4 section 5.6, GlobalPlatform 2.3.1 chapter 11).

use std::fmt;

/// The two trailing bytes SW1-SW2 of a response, SW1 in the high byte.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StatusWord(pub u16);

macro_rules! status_words {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $meaning:literal;)*) => {
        impl StatusWord {
            $(#[doc = $meaning] $(#[$doc])* pub const $name: StatusWord = StatusWord($value);)*

            /// The meaning in words, or `None` for a value no specification named here gives a meaning to.
            #[must_use]
            pub fn known_meaning(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($meaning),)*
                    _ => None,
                }
            }
        }
    };
}

status_words! {
    SUCCESS = 0x9000, "success";
    WARNING_LOCKED = 0x6283, "selected, but the card is locked";
    AUTHENTICATION_FAILED = 0x6300, "authentication of the host cryptogram failed";
    MORE_DATA = 0x6310, "more data available";
    NO_DIAGNOSIS = 0x6400, "no specific diagnosis";
    MEMORY_FAILURE = 0x6581, "memory failure";
    WRONG_LENGTH = 0x6700, "wrong length";
    CHANNEL_UNSUPPORTED = 0x6881, "logical channel not supported or not active";
    SECURE_MESSAGING_UNSUPPORTED = 0x6882, "secure messaging not supported";
    CHAINING_UNSUPPORTED = 0x6884, "command chaining not supported";
    SECURITY_NOT_SATISFIED = 0x6982, "security status not satisfied";
    METHOD_BLOCKED = 0x6983, "authentication method blocked";
    CONDITIONS_NOT_SATISFIED = 0x6985, "conditions of use not satisfied";
    COMMAND_NOT_ALLOWED = 0x6986, "command not allowed";
    SELECT_FAILED = 0x6999, "the application refused to be selected";
    WRONG_DATA = 0x6A80, "wrong data";
    FUNCTION_UNSUPPORTED = 0x6A81, "function not supported, or the card life cycle state forbids it";
    NOT_FOUND = 0x6A82, "application or file not found";
    NOT_ENOUGH_MEMORY = 0x6A84, "not enough memory";
    WRONG_P1_P2 = 0x6A86, "wrong P1 or P2";
    REFERENCE_NOT_FOUND = 0x6A88, "referenced data not found";
    FILE_EXISTS = 0x6A89, "file already exists";
    WRONG_OFFSET = 0x6B00, "wrong parameters: offset outside the file";
    INS_UNSUPPORTED = 0x6D00, "instruction not supported";
    CLA_UNSUPPORTED = 0x6E00, "class not supported";
    UNKNOWN_ERROR = 0x6F00, "no precise diagnosis";
}

impl StatusWord {
    /// True for 9000 only: the issuer's response table knows no other success (system S3.3).
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::SUCCESS
    }

    /// True where the command was processed, perhaps with a remark: 9000, 61XX, 62XX, 63XX (ISO 7816-4 table 5).
    #[must_use]
    pub fn is_processed(self) -> bool {
        self.is_success() || matches!(self.0 >> 8, 0x61..=0x63)
    }

    /// The meaning in words; families of status words (61XX, 63CX, 6CXX) are spelled out with their number.
    #[must_use]
    pub fn meaning(self) -> String {
        match (self.known_meaning(), self.0) {
            (Some(text), _) => text.to_owned(),
            (None, 0x6100..=0x61FF) => format!("{} more bytes of response available", self.0 & 0xFF),
            (None, 0x63C0..=0x63CF) => format!("counter {}", self.0 & 0x0F),
            (None, 0x6C00..=0x6CFF) => format!("wrong Le, {} bytes available", self.0 & 0xFF),
            (None, 0x6200..=0x62FF) => "warning, state unchanged".to_owned(),
            (None, 0x6300..=0x63FF) => "warning, state changed".to_owned(),
            _ => "unknown status word".to_owned(),
        }
    }

    /// The two bytes as they end a response.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for StatusWord {
    /// Four hexadecimal digits in lower case, as the status file and `--json` print them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}

impl fmt::Debug for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_9000_alone() {
        assert!(StatusWord(0x9000).is_success());
        for other in [0x9001, 0x6100, 0x6283, 0x63C1, 0x6A84] {
            assert!(!StatusWord(other).is_success());
        }
    }

    #[test]
    fn families_name_their_number() {
        assert_eq!(StatusWord(0x63C7).meaning(), "counter 7");
        assert_eq!(StatusWord(0x6A84).meaning(), "not enough memory");
        assert_eq!(StatusWord(0x1234).meaning(), "unknown status word");
    }
}
