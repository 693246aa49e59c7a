//! Outer interfaces beside the first: a contactless reader's, or PC/SC's.
//!
//! Each has a session of its own: current application, secure channel, load in hand, writes. The card serves one
//! command at a time, and what is in hand of the others is put aside meanwhile. The first interface goes first; the
//! others take their turn between its commands, and none waits for an issue: from its trigger on they are told that
//! nobody answers. Their power is their own as well: switching it says nothing to the card but to forget that session.

use crate::device::{Device, Session};
use crate::manager::Sessions;
use crate::write_file::NumberedWrites;
use smcard_link::{Answer, LinkError, LinkStatus};
use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// An outer interface beside the first, powered. Clones are the same interface. It does not keep the card: once the
/// [`crate::EmulatedCard`] is dropped the answer to everything is [`LinkError::Gone`].
#[derive(Clone)]
pub struct SecondInterface {
    device: Weak<Device>,
    id: u32,
}

impl SecondInterface {
    pub(crate) fn new(device: &Arc<Device>) -> Self {
        let id = device.asked.add();
        let interface = SecondInterface { device: Arc::downgrade(device), id };
        device.settle();
        interface
    }

    /// As [`smcard_link::SecureCard::transmit`]; during an issue nobody answers, at once.
    ///
    /// # Errors
    /// Transport only. [`LinkError::PowerCut`] until [`SecondInterface::power_up`], where this interface has no power,
    /// or the card's own has gone since: what a host believed to be selected is not.
    pub fn transmit(&self, command: &[u8]) -> Result<Answer, LinkError> {
        self.device()?.transmit_at(self.id, command)
    }

    /// Power on, or a reset: from here on the card manager is the current application, nobody is authenticated. Never
    /// waits, touches no flash, and says nothing to an issue that runs, nor to the other interfaces.
    ///
    /// # Errors
    /// The card has no power of its own, is mute or gone.
    pub fn power_up(&self) -> Result<(), LinkError> {
        let device = self.device()?;
        device.asked.ask(self.id, true);
        device.settle();
        match device.status() {
            LinkStatus::Off => Err(LinkError::PowerCut),
            LinkStatus::Mute => Err(LinkError::Mute("until it is reset".to_owned())),
            LinkStatus::Gone => Err(LinkError::Gone),
            _ => Ok(()),
        }
    }

    /// Power off: what was in hand here is given up. Never waits; a card that is gone has no power anyhow.
    pub fn power_down(&self) {
        if let Ok(device) = self.device() {
            device.asked.ask(self.id, false);
            device.settle();
        }
    }

    /// False once the card is dropped.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.device.strong_count() > 0
    }

    fn device(&self) -> Result<Arc<Device>, LinkError> {
        self.device.upgrade().ok_or(LinkError::Gone)
    }
}

/// What the interfaces ask of their power. Kept apart from the card's state, which a command or an issue holds.
#[derive(Default)]
pub(crate) struct PowerEvents(Mutex<Asked>);

#[derive(Default)]
struct Asked {
    next: u32,
    /// True: on. The last one counts, and each forgets what was before.
    events: BTreeMap<u32, bool>,
}

impl PowerEvents {
    /// One interface more, powered.
    fn add(&self) -> u32 {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = asked.next;
        asked.next = id.wrapping_add(1);
        asked.events.insert(id, true);
        id
    }

    fn ask(&self, id: u32, on: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).events.insert(id, on);
    }

    fn take(&self) -> BTreeMap<u32, bool> {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).events)
    }
}

/// What is in hand of one interface while another is served.
#[derive(Default)]
pub(crate) struct Parked {
    sessions: Sessions,
    writes: NumberedWrites,
}

/// The powered interfaces beside the first, by number.
#[derive(Default)]
pub(crate) struct Interfaces(BTreeMap<u32, Parked>);

impl Session {
    /// Does what the interfaces have asked of their power since.
    pub(crate) fn settle(&mut self, asked: &PowerEvents) {
        for (id, on) in asked.take() {
            if let Some(mut parked) = self.interfaces.0.remove(&id) {
                self.swap(&mut parked);
                self.manager.end_sessions();
                let Session { manager, store, writes, .. } = self;
                writes.abort_all(manager, store);
                self.swap(&mut parked);
            }
            if on {
                let mut parked = Parked::default();
                self.swap(&mut parked);
                self.manager.begin_sessions();
                self.swap(&mut parked);
                self.interfaces.0.insert(id, parked);
            }
        }
    }

    /// Takes the interface out to be served; `None` where it has no power.
    pub(crate) fn take_up(&mut self, id: u32) -> Option<Parked> {
        let mut parked = self.interfaces.0.remove(&id)?;
        self.swap(&mut parked);
        Some(parked)
    }

    /// Puts it back.
    pub(crate) fn put_back(&mut self, id: u32, mut parked: Parked) {
        self.swap(&mut parked);
        self.interfaces.0.insert(id, parked);
        self.forget_deleted();
    }

    /// An application that was deleted is no longer selected anywhere. The sessions of the first interface are in hand.
    pub(crate) fn forget_deleted(&mut self) {
        let deleted = self.manager.take_deleted();
        if deleted.is_empty() {
            return;
        }
        self.manager.forget(&deleted);
        self.interfaces.0.values_mut().for_each(|parked| parked.sessions.forget(&deleted));
    }

    fn swap(&mut self, parked: &mut Parked) {
        let in_hand = mem::take(&mut parked.sessions);
        parked.sessions = self.manager.swap_sessions(in_hand);
        mem::swap(&mut parked.writes, &mut self.writes);
    }
}
