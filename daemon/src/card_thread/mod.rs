//! The card thread: the only one that speaks with the card, one job after the other.
//!
//! A job ends in three steps: the card has answered; what is known of the card is brought up to date; whoever waits is
//! answered. So nobody who has an answer can read an older state.

mod issue;
mod operations;
mod presence;
mod uploads;

use crate::core::Core;
use crate::job::{Job, Parts};
use crate::queue::Popped;
use crate::refusal::Refusal;
use crate::tell::Teller;
use crate::terminal::manager::CONTENT_KINDS;
use crate::terminal::{Manager, Table};
use issue::{Issue, Meanwhile};
pub use presence::Reopen;
use smcard_ioctl::Operation;
use smcard_link::WriteId;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How often a card that is gone is looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is done once the state is up to date.
type Answering = Box<dyn FnOnce(&Arc<Core>)>;

/// Nobody waits for an answer.
fn nobody() -> Answering {
    Box::new(|_| {})
}

/// The card thread's own things.
pub struct Worker {
    core: Arc<Core>,
    manager: Manager,
    writes: HashMap<u64, OpenedWrite>,
    /// A program in a dialogue has used a secure channel of its own: it may have changed anything.
    foreign_channel: bool,
    /// What is done after each end of an issue.
    table: Table,
    /// Who is told how issues end.
    teller: Option<Teller>,
    reopen: Option<Reopen>,
    /// The issue that pauses between two steps.
    issue: Option<Issue>,
    /// What waits for its end.
    later: VecDeque<Job>,
}

/// How the card thread goes about its work.
#[derive(Default)]
pub struct Settings {
    /// What is done after each end of an issue.
    pub table: Table,
    /// Who is told how issues end.
    pub teller: Option<Teller>,
    /// Opens the card that comes after one that is gone. Without it the link is asked whether its card is back.
    pub reopen: Option<Reopen>,
}

/// The card thread panicked; where is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

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
    pub fn new(core: Arc<Core>, manager: Manager, settings: Settings) -> Result<Self, Refusal> {
        let Settings { table, teller, reopen } = settings;
        let (writes, later) = (HashMap::new(), VecDeque::new());
        let mut worker =
            Worker { core, manager, writes, foreign_channel: false, table, teller, reopen, issue: None, later };
        worker.refresh(Parts::OPEN)?;
        worker.publish();
        Ok(worker)
    }

    /// Works until the queue is closed. However it ends, nobody waits for this thread afterwards.
    ///
    /// # Errors
    /// It panicked.
    pub fn run(self) -> Result<(), Panicked> {
        let core = Arc::clone(&self.core);
        let ended = catch_unwind(AssertUnwindSafe(|| self.work()));
        core.ended();
        ended.map_err(|_| Panicked)
    }

    fn work(mut self) {
        let mut gone = false;
        loop {
            let kept = if self.issue.is_none() { self.later.pop_front() } else { None };
            let popped = kept.map_or_else(|| self.core.next_job(self.patience(gone)), Popped::Item);
            let answer = match popped {
                Popped::Closed => break,
                Popped::Item(job) => self.take(job),
                Popped::Timeout if self.issue.is_some() => {
                    self.core.update(|state| state.busy = true);
                    self.advance()
                }
                Popped::Timeout => {
                    self.look_again();
                    nobody()
                }
            };
            gone = self.publish();
            answer(&self.core);
        }
        let answer = self.break_off();
        answer(&self.core);
        for write in self.writes.into_values() {
            self.manager.write_abort(write.id);
        }
    }

    /// How long to wait for a job before something else is due.
    fn patience(&self, gone: bool) -> Option<Duration> {
        match &self.issue {
            Some(issue) => Some(issue.due.saturating_duration_since(Instant::now())),
            None => gone.then_some(LOOK_AGAIN),
        }
    }

    /// Does a job, or keeps it for the end of the issue that pauses.
    fn take(&mut self, job: Job) -> Answering {
        log::trace!("{job:?}");
        let job = match Meanwhile::of(job) {
            Meanwhile::Later(job) if self.issue.is_some() => {
                self.later.push_back(job);
                return nobody();
            }
            Meanwhile::Instead(job) if self.issue.is_some() => {
                let broken_off = self.break_off();
                self.publish();
                broken_off(&self.core);
                job
            }
            Meanwhile::Now(job) | Meanwhile::Later(job) | Meanwhile::Instead(job) => job,
        };
        self.core.update(|state| state.busy = true);
        self.perform(job)
    }

    /// Brings what everybody may know up to date; true where the card is gone.
    fn publish(&mut self) -> bool {
        let gone = self.manager.sender().is_gone();
        if gone && !self.core.read(|state| state.view.gone) {
            self.card_gone();
        }
        let sender = self.manager.sender();
        let (level, counters) = (sender.level(), sender.counters());
        let no_channel = self.manager.no_channel();
        self.core.update(|state| {
            state.busy = false;
            let view = &mut state.view;
            view.counters = counters;
            let changed = view.auth_level != level || view.gone != gone || view.no_channel != no_channel;
            (view.auth_level, view.gone, view.no_channel) = (level, gone, no_channel);
            if changed {
                state.changed();
            }
        });
        gone
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
                nobody()
            }
            Job::Erase { ino, reply } => {
                let erased = self.erase(ino);
                Box::new(move |_| reply.answer(erased))
            }
            Job::Rename { ino, name, reply } => {
                let renamed = self.rename(ino, &name);
                Box::new(move |_| reply.answer(renamed))
            }
            Job::Operation { fh, ticket, operation: Operation::Start(request) } => self.start(fh, ticket, &request),
            Job::Operation { fh, ticket, operation } => {
                let outcome = self.operation(operation);
                Box::new(move |core| core.finish(fh, ticket, outcome))
            }
            Job::Look => {
                self.look();
                nobody()
            }
            Job::EndDialogue => {
                self.manager.sender_mut().close_channel();
                let files = if std::mem::take(&mut self.foreign_channel) { Parts::FILES } else { Parts::NONE };
                let stale = Parts::ISSUE.and(Parts::MEMORY).and(Parts::CARD).and(Parts::APPS).and(files);
                self.core.update(|state| state.stale = state.stale.and(stale));
                nobody()
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
            self.core.update(|state| state.view.record = Some(record));
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
}
