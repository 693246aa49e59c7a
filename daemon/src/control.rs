//! One open control file: its tickets, its long command and response, and who waits for it.
//!
//! Tickets belong to the open file description. Nothing here waits and nothing talks to the card.

use crate::refusal::{Refusal, link_errno};
use rustix::io::Errno;
use smcard_ioctl::abi::{EXTENDED_COMMAND_MAX, TICKETS_MAX};
use smcard_ioctl::{Apdu, OperationKind, OperationState, Structure};
use smcard_link::{Answer, LinkError};
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Wakes a program that waits in poll(2). Consumed by waking.
pub type Waker = Box<dyn FnOnce() + Send>;

/// How an operation ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The operation got what it wanted.
    pub done: bool,
    /// errno of the link; 0 where the card answered.
    pub errno: i32,
    /// What the card answered; `None` where it did not.
    pub answer: Option<Answer>,
    /// Status word to be told; 0 where the card did not answer.
    pub sw: u16,
    /// Commands given, for START.
    pub given: u32,
    /// Commands in the batch, for START.
    pub total: u32,
    /// Commands whose effect stands, for START; `None` = the card did not say.
    pub kept: Option<u32>,
    /// Exchanges, for START those of the upload included.
    pub exchanges: u64,
}

impl Outcome {
    /// The link failed, or nothing was done.
    #[must_use]
    pub fn failed(errno: Errno) -> Self {
        Outcome { errno: errno.raw_os_error(), ..Outcome::silent() }
    }

    /// Neither an answer nor an error of the link.
    #[must_use]
    pub fn silent() -> Self {
        Outcome { done: false, errno: 0, answer: None, sw: 0, given: 0, total: 0, kept: Some(0), exchanges: 0 }
    }

    /// The card answered, or the link failed.
    #[must_use]
    pub fn answered(answer: Result<Answer, LinkError>) -> Self {
        match answer {
            Ok(answer) => {
                Outcome { done: answer.is_success(), sw: answer.sw, answer: Some(answer), ..Outcome::silent() }
            }
            Err(error) => Outcome::failed(link_errno(&error)),
        }
    }
}

struct Ticket {
    number: u64,
    kind: OperationKind,
    submitted: Instant,
    ended: Option<(Outcome, Duration)>,
    fetched: bool,
}

/// One open control file.
pub struct Control {
    /// Who opened it.
    pub uid: u32,
    /// Opened for writing: may submit operations.
    pub writable: bool,
    /// The generation of the view that its last STATUS saw.
    pub seen: u64,
    tickets: VecDeque<Ticket>,
    waker: Option<Waker>,
    /// The card this was in a dialogue with is gone.
    broken: bool,
    talks: bool,
    written: Option<Zeroizing<Vec<u8>>>,
    response: Zeroizing<Vec<u8>>,
    read: usize,
}

impl Control {
    /// Opened by `uid`; `generation` is what it may take as known.
    #[must_use]
    pub fn new(uid: u32, writable: bool, generation: u64) -> Self {
        Control {
            uid,
            writable,
            seen: generation,
            tickets: VecDeque::new(),
            waker: None,
            broken: false,
            talks: false,
            written: None,
            response: Zeroizing::new(Vec::new()),
            read: 0,
        }
    }

    /// Notes a submitted operation. The oldest fetched one makes room.
    ///
    /// # Errors
    /// [`Refusal::TooManyResults`] where none was fetched.
    pub fn submit(&mut self, number: u64, kind: OperationKind, now: Instant) -> Result<(), Refusal> {
        if self.tickets.len() >= TICKETS_MAX {
            let fetched = self.tickets.iter().position(|ticket| ticket.fetched).ok_or(Refusal::TooManyResults)?;
            self.tickets.remove(fetched);
        }
        self.tickets.push_back(Ticket { number, kind, submitted: now, ended: None, fetched: false });
        Ok(())
    }

    /// Takes back an operation that could not be queued.
    pub fn withdraw(&mut self, number: u64) {
        self.tickets.retain(|ticket| ticket.number != number);
    }

    /// Notes how an operation ended; the program that waits is woken by whoever calls this.
    pub fn finish(&mut self, number: u64, outcome: Outcome, now: Instant) {
        if let Some(ticket) = self.tickets.iter_mut().find(|ticket| ticket.number == number) {
            ticket.ended = Some((outcome, now.saturating_duration_since(ticket.submitted)));
        }
    }

    /// Ends every operation that has not ended.
    pub fn abandon(&mut self, outcome: Outcome, now: Instant) {
        for ticket in self.tickets.iter_mut().filter(|ticket| ticket.ended.is_none()) {
            ticket.ended = Some((outcome.clone(), now.saturating_duration_since(ticket.submitted)));
        }
    }

    /// The answer to RESULT.
    ///
    /// # Errors
    /// [`Refusal::Pending`], [`Refusal::NotFound`].
    pub fn result(&mut self, number: u64) -> Result<Vec<u8>, Refusal> {
        let ticket = self.tickets.iter_mut().find(|ticket| ticket.number == number).ok_or(Refusal::NotFound)?;
        let (outcome, elapsed) = ticket.ended.as_ref().ok_or(Refusal::Pending)?;
        ticket.fetched = true;
        let response = outcome.answer.as_ref().map(Answer::to_bytes).unwrap_or_default();
        let told = smcard_ioctl::Outcome {
            state: if outcome.done { OperationState::Done } else { OperationState::Failed },
            kind: ticket.kind,
            error: outcome.errno,
            sw: outcome.sw,
            given: outcome.given,
            total: outcome.total,
            kept: outcome.kept,
            exchanges: outcome.exchanges,
            duration: *elapsed,
            response: Apdu::new(&response),
        };
        let answer = told.to_raw(number);
        self.response = Zeroizing::new(response);
        self.read = 0;
        Ok(answer.to_bytes())
    }

    /// True while an operation has ended whose result was not fetched.
    #[must_use]
    pub fn has_result(&self) -> bool {
        self.tickets.iter().any(|ticket| ticket.ended.is_some() && !ticket.fetched)
    }

    /// True while a result of this kind has not been fetched, or has not come yet.
    #[must_use]
    pub fn awaits(&self, kind: OperationKind) -> bool {
        self.tickets.iter().any(|ticket| ticket.kind == kind && !ticket.fetched)
    }

    /// A command of this program's own goes to the card.
    ///
    /// # Errors
    /// [`Refusal::Gone`] where earlier ones went to a card that has been taken out since: what comes now was meant for it.
    pub fn talk(&mut self) -> Result<(), Refusal> {
        if self.broken {
            return Err(Refusal::Gone);
        }
        self.talks = true;
        Ok(())
    }

    /// RESET: the program begins anew.
    pub fn begin_anew(&mut self) {
        (self.talks, self.broken) = (false, false);
    }

    /// The card has been taken out.
    pub fn card_gone(&mut self) {
        self.broken |= self.talks;
        self.written = None;
    }

    /// Takes one whole command for TRANSMIT; it replaces an earlier one.
    ///
    /// # Errors
    /// [`Refusal::TooLong`].
    pub fn write(&mut self, command: &[u8]) -> Result<(), Refusal> {
        if command.len() > EXTENDED_COMMAND_MAX {
            return Err(Refusal::TooLong);
        }
        self.written = Some(Zeroizing::new(command.to_vec()));
        Ok(())
    }

    /// The command that was written, once.
    ///
    /// # Errors
    /// [`Refusal::NothingWritten`].
    pub fn take_written(&mut self) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        self.written.take().ok_or(Refusal::NothingWritten)
    }

    /// The next bytes of the response that RESULT gave last; none at its end.
    pub fn read(&mut self, size: usize) -> &[u8] {
        let rest = self.response.get(self.read..).unwrap_or_default();
        let part = rest.get(..size).unwrap_or(rest);
        self.read += part.len();
        part
    }

    /// Remembers who is to be woken; the last one counts, the kernel asks anew after each waking.
    pub fn wait(&mut self, waker: Waker) {
        self.waker = Some(waker);
    }

    /// The waker, where `generation` or a result is news to it.
    pub fn wake(&mut self, generation: u64) -> Option<Waker> {
        if self.has_result() || self.seen != generation { self.waker.take() } else { None }
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Control of uid {}, {} tickets", self.uid, self.tickets.len())
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
