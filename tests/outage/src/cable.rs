//! A cable that takes time and breaks, with the emulated card at its end.
//!
//! An exchange is the way down, the card's work, the way up. A break on the way down or in the work: the command has no
//! effect, as commands are atomic. A break on the way up: it has its effect, and nobody hears of it. An issue is work of
//! its own: each of its commands takes its time inside the card, and the power goes in the very command that runs.

use crate::profile::{Kind, LINK, checking, writing};
use crate::world::{Broken, World};
use anyhow::Result;
use smcard_card::{EmulatedCard, OpenOptions};
use smcard_flash::RamMedium;
use smcard_link::{
    Answer, CardProperties, Counters, LinkError, LinkStatus, PowerSwitch, RecoveryKind, SecureCard, WriteId,
};
use std::sync::Arc;

impl From<Broken> for LinkError {
    fn from(Broken: Broken) -> Self {
        LinkError::PowerCut
    }
}

/// The card at the end of a cable in some world.
pub(crate) struct Cable {
    card: EmulatedCard,
    world: World,
    /// Bytes of the batch in the command store.
    stored: usize,
    /// Bytes of the direct write in progress.
    writing: usize,
}

impl Cable {
    /// Switches a card on that lies in these bytes.
    pub(crate) fn plug(image: Vec<u8>, kind: RecoveryKind, world: World) -> Result<Self> {
        let inside = world.clone();
        let options = OpenOptions {
            power_fate: Some(Box::new(move |command| {
                inside.give(Kind::new(command.ins, command.p1, command.p2).in_batch(kind)).is_err()
            })),
            ..OpenOptions::default()
        };
        let card = EmulatedCard::on_medium(Box::new(RamMedium::from_bytes(image)), "simulated".to_owned(), options)?;
        Ok(Cable { card, world, stored: 0, writing: 0 })
    }
}

impl SecureCard for Cable {
    fn properties(&self) -> &CardProperties {
        self.card.properties()
    }

    fn status(&self) -> LinkStatus {
        if self.world.is_down() { LinkStatus::Off } else { self.card.status() }
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Answer, LinkError> {
        let kind = Kind::of(command);
        self.world.pass(LINK / 2)?;
        if kind.is_start() {
            self.world.pass(checking(self.stored))?;
        } else if kind.is_content() {
            self.world.give(kind.in_exchange())?;
        } else {
            self.world.pass(kind.in_exchange())?;
        }
        let answer = self.card.transmit(command)?;
        self.world.pass(LINK / 2)?;
        Ok(answer)
    }

    fn write_open(&mut self, name: &[u8], length: u32) -> Result<Result<WriteId, Answer>, LinkError> {
        self.world.pass(LINK / 2)?;
        self.writing = 0;
        self.card.write_open(name, length)
    }

    fn write_chunk(&mut self, id: WriteId, chunk: &[u8]) -> Result<(), LinkError> {
        self.world.pass(writing(chunk.len()))?;
        self.writing += chunk.len();
        self.card.write_chunk(id, chunk)
    }

    fn write_commit(&mut self, id: WriteId) -> Result<Answer, LinkError> {
        self.world.pass(checking(self.writing))?;
        let answer = self.card.write_commit(id)?;
        self.stored = self.writing;
        self.world.pass(LINK / 2)?;
        Ok(answer)
    }

    fn write_abort(&mut self, id: WriteId) {
        self.card.write_abort(id);
    }

    fn reset(&mut self) -> Result<(), LinkError> {
        self.world.reconnect();
        self.card.reset()
    }

    fn counters(&self) -> Counters {
        self.card.counters()
    }

    fn power_switch(&self) -> Option<Arc<dyn PowerSwitch>> {
        // Whoever would use it has another clock.
        None
    }
}
