//! The card that goes, and the one that comes.

use super::{Answering, Worker};
use crate::core::{Handle, State};
use crate::job::Parts;
use crate::refusal::Refusal;
use crate::source::SourceError;
use smcard_link::{LinkStatus, SecureCard};

/// Opens whatever card is in the slot now.
pub type Reopen = Box<dyn FnMut() -> Result<Box<dyn SecureCard>, SourceError> + Send>;

impl Worker {
    /// Somebody has seen that the card was taken out.
    pub(super) fn look(&mut self) {
        if self.manager.sender().status() == LinkStatus::Gone {
            self.manager.sender_mut().lost();
        }
    }

    /// The card is gone: what was meant for it is given up, and nobody waits for it any longer.
    pub(super) fn card_gone(&mut self) {
        log::warn!("the card is gone");
        self.writes.clear();
        let ended = self.lose_issue();
        if self.reopen.is_some() {
            // Lets go of it, so that it can be opened again when it is back.
            self.manager.sender_mut().put_away();
        }
        self.core.set_power(None);
        self.core.update(|state| {
            state.view.gone = true;
            state.view.auth_level = 0;
            state.dialogue = None;
            let mut receiving = Vec::new();
            for (fh, handle) in &mut state.handles {
                match handle {
                    Handle::Batch(batch) if batch.upload.is_receiving() => receiving.push(*fh),
                    // Opened for the card that is gone, and nothing has come yet.
                    Handle::Batch(batch) if batch.writable && batch.upload.is_empty() => {
                        batch.upload.fail(Refusal::Gone)
                    }
                    Handle::Control(control) => control.card_gone(),
                    _ => {}
                }
            }
            receiving.sort_unstable();
            for fh in receiving {
                self.core.give_up(state, fh, &Refusal::Gone);
            }
            state.changed();
        });
        ended(&self.core);
    }

    fn lose_issue(&mut self) -> Answering {
        if let Some(issue) = &mut self.issue {
            issue.conduct.card_gone();
        }
        self.break_off()
    }

    /// Looks for a card.
    pub(super) fn look_again(&mut self) {
        let Some(reopen) = &mut self.reopen else {
            if self.manager.sender_mut().reset().is_ok() {
                self.greet();
            }
            return;
        };
        // One that came and went again at once is still held.
        self.manager.sender_mut().put_away();
        match reopen() {
            Ok(card) => {
                self.manager.sender_mut().insert(card);
                self.greet();
            }
            Err(error) => log::debug!("looking for the card: {error}"),
        }
    }

    /// A card is there: the same, or another, which gets nothing that was meant for the first.
    fn greet(&mut self) {
        let properties = self.manager.sender().properties().clone();
        let same = self.core.read(|state| state.view.properties.cid == properties.cid);
        self.core.set_power(self.manager.sender().power_switch());
        if !same {
            self.manager.another_card();
        }
        self.core.update(|state| {
            if !same {
                forget(state);
            }
            state.view.properties = properties;
        });
        log::warn!("{}", if same { "the card is back" } else { "another card is there" });
        self.after_reset();
    }
}

/// Forgets what was known of the card before.
fn forget(state: &mut State) {
    let batches: Vec<u64> = state.directory.iter().map(|batch| batch.ino).collect();
    for ino in batches {
        state.directory.unlink(ino);
    }
    state.apps.replace(Vec::new());
    let view = &mut state.view;
    (view.ended, view.ended_is_news, view.record, view.card) = (None, false, None, None);
    view.stopped = false;
    view.issues = 0;
    view.memory = crate::terminal::Memory::default();
    state.stale = Parts::APPS;
    state.changed();
}
