//! The host's way to pcscd, which can break where a test wants it.

use crate::card::Card;
use heapless::Vec;
use scll_core::limits::RAPDU_MAX;
use scll_core::transport::{AtrAts, Transport, TransportCaps, TransportError, TransportProtocol};

const LOAD: u8 = 0xE8;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The card is reset before the LOAD of this number, from 0; the host is not told.
    ResetBeforeLoad(u8),
}

/// A connection.
pub struct Link {
    card: Card,
    fault: Fault,
    loads: u8,
    /// Commands sent.
    pub exchanges: u32,
}

impl Link {
    /// Connects to the card in this reader.
    #[must_use]
    pub fn new(reader: &str) -> Self {
        Link { card: Card::connect(reader), fault: Fault::None, loads: 0, exchanges: 0 }
    }

    /// From now on this goes wrong; LOADs are counted anew.
    pub fn set_fault(&mut self, fault: Fault) {
        (self.fault, self.loads) = (fault, 0);
    }

    /// The connection itself.
    #[must_use]
    pub fn card(&self) -> &Card {
        &self.card
    }
}

impl Transport for Link {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8, RAPDU_MAX>, TransportError> {
        if command.get(1) == Some(&LOAD) {
            if self.fault == Fault::ResetBeforeLoad(self.loads) {
                self.card.reset().map_err(|_| TransportError::CardRemoved)?;
            }
            self.loads = self.loads.saturating_add(1);
        }
        self.exchanges += 1;
        let response = self.card.transmit(command).map_err(|_| TransportError::Timeout)?;
        Vec::from_slice(&response).map_err(|()| TransportError::ProtocolError)
    }

    fn capabilities(&self) -> TransportCaps {
        TransportCaps { handles_t0_get_response: true, protocol: TransportProtocol::T1, contactless: false }
    }

    fn reset(&mut self) -> Result<AtrAts, TransportError> {
        self.card.reset().map_err(|_| TransportError::CardRemoved)?;
        let bytes = Vec::from_slice(&self.card.atr()).map_err(|()| TransportError::ProtocolError)?;
        Ok(AtrAts { bytes, protocol: TransportProtocol::T1 })
    }

    fn protocol(&self) -> TransportProtocol {
        TransportProtocol::T1
    }

    fn is_connected(&self) -> bool {
        true
    }
}
