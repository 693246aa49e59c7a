//! What the clients do next: mostly what gets somewhere, sometimes what the card must refuse.

use crate::card::{Card, Issue, Operation, SUCCESS};
use crate::ledger::{FileOperation, Files};
use crate::random::Random;
use crate::stock::{self, BatchId};

/// The operator's files.
pub const JOBS: [&str; 2] = ["job-a", "job-b"];
/// The preparer's files.
pub const BOXES: [&str; 3] = ["box-a", "box-b", "box-c"];

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// With a file.
    File(FileOperation),
    /// With the card; START with the name of the file.
    Card(Operation, String),
}

impl Choice {
    fn start((name, batch): (&String, &BatchId)) -> Self {
        Self::Card(Operation::Start(*batch), name.clone())
    }

    fn clear() -> Self {
        Self::Card(Operation::Clear, String::new())
    }

    fn confirm() -> Self {
        Self::Card(Operation::Confirm, String::new())
    }

    fn copy(batch: BatchId, random: &mut Random) -> Self {
        Self::File(FileOperation::Copy(batch, (*random.pick(&JOBS)).to_owned()))
    }
}

/// What the operator does next, with a card and files that it believes to be these.
#[must_use]
pub fn operator(card: &Card, files: &Files, random: &mut Random) -> Choice {
    match card.issue {
        Issue::Unfinished { batch, .. } | Issue::Awaiting(batch) => go_on(card, batch, files, random),
        Issue::None | Issue::Done(_) => begin(card, files, random),
    }
}

/// An issue of `batch` is open.
fn go_on(card: &Card, batch: BatchId, files: &Files, random: &mut Random) -> Choice {
    let held = files.iter().find(|(_, held)| **held == batch);
    match (random.below(100), held) {
        (0..60, _) if matches!(card.issue, Issue::Awaiting(_)) => Choice::confirm(),
        (0..60, Some(file)) => Choice::start(file),
        (0..45, None) => Choice::copy(batch, random),
        (85..93, Some(_)) => Choice::start(any(files, random)),
        (93.., _) => Choice::copy(any_batch(random), random),
        _ => Choice::clear(),
    }
}

/// No issue is open.
fn begin(card: &Card, files: &Files, random: &mut Random) -> Choice {
    let promising: Files = files.clone().into_iter().filter(|(_, batch)| succeeds(card, *batch)).collect();
    match random.below(100) {
        0..50 if !promising.is_empty() => Choice::start(any(&promising, random)),
        50..56 if !files.is_empty() => Choice::start(any(files, random)),
        56..60 if !files.is_empty() => Choice::File(FileOperation::Remove(any(files, random).0.clone())),
        60..63 => Choice::clear(),
        63..65 => Choice::confirm(),
        65..68 => Choice::copy(any_batch(random), random),
        _ => {
            let good: Vec<BatchId> = (0..stock::all().len()).filter(|batch| succeeds(card, *batch)).collect();
            Choice::copy(*random.pick(&good), random)
        }
    }
}

/// What the preparer does next.
#[must_use]
pub fn preparer(files: &Files, random: &mut Random) -> FileOperation {
    match random.below(100) {
        0..18 if !files.is_empty() => FileOperation::Remove(any(files, random).0.clone()),
        18..36 if !files.is_empty() => {
            let from = any(files, random).0.clone();
            let others: Vec<_> = BOXES.into_iter().filter(|name| *name != from).collect();
            FileOperation::Rename(from, (*random.pick(&others)).to_owned())
        }
        _ => FileOperation::Copy(any_batch(random), (*random.pick(&BOXES)).to_owned()),
    }
}

fn any<'a>(files: &'a Files, random: &mut Random) -> (&'a String, &'a BatchId) {
    let files: Vec<_> = files.iter().collect();
    *random.pick(&files)
}

fn any_batch(random: &mut Random) -> BatchId {
    random.below(stock::all().len())
}

fn succeeds(card: &Card, batch: BatchId) -> bool {
    card.answers(Operation::Start(batch)).iter().any(|(answer, _)| answer.sw == SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::card::Recovery;

    /// The operator's way with a card that answers as the ledger says.
    fn way(recovery: Recovery) -> BTreeSet<String> {
        let (mut card, mut files, mut random) = (Card::new(recovery), Files::new(), Random::new(3));
        let mut seen = BTreeSet::new();
        for _ in 0..2000 {
            match operator(&card, &files, &mut random) {
                Choice::File(operation) => {
                    seen.insert(operation.name().to_owned());
                    files = operation.after(&files);
                }
                Choice::Card(operation, _) => {
                    let (answer, next) = card.answers(operation).pop().unwrap();
                    let what = if matches!(operation, Operation::Start(_)) { "START" } else { "other" };
                    seen.insert(format!("{what} {:04X}", answer.sw));
                    card = next;
                }
            }
        }
        assert!(files.keys().all(|name| JOBS.contains(&name.as_str())));
        seen
    }

    #[test]
    fn the_operator_comes_everywhere() {
        let all = ["START 6985", "START 6A88", "START 9000", "cp", "other 6985", "other 9000", "rm"];
        for recovery in Recovery::ALL {
            assert_eq!(way(recovery), all.map(str::to_owned).into());
        }
    }

    #[test]
    fn the_preparer_keeps_to_its_own_files() {
        let (mut files, mut random, mut seen) = (Files::new(), Random::new(4), BTreeSet::new());
        for _ in 0..200 {
            let operation = preparer(&files, &mut random);
            seen.insert(operation.name());
            files = operation.after(&files);
            assert!(files.keys().all(|name| BOXES.contains(&name.as_str())));
        }
        assert_eq!(seen, ["cp", "mv", "rm"].into());
    }
}
