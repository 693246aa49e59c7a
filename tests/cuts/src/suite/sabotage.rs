//! Suite `sabotage`: shows that the others can fail. A barrier is left out, and they must notice.

use super::cuts;
use super::errors::{self, Way};
use crate::course::Course;
use crate::report::{Failure, Report};
use smcard_flash::sim::{Sabotage, sabotage};
use std::panic::{self, AssertUnwindSafe};
use std::time::Instant;

/// Name in ids.
pub const NAME: &str = "sabotage";

/// Leaves out each barrier in turn. The reports name by which id it was noticed.
#[must_use]
pub fn run(course: &Course) -> Report {
    let start = Instant::now();
    let mut report = Report { suite: NAME, ..Report::default() };
    for which in Sabotage::ALL {
        let found = noticed(course, which);
        report.tried += 1;
        match found {
            Some(failure) => {
                report.passed += 1;
                report.details += &format!("\n         without barrier {which:?}: noticed by {}", failure.id);
            }
            None => report.failures.push(Failure {
                id: format!("{NAME}:{which:?}:"),
                what: "nobody noticed that this barrier was left out".to_owned(),
            }),
        }
    }
    report.time = start.elapsed();
    report
}

/// The first failure of a suite with a barrier left out; or of an assertion of the simulator.
#[must_use]
pub fn noticed(course: &Course, which: Sabotage) -> Option<Failure> {
    sabotage(Some(which));
    let silent = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let found = panic::catch_unwind(AssertUnwindSafe(|| {
        let (_, by_cut) = cuts::explore_here(course, &cuts::ONCE);
        by_cut.or_else(|| errors::explore_here(course, &Way::ALL).1)
    }));
    panic::set_hook(silent);
    sabotage(None);
    found.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let what = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default().to_owned();
        Some(Failure { id: format!("an assertion of the simulator: {what}"), what })
    })
}
