//! An issue for people: while it runs, and how it ended.

use crate::terminal::{IssueResult, Step};
use smcard_batch::StatusWord;
use std::time::{Duration, Instant};

/// An issue that runs.
#[derive(Clone, Debug)]
pub struct Running {
    /// What is issued, for people.
    pub name: String,
    /// Since when.
    pub since: Instant,
    /// What the progress table has said last.
    pub again: Option<Again>,
}

/// A command that is given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// The command.
    pub step: Step,
    /// When.
    pub due: Instant,
    /// The how-manieth repetition.
    pub time: u32,
    /// How many there may be.
    pub limit: u32,
}

impl Running {
    /// An issue that begins now.
    #[must_use]
    pub fn new(name: String) -> Self {
        Running { name, since: Instant::now(), again: None }
    }

    pub(super) fn line(&self, now: Instant) -> String {
        let Running { name, since, again } = self;
        let seconds = now.saturating_duration_since(*since).as_secs_f64();
        let Some(Again { step, due, time, limit }) = again else {
            return format!("issuing {name} for {seconds:.1} s (the card tells no count meanwhile)");
        };
        let again = format!("{} again (try {time} of {limit})", step.name());
        match due.saturating_duration_since(now).as_secs_f64() {
            0.0 => format!("issuing {name} for {seconds:.1} s, {again} (the card tells no count meanwhile)"),
            rest => format!("recovering: waiting {rest:.1} s before {again}"),
        }
    }
}

/// How an issue ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What was issued, for people.
    pub name: String,
    /// What the card said; where it said nothing, how far it is known to have come.
    pub result: IssueResult,
    /// The link's errno and words where the card said nothing.
    pub silence: Option<(i32, String)>,
    /// Exchanges, those of the upload included.
    pub exchanges: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// How an issue ended, in one line; also what `card/last_issue` says.
#[must_use]
pub fn ended_line(ended: &Ended) -> String {
    if ended.result.success { done(ended) } else { failed(ended) }
}

pub(super) fn done(ended: &Ended) -> String {
    let Ended { name, exchanges, elapsed, .. } = ended;
    let seconds = elapsed.as_secs_f64();
    match ended.result.total {
        0 => format!("done {name}: {exchanges} exchanges, {seconds:.3} s"),
        total => format!("done {name}: {total} commands, {exchanges} exchanges, {seconds:.3} s"),
    }
}

pub(super) fn failed(ended: &Ended) -> String {
    let Ended { name, result: IssueResult { sw, given, total, .. }, .. } = ended;
    let (sw, meaning) = (StatusWord(*sw), StatusWord(*sw).meaning());
    match (&ended.silence, given, total) {
        (Some((_, text)), ..) => format!("failed without an answer ({text}): {name}"),
        (None, 0, _) => format!("failed {sw} at start ({meaning}): {name}"),
        (None, given, 0) => format!("failed {sw} after {given} ({meaning}): {name}"),
        (None, given, total) => format!("failed {sw} after {given} of {total} ({meaning}): {name}"),
    }
}
