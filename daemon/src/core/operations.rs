//! The control file: ioctl and poll.

use super::state::State;
use super::{Caller, Core};
use crate::control::{Outcome, Waker};
use crate::dropbox::Batch;
use crate::dropbox::directory::printable;
use crate::job::Job;
use crate::refusal::Refusal;
use crate::status::Running;
use crate::terminal::Target;
use crate::tree::Node;
use smcard_ioctl::abi::{self, CAP_AUTHENTICATE, CAP_EXTENDED, CAP_POLL_STATE, CAP_RECOVERY};
use smcard_ioctl::{Apdu, Operation, Request, RequestError, Selector, StartRequest, Structure, VersionInfo, accepted};
use std::time::Instant;

/// What poll(2) is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// `POLLIN`
    pub readable: bool,
    /// `POLLOUT`
    pub writable: bool,
    /// `POLLPRI`
    pub priority: bool,
}

/// Which batch START means, resolved as far as the daemon knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// What the card is told.
    pub target: Target,
    /// Commands in the batch; 0 = not known.
    pub total: u32,
    /// Exchanges its upload took.
    pub upload_exchanges: u64,
    /// Whether it wants CONFIRM; `None` = not known.
    pub confirm: Option<bool>,
}

impl Core {
    /// Serves an ioctl: at once, without waiting for the card.
    ///
    /// # Errors
    /// Usage only; what the card says comes with RESULT.
    pub fn ioctl(&self, caller: Caller, ino: u64, fh: u64, number: u32, data: &[u8]) -> Result<Vec<u8>, Refusal> {
        if Node::from_ino(ino) != Some(Node::Control) {
            return Err(Refusal::NotAnIoctl);
        }
        let request = Request::parse(number, data).map_err(|error| match error {
            RequestError::UnknownIoctl(_) => Refusal::NotAnIoctl,
            _ => Refusal::Invalid("size, version, flag bits or a field's value is wrong"),
        })?;
        match request {
            Request::Version => self.update(|state| {
                state.control(fh)?;
                Ok(version(state).to_bytes())
            }),
            Request::Status => self.update(|state| {
                let generation = state.view.generation;
                let control = state.control(fh)?;
                control.seen = generation;
                let operator = may_submit(caller, control.uid, control.writable);
                Ok(abi::Status::from(&state.view.answer(operator, Instant::now())).to_bytes())
            }),
            Request::Result { ticket } => self.update(|state| state.control(fh)?.result(ticket)),
            Request::Submit(operation) => self.submit(caller, fh, operation).map(|ticket| accepted(data, ticket)),
            _ => Err(Refusal::NotAnIoctl),
        }
    }

    fn submit(&self, caller: Caller, fh: u64, operation: Operation) -> Result<u64, Refusal> {
        self.update(|state| {
            let control = state.control(fh)?;
            if !may_submit(caller, control.uid, control.writable) {
                return Err(Refusal::NotOperator);
            }
            let reset = matches!(operation, Operation::Reset);
            if !reset {
                state.present()?;
                if state.dialogue.is_some_and(|other| other != fh) {
                    return Err(Refusal::Dialogue);
                }
            }
            let issuing = state.view.running.is_some();
            match &operation {
                Operation::Start(_) if issuing => return Err(Refusal::Issuing),
                Operation::Start(_) if state.view.stopped => return Err(Refusal::Stopped),
                Operation::Transmit(_) => state.control(fh)?.talk()?,
                Operation::Reset => state.control(fh)?.begin_anew(),
                Operation::Authenticate { .. } if !state.view.has_keys => return Err(Refusal::Unsupported),
                _ => {}
            }
            let ticket = self.enqueue(state, fh, operation, reset && issuing)?;
            Ok(ticket)
        })
    }

    fn enqueue(&self, state: &mut State, fh: u64, operation: Operation, cut: bool) -> Result<u64, Refusal> {
        let ticket = state.ticket();
        let kind = operation.kind();
        state.control(fh)?.submit(ticket, kind, Instant::now())?;
        let operation = match operation {
            Operation::Transmit(None) => match state.control(fh)?.take_written() {
                Ok(command) => Operation::Transmit(Some(Apdu::new(&command))),
                Err(refusal) => {
                    state.control(fh)?.withdraw(ticket);
                    return Err(refusal);
                }
            },
            other => other,
        };
        let (start, dialogue) = match &operation {
            Operation::Start(request) => (Some(name_of(state, &request.selector)), false),
            Operation::Transmit(_) => (None, true),
            _ => (None, false),
        };
        if cut {
            // Before the job is there: behind it the card would be off with nobody to switch it on.
            log::warn!("RESET breaks off the issue that is running");
            self.cut_power();
        }
        if self.queue.push(Job::Operation { fh, ticket, operation }).is_err() {
            state.control(fh)?.withdraw(ticket);
            return Err(Refusal::QueueFull);
        }
        if let Some(name) = start {
            state.view.running = Some(Running::new(name));
            state.changed();
        }
        if dialogue && state.dialogue.is_none() {
            state.dialogue = Some(fh);
        }
        Ok(ticket)
    }

    /// What poll(2) is told of an open file; `waker` is kept and used once there is news. Files other than `control` are
    /// always ready: a program that waits for them would wait for ever.
    pub fn poll(&self, ino: u64, fh: u64, waker: Option<Waker>) -> Readiness {
        let always = Readiness { readable: true, writable: true, priority: false };
        if Node::from_ino(ino) != Some(Node::Control) {
            return always;
        }
        self.update(|state| {
            let generation = state.view.generation;
            let Ok(control) = state.control(fh) else { return always };
            if let Some(waker) = waker {
                control.wait(waker);
            }
            let (readable, priority) = (control.has_result(), control.seen != generation);
            Readiness { readable, writable: control.writable, priority }
        })
    }

    /// What START means now.
    pub(crate) fn resolve(&self, state: &State, request: &StartRequest) -> Resolved {
        let StartRequest { offset, length, .. } = *request;
        // Behind a dialogue the table may not be what the daemon remembers; the card finds a name by itself.
        let certain = !state.stale.touches(crate::job::Parts::FILES);
        let found = match &request.selector {
            _ if !certain => None,
            Selector::Only => state.directory.only(),
            Selector::Name(name) => state.directory.by_name(name),
            Selector::Id(id) => state.directory.by_id(*id),
        };
        if let Some(stored) = found.and_then(|batch| batch.stored.as_ref()) {
            let whole = offset == 0 && (length == 0 || length == stored.size);
            return Resolved {
                target: Target::Id { id: stored.id, offset, length },
                total: if whole { stored.commands } else { 0 },
                upload_exchanges: stored.exchanges,
                confirm: stored.confirm.filter(|_| whole),
            };
        }
        let target = match &request.selector {
            Selector::Only => Target::Only,
            Selector::Name(name) => Target::Name { name: name.clone(), offset, length },
            Selector::Id(id) => Target::Id { id: *id, offset, length },
        };
        Resolved { target, total: 0, upload_exchanges: 0, confirm: None }
    }

    /// An operation has ended; the program that submitted it may have gone.
    pub(crate) fn finish(&self, fh: u64, ticket: u64, outcome: Outcome) {
        self.update(|state| {
            if let Ok(control) = state.control(fh) {
                control.finish(ticket, outcome, Instant::now());
            }
            state.has_news();
        });
    }
}

/// The kernel looks at rights when a file is opened and never again for an ioctl, so this does: opened for writing,
/// and asked by whoever opened it.
fn may_submit(caller: Caller, opener: u32, writable: bool) -> bool {
    writable && (caller.uid == opener || caller.uid == 0)
}

fn version(state: &State) -> abi::Version {
    let mut capabilities = CAP_EXTENDED | CAP_POLL_STATE | CAP_RECOVERY;
    if state.view.has_keys {
        capabilities |= CAP_AUTHENTICATE;
    }
    let server = concat!("smcardd ", env!("CARGO_PKG_VERSION"));
    abi::Version::from(&VersionInfo::new(server, capabilities))
}

/// What is issued, for people.
fn name_of(state: &State, selector: &Selector) -> String {
    match selector {
        Selector::Only => state.directory.only().map_or_else(|| "the only batch".to_owned(), Batch::display),
        Selector::Name(name) => printable(name),
        Selector::Id(id) => state.directory.by_id(*id).map_or_else(|| format!("file {id:04X}"), Batch::display),
    }
}
