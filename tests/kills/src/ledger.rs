//! The clients' log: what was acknowledged, what was under way, and so what a card may show.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::stock::{self, BatchId};

/// Lines that are kept for the case that a promise is broken.
const LINES: usize = 60;

/// The last lines of what was done to a card, for people.
#[derive(Debug)]
pub struct Ledger {
    begun: Instant,
    lines: Mutex<VecDeque<String>>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { begun: Instant::now(), lines: Mutex::default() }
    }
}

impl Ledger {
    /// Writes a line.
    pub fn note(&self, who: &str, what: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(format!("{:10.4} s  {who:8}  {what}", self.begun.elapsed().as_secs_f64()));
    }

    /// The last lines.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{line}");
            text
        })
    }
}

/// Where a kill during an operation has left its matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Found {
    /// As before it.
    Before,
    /// An issue, at one of its commits.
    Between,
    /// As after it.
    After,
    /// Before and after look alike.
    Alike,
}

/// An operation that got no answer.
#[derive(Debug, Clone)]
struct Pending<T> {
    what: &'static str,
    before: Vec<T>,
    after: Vec<T>,
}

/// What is known of one matter: the states it may be in. Mostly it is one.
#[derive(Debug, Clone)]
pub struct Known<T> {
    states: Vec<T>,
    pending: Option<Pending<T>>,
}

impl<T: Clone + PartialEq> Known<T> {
    /// Knows that it is this.
    pub fn new(state: T) -> Self {
        Self { states: vec![state], pending: None }
    }

    /// One of the states it may be in.
    pub fn guess(&self) -> &T {
        &self.states[0]
    }

    /// All states it may be in.
    pub fn states(&self) -> &[T] {
        &self.states
    }

    /// An operation was answered: `next` are the states it may be in then; none where the answer cannot be.
    ///
    /// # Errors
    /// None of the states allows the answer; nothing has changed.
    #[expect(clippy::result_unit_err, reason = "there is nothing to say that the caller does not know better")]
    pub fn answered(&mut self, next: impl Fn(&T) -> Vec<T>) -> Result<(), ()> {
        let states = distinct(self.states.iter().flat_map(next));
        if states.is_empty() {
            return Err(());
        }
        self.states = states;
        Ok(())
    }

    /// An operation got no answer: it may be in any of the states `torn`, and `after` are those of its end.
    pub fn lost(&mut self, what: &'static str, torn: impl Fn(&T) -> Vec<T>, after: impl Fn(&T) -> Vec<T>) {
        let after = distinct(self.states.iter().flat_map(after));
        let states = distinct(self.states.iter().flat_map(torn));
        let before = std::mem::replace(&mut self.states, states);
        self.pending = Some(Pending { what, before, after });
    }

    /// Something has happened to it that asks nobody.
    pub fn became(&mut self, change: impl Fn(&T) -> T) {
        let changed = |states: &[T]| distinct(states.iter().map(&change));
        self.states = changed(&self.states);
        if let Some(pending) = &mut self.pending {
            pending.before = changed(&pending.before);
            pending.after = changed(&pending.after);
        }
    }

    /// It was looked at: of the states those stay that show what was seen. Tells what the operation without an answer
    /// has come to.
    ///
    /// # Errors
    /// None shows it: a promise is broken.
    #[expect(clippy::result_unit_err, reason = "there is nothing to say that the caller does not know better")]
    pub fn seen(&mut self, shows: impl Fn(&T) -> bool) -> Result<Option<(&'static str, Found)>, ()> {
        let states: Vec<T> = self.states.iter().filter(|state| shows(state)).cloned().collect();
        if states.is_empty() {
            return Err(());
        }
        self.states = states;
        let pending = self.pending.take();
        Ok(pending.map(|Pending { what, before, after }| {
            let among = |list: &[T]| self.states.iter().any(|state| list.contains(state));
            let found = match (among(&before), among(&after)) {
                (true, true) => Found::Alike,
                (true, false) => Found::Before,
                (false, true) => Found::After,
                (false, false) => Found::Between,
            };
            (what, found)
        }))
    }
}

fn distinct<T: PartialEq>(states: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut all = Vec::new();
    for state in states {
        if !all.contains(&state) {
            all.push(state);
        }
    }
    all
}

/// The files of one client, by name.
pub type Files = BTreeMap<String, BatchId>;

/// An operation on files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileOperation {
    /// `cp` of a batch, onto what has the name, if anything.
    Copy(BatchId, String),
    /// `rm`
    Remove(String),
    /// `mv`, onto what has the name, if anything.
    Rename(String, String),
}

impl FileOperation {
    /// The program that does it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Copy(..) => "cp",
            Self::Remove(_) => "rm",
            Self::Rename(..) => "mv",
        }
    }

    /// The files after it.
    #[must_use]
    pub fn after(&self, files: &Files) -> Files {
        let mut files = files.clone();
        match self {
            Self::Copy(batch, name) => {
                files.insert(name.clone(), *batch);
            }
            Self::Remove(name) => {
                files.remove(name);
            }
            Self::Rename(from, to) => {
                if let Some(batch) = files.remove(from) {
                    files.insert(to.clone(), batch);
                }
            }
        }
        files
    }
}

/// What a card shows of these files.
#[must_use]
pub fn shown(files: &Files) -> BTreeMap<String, (u64, u32)> {
    let row = |batch: BatchId| (stock::all()[batch].size(), stock::all()[batch].total());
    files.iter().map(|(name, batch)| (name.clone(), row(*batch))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, BatchId)]) -> Files {
        list.iter().map(|(name, batch)| ((*name).to_owned(), *batch)).collect()
    }

    fn lost(known: &mut Known<Files>, operation: &FileOperation) {
        known.lost(operation.name(), |f| vec![f.clone(), operation.after(f)], |f| vec![operation.after(f)]);
    }

    #[test]
    fn what_was_acknowledged_and_is_not_there_is_noticed() {
        let mut known = Known::new(files(&[("a", 1)]));
        let copy = FileOperation::Copy(2, "b".into());
        known.answered(|files| vec![copy.after(files)]).unwrap();
        assert!(known.clone().seen(|state| *state == files(&[("a", 1)])).is_err(), "b is lost");
        assert!(known.clone().seen(|state| *state == files(&[("a", 1), ("b", 1)])).is_err(), "b is another");
        assert_eq!(known.seen(|state| *state == files(&[("a", 1), ("b", 2)])), Ok(None));
    }

    #[test]
    fn what_was_under_way_is_there_whole_or_not_at_all() {
        let before = Known::new(files(&[("a", 1), ("b", 2)]));
        let rename = FileOperation::Rename("a".into(), "b".into());
        for (shown, found) in [
            (files(&[("a", 1), ("b", 2)]), Ok(Some(("mv", Found::Before)))),
            (files(&[("b", 1)]), Ok(Some(("mv", Found::After)))),
            (files(&[("a", 1)]), Err(())),
            (files(&[("a", 1), ("b", 1)]), Err(())),
        ] {
            let mut known = before.clone();
            lost(&mut known, &rename);
            assert_eq!(known.seen(|state| *state == shown), found, "{shown:?}");
        }
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let ledger = Ledger::default();
        (0..LINES + 5).for_each(|line| ledger.note("me", &format!("line {line}.")));
        let text = ledger.text();
        assert_eq!(text.lines().count(), LINES);
        assert!(text.ends_with(&format!("line {}.\n", LINES + 4)) && !text.contains("line 4."));
    }
}
