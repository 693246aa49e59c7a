//! Operations of the control file.

use super::Worker;
use crate::control::Outcome;
use crate::core::State;
use crate::job::Parts;
use crate::refusal::link_errno;
use crate::status::Ended;
use crate::terminal::{Attempt, IssueRecord, IssueResult, IssueState};
use rustix::io::Errno;
use smcard_card::scp03::SecurityLevel;
use smcard_ioctl::{Operation, StartRequest};
use std::time::Instant;

impl Worker {
    pub(super) fn operation(&mut self, operation: Operation) -> Outcome {
        let before = self.manager.exchanges();
        let mut outcome = match operation {
            Operation::Start(request) => return self.start(&request),
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
                        state.view.confirm_needed = false;
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

    fn start(&mut self, request: &StartRequest) -> Outcome {
        let resolved = self.core.read(|state| self.core.resolve(state, request));
        let before = self.manager.exchanges();
        let begun = Instant::now();
        let started = self.manager.start(&resolved.target, request.failure_format, resolved.total);
        let elapsed = begun.elapsed();
        let exchanges = resolved.upload_exchanges + (self.manager.exchanges() - before);
        let (mut outcome, result) = match started {
            Ok((mut result, answer)) => {
                if !result.success && result.given > 0 {
                    self.find_kept(&mut result);
                }
                let mut outcome = Outcome::answered(Ok(answer));
                (outcome.given, outcome.total, outcome.kept) = (result.given, result.total, result.kept);
                (outcome, Ok(result))
            }
            Err(error) => {
                let outcome = Outcome { kept: None, ..Outcome::failed(link_errno(&error)) };
                (outcome, Err((link_errno(&error).raw_os_error(), error.to_string())))
            }
        };
        outcome.exchanges = exchanges;
        let counters = self.manager.sender().counters();
        self.core.update(|state| {
            let view = &mut state.view;
            view.counters = counters;
            let name = view.running.take().map(|running| running.name).unwrap_or_default();
            match &result {
                Ok(result) if result.success => {
                    view.unfinished = None;
                    view.confirm_needed = resolved.confirm.unwrap_or(view.confirm_needed);
                }
                Ok(IssueResult { given: given @ 1.., total, sw, kept, .. }) => {
                    let (state, kept) = (IssueState::Unfinished, kept.unwrap_or(0));
                    view.unfinished = Some(IssueRecord { state, file: 0, given: *given, total: *total, sw: *sw, kept });
                }
                _ => {}
            }
            let ended = Ended { name, result, exchanges, elapsed };
            log::info!("{}", crate::status::ended_line(&ended));
            view.ended = Some(ended);
            view.ended_is_news = true;
            view.issues += 1;
            if resolved.confirm.is_none() || !outcome.done {
                state.stale = state.stale.and(Parts::ISSUE);
            }
            content_changed(state);
        });
        outcome
    }

    /// Asks the card what of a failed issue stands: only it knows what its recovery has rolled back.
    fn find_kept(&mut self, result: &mut IssueResult) {
        match self.manager.issue() {
            // The command that failed is not among them, whatever the card says.
            Ok(record) => result.kept = Some(record.kept.min(result.given.saturating_sub(1))),
            Err(refusal) => log::warn!("what stays of the failed issue is not known: {refusal}"),
        }
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
                    let answered = state.view.ended.as_ref().is_some_and(|ended| ended.result.is_ok());
                    state.view.ended_is_news &= !answered;
                    state.changed();
                });
                Outcome { done: true, ..Outcome::silent() }
            }
            Err(error) => Outcome::failed(link_errno(&error)),
        }
    }
}

/// The content of the card may be another now.
fn content_changed(state: &mut State) {
    state.stale = state.stale.and(Parts::APPS).and(Parts::MEMORY).and(Parts::CARD);
    state.changed();
}
