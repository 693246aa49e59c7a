//! What a card may be, by what it has acknowledged: states, how they answer, and what a kill may make of them.

use std::collections::BTreeSet;
use std::fmt;

use crate::content::{Aid, CONDITIONS_NOT_SATISFIED, Content, Walk};
use crate::observe::Record;
use crate::stock::{self, Batch, BatchId};

/// The card manager's word for success.
pub const SUCCESS: u16 = 0x9000;

/// What a card does with a broken issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Recovery {
    /// Nothing of it stays.
    Restart,
    /// Every command stays.
    Command,
    /// What stands before the last recovery point stays; without recovery information, every command.
    Function,
}

impl Recovery {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Restart, Self::Command, Self::Function];

    /// As `smcardd create --recovery` takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Command => "command",
            Self::Function => "function",
        }
    }

    /// Whether an issue is committed once `given` commands have been given, before the next one.
    #[must_use]
    pub fn commits_behind(self, batch: &Batch, given: u32) -> bool {
        match (self, &batch.points) {
            (Self::Restart, _) => false,
            (Self::Function, Some(points)) => points.contains(&(given + 1)),
            (Self::Command, _) | (Self::Function, None) => true,
        }
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the last issue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issue {
    /// There was none, or it was taken back.
    None,
    /// It failed or was broken off.
    Unfinished {
        /// Issued from.
        batch: BatchId,
        /// Commands given.
        given: u32,
        /// Commands that stay.
        kept: u32,
        /// Why it ended; 0 where it was broken off.
        sw: u16,
    },
    /// It is at its end and wants CONFIRM.
    Awaiting(BatchId),
    /// It is at its end.
    Done(BatchId),
}

/// A card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// What it does with a broken issue.
    pub recovery: Recovery,
    /// What it held before an issue that is open, and what it holds where none is.
    pub content: Content,
    /// The last issue.
    pub issue: Issue,
}

/// What the card, or the daemon for it, answers to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Status word.
    pub sw: u16,
    /// START: commands given.
    pub given: u32,
}

/// An operation of the control file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// START of a file that holds this batch.
    Start(BatchId),
    /// CLEAR.
    Clear,
    /// CONFIRM.
    Confirm,
}

impl Card {
    /// A new card.
    #[must_use]
    pub fn new(recovery: Recovery) -> Self {
        Self { recovery, content: Content::default(), issue: Issue::None }
    }

    /// What it may answer to an operation, and what it is then.
    #[must_use]
    pub fn answers(&self, operation: Operation) -> Vec<(Answer, Self)> {
        let refused = || vec![(Answer { sw: CONDITIONS_NOT_SATISFIED, given: 0 }, self.clone())];
        let success = |card: Self| vec![(Answer { sw: SUCCESS, given: 0 }, card)];
        match (operation, self.issue) {
            (Operation::Start(id), _) => match self.goes_on_behind(id) {
                Some(kept) => self.ends(id, kept),
                None => refused(),
            },
            (Operation::Clear, Issue::Unfinished { .. } | Issue::Awaiting(_)) => success(self.with(Issue::None)),
            (Operation::Clear, Issue::None | Issue::Done(_)) => success(self.clone()),
            (Operation::Confirm, Issue::Awaiting(id)) => success(self.finished(id)),
            (Operation::Confirm, _) => refused(),
        }
    }

    /// What it is once it has been powered on again: a card that restarts issues takes an unfinished one back.
    #[must_use]
    pub fn powered_on(&self) -> Self {
        match (self.recovery, self.issue) {
            (Recovery::Restart, Issue::Unfinished { .. }) => self.with(Issue::None),
            _ => self.clone(),
        }
    }

    /// What it may be after a kill during an operation: as before, at one of the commits, as after it.
    #[must_use]
    pub fn torn(&self, operation: Operation) -> Vec<Self> {
        let mut all = vec![self.clone()];
        if let Operation::Start(id) = operation {
            all.extend(self.commits(id));
        }
        all.extend(self.answers(operation).into_iter().map(|(_, card)| card));
        all
    }

    /// What it is at each commit of an issue.
    fn commits(&self, id: BatchId) -> Vec<Self> {
        let (Some(kept), batch) = (self.goes_on_behind(id), &stock::all()[id]) else { return Vec::new() };
        let starts_over = self.recovery == Recovery::Restart && matches!(self.issue, Issue::Unfinished { .. });
        let cleared = starts_over.then(|| self.with(Issue::None));
        let end = Walk::over(&self.content, &batch.effects).failed.map_or(batch.total(), |(number, _)| number);
        let commits = (kept + 1..end).filter(|given| self.recovery.commits_behind(batch, *given));
        let at = |kept| self.with(Issue::Unfinished { batch: id, given: kept, kept, sw: 0 });
        cleared.into_iter().chain(commits.map(at)).collect()
    }

    /// The number of commands that START of a batch skips; `None` where it is refused.
    #[must_use]
    pub fn goes_on_behind(&self, id: BatchId) -> Option<u32> {
        match self.issue {
            Issue::None | Issue::Done(_) => Some(0),
            Issue::Unfinished { batch, .. } if batch == id && self.recovery == Recovery::Restart => Some(0),
            Issue::Unfinished { batch, kept, .. } if batch == id => Some(kept),
            Issue::Unfinished { .. } | Issue::Awaiting(_) => None,
        }
    }

    /// The end of an issue that nothing disturbs, where `kept` commands were given before.
    fn ends(&self, id: BatchId, kept: u32) -> Vec<(Answer, Self)> {
        let batch = &stock::all()[id];
        if let Some((given, sw)) = Walk::over(&self.content, &batch.effects).failed {
            let committed = (kept + 1..given).rev().find(|at| self.recovery.commits_behind(batch, *at));
            let issue = Issue::Unfinished { batch: id, given, kept: committed.unwrap_or(kept), sw };
            return vec![(Answer { sw, given }, self.with(issue))];
        }
        let done = Answer { sw: SUCCESS, given: batch.total() };
        let mut ends = vec![(done, self.finished(id))];
        if batch.confirm {
            // The terminal confirms by its table, or leaves it to the operator.
            ends.push((done, self.with(Issue::Awaiting(id))));
        }
        ends
    }

    fn finished(&self, id: BatchId) -> Self {
        let content = Walk::over(&self.content, &stock::all()[id].effects).content;
        Self { content, issue: Issue::Done(id), ..*self }
    }

    fn with(&self, issue: Issue) -> Self {
        Self { issue, ..self.clone() }
    }

    /// True where START, CLEAR or CONFIRM must come before anything else.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.issue, Issue::Unfinished { .. } | Issue::Awaiting(_))
    }

    /// The applications that answer SELECT: none that an open issue has made, changed or removed.
    #[must_use]
    pub fn selectable(&self) -> BTreeSet<Aid> {
        let (id, kept) = match self.issue {
            Issue::None | Issue::Done(_) => return self.content.applications(),
            Issue::Unfinished { batch, kept, .. } => (batch, kept),
            Issue::Awaiting(batch) => (batch, stock::all()[batch].total()),
        };
        let given = stock::all()[id].effects.iter().zip(0..kept).map(|(effect, _)| effect);
        let touched = Walk::over(&self.content, given).touched;
        self.content.applications().difference(&touched).cloned().collect()
    }

    /// What the card tells of the last issue.
    #[must_use]
    pub fn record(&self) -> Record {
        let total = |id: BatchId| stock::all()[id].total();
        match self.issue {
            Issue::None => Record::default(),
            Issue::Unfinished { batch, given, kept, sw } => Record { state: 1, given, total: total(batch), sw, kept },
            Issue::Done(id) => Record { state: 2, given: total(id), total: total(id), sw: 0, kept: total(id) },
            Issue::Awaiting(id) => Record { state: 3, given: total(id), total: total(id), sw: 0, kept: total(id) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(title: &str) -> BatchId {
        stock::all().iter().position(|batch| batch.title == title).unwrap_or_else(|| panic!("{title}"))
    }

    fn after(card: &Card, operation: Operation) -> (Answer, Card) {
        card.answers(operation).remove(0)
    }

    #[test]
    fn an_issue_broken_off_may_stand_where_its_recovery_commits_and_nowhere_else() {
        let kept = |recovery, title| {
            let torn = Card::new(recovery).torn(Operation::Start(batch(title)));
            let kept = torn.iter().filter_map(|card| match card.issue {
                Issue::Unfinished { given, kept, sw: 0, .. } => Some((given, kept)),
                _ => None,
            });
            kept.collect::<Vec<_>>()
        };
        let total = stock::all()[batch("small-none")].total();
        assert_eq!(kept(Recovery::Restart, "small-commands"), []);
        let every: Vec<_> = (1..total).map(|at| (at, at)).collect();
        assert_eq!(kept(Recovery::Command, "small-functions"), every);
        assert_eq!(kept(Recovery::Function, "small-none"), every);
        // One load, then one install with the only point that is not at the beginning.
        let functions = kept(Recovery::Function, "small-functions");
        assert!(functions.contains(&(total - 1, total - 1)) || functions.len() < 4, "{functions:?}");
        assert!(functions.len() < every.len());
    }

    #[test]
    fn nothing_half_issued_can_be_selected() {
        for recovery in Recovery::ALL {
            let installed = after(&Card::new(recovery), Operation::Start(batch("small-none"))).1;
            assert_eq!(installed.selectable().len(), 1);
            for card in installed.torn(Operation::Start(batch("medium-none"))) {
                let done = matches!(card.issue, Issue::Done(id) if id == batch("medium-none"));
                assert_eq!(card.selectable().len(), if done { 3 } else { 1 }, "{:?}", card.issue);
            }
            for card in installed.torn(Operation::Start(batch("replace-small-none"))) {
                let whole = !matches!(card.issue, Issue::Unfinished { .. });
                assert_eq!(card.selectable().len(), usize::from(whole), "{:?}", card.issue);
            }
        }
    }

    #[test]
    fn start_again_ends_as_if_nothing_had_happened_and_clear_takes_back() {
        for recovery in Recovery::ALL {
            for title in ["small-none", "medium-functions", "large-commands", "confirm-small-none"] {
                let (new, start) = (Card::new(recovery), Operation::Start(batch(title)));
                let undisturbed = after(&new, start).1;
                for broken in new.torn(start).iter().filter(|card| matches!(card.issue, Issue::Unfinished { .. })) {
                    assert_eq!(after(broken, start).1, undisturbed);
                    assert_eq!(after(broken, Operation::Clear).1.content, new.content);
                    let other = after(broken, Operation::Start(batch("remove-large-none")));
                    assert_eq!(other, (Answer { sw: CONDITIONS_NOT_SATISFIED, given: 0 }, broken.clone()));
                }
            }
        }
    }

    #[test]
    fn a_failure_keeps_what_the_recovery_has_committed() {
        for (recovery, title, all_but) in [
            (Recovery::Command, "failing-small-functions", 1),
            (Recovery::Function, "failing-small-none", 1),
            (Recovery::Function, "failing-small-functions", 1),
        ] {
            let (answer, card) = after(&Card::new(recovery), Operation::Start(batch(title)));
            assert_eq!((answer.sw, card.selectable().len()), (0x6A88, 0));
            let expected = answer.given - all_but;
            assert!(matches!(card.issue, Issue::Unfinished { kept, .. } if kept == expected), "{:?}", card.issue);
            assert_eq!(card.powered_on(), card);
        }
        let (_, card) = after(&Card::new(Recovery::Restart), Operation::Start(batch("failing-small-commands")));
        assert!(matches!(card.issue, Issue::Unfinished { kept: 0, .. }), "{:?}", card.issue);
        assert_eq!(card.powered_on(), Card::new(Recovery::Restart));
    }

    #[test]
    fn what_waits_for_confirm_is_held_back() {
        let ends = Card::new(Recovery::Command).answers(Operation::Start(batch("confirm-small-none")));
        let waiting = &ends.iter().find(|(_, card)| matches!(card.issue, Issue::Awaiting(_))).unwrap().1;
        assert_eq!(waiting.selectable().len(), 0);
        assert_eq!(after(waiting, Operation::Confirm).1.selectable().len(), 1);
        assert_eq!(after(waiting, Operation::Clear).1, Card::new(Recovery::Command));
    }
}
