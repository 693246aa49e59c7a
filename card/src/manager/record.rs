//! What the recorder is told: each command of an interface before it is served, and what became of it.

use super::{Current, Manager, Origin, Processed};
use crate::recording::Place;
use crate::registry;
use smcard_batch::{CommandApdu, StatusWord};
use smcard_flash::FlashError;

impl Manager {
    /// A command in plain form that is about to be served.
    pub(super) fn hear(&self, origin: Origin, command: &CommandApdu<'_>) {
        if origin == Origin::Interface && self.recorder.is_running() {
            self.recorder.hear(self.place(), command, self.is_own(command));
        }
    }

    /// What became of it; the session of its channel is in hand.
    pub(super) fn heard(&self, origin: Origin, channel: u8, processed: &Result<Processed, FlashError>) {
        if origin == Origin::Interface && self.recorder.is_running() {
            let success = matches!(processed, Ok(Processed::Answer(answer)) if answer.sw == StatusWord::SUCCESS.0);
            self.recorder.judge(channel, success, self.place());
        }
    }

    fn place(&self) -> Place {
        let current = match &self.context.current {
            // Nothing succeeds there: nothing of it is recorded.
            Current::CardManager | Current::Deleted => None,
            Current::Application { aid, .. } => Some(*aid),
        };
        let personalized = self.context.personalized;
        let personalized = personalized.and_then(|index| registry::application_at(&self.memory, index));
        Place { current, personalized: personalized.map(|found| found.aid), loading: self.context.load.is_some() }
    }
}
