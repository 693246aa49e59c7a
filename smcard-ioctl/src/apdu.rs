//! A command on its way: bytes that must not be shown.

use zeroize::Zeroizing;

/// The bytes of a command or a response. Wiped when dropped; `Debug` tells the length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Apdu(Zeroizing<Vec<u8>>);

impl Apdu {
    /// Takes a copy of `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Apdu {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl core::fmt::Debug for Apdu {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Apdu({} bytes)", self.0.len())
    }
}
