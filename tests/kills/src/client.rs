//! The clients' hands: real programs and the real client library on a mount whose daemon may die at any moment.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use smcard_ioctl::{Client, ClientError, Outcome, Selector, StartRequest, Ticket};
use smcard_tests::{Mounted, run};

use crate::card::{Answer, Operation};
use crate::ledger::FileOperation;
use crate::stock;

/// Longest time for one operation; one that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<T> {
    /// It was acknowledged, or refused by the card.
    Said(T),
    /// The daemon refused it because the card is busy: nothing has changed.
    Busy,
    /// The daemon died under it; what came of it is not known. The words are those of the system.
    Lost(String),
}

/// A mounted card, and whether its daemon has been killed.
#[derive(Debug)]
pub struct Place {
    issue: PathBuf,
    control: PathBuf,
    stock: PathBuf,
    killed: AtomicBool,
}

impl Place {
    /// The place of a mounted card; the batches lie in its scratch folder ([`Place::furnish`]).
    #[must_use]
    pub fn new(mounted: &Mounted) -> Self {
        let (issue, control) = (mounted.path("issue"), mounted.path("control"));
        Self { issue, control, stock: mounted.scratch(), killed: AtomicBool::new(false) }
    }

    /// Writes all batches into the scratch folder, under their titles.
    pub fn furnish(mounted: &Mounted) {
        for batch in stock::all() {
            mounted.file(&batch.title, &batch.bytes);
        }
    }

    /// From now on operations may get lost.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
    }

    /// Whether the daemon has been killed, or is about to be.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    fn name(&self, name: &str) -> PathBuf {
        self.issue.join(name)
    }

    /// Does something to a file.
    ///
    /// # Errors
    /// It failed, and the daemon has not been killed.
    pub fn file(&self, operation: &FileOperation) -> Result<Reply<()>, String> {
        let done = match operation {
            FileOperation::Copy(batch, name) => copy(&self.stock.join(&stock::all()[*batch].title), &self.name(name)),
            FileOperation::Remove(name) => system(fs::remove_file(self.name(name))),
            FileOperation::Rename(from, to) => system(fs::rename(self.name(from), self.name(to))),
        };
        self.judge(done)
    }

    /// Does something to a file of a card at rest. A dialogue before it ends when its file is closed in every process,
    /// one that is just being started included: until then the card seems busy.
    ///
    /// # Errors
    /// It failed.
    pub fn file_at_rest(&self, operation: &FileOperation) -> Result<(), String> {
        let mut reply = Ok(Reply::Busy);
        run::until(LIMIT, || {
            reply = self.file(operation);
            reply != Ok(Reply::Busy)
        });
        match reply? {
            Reply::Said(()) => Ok(()),
            reply => Err(format!("{operation:?} of a card at rest: {reply:?}")),
        }
    }

    /// Opens the control file.
    ///
    /// # Errors
    /// It cannot be opened, and the daemon has not been killed.
    pub fn open(&self) -> Result<Reply<Client>, String> {
        self.judge(library(Client::open(&self.control)))
    }

    /// START of a file, CLEAR or CONFIRM, with its answer.
    ///
    /// # Errors
    /// No answer, and the daemon has not been killed.
    pub fn operate(&self, client: &Client, operation: Operation, name: &str) -> Result<Reply<Answer>, String> {
        let ticket = match operation {
            Operation::Start(_) => {
                let selector = Selector::Name(name.as_bytes().to_vec());
                client.start(&StartRequest { selector, ..StartRequest::default() })
            }
            Operation::Clear => client.clear(),
            Operation::Confirm => client.confirm(),
        };
        let outcome = ticket.and_then(|ticket| wait(client, ticket));
        let answer = match library(outcome) {
            Reply::Said(outcome) if outcome.error != 0 => {
                Reply::Lost(io::Error::from_raw_os_error(outcome.error).to_string())
            }
            Reply::Said(outcome) => {
                let given = if matches!(operation, Operation::Start(_)) { outcome.given } else { 0 };
                Reply::Said(Answer { sw: outcome.sw, given })
            }
            Reply::Busy => Reply::Busy,
            Reply::Lost(why) => Reply::Lost(why),
        };
        self.judge(answer)
    }

    fn judge<T>(&self, reply: Reply<T>) -> Result<Reply<T>, String> {
        match reply {
            Reply::Lost(why) if !self.is_killed() => Err(format!("without a kill: {why}")),
            reply => Ok(reply),
        }
    }
}

fn wait(client: &Client, ticket: Ticket) -> Result<Outcome, ClientError> {
    let outcome = client.wait(ticket, Some(LIMIT));
    assert!(!matches!(outcome, Err(ClientError::Pending(_))), "an operation hangs: {outcome:?}");
    outcome
}

fn library<T>(result: Result<T, ClientError>) -> Reply<T> {
    match result {
        Ok(value) => Reply::Said(value),
        Err(ClientError::Busy { .. }) => Reply::Busy,
        Err(error) => Reply::Lost(error.to_string()),
    }
}

fn system(result: io::Result<()>) -> Reply<()> {
    match result {
        Ok(()) => Reply::Said(()),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Reply::Busy,
        Err(error) => Reply::Lost(error.to_string()),
    }
}

fn copy(from: &Path, to: &Path) -> Reply<()> {
    let output = run(Command::new("cp").arg(from).arg(to).env("LC_ALL", "C"));
    match output.code {
        0 => Reply::Said(()),
        _ if output.stderr.contains("Device or resource busy") => Reply::Busy,
        _ => Reply::Lost(output.stderr.trim().to_owned()),
    }
}
