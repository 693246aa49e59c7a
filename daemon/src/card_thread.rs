//! The card thread: the only one that speaks with the card, one job after the other.
//!
//! A job ends in three steps: the card has answered; what is known of the card is brought up to date; whoever waits is
//! answered. So nobody who has an answer can read an older state.

use crate::control::Outcome;
use crate::core::{Core, State};
use crate::dropbox::Directory;
use crate::job::{Job, Parts, Write};
use crate::queue::Popped;
use crate::refusal::{Refusal, link_errno};
use crate::status::Ended;
use crate::terminal::manager::CONTENT_KINDS;
use crate::terminal::{Attempt, IssueRecord, IssueState, Manager};
use rustix::io::Errno;
use smcard_card::scp03::SecurityLevel;
use smcard_ioctl::{Operation, StartRequest};
use smcard_link::{LinkError, WriteId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How often a card that is gone is looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is done once the state is up to date.
type Answering = Box<dyn FnOnce(&Arc<Core>)>;

/// The card thread's own things.
pub struct Worker {
    core: Arc<Core>,
    manager: Manager,
    writes: HashMap<u64, OpenedWrite>,
}

/// A direct write under way.
struct OpenedWrite {
    id: WriteId,
    exchanges: u64,
}

impl Worker {
    /// Takes over the card and asks it what it holds.
    ///
    /// # Errors
    /// The card does not answer, or not with sense.
    pub fn new(core: Arc<Core>, manager: Manager) -> Result<Self, Refusal> {
        let mut worker = Worker { core, manager, writes: HashMap::new() };
        worker.refresh(Parts::OPEN)?;
        worker.publish();
        Ok(worker)
    }

    /// Works until the queue is closed.
    pub fn run(mut self) {
        let mut gone = false;
        loop {
            let job = match self.core.next_job(gone.then_some(LOOK_AGAIN)) {
                Popped::Closed => break,
                Popped::Item(job) => job,
                Popped::Timeout => {
                    self.look_again();
                    gone = self.publish();
                    continue;
                }
            };
            self.core.update(|state| state.busy = true);
            log::trace!("{job:?}");
            let answer = self.perform(job);
            gone = self.publish();
            answer(&self.core);
        }
        for write in self.writes.into_values() {
            self.manager.write_abort(write.id);
        }
        self.core.ended();
    }

    /// Brings what everybody may know up to date; true where the card is gone.
    fn publish(&mut self) -> bool {
        let sender = self.manager.sender();
        let (level, gone, counters) = (sender.level(), sender.is_gone(), sender.counters());
        let no_channel = self.manager.no_channel();
        self.core.update(|state| {
            state.busy = false;
            let view = &mut state.view;
            view.counters = counters;
            let changed = view.auth_level != level || view.gone != gone || view.no_channel != no_channel;
            view.auth_level = level;
            view.no_channel = no_channel;
            if view.gone != gone {
                view.gone = gone;
                log::warn!("{}", if gone { "the card is gone" } else { "the card is back" });
            }
            if changed {
                state.changed();
            }
        });
        gone
    }

    fn look_again(&mut self) {
        if self.manager.sender_mut().reset().is_ok() {
            self.after_reset();
        }
    }

    /// The card has been powered on anew.
    fn after_reset(&mut self) {
        self.writes.clear();
        self.core.update(|state| {
            state.dialogue = None;
            state.stale = state.stale.and(Parts::OPEN).and(Parts::APPS);
        });
        if let Err(refusal) = self.refresh(Parts::OPEN) {
            log::warn!("after power-on: {refusal}");
        }
    }

    fn perform(&mut self, job: Job) -> Answering {
        match job {
            Job::Channel(then) => {
                let channel = self.manager.ensure_channel();
                Box::new(move |core| then(core, channel))
            }
            Job::Refresh(parts, then) => {
                if let Err(refusal) = self.refresh(parts) {
                    log::log!(refusal.level(), "what the card holds: {refusal}");
                }
                Box::new(then)
            }
            Job::Write(write) => self.write(write),
            Job::Abort { fh } => {
                if let Some(write) = self.writes.remove(&fh) {
                    self.manager.write_abort(write.id);
                }
                Box::new(|_| {})
            }
            Job::Erase { ino, reply } => {
                let erased = self.erase(ino);
                Box::new(move |_| reply.answer(erased))
            }
            Job::Rename { ino, name, reply } => {
                let renamed = self.rename(ino, &name);
                Box::new(move |_| reply.answer(renamed))
            }
            Job::Operation { fh, ticket, operation } => {
                let outcome = self.operation(operation);
                Box::new(move |core| core.finish(fh, ticket, outcome))
            }
            Job::EndDialogue => {
                self.manager.sender_mut().close_channel();
                self.core.update(|state| state.stale = state.stale.and(Parts::OPEN).and(Parts::APPS));
                Box::new(|_| {})
            }
        }
    }

    /// Asks the card for the given parts of what it holds, each once; a part it refuses is not asked for again until
    /// something changes.
    fn refresh(&mut self, parts: Parts) -> Result<(), Refusal> {
        self.core.update(|state| state.stale = state.stale.without(parts));
        let owner = self.core.owner();
        if parts.touches(Parts::FILES) {
            let listing = self.manager.files()?;
            if listing.left_out > 0 {
                log::warn!("{} entries of the card's file table are left out: incomplete or odd", listing.left_out);
            }
            self.core.update(|state| state.directory.reconcile(listing.entries, owner, SystemTime::now()));
        }
        if parts.touches(Parts::ISSUE) {
            let record = self.manager.issue()?;
            self.core.update(|state| state.view.take_record(record));
        }
        if parts.touches(Parts::MEMORY) {
            let memory = self.manager.memory()?;
            self.core.update(|state| state.view.memory = memory);
        }
        if parts.touches(Parts::CARD) {
            let card = self.manager.card()?;
            self.core.update(|state| state.view.card = Some(card));
        }
        if parts.touches(Parts::APPS) {
            if let Err(refusal) = self.refresh_apps() {
                if matches!(refusal, Refusal::NotAuthenticated(_)) {
                    self.core.update(|state| state.stale = state.stale.and(Parts::APPS));
                }
                return Err(refusal);
            }
        }
        Ok(())
    }

    fn refresh_apps(&mut self) -> Result<(), Refusal> {
        let mut contents = Vec::new();
        for kind in CONTENT_KINDS {
            let listing = self.manager.contents(kind)?;
            if listing.left_out > 0 {
                log::warn!("{} entries of the card's content are left out: they make no sense", listing.left_out);
            }
            contents.extend(listing.entries.into_iter().map(|content| (kind, content)));
        }
        self.core.update(|state| state.apps.replace(contents));
        Ok(())
    }

    fn write(&mut self, write: Write) -> Answering {
        let Write { fh, ino, length, open, chunk, last, size, reply } = write;
        let written = self.pass(fh, length, open.map(|open| open.name), chunk.as_bytes(), last);
        self.core.update(|state| {
            state.pool.take_back(chunk);
            match &written {
                Ok(Some((id, exchanges))) => self.core.uploaded(state, (fh, ino), *id, *exchanges),
                Ok(None) => {}
                // One that was given up meanwhile keeps its reason.
                Err(refusal) if state.upload_refusal(fh).is_none() => self.core.give_up(state, fh, refusal),
                Err(_) => {}
            }
        });
        Box::new(move |_| {
            if let Some(reply) = reply {
                reply.answer(written.map(|_| size));
            }
        })
    }

    /// Passes bytes of a file on; with the last ones its identifier and the exchanges it took.
    fn pass(
        &mut self,
        fh: u64,
        length: u32,
        open: Option<Vec<u8>>,
        bytes: &[u8],
        last: bool,
    ) -> Result<Option<(u16, u64)>, Refusal> {
        if let Some(name) = open {
            // Opening a channel is no part of the upload.
            self.manager.ensure_channel()?;
            let before = self.manager.exchanges();
            let id = self.manager.write_open(&name, length)?;
            self.writes.insert(fh, OpenedWrite { id, exchanges: self.manager.exchanges() - before });
        }
        let failed = || self.core.read(|state| state.upload_refusal(fh));
        let Some(write) = self.writes.get(&fh) else {
            return Err(failed().unwrap_or(LinkError::Write("the card has forgotten the file").into()));
        };
        let (id, mut exchanges) = (write.id, write.exchanges);
        self.manager.write_chunk(id, bytes)?;
        if !last {
            return Ok(None);
        }
        self.writes.remove(&fh);
        let before = self.manager.exchanges();
        let file = self.manager.write_commit(id, length)?;
        exchanges += self.manager.exchanges() - before;
        Ok(Some((file, exchanges)))
    }

    fn erase(&mut self, ino: u64) -> Result<(), Refusal> {
        let id = self.core.read(|state| stored_id(&state.directory, ino)).ok_or(Refusal::NotFound)?;
        match self.manager.erase(id) {
            // It is gone already: that is what was wanted.
            Err(Refusal::Card { sw, .. }) if matches!(sw.0, 0x6A82 | 0x6A88) => {}
            result => result?,
        }
        self.core.update(|state| self.core.erased(state, ino));
        self.refresh(Parts::MEMORY)
    }

    fn rename(&mut self, ino: u64, name: &[u8]) -> Result<(), Refusal> {
        let (id, replace) = self.core.read(|state| {
            let target = state.directory.by_name(name).is_some_and(|target| target.stored.is_some());
            (stored_id(&state.directory, ino), target)
        });
        self.manager.rename(id.ok_or(Refusal::NotFound)?, name, replace)?;
        self.core.update(|state| self.core.renamed(state, ino, name));
        if replace { self.refresh(Parts::MEMORY) } else { Ok(()) }
    }

    fn operation(&mut self, operation: Operation) -> Outcome {
        let before = self.manager.exchanges();
        let mut outcome = match operation {
            Operation::Start(request) => return self.start(&request),
            Operation::Authenticate { level, key_version } => self.authenticate(level, key_version),
            Operation::Transmit(command) => {
                let command = command.as_ref().map_or(&[][..], |command| command.as_bytes());
                let mut outcome = Outcome::answered(self.manager.sender_mut().raw(command));
                outcome.done = outcome.errno == 0;
                outcome
            }
            Operation::Clear => {
                let outcome = Outcome::answered(self.manager.clear());
                if outcome.done {
                    self.core.update(|state| {
                        state.view.unfinished = None;
                        state.view.ended_is_news = false;
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
            Ok((result, answer)) => {
                let mut outcome = Outcome::answered(Ok(answer));
                (outcome.given, outcome.total) = (result.given, result.total);
                (outcome, Ok(result))
            }
            Err(error) => {
                let outcome = Outcome::failed(link_errno(&error));
                (outcome, Err((link_errno(&error).raw_os_error(), error.to_string())))
            }
        };
        outcome.exchanges = exchanges;
        self.core.update(|state| {
            let view = &mut state.view;
            let name = view.running.take().map(|running| running.name).unwrap_or_default();
            match &result {
                Ok(result) if result.success => {
                    view.unfinished = None;
                    view.confirm_needed = resolved.confirm.unwrap_or(view.confirm_needed);
                }
                Ok(result) if result.given > 0 => {
                    let (given, total, sw) = (result.given, result.total, result.sw);
                    view.unfinished = Some(IssueRecord { state: IssueState::Unfinished, file: 0, given, total, sw });
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

fn stored_id(directory: &Directory, ino: u64) -> Option<u16> {
    directory.get(ino)?.stored.as_ref().map(|stored| stored.id)
}

/// The content of the card may be another now.
fn content_changed(state: &mut State) {
    state.stale = state.stale.and(Parts::APPS).and(Parts::MEMORY).and(Parts::CARD);
    state.changed();
}
