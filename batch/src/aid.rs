//! Application identifiers (ISO/IEC 7816-4 section 8.2.1.2, ISO/IEC 7816-5): 5 to 16 bytes.

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// An application identifier: the name of an application, a load file, a module or a security domain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aid {
    bytes: [u8; Self::MAX],
    length: u8,
}

/// Bytes or text that are no AID.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum AidError {
    /// Not 5 to 16 bytes.
    #[error("an AID has 5 to 16 bytes, not {0}")]
    Length(usize),
    /// Not hexadecimal digits in pairs.
    #[error("an AID is written in pairs of hexadecimal digits")]
    Hex,
}

impl Aid {
    /// Fewest bytes: a registered application provider identifier alone.
    pub const MIN: usize = 5;
    /// Most bytes.
    pub const MAX: usize = 16;

    /// An AID of these bytes.
    ///
    /// # Errors
    /// Fewer than 5 or more than 16.
    pub fn new(aid: &[u8]) -> Result<Self, AidError> {
        let error = AidError::Length(aid.len());
        let length = u8::try_from(aid.len()).map_err(|_| error)?;
        if !(Self::MIN..=Self::MAX).contains(&aid.len()) {
            return Err(error);
        }
        let mut bytes = [0; Self::MAX];
        for (place, byte) in bytes.iter_mut().zip(aid) {
            *place = *byte;
        }
        Ok(Aid { bytes, length })
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.split_at(usize::from(self.length)).0
    }

    /// The registered application provider identifier: the first five bytes.
    #[must_use]
    pub fn rid(&self) -> &[u8] {
        self.bytes.split_at(Self::MIN).0
    }
}

impl FromStr for Aid {
    type Err = AidError;

    /// Pairs of hexadecimal digits of either case, without separators.
    fn from_str(text: &str) -> Result<Self, AidError> {
        let digits = text.bytes().map(|byte| char::from(byte).to_digit(16)).collect::<Option<Vec<u32>>>();
        let digits = digits.filter(|digits| digits.len() % 2 == 0).ok_or(AidError::Hex)?;
        let bytes: Vec<u8> = digits
            .chunks_exact(2)
            .filter_map(|pair| u8::try_from(pair.iter().fold(0, |a, d| a << 4 | d)).ok())
            .collect();
        Aid::new(&bytes)
    }
}

impl fmt::Display for Aid {
    /// Hexadecimal digits in upper case, without separators.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for Aid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_agree() {
        let aid: Aid = "a0000001510000".parse().expect("an AID");
        assert_eq!(aid.as_bytes(), [0xA0, 0, 0, 1, 0x51, 0, 0]);
        assert_eq!(aid.to_string(), "A0000001510000");
        assert_eq!(aid.rid(), [0xA0, 0, 0, 1, 0x51]);
    }

    #[test]
    fn what_is_no_aid_is_refused() {
        assert_eq!("A0000001".parse::<Aid>(), Err(AidError::Length(4)));
        assert_eq!("A000000151F".parse::<Aid>(), Err(AidError::Hex));
        assert_eq!("A0000001xx".parse::<Aid>(), Err(AidError::Hex));
        assert_eq!(Aid::new(&[0; 17]), Err(AidError::Length(17)));
    }
}
