//! Lists of expected failures, and results held to them.
//!
//! A list is text: lines that begin with `#` give a reason, the lines behind them name the cases it holds for, `*`
//! standing for any characters; a blank line ends the reason.

use anyhow::{Context, Result, ensure};
use std::fmt;
use std::path::Path;

/// What came of one case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Passed,
    /// With what the suite said.
    Failed(String),
    Skipped,
}

/// One case of a suite.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
}

/// A list of expected failures.
#[derive(Debug)]
pub(crate) struct Expected {
    name: String,
    patterns: Vec<String>,
}

impl Expected {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self::parse(&name, &text)
    }

    fn parse(name: &str, text: &str) -> Result<Self> {
        let (mut patterns, mut reason) = (Vec::new(), false);
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            match line {
                "" => reason = false,
                _ if line.starts_with('#') => reason = true,
                _ => {
                    ensure!(reason, "{name}, line {number}: {line} has no reason");
                    patterns.push(line.to_owned());
                }
            }
        }
        Ok(Expected { name: name.to_owned(), patterns })
    }

    fn holds(&self, case: &str) -> bool {
        self.patterns.iter().any(|pattern| fits(pattern, case))
    }
}

/// Whether `*` in the pattern can stand for something that makes it the name.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, rest)) => name.strip_prefix(head).is_some_and(|tail| {
            let starts = tail.char_indices().map(|(at, _)| at).chain([tail.len()]);
            starts.into_iter().any(|at| fits(rest, &tail[at..]))
        }),
    }
}

/// All results.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: usize,
    expected: usize,
    skipped: usize,
    /// What should not be, one line each.
    wrong: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, suite: &str, cases: &[Case], list: &Expected) {
        if cases.is_empty() {
            self.wrong.push(format!("{suite}: no case was run"));
        }
        for Case { name, outcome } in cases {
            match (outcome, list.holds(name)) {
                (Outcome::Passed, false) => self.passed += 1,
                (Outcome::Failed(_), true) => self.expected += 1,
                (Outcome::Skipped, false) => self.skipped += 1,
                (Outcome::Failed(said), false) => self.wrong.push(format!("{suite}: {name} failed: {said}")),
                (Outcome::Passed, true) => {
                    self.wrong.push(format!("{suite}: {name} passed; take it out of {}", list.name));
                }
                (Outcome::Skipped, true) => {
                    self.wrong.push(format!("{suite}: {name} was skipped; take it out of {}", list.name));
                }
            }
        }
        for pattern in &list.patterns {
            if !cases.iter().any(|case| fits(pattern, &case.name)) {
                self.wrong.push(format!("{suite}: {pattern} in {} fits no case", list.name));
            }
        }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.wrong.is_empty()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.wrong {
            writeln!(f, "{line}")?;
        }
        let Tally { passed, expected, skipped, wrong } = self;
        write!(f, "{passed} passed, {} failed, {expected} expected failures ({skipped} skipped)", wrong.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, outcome: Outcome) -> Case {
        Case { name: name.to_owned(), outcome }
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, expected) in [
            ("a::b", "a::b", true),
            ("a::b", "a::bc", false),
            ("*::fifo", "open::x::fifo", true),
            ("*::fifo", "mkfifo::x", false),
            ("open::*", "open::", true),
            ("*loop*", "chmod::eloop_comp", true),
            ("*a*b", "abab", true),
            ("*a*b", "aba", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_case_without_a_reason_is_refused() {
        assert!(Expected::parse("list", "# why\na\nb\n\n# also\nc\n").is_ok());
        let error = Expected::parse("list", "# why\na\n\nb\n").expect_err("no reason");
        assert_eq!(error.to_string(), "list, line 4: b has no reason");
    }

    #[test]
    fn every_surprise_counts_as_a_failure() {
        let list = Expected::parse("list", "# why\nknown::*\nstale\n").expect("a list");
        let failed = || Outcome::Failed("EIO".to_owned());
        let mut tally = Tally::default();
        tally.add(
            "s",
            &[case("good", Outcome::Passed), case("known::a", failed()), case("x", Outcome::Skipped)],
            &list,
        );
        assert_eq!(
            tally.to_string(),
            "s: stale in list fits no case\n1 passed, 1 failed, 1 expected failures (1 skipped)"
        );
        let list = Expected::parse("list", "# why\nknown::*\n").expect("a list");
        let mut tally = Tally::default();
        tally.add("s", &[case("known::a", Outcome::Passed), case("bad", failed())], &list);
        assert!(!tally.is_good());
        assert!(tally.to_string().starts_with("s: known::a passed; take it out of list\ns: bad failed: EIO\n"));
        let mut tally = Tally::default();
        tally.add("s", &[], &Expected::parse("list", "").expect("a list"));
        assert!(!tally.is_good(), "a suite that does not run has not passed");
    }
}
