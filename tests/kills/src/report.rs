//! What many kills have come to, as a table.

use std::collections::BTreeMap;
use std::fmt;

use crate::ledger::Found;

/// Counts of one or more lives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Lives that ended well.
    pub lives: u64,
    /// Kills under load.
    pub kills: u64,
    /// Kills of a daemon that was starting.
    pub early: u64,
    /// Power cuts of the card that the terminal met.
    pub cuts: u64,
    /// Operations refused because the card was busy.
    pub busy: u64,
    /// Issues that were broken off and then ended, or were taken back, while nobody disturbed them.
    pub settled: u64,
    answered: BTreeMap<&'static str, (u64, u64)>,
    found: BTreeMap<(&'static str, Found), u64>,
}

impl Report {
    /// An operation was answered, with success or not.
    pub fn answered(&mut self, what: &'static str, success: bool) {
        let (good, bad) = self.answered.entry(what).or_default();
        *(if success { good } else { bad }) += 1;
    }

    /// An operation that a kill had interrupted was found to have come to this.
    pub fn found(&mut self, what: &'static str, found: Found) {
        *self.found.entry((what, found)).or_default() += 1;
    }

    /// How often an interrupted operation was found so.
    #[must_use]
    pub fn times(&self, what: &'static str, found: Found) -> u64 {
        self.found.get(&(what, found)).copied().unwrap_or(0)
    }

    /// Operations that were answered.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.answered.values().map(|(good, bad)| good + bad).sum()
    }

    /// Operations that a kill interrupted.
    #[must_use]
    pub fn interrupted(&self) -> u64 {
        self.found.values().sum()
    }

    /// All kills.
    #[must_use]
    pub fn all_kills(&self) -> u64 {
        self.kills + self.early
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        self.lives += other.lives;
        self.kills += other.kills;
        self.early += other.early;
        self.cuts += other.cuts;
        self.busy += other.busy;
        self.settled += other.settled;
        for (what, (good, bad)) in &other.answered {
            let (all_good, all_bad) = self.answered.entry(what).or_default();
            *all_good += good;
            *all_bad += bad;
        }
        for (key, count) in &other.found {
            *self.found.entry(*key).or_default() += count;
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| operation | answered | of these refused by the card | interrupted by a kill | found as before | at a commit in between | whole | no difference |"
        )?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|--:|")?;
        for what in ["cp", "rm", "mv", "START", "CLEAR", "CONFIRM"] {
            let (good, bad) = self.answered.get(what).copied().unwrap_or_default();
            let [before, between, after, alike] =
                [Found::Before, Found::Between, Found::After, Found::Alike].map(|found| self.times(what, found));
            let all = before + between + after + alike;
            let answered = good + bad;
            writeln!(f, "| {what} | {answered} | {bad} | {all} | {before} | {between} | {after} | {alike} |")?;
        }
        write!(
            f,
            "{} kills of the daemon ({} of them while it started) on {} cards, and {} power cuts of the card; \
             {} operations acknowledged, {} interrupted, {} refused while the card was busy; \
             {} broken issues ended or taken back at rest",
            self.all_kills(),
            self.early,
            self.lives,
            self.cuts,
            self.acknowledged(),
            self.interrupted(),
            self.busy,
            self.settled,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up() {
        let mut one = Report { kills: 3, early: 1, ..Report::default() };
        one.answered("cp", true);
        one.answered("START", false);
        one.found("cp", Found::After);
        let mut two = one.clone();
        two.add(&one);
        assert_eq!((two.all_kills(), two.acknowledged(), two.interrupted()), (8, 4, 2));
        assert_eq!(two.times("cp", Found::After), 2);
        assert!(two.to_string().contains("| cp | 2 | 0 | 2 | 0 | 0 | 2 | 0 |"), "{two}");
        assert!(two.to_string().contains("| START | 2 | 2 | 0 | 0 | 0 | 0 | 0 |"), "{two}");
    }
}
