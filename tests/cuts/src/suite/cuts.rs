//! Suite `cuts`: the power goes at every call of a card's life, in every way; again in what follows; and again.

use crate::course::Course;
use crate::driver::Broken;
use crate::explore::{Count, Explorer, Finding, Level, Seen};
use crate::id::Id;
use crate::pool;
use crate::report::{Failure, Report};
use crate::tears::Thoroughness;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Instant;

/// Name in ids.
pub const NAME: &str = "cuts";

/// The power goes once, everywhere, in every way.
pub const ONCE: [Level; 1] = [level(Thoroughness::Every, usize::MAX, u64::MAX)];

/// It goes everywhere, and again anywhere in the step repeated and the one after it.
pub const TWICE: [Level; 2] = [level(Thoroughness::Some, usize::MAX, u64::MAX), level(Thoroughness::Some, 2, u64::MAX)];

/// It goes everywhere, and twice more in the recovery: the reopening and the calls after it.
pub const THRICE: [Level; 3] = [
    level(Thoroughness::Some, usize::MAX, u64::MAX),
    level(Thoroughness::Few, 1, RECOVERY),
    level(Thoroughness::Few, 1, RECOVERY),
];

/// A part of all that, for every test run.
pub const QUICK: [Level; 2] = [level(Thoroughness::Some, usize::MAX, u64::MAX), level(Thoroughness::Few, 1, RECOVERY)];

/// Calls of a recovery: what was found made certain, and the first commit with its halves.
const RECOVERY: u64 = 8;

const fn level(thoroughness: Thoroughness, steps: usize, calls: u64) -> Level {
    Level { thoroughness, steps, calls }
}

/// What was explored of one course.
struct Part<'a> {
    explorer: Explorer<'a>,
    finding: Option<Finding>,
}

/// Explores every call of every course.
#[must_use]
pub fn run(courses: &[Course], levels: &[Level]) -> Report {
    let start = Instant::now();
    let mut report = Report { suite: NAME, ..Report::default() };
    let mut count = Count::default();
    for course in courses {
        let (explored, failure) = explore(course, levels);
        count.add(&explored);
        match failure {
            Some(failure) => report.failures.push(failure),
            None => report.passed += 1,
        }
    }
    report.tried = count.all();
    report.time = start.elapsed();
    let [first, second, third] = count.cuts;
    report.details = format!(
        "\n         cuts by depth {first} + {second} + {third}; found before {}, within {}, after {}",
        count.rolled_back, count.within, count.completed
    );
    report
}

/// Explores every call of one course.
#[must_use]
pub fn explore(course: &Course, levels: &[Level]) -> (Count, Option<Failure>) {
    let found = Mutex::new(false);
    let calls = usize::try_from(course.calls).unwrap_or(usize::MAX);
    let begin = || Part { explorer: Explorer::new(course), finding: None };
    let parts = pool::run(calls, begin, |part, call| {
        match part.explorer.explore_call(call as u64, levels) {
            Ok(_) => {}
            Err(finding) => {
                part.finding = Some(finding);
                *found.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = true;
            }
        }
        !*found.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    });
    summed_up(course, parts)
}

/// Explores every call of one course, on this thread.
#[must_use]
pub fn explore_here(course: &Course, levels: &[Level]) -> (Count, Option<Failure>) {
    let mut explorer = Explorer::new(course);
    let finding = (0..course.calls).find_map(|call| explorer.explore_call(call, levels).err());
    summed_up(course, vec![Part { explorer, finding }])
}

fn summed_up(course: &Course, parts: Vec<Part<'_>>) -> (Count, Option<Failure>) {
    let mut count = Count::default();
    let mut seen = BTreeSet::new();
    let mut first: Option<Finding> = None;
    for part in parts {
        count.add(&part.explorer.count);
        seen.extend(part.explorer.seen);
        let earlier = |finding: &Finding| first.as_ref().is_none_or(|first| finding.cuts[0].call < first.cuts[0].call);
        if let Some(finding) = part.finding.filter(earlier) {
            first = Some(finding);
        }
    }
    let finding = first.or_else(|| not_kept(course, &seen));
    let failure = finding.map(|Finding { cuts, broken }| {
        let id = Id { suite: NAME.to_owned(), case: course.name.clone(), cuts };
        Failure { id: id.to_string(), what: broken.to_string() }
    });
    (count, failure)
}

/// A state that recovery counts on and that no cut has brought to light was never durable.
fn not_kept(course: &Course, seen: &BTreeSet<Seen>) -> Option<Finding> {
    let mut by_exchange: BTreeMap<(usize, usize), BTreeSet<usize>> = BTreeMap::new();
    for &(step, state, states) in seen {
        by_exchange.entry((step, states)).or_default().insert(state);
    }
    let starts = course.starts();
    for (step, allowed) in starts {
        let found = by_exchange.remove(&(step, allowed.len())).unwrap_or_default();
        if let Some(missing) = allowed.distinct().into_iter().find(|state| !found.contains(state)) {
            let view = allowed.view(missing).to_owned();
            return Some(Finding { cuts: Vec::new(), broken: Broken::Kept { missing, view } });
        }
    }
    None
}
