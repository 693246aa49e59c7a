//! The load: an operator and a preparer who never rest until the daemon is gone.

use std::thread;
use std::time::Duration;

use smcard_ioctl::Client;
use smcard_tests::run::until;

use crate::card::{Answer, Card, Operation, SUCCESS};
use crate::choice::{self, Choice};
use crate::client::{Place, Reply};
use crate::ledger::{FileOperation, Files, Known, Ledger};
use crate::random::Random;
use crate::report::Report;
use crate::stock;

/// Pause of a client whose operation was refused because the card is busy.
const BUSY_PAUSE: Duration = Duration::from_micros(300);
/// Longest time for which a card at rest may seem busy.
const LIMIT: Duration = Duration::from_secs(5);

/// Who copies batches and starts them.
#[derive(Debug)]
pub struct Operator {
    /// What is known of its files.
    pub files: Known<Files>,
    /// What is known of the card.
    pub card: Known<Card>,
}

/// Who copies, renames and removes batches meanwhile.
#[derive(Debug)]
pub struct Preparer {
    /// What is known of its files.
    pub files: Known<Files>,
}

/// Where and how a client works.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    /// The mount.
    pub place: &'a Place,
    /// What is written down.
    pub ledger: &'a Ledger,
}

enum Step {
    /// An operation was answered.
    Answered,
    /// The card was busy.
    Busy,
    /// The daemon is gone.
    Gone,
}

impl Operator {
    /// Works until the daemon is gone.
    ///
    /// # Errors
    /// An answer that what is known does not allow.
    pub fn work(&mut self, work: Work<'_>, random: &mut Random, report: &mut Report) -> Result<(), String> {
        let client = match work.place.open()? {
            Reply::Said(client) => client,
            Reply::Busy => return Err("the control file is busy".to_owned()),
            Reply::Lost(_) => return Ok(()),
        };
        loop {
            let step = match choice::operator(self.card.guess(), self.files.guess(), random) {
                Choice::File(operation) => file(&mut self.files, work, "operator", &operation, report),
                Choice::Card(operation, name) => self.operate(work, &client, operation, &name, report),
            };
            match step? {
                Step::Answered => {}
                Step::Busy => thread::sleep(BUSY_PAUSE),
                Step::Gone => return Ok(()),
            }
        }
    }

    /// START, CLEAR or CONFIRM, once, by a client that nobody disturbs.
    ///
    /// # Errors
    /// No answer, or one that what is known does not allow.
    pub fn once(&mut self, work: Work<'_>, operation: Operation, name: &str) -> Result<(), String> {
        let Reply::Said(client) = work.place.open()? else { return Err("the control file is busy".to_owned()) };
        let mut step = Ok(Step::Busy);
        // A dialogue ends when its file is closed in every process, one that is just being started included.
        until(LIMIT, || {
            step = self.operate(work, &client, operation, name, &mut Report::default());
            !matches!(step, Ok(Step::Busy))
        });
        match step? {
            Step::Answered => Ok(()),
            Step::Busy | Step::Gone => Err(format!("{operation:?} of a card at rest is refused")),
        }
    }

    fn operate(
        &mut self,
        work: Work<'_>,
        client: &Client,
        operation: Operation,
        name: &str,
        report: &mut Report,
    ) -> Result<Step, String> {
        let words = match operation {
            Operation::Start(id) => format!("START {name} ({})", stock::all()[id].title),
            other => format!("{other:?}").to_uppercase(),
        };
        work.ledger.note("operator", &words);
        let after = |card: &Card| card.answers(operation).into_iter().map(|(_, card)| card).collect();
        match work.place.operate(client, operation, name).map_err(|error| format!("{words}: {error}"))? {
            Reply::Said(answer) => {
                work.ledger.note("operator", &format!("  {:04X}, {} given", answer.sw, answer.given));
                let next = |card: &Card| {
                    let allowed = card.answers(operation).into_iter().filter(|(expected, _)| *expected == answer);
                    allowed.map(|(_, card)| card).collect()
                };
                self.card.answered(next).map_err(|()| self.unexpected(&words, answer, operation))?;
                report.answered(kind(operation), answer.sw == SUCCESS);
                Ok(Step::Answered)
            }
            Reply::Busy => {
                work.ledger.note("operator", "  busy");
                report.busy += 1;
                Ok(Step::Busy)
            }
            Reply::Lost(why) => {
                work.ledger.note("operator", &format!("  no answer: {why}"));
                self.card.lost(kind(operation), |card| card.torn(operation), after);
                Ok(Step::Gone)
            }
        }
    }

    fn unexpected(&self, words: &str, answer: Answer, operation: Operation) -> String {
        let expected: Vec<Answer> =
            self.card.states().iter().flat_map(|card| card.answers(operation)).map(|(answer, _)| answer).collect();
        format!("{words} was answered with {answer:04X?}, and the ledger allows {expected:04X?}")
    }
}

fn kind(operation: Operation) -> &'static str {
    match operation {
        Operation::Start(_) => "START",
        Operation::Clear => "CLEAR",
        Operation::Confirm => "CONFIRM",
    }
}

impl Preparer {
    /// Works until the daemon is gone.
    ///
    /// # Errors
    /// An answer that what is known does not allow.
    pub fn work(&mut self, work: Work<'_>, random: &mut Random, report: &mut Report) -> Result<(), String> {
        loop {
            let operation = choice::preparer(self.files.guess(), random);
            match file(&mut self.files, work, "preparer", &operation, report)? {
                Step::Answered => {}
                Step::Busy => thread::sleep(BUSY_PAUSE),
                Step::Gone => return Ok(()),
            }
        }
    }
}

fn file(
    files: &mut Known<Files>,
    work: Work<'_>,
    who: &str,
    operation: &FileOperation,
    report: &mut Report,
) -> Result<Step, String> {
    let words = match operation {
        FileOperation::Copy(batch, name) => format!("cp {} issue/{name}", stock::all()[*batch].title),
        FileOperation::Remove(name) => format!("rm issue/{name}"),
        FileOperation::Rename(from, to) => format!("mv issue/{from} issue/{to}"),
    };
    work.ledger.note(who, &words);
    let after = |files: &Files| vec![operation.after(files)];
    match work.place.file(operation).map_err(|error| format!("{words}: {error}"))? {
        Reply::Said(()) => {
            work.ledger.note(who, &format!("  {} done", operation.name()));
            // There always is a state after an operation on files.
            let _ = files.answered(after);
            report.answered(operation.name(), true);
            Ok(Step::Answered)
        }
        Reply::Busy => {
            work.ledger.note(who, "  busy");
            report.busy += 1;
            Ok(Step::Busy)
        }
        Reply::Lost(why) => {
            work.ledger.note(who, &format!("  no answer: {why}"));
            files.lost(operation.name(), |files| vec![files.clone(), operation.after(files)], after);
            Ok(Step::Gone)
        }
    }
}
