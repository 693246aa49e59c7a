//! Where the card's further interfaces are found, whichever card is in the slot.

use smcard_card::{EmulatedCard, SecondInterface};
use std::sync::{Arc, Mutex, PoisonError};

/// One reader's side of the slot. Clones are the same.
#[derive(Clone, Default)]
pub struct Port(Arc<Mutex<Option<SecondInterface>>>);

impl Port {
    /// The interface of the card that is in the slot.
    #[must_use]
    pub fn card(&self) -> Option<SecondInterface> {
        let slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().filter(|interface| interface.is_present()).cloned()
    }

    fn insert(&self, card: &EmulatedCard) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(card.second_interface());
    }
}

/// The slot as the readers see it; each reader has an interface of its own.
#[derive(Clone, Default)]
pub struct Ports {
    /// For `vsmartcard-vpcd`.
    pub vpcd: Port,
    /// For `smcard-ifd`.
    pub socket: Port,
}

impl Ports {
    /// A card is in the slot. It is gone once it is dropped.
    pub fn insert(&self, card: &EmulatedCard) {
        self.vpcd.insert(card);
        self.socket.insert(card);
    }
}
