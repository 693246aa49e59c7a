//! A connection through pcscd, from this process.

use pcsc::{Context, Disposition, Error, Protocols, Scope, ShareMode};
use std::ffi::CString;

/// A card in a reader.
pub struct Card {
    card: pcsc::Card,
    _context: Context,
}

impl Card {
    /// Connects.
    ///
    /// # Panics
    /// If pcscd is not there, or no card in the reader.
    #[must_use]
    pub fn connect(reader: &str) -> Self {
        let context = Context::establish(Scope::User).expect("pcscd");
        let name = CString::new(reader).unwrap();
        let card = context.connect(&name, ShareMode::Shared, Protocols::ANY).expect("a card");
        Card { card, _context: context }
    }

    /// A response, or why there is none.
    ///
    /// # Errors
    /// pcscd's.
    pub fn transmit(&self, command: &[u8]) -> Result<Vec<u8>, Error> {
        let mut room = [0; pcsc::MAX_BUFFER_SIZE_EXTENDED];
        self.card.transmit(command, &mut room).map(<[u8]>::to_vec)
    }

    /// Data and status word.
    ///
    /// # Panics
    /// If there is no response.
    #[must_use]
    pub fn send(&self, command: &[u8]) -> (Vec<u8>, u16) {
        let mut response = self.transmit(command).expect("a response");
        let sw = response.split_off(response.len().checked_sub(2).expect("a status word"));
        (response, u16::from_be_bytes([sw[0], sw[1]]))
    }

    /// The status word alone.
    ///
    /// # Panics
    /// If there is no response.
    #[must_use]
    pub fn sw(&self, command: &[u8]) -> u16 {
        self.send(command).1
    }

    /// Resets the card and stays connected.
    ///
    /// # Errors
    /// pcscd's.
    pub fn reset(&mut self) -> Result<(), Error> {
        self.card.reconnect(ShareMode::Shared, Protocols::ANY, Disposition::ResetCard)
    }

    /// The answer to reset.
    ///
    /// # Panics
    /// If pcscd does not tell it.
    #[must_use]
    pub fn atr(&self) -> Vec<u8> {
        self.card.status2_owned().expect("a status").atr().to_vec()
    }
}
