//! The progress table (system S5.3): what is done next, by how far the card got and what it said.
//!
//! A row names counts and status words; the first one that matches an end says what follows. A row whose limit is used up
//! no longer matches, so a later row can say what follows then. Behind the last row everything is reported.
//!
//! Limits and pauses are for an issue that does not get on: when the card has kept more than ever before, both begin anew.
//! An issue cannot go on for ever by that, for it has only so many commands.

pub use super::pattern::{Given, Said};
use std::time::Duration;
use thiserror::Error;

/// Longest pause between two tries.
pub const BACKOFF_MAX: Duration = Duration::from_secs(24 * 3600);

/// What follows an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// START again, as it is.
    Retry,
    /// Power off and on, ask the card where it stands, START again.
    Resume,
    /// CLEAR, then report.
    Clear,
    /// CONFIRM where the card asks for it, then report. Follows only success.
    Confirm,
    /// The issue has ended: tell its result.
    Report,
    /// As `Report`; and no START before an operator gives RESET or CLEAR.
    Stop,
}

impl Action {
    /// All of them.
    pub const ALL: [Action; 6] =
        [Action::Retry, Action::Resume, Action::Clear, Action::Confirm, Action::Report, Action::Stop];

    /// The word for it in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Action::Retry => "retry",
            Action::Resume => "resume",
            Action::Clear => "clear",
            Action::Confirm => "confirm",
            Action::Report => "report",
            Action::Stop => "stop",
        }
    }

    /// The inverse of [`Action::word`].
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.word() == word)
    }

    /// True where START is given again, so that limit and back-off mean something.
    #[must_use]
    pub fn repeats(self) -> bool {
        matches!(self, Action::Retry | Action::Resume)
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// How far the card got.
    pub given: Given,
    /// What it said; one of them is enough.
    pub said: Vec<Said>,
    /// What follows.
    pub action: Action,
    /// How often without the issue getting on, for [`Action::repeats`].
    pub limit: u32,
    /// The pause before the first repetition; doubled for each one after.
    pub backoff: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
}

/// A row that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RowError {
    /// Nothing would ever match.
    #[error("sw names no status word")]
    NothingSaid,
    /// `confirm` behind anything but success.
    #[error("action confirm follows only success: sw = \"9000\"")]
    ConfirmWithoutSuccess,
    /// Anything but `confirm`, `report` or `stop` behind success.
    #[error("behind success (9000 is among sw) only confirm, report and stop make sense")]
    AfterSuccess,
    /// Limit or back-off of an action that happens once.
    #[error("limit, backoff_ms and backoff_max_ms are for retry and resume")]
    HappensOnce,
    /// A limit of nothing.
    #[error("limit 0 would never match; leave the row out")]
    NoLimit,
    /// Pauses out of order or longer than a day.
    #[error("backoff_max_ms is less than backoff_ms, or more than a day")]
    Pauses,
}

impl Row {
    /// A row for ends that match, with five repetitions, 100 ms to 10 s apart, where it repeats.
    #[must_use]
    pub fn new(given: Given, said: Vec<Said>, action: Action) -> Self {
        let (backoff, backoff_max) = (Duration::from_millis(100), Duration::from_secs(10));
        Row { given, said, action, limit: 5, backoff, backoff_max }
    }

    /// Checks that the parts agree.
    ///
    /// # Errors
    /// The first disagreement.
    pub fn check(&self) -> Result<(), RowError> {
        let success = self.said.iter().any(|said| said.matches(Some(0x9000)));
        let failure = self.said.iter().any(|said| *said != Said::SUCCESS);
        match self.action {
            _ if self.said.is_empty() => Err(RowError::NothingSaid),
            Action::Confirm if failure => Err(RowError::ConfirmWithoutSuccess),
            Action::Retry | Action::Resume | Action::Clear if success => Err(RowError::AfterSuccess),
            _ if self.limit == 0 => Err(RowError::NoLimit),
            _ if self.backoff > self.backoff_max || self.backoff_max > BACKOFF_MAX => Err(RowError::Pauses),
            _ => Ok(()),
        }
    }

    fn pause(&self, earlier: u32) -> Duration {
        let factor = 2_u32.checked_pow(earlier).unwrap_or(u32::MAX);
        self.backoff.saturating_mul(factor).min(self.backoff_max)
    }
}

/// The table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    rows: Vec<Row>,
    /// So many of them come from the configuration; the others ship.
    configured: usize,
}

impl Table {
    /// `rows` before those that ship: what a configuration does not name is done as without one, and a row that ships never
    /// follows one of the configuration whose limit is used up. Without `confirm` the row that ships for success is left
    /// out.
    #[must_use]
    pub fn new(mut rows: Vec<Row>, confirm: bool) -> Self {
        let configured = rows.len();
        if confirm {
            rows.push(Row::new(Given::Any, vec![Said::SUCCESS], Action::Confirm));
        }
        rows.push(Row::new(Given::Any, vec![Said::Nothing], Action::Resume));
        Table { rows, configured }
    }
}

impl Default for Table {
    fn default() -> Self {
        Table::new(Vec::new(), true)
    }
}

/// How START or a command after it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The status word; `None` where the card did not answer.
    pub sw: Option<u16>,
    /// Commands given; `None` where even that is not known.
    pub given: Option<u32>,
}

/// What the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What follows.
    pub action: Action,
    /// How long to wait before it.
    pub pause: Duration,
    /// The how-manieth time it is.
    pub time: u32,
    /// How often it may be.
    pub limit: u32,
}

/// The table in the course of one issue.
#[derive(Clone, Debug)]
pub struct Progress {
    rows: Vec<(Row, u32)>,
    configured: usize,
    furthest: u32,
}

impl Progress {
    /// For a new issue.
    #[must_use]
    pub fn new(table: &Table) -> Self {
        let rows = table.rows.iter().map(|row| (row.clone(), 0)).collect();
        Progress { rows, configured: table.configured, furthest: 0 }
    }

    /// The card keeps `kept` commands of the issue. Where that is further than ever, limits and pauses begin anew.
    pub fn reached(&mut self, kept: u32) {
        if kept > self.furthest {
            self.furthest = kept;
            self.rows.iter_mut().for_each(|(_, used)| *used = 0);
        }
    }

    /// What follows this end; counts against the limit of the row.
    pub fn decide(&mut self, end: End) -> Decision {
        let named = |row: &Row| row.given.matches(end.given) && row.said.iter().any(|said| said.matches(end.sw));
        let left = |(row, used): &&mut (Row, u32)| named(row) && (!row.action.repeats() || *used < row.limit);
        let configured = self.rows.iter().take(self.configured).any(|(row, _)| named(row));
        let rows = if configured { self.configured } else { self.rows.len() };
        let Some((row, used)) = self.rows.iter_mut().take(rows).find(left) else {
            return Decision { action: Action::Report, pause: Duration::ZERO, time: 1, limit: 1 };
        };
        let pause = if row.action.repeats() { row.pause(*used) } else { Duration::ZERO };
        *used = used.saturating_add(1);
        Decision { action: row.action, pause, time: *used, limit: row.limit }
    }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
