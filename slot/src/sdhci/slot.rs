//! The slot: a card or none, its supply, and what has been told of its presence.

use super::registers::interrupt;
use smcard_link::{SdBus, SdResponse};

/// A slot. The card gets power only while the host gives it.
#[derive(Default)]
pub(crate) struct Slot {
    card: Option<Box<dyn SdBus>>,
    powered: bool,
    /// What the host has been told.
    shown: bool,
}

impl Slot {
    /// Puts a card in; one that is there already comes back.
    pub(crate) fn insert(&mut self, mut card: Box<dyn SdBus>) -> Option<Box<dyn SdBus>> {
        card.set_power(self.powered);
        self.card.replace(card)
    }

    /// Pulls the card out: its power goes with it.
    pub(crate) fn eject(&mut self) -> Option<Box<dyn SdBus>> {
        let mut card = self.card.take()?;
        card.set_power(false);
        Some(card)
    }

    /// Looks whether a card is there and says what the host has to be told.
    pub(crate) fn look(&mut self) -> u32 {
        let present = self.card.as_mut().is_some_and(|card| card.is_present());
        if std::mem::replace(&mut self.shown, present) == present {
            return 0;
        }
        if present { interrupt::INSERTED } else { interrupt::REMOVED }
    }

    /// True while the host sees a card.
    pub(crate) fn is_present(&self) -> bool {
        self.shown
    }

    pub(crate) fn set_power(&mut self, on: bool) {
        if std::mem::replace(&mut self.powered, on) != on {
            if let Some(card) = &mut self.card {
                card.set_power(on);
            }
        }
    }

    pub(crate) fn is_powered(&self) -> bool {
        self.powered
    }

    pub(crate) fn command(&mut self, index: u8, argument: u32) -> Option<SdResponse> {
        self.card.as_mut().and_then(|card| card.command(index, argument))
    }

    pub(crate) fn is_busy(&mut self) -> bool {
        self.card.as_mut().is_some_and(|card| card.is_busy())
    }

    pub(crate) fn bus(&mut self) -> Option<&mut (dyn SdBus + 'static)> {
        self.card.as_deref_mut()
    }
}
