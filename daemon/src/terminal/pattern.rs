//! What a row of the progress table names: counts of commands given, and what the card said.

/// Counts of commands given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// Any, and where it is not known.
    Any,
    /// From the first to the second, both included.
    Range(u32, u32),
}

impl Given {
    /// Reads `any`, `7`, `1..=3`, `4..` or `..=9`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str, absent| if text.is_empty() { Some(absent) } else { text.trim().parse().ok() };
        let (from, to) = match text.trim() {
            "any" => return Some(Given::Any),
            text => match text.split_once("..") {
                None => (text.parse().ok()?, text.parse().ok()?),
                Some((from, "")) => (number(from, 0)?, u32::MAX),
                Some((from, to)) => (number(from, 0)?, to.strip_prefix('=')?.trim().parse().ok()?),
            },
        };
        (from <= to).then_some(Given::Range(from, to))
    }

    pub(super) fn matches(self, given: Option<u32>) -> bool {
        match self {
            Given::Any => true,
            Given::Range(from, to) => given.is_some_and(|given| (from..=to).contains(&given)),
        }
    }
}

/// Ends by what the card said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Any status word but success.
    AnyRefusal,
    /// No answer: the time limit passed or the power went.
    Nothing,
    /// Status words that have the value under the mask.
    Word {
        /// Bits that count.
        mask: u16,
        /// What they are.
        value: u16,
    },
}

impl Said {
    /// Success.
    pub const SUCCESS: Said = Said::Word { mask: 0xFFFF, value: 0x9000 };

    /// Reads `any`, `none`, or four hexadecimal digits of which an `x` stands for any: `6a84`, `65xx`, `63cx`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "any" => return Some(Said::AnyRefusal),
            "none" => return Some(Said::Nothing),
            _ if text.len() != 4 => return None,
            _ => {}
        }
        let (mut mask, mut value) = (0, 0);
        for digit in text.chars() {
            let (bits, digit) = if digit == 'x' { (0, 0) } else { (0xF, u16::try_from(digit.to_digit(16)?).ok()?) };
            (mask, value) = (mask << 4 | bits, value << 4 | digit);
        }
        Some(Said::Word { mask, value })
    }

    pub(super) fn matches(self, sw: Option<u16>) -> bool {
        match (self, sw) {
            (Said::Nothing, None) => true,
            (Said::AnyRefusal, Some(sw)) => sw != 0x9000,
            (Said::Word { mask, value }, Some(sw)) => sw & mask == value,
            _ => false,
        }
    }
}
