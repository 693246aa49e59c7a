//! Operations of the control file.

use super::Worker;
use crate::control::Outcome;
use crate::core::State;
use crate::job::Parts;
use crate::refusal::link_errno;
use crate::terminal::{Attempt, IssueState};
use rustix::io::Errno;
use smcard_card::scp03::SecurityLevel;
use smcard_ioctl::Operation;

impl Worker {
    pub(super) fn operation(&mut self, operation: Operation) -> Outcome {
        let before = self.manager.exchanges();
        let mut outcome = match operation {
            Operation::Authenticate { level, key_version } => self.authenticate(level, key_version),
            Operation::Transmit(command) => {
                let command = command.as_ref().map_or(&[][..], |command| command.as_bytes());
                // Only the preparer's authority changes the file table, and it takes secure messaging to have it.
                self.foreign_channel |= command.first().is_some_and(|class| class & 0x04 != 0);
                let mut outcome = Outcome::answered(self.manager.sender_mut().raw(command));
                outcome.done = outcome.errno == 0;
                outcome
            }
            Operation::Clear => {
                let outcome = Outcome::answered(self.manager.clear());
                if outcome.done {
                    self.core.update(|state| {
                        state.view.cleared();
                        content_changed(state);
                    });
                }
                outcome
            }
            Operation::Confirm => {
                let outcome = Outcome::answered(self.manager.confirm());
                if outcome.done {
                    self.core.update(|state| {
                        if let Some(record) = &mut state.view.record {
                            record.state = IssueState::Done;
                        }
                        content_changed(state);
                    });
                }
                outcome
            }
            Operation::Reset => self.reset(),
            _ => Outcome::failed(Errno::OPNOTSUPP),
        };
        outcome.exchanges = self.manager.exchanges() - before;
        outcome
    }

    fn authenticate(&mut self, level: Option<u8>, version: Option<u8>) -> Outcome {
        match self.manager.authenticate(level.and_then(SecurityLevel::from_p1), version) {
            Ok(Some(Attempt::Opened)) => Outcome { done: true, sw: 0x9000, ..Outcome::silent() },
            Ok(Some(Attempt::Refused { sw: Some(sw), .. })) => Outcome { sw: sw.0, ..Outcome::silent() },
            Ok(Some(Attempt::Refused { sw: None, .. })) => Outcome::failed(Errno::ACCESS),
            Ok(None) => Outcome::failed(Errno::OPNOTSUPP),
            Err(error) => Outcome::failed(link_errno(&error)),
        }
    }

    fn reset(&mut self) -> Outcome {
        match self.manager.sender_mut().reset() {
            Ok(()) => {
                self.after_reset();
                self.core.update(|state| {
                    // An issue that got no answer stays what matters: RESET is how it was broken off.
                    let answered = state.view.ended.as_ref().is_some_and(|ended| ended.silence.is_none());
                    state.view.ended_is_news &= !answered;
                    state.view.stopped = false;
                    state.changed();
                });
                Outcome { done: true, ..Outcome::silent() }
            }
            Err(error) => Outcome::failed(link_errno(&error)),
        }
    }
}

/// The content of the card may be another now.
pub(super) fn content_changed(state: &mut State) {
    state.stale = state.stale.and(Parts::APPS).and(Parts::MEMORY).and(Parts::CARD);
    state.changed();
}
