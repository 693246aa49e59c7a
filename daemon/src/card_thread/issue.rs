//! The issue under way: driven one step at a time, so that what comes in a pause is not kept waiting.

use super::operations::content_changed;
use super::{Answering, Worker, nobody};
use crate::control::Outcome;
use crate::core::{Resolved, State};
use crate::job::{Job, Parts};
use crate::refusal::link_errno;
use crate::status::{Again, Ended};
use crate::tell::Report;
use crate::terminal::{Conclusion, Conduct, IssueRecord, IssueState, Next, Order};
use smcard_ioctl::{Operation, StartRequest};
use std::time::Instant;

/// An issue between its START and its end.
pub(super) struct Issue {
    fh: u64,
    ticket: u64,
    pub(super) conduct: Conduct,
    upload_exchanges: u64,
    begun: Instant,
    /// When the next step is due.
    pub(super) due: Instant,
}

/// What a job means to an issue that pauses.
pub(super) enum Meanwhile {
    /// It is done at once.
    Now(Job),
    /// It waits for the end of the issue.
    Later(Job),
    /// The operator has decided otherwise than the table: the issue ends, then this is done.
    Instead(Job),
}

impl Meanwhile {
    pub(super) fn of(job: Job) -> Self {
        match job {
            Job::Operation { operation: Operation::Clear | Operation::Reset, .. } => Meanwhile::Instead(job),
            Job::Operation { .. } | Job::Channel(_) | Job::Write(_) | Job::Erase { .. } | Job::Rename { .. } => {
                Meanwhile::Later(job)
            }
            Job::Refresh(..) | Job::Abort { .. } | Job::Look | Job::EndDialogue => Meanwhile::Now(job),
        }
    }
}

impl Worker {
    /// START: the first step of an issue.
    pub(super) fn start(&mut self, fh: u64, ticket: u64, request: &StartRequest) -> Answering {
        let (resolved, before) = self.core.read(|state| (self.core.resolve(state, request), state.view.record));
        let Resolved { target, total, upload_exchanges, confirm } = resolved;
        let order = Order { target, format: request.failure_format, total, confirm, before };
        let conduct = Conduct::new(order, &self.table);
        let begun = Instant::now();
        self.issue = Some(Issue { fh, ticket, conduct, upload_exchanges, begun, due: begun });
        self.advance()
    }

    /// The next step of the issue under way.
    pub(super) fn advance(&mut self) -> Answering {
        let Some(mut issue) = self.issue.take() else { return nobody() };
        match issue.conduct.step(&mut self.manager) {
            Next::Ended => self.conclude(issue),
            Next::Again { step, pause, time, limit } => {
                let now = Instant::now();
                issue.due = now.checked_add(pause).unwrap_or(now);
                let again = Again { step, due: issue.due, time, limit };
                self.core.update(|state| {
                    if let Some(running) = &mut state.view.running {
                        running.again = Some(again);
                    }
                    state.changed();
                });
                self.issue = Some(issue);
                nobody()
            }
        }
    }

    /// Ends the issue under way as it stands.
    pub(super) fn break_off(&mut self) -> Answering {
        match self.issue.take() {
            Some(issue) => self.conclude(issue),
            None => nobody(),
        }
    }

    fn conclude(&mut self, issue: Issue) -> Answering {
        let Issue { fh, ticket, conduct, upload_exchanges, begun, .. } = issue;
        let Conclusion { result, silence, answer, exchanges, record, stop } = conduct.conclude(&mut self.manager);
        let (elapsed, exchanges) = (begun.elapsed(), upload_exchanges + exchanges);
        let silence = silence.map(|error| (link_errno(&error), error.to_string()));
        let errno = silence.as_ref().map_or(0, |(errno, _)| errno.raw_os_error());
        let done = result.success;
        let outcome = Outcome {
            done,
            errno,
            answer,
            sw: result.sw,
            given: result.given,
            total: result.total,
            kept: result.kept,
            exchanges,
        };
        let counters = self.manager.sender().counters();
        let running = |state: &State| state.view.running.as_ref().map(|running| running.name.clone());
        let name = self.core.read(running).unwrap_or_default();
        let silence = silence.map(|(errno, text)| (errno.raw_os_error(), text));
        let ended = Ended { name, result, silence, exchanges, elapsed };
        log::info!("{}", crate::status::ended_line(&ended));
        self.tell(&ended, record);
        self.core.update(|state| {
            let view = &mut state.view;
            view.counters = counters;
            view.running = None;
            view.ended = Some(ended);
            view.ended_is_news = true;
            view.issues += 1;
            view.record = record;
            view.stopped |= stop;
            if record.is_none() {
                state.stale = state.stale.and(Parts::ISSUE);
            }
            content_changed(state);
        });
        Box::new(move |core| core.finish(fh, ticket, outcome))
    }

    /// Has the result told onwards. It is kept before anybody is answered, so what a client knows is never lost.
    fn tell(&self, ended: &Ended, record: Option<IssueRecord>) {
        let Some(teller) = &self.teller else { return };
        let confirm_needed = record.is_some_and(|record| record.state == IssueState::ConfirmNeeded);
        let cid = self.manager.sender().properties().cid;
        match teller.tell(&Report::new(&cid, ended.clone(), confirm_needed)) {
            Ok(id) => log::info!("issue {id} will be told"),
            Err(error) => log::error!("how the issue ended cannot be told: {error}"),
        }
    }
}
