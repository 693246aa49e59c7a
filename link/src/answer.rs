//! What a card answers.

use std::fmt;

/// A response APDU: data, then the status word.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The response data, without the status word.
    pub data: Vec<u8>,
    /// The status word SW1-SW2, SW1 in the high byte.
    pub sw: u16,
}

impl Answer {
    /// An answer without data.
    #[must_use]
    pub fn status(sw: u16) -> Self {
        Answer { data: Vec::new(), sw }
    }

    /// True for 9000.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.sw == 0x9000
    }

    /// Reads a response APDU as a wire delivers it; `None` below two bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (data, &[sw1, sw2]) = bytes.split_last_chunk::<2>()?;
        Some(Answer { data: data.to_vec(), sw: u16::from_be_bytes([sw1, sw2]) })
    }

    /// The response APDU as a wire delivers it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.data.len() + 2);
        bytes.extend_from_slice(&self.data);
        bytes.extend_from_slice(&self.sw.to_be_bytes());
        bytes
    }
}

impl fmt::Debug for Answer {
    /// Length and status word only: the data may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {:04X}", self.data.len(), self.sw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_answers_agree() {
        let answer = Answer { data: vec![1, 2, 3], sw: 0x6A84 };
        assert_eq!(answer.to_bytes(), [1, 2, 3, 0x6A, 0x84]);
        assert_eq!(Answer::from_bytes(&answer.to_bytes()), Some(answer));
        assert_eq!(Answer::from_bytes(&[0x90]), None);
    }

    #[test]
    fn debug_shows_no_data() {
        assert_eq!(format!("{:?}", Answer { data: vec![0xAB; 4], sw: 0x9000 }), "4 bytes, 9000");
    }
}
